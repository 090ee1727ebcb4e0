"""Options for what is done to recordings on their way into a dataset: dF/F, events, labels."""

from __future__ import annotations

from typing import Any

import click

from calsweep.datasets.bins import Bins
from calsweep.datasets.deconvolution import Deconvolution
from calsweep.datasets.dff import Baseline, Dff
from calsweep.datasets.step import Step

OPTIONS = (
    click.Option(
        ["--dff"],
        type=click.Choice([baseline.value for baseline in Baseline]),
        help="Turn fluorescence into dF/F over a running percentile or mean of each unit.",
    ),
    click.Option(["--dff-window-s"], type=float, help="Its window in seconds.  [default: 60]"),
    click.Option(["--dff-percentile"], type=float, help="Its percentile.  [default: 8]"),
    click.Option(["--deconvolve"], is_flag=True, help="Turn activity into events by OASIS."),
    click.Option(
        ["--s-min"], type=float, help="Least event.  [default: none; least sum of events]"
    ),
    click.Option(
        ["--decay-s"], type=float, help="Decay of calcium.  [default: told from each unit]"
    ),
    click.Option(["--rise-s"], type=float, help="Its rise: AR(2).  [default: at once, AR(1)]"),
    click.Option(
        ["--bins"],
        multiple=True,
        metavar="LABEL=BEHAVIOR:EDGES",
        help="Make a label of a behavior: its class is how many of the edges, separated by commas, "
        "the behavior has reached, as in `running=speed_cm_s:5`; again for more.",
    ),
)


def take_steps(given: dict[str, Any], /) -> tuple[Step, ...]:
    """Take the values of these options out of all that were given, and give the steps they name."""
    dff = {name: given.pop(name) for name in ("dff", "dff_window_s", "dff_percentile")}
    oasis = {name: given.pop(name) for name in ("deconvolve", "s_min", "decay_s", "rise_s")}
    labels = map(Bins.parse, given.pop("bins"))
    return (*_dff(**dff), *_deconvolution(**oasis), *labels)


def _dff(
    *, dff: str | None, dff_window_s: float | None, dff_percentile: float | None
) -> tuple[Step, ...]:
    given = _given(window_s=dff_window_s, percentile=dff_percentile)
    if dff is None:
        _refuse(given, without="--dff", prefix="--dff-")
        return ()
    return (Dff(baseline=Baseline(dff), **given),)


def _deconvolution(*, deconvolve: bool, **times: float | None) -> tuple[Step, ...]:
    given = _given(**times)
    if not deconvolve:
        _refuse(given, without="--deconvolve", prefix="--")
        return ()
    return (Deconvolution(**given),)


def _given(**values: float | None) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


def _refuse(given: dict[str, float], *, without: str, prefix: str) -> None:
    if given:
        option = prefix + min(given).replace("_", "-")
        raise ValueError(
            f"`{option}` is an option of `{without}`, which is not given: "
            f"add `{without}`, or leave `{option}` out."
        )
