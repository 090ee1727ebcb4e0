"""The Ray cluster that a sweep runs on: one that is there, or one of our own."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

# Ray reads these when it is imported: no usage reports, no change of folder, no files of its own.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # it would end Ctrl-C as a success
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the new one prints tables at verbose=0
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# Where Ray believes itself on a laptop, one of our own listens on loopback alone; elsewhere it does
# on every address, whatever it is told.
os.environ.setdefault(
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "1" if "RAY_ADDRESS" in os.environ else "0"
)

import ray
from ray.autoscaler.sdk import request_resources
from ray.exceptions import RayError

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


class ClusterNotReached(ConnectionError):
    """The cluster that ``RAY_ADDRESS`` names cannot be used."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return f"The Ray cluster at {self.address} cannot be used: {self.reason}"


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
        If no fold fits, nor does within ``resources.nodes_within_s``.
    ClusterNotReached
        If the one that is named cannot be used.
    RayNotStarted
        If one of our own does not come up.
    """
    is_ours = not ray.is_initialized()
    if is_ours:
        start()
    try:
        yield _wait_for_nodes(resources)
    finally:
        if is_ours:
            ray.shutdown()


def n_parallel(resources: Resources, /, *, nodes: Sequence[Mapping[str, float]]) -> int:
    """Count the folds that fit into a cluster at the same time.

    Parameters
    ----------
    resources
        What one fold takes; each of its workers has to fit onto one node.
    nodes
        What each node has, as Ray names it.

    Raises
    ------
    NeverStarts
        If not even one does.

    Examples
    --------
    >>> n_parallel(Resources(cpus=2), nodes=[{"CPU": 5.0}, {"CPU": 3.0}, {"GPU": 1.0}])
    3
    """
    worker = _worker(resources)
    n_workers = sum(
        min(int(node.get(kind, 0.0) / n) for kind, n in worker.items()) for node in nodes
    )
    if n_workers >= resources.num_workers:
        return n_workers // resources.num_workers
    way_out = "ask for less with resources.num_workers, resources.cpus or resources.gpus."
    wanted = {kind: n * resources.num_workers for kind, n in worker.items()}
    has = {kind: sum(node.get(kind, 0.0) for node in nodes) for kind in wanted}
    if any(has[kind] < wanted[kind] for kind in wanted):
        raise NeverStarts(f"a fold asks for {wanted} and the cluster has {has}: {way_out}")
    offers = [{kind: node.get(kind, 0.0) for kind in worker} for node in nodes]
    raise NeverStarts(
        f"{resources.num_workers} x {worker} are asked for, each on one node, and room for "
        f"{n_workers} is on the nodes, which have {offers}: {way_out}"
    )


def nodes() -> list[dict[str, float]]:
    """Give what each node of the cluster has that this process is attached to."""
    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def start() -> None:
    """Attach this process to the cluster that ``RAY_ADDRESS`` names, or start one.

    Raises
    ------
    ClusterNotReached
        If the one that is named cannot be used.
    RayNotStarted
        If one of our own does not come up.
    """
    address = os.environ.get("RAY_ADDRESS")
    if address:
        _attach(address)
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


_JOB_FOLDERS = "working_dir_files"  # where Ray unpacks the working directories of jobs
_POLL_S = 1.0
_ANSWER_S = 5.0


def _worker(resources: Resources) -> dict[str, float]:
    """Give what one of a fold's processes takes of a node."""
    gpus = {"GPU": resources.gpus} if resources.gpus else {}
    return {"CPU": resources.cpus} | gpus


def _wait_for_nodes(resources: Resources) -> int:
    """Count the folds that fit; if none does, ask for nodes and wait for them."""
    give_up = time.monotonic() + resources.nodes_within_s
    is_asked = False
    try:
        while True:
            try:
                return n_parallel(resources, nodes=nodes())
            except NeverStarts:
                if time.monotonic() >= give_up:
                    raise
            if not is_asked:
                request_resources(bundles=[_worker(resources)] * resources.num_workers)
                is_asked = True
            time.sleep(_POLL_S)
    finally:
        if is_asked:
            request_resources(bundles=[])  # folds ask for themselves; idle nodes may go again


def _attach(address: str) -> None:
    if address.startswith(("http://", "https://")):
        raise ClusterNotReached(
            address, "it is that of a dashboard, which takes jobs: name HOST:6379, or submit a job."
        )
    if not _answers(address):  # Ray itself tries for more than a minute, and does not say so
        raise ClusterNotReached(
            address, "nothing answers there. Is its head up, and RAY_ADDRESS that of its head?"
        )
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RayError, RuntimeError) as error:
        ray.shutdown()
        raise ClusterNotReached(address, _why(error, address=address)) from error


def _host_and_port(address: str) -> tuple[str, int] | None:
    host, _, port = address.rpartition(":")
    is_plain = host and port.isdigit() and "://" not in address
    return (host.strip("[]"), int(port)) if is_plain else None


def _answers(address: str) -> bool:
    """Say whether anything listens at an address; of one that only Ray understands, it may."""
    place = _host_and_port(address)
    if place is None:
        return True
    try:
        with socket.create_connection(place, timeout=_ANSWER_S):
            return True
    except OSError:
        return False


def _why(error: BaseException, *, address: str) -> str:
    """Say why a cluster was not reached: Ray itself only says that it was not."""
    if _host_and_port(address) is None:
        return f"{first_line(error).rstrip('.')}. RAY_ADDRESS should be HOST:PORT of its head."
    return (
        "it answers, but does not let this process in. Its token is asked for: set "
        "RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to that of its head."
    )


def _start_here() -> None:
    ray.init(
        address="local",  # otherwise Ray joins any cluster that it finds on this machine
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _node_ip_address="127.0.0.1",
    )
