"""What the pages say of populations of models of dynamics, which `calsweep lfads` trains."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from calsweep.dashboards.web.sweep_list import latest_s, standing_of
from calsweep.dashboards.web.view import in_words, moment, time_left
from calsweep.platform.ownership.standing import State
from calsweep.platform.plain import from_plain


def line_of(folder: Path, /) -> dict[str, Any]:
    """Write a line of the list of populations.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError, AttributeError
        If what lies in the folder cannot be read.
    """
    standing = standing_of(folder)
    of = standing.generations
    if of is None:
        raise KeyError("population")
    return {
        "name": standing.name,
        "is_over": standing.state is State.OVER,
        "is_running": standing.state is State.RUNNING,
        "state": in_words(standing.state),
        "generation": f"{of.n_done} of at most {of.n_planned}",
        "end": of.end,
        "best": "–" if of.best_loss is None else f"{of.best_loss:.4g}",
        "left": time_left(standing),
        "latest": moment(latest_s(folder)),
        "error": standing.error,
        "quoted": shlex.quote(standing.name),
    }


def settings_of(folder: Path, /) -> list[tuple[str, str]]:
    """Say in short what a population was asked to do.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError, AttributeError
        As `line_of`.
    """
    described = json.loads((folder / "sweep.json").read_text())
    settings = described["settings"]
    seen, model, population = (settings[k] for k in ("datasets", "trainables", "population"))
    searched = ", ".join(from_plain(settings["search_spaces"]).axes)
    return [
        ("Datasets", ", ".join(map(str, (seen["address"], *seen.get("beside", ()))))),
        ("Recordings", ", ".join(map(str, seen["recordings"])) or "all"),
        ("Observation", _kind(model["observation"])),
        ("Model", f"generator of {model['n_generator']} units, {model['n_factors']} factors, "
                  f"{model['n_inferred']} inferred inputs"),
        ("Population", f"{population['size']} members, at most {population['generations']} "
                       f"generations of {population['generation']} {population['unit']}"),
        ("Patience", f"{population['patience']} generations"),
        ("Searched", searched or "nothing"),
        ("Seed", str(settings["seed"])),
        ("Code", str(described["code_version"])),
    ]  # fmt: skip


def _kind(plain: Mapping[str, Any]) -> str:
    return str(plain["_target_"]).rpartition(".")[2]
