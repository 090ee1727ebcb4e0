"""The Ray cluster that a sweep runs on: one that is there, or one of our own."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

# Ray reads these when it is imported: no usage reports, no change of folder, no files of its own.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # it would end Ctrl-C as a success
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the new one prints tables at verbose=0
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray

from calsweep.platform.errors import first_line
from calsweep.platform.job_folder import is_lost_with_job
from calsweep.platform.resources import Resources


class NeverStarts(ValueError):
    """What a fold asks for is more than the cluster has."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"The sweep would never start, because {self.reason}"


class RayNotStarted(RuntimeError):
    """Ray does not come up on this machine."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"Ray did not start on this machine, nor on a second try: {self.reason.rstrip('.')}. "
            "End other work on the machine, or name a cluster that runs in RAY_ADDRESS."
        )


def check_home(home: Path, /) -> None:
    """Check that the home outlives a job that Ray runs in a folder of its own.

    Raises
    ------
    ValueError
        If it lies in that folder.
    """
    if is_lost_with_job(home):
        raise ValueError(
            f"`home` is {str(home)!r}, which lies in this job's own folder and would be lost with "
            "it: add home=FOLDER with a whole path that every node reaches."
        )


@contextlib.contextmanager
def cluster(resources: Resources, /) -> Iterator[int]:
    """Attach to the cluster named by ``RAY_ADDRESS``, or start one on this machine.

    Yields
    ------
    n_parallel
        Folds that can be trained at the same time.

    Raises
    ------
    NeverStarts
        If the cluster is too small for one fold.
    RayNotStarted
        If one of our own does not come up.
    """
    is_ours = not ray.is_initialized()
    if is_ours:
        _start()
    try:
        yield n_parallel(resources, available=dict(ray.cluster_resources()))  # type: ignore[no-untyped-call]
    finally:
        if is_ours:
            ray.shutdown()


def n_parallel(resources: Resources, /, *, available: dict[str, float]) -> int:
    """Count the folds that fit into a cluster at the same time.

    Raises
    ------
    NeverStarts
        If not even one does.

    Examples
    --------
    >>> n_parallel(Resources(cpus=2), available={"CPU": 5.0})
    2
    """
    wanted: dict[str, float] = {"CPU": resources.cpus * resources.num_workers}
    if resources.gpus:
        wanted["GPU"] = resources.gpus * resources.num_workers
    fits = min(int(available.get(kind, 0.0) / n) for kind, n in wanted.items())
    if fits < 1:
        has = {kind: available.get(kind, 0.0) for kind in wanted}
        raise NeverStarts(
            f"a fold asks for {wanted} and the cluster has {has}: "
            "ask for less with resources.num_workers, resources.cpus or resources.gpus."
        )
    return fits


def _start() -> None:
    address = os.environ.get("RAY_ADDRESS")
    if address:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        return
    # Ray would write a token into the user's home, where it changes what `ray start` does later.
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        _start_here()
    except Exception:  # noqa: BLE001 - of no kind: it waits 30 s, which a busy machine can exceed
        ray.shutdown()
        try:
            _start_here()
        except Exception as error:
            ray.shutdown()
            raise RayNotStarted(first_line(error)) from error


def _start_here() -> None:
    ray.init(
        address="local",  # otherwise Ray joins any cluster that it finds on this machine
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _node_ip_address="127.0.0.1",
    )
