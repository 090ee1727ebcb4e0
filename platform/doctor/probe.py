"""Looks that need a process of their own: they may hang, and Ray is one to a process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import calsweep


class ProbeOverdue(TimeoutError):
    """A probe did not come back."""

    def __init__(self, what: str, deadline_s: float) -> None:
        super().__init__(what, deadline_s)
        self.what = what
        self.deadline_s = deadline_s

    def __str__(self) -> str:
        return (
            f"{self.what} did not answer within {self.deadline_s:g} s: is it up, and does nothing "
            "stand in the way, as a firewall?"
        )


class ProbeFailed(RuntimeError):
    """What a probe met, in its own words."""


def probe(
    kind: str,
    argument: str = "",
    /,
    *,
    what: str,
    deadline_s: float,
    variables: Mapping[str, str] | None = None,
) -> Any:
    """Take one look in a process of its own, which is ended at the deadline with all it started.

    Parameters
    ----------
    kind
        ``"ray"`` or ``"mlflow"``.
    argument
        Of the look.
    what
        Is asked, as a person knows it.
    deadline_s
        Limit of the look.
    variables
        What differs in its environment.

    Returns
    -------
    answer
        What the look gave.

    Raises
    ------
    ProbeOverdue
        If it does not come back.
    ProbeFailed
        With what it met.
    """
    root = str(Path(calsweep.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    with subprocess.Popen(  # noqa: S603 - this very Python, and a word of ours
        [sys.executable, "-m", "calsweep.platform.doctor.probe", kind],
        env={**os.environ, **(variables or {}), "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            # Not on the command line, which every user of the machine can read.
            out, _ = process.communicate(argument, timeout=deadline_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise ProbeOverdue(what, deadline_s) from None
    lines = out.strip().splitlines()
    try:
        told = json.loads(lines[-1])
    except (IndexError, ValueError):
        raise ProbeFailed(f"{what}: its look ended with code {process.returncode}.") from None
    if "error" in told:
        raise ProbeFailed(told["error"])
    return told["answer"]


def _ray(_: str) -> list[dict[str, float]]:
    from calsweep.platform.cluster import nodes, start

    start()
    return nodes()


def _mlflow(uri: str) -> None:
    from calsweep.platform.tracking.reach import reach

    reach(uri)


def _main(kind: str) -> None:
    looks: dict[str, Callable[[str], Any]] = {"ray": _ray, "mlflow": _mlflow}
    try:
        told = {"answer": looks[kind](sys.stdin.read())}
    except Exception as error:  # noqa: BLE001 - it is told in the process that asked
        told = {"error": str(error) or type(error).__name__}
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    _main(sys.argv[1])
