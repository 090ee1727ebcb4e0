"""What a sweep asks of others: object storage, MLflow, Ray."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calsweep.datasets.dataset import read_manifest
from calsweep.platform.cluster import n_parallel
from calsweep.platform.doctor.check import Remark
from calsweep.platform.doctor.probe import ProbeFailed, probe
from calsweep.platform.errors import hide_login
from calsweep.platform.object_storage.address import is_remote
from calsweep.platform.object_storage.storage import locate

if TYPE_CHECKING:
    from calsweep.platform.resources import Resources

RAY_DEADLINE_S = 60.0
MLFLOW_DEADLINE_S = 60.0
_LOOPBACK = ("127.", "localhost", "[::1]", "auto", "local")


def credentials() -> str:
    """Look for what S3 services ask for.

    Raises
    ------
    Remark
        If there is nothing: only datasets on disk can be read then.
    """
    from calsweep.platform.object_storage.s3_client import find_credentials

    source = find_credentials()
    if source is None:
        raise Remark(
            "none for S3: for a dataset at s3://..., set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
        )
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    at = hide_login(endpoint, uri=endpoint) if endpoint else "Amazon's"
    return f"for S3 from {source}; endpoint: {at}"


def storage(address: str, /) -> str:
    """Open a dataset as a sweep does, and say what is there.

    Raises
    ------
    ValueError, LookupError, OSError
        As `locate` and `read_manifest` raise them.
    """
    manifest = read_manifest(locate(address))
    n = len(manifest.recordings)
    where = "S3" if is_remote(address) else "disk"
    return f"{address} (on {where}): {n} recordings, {manifest.n_frames} frames"


def mlflow(uri: str, /, *, home: Path) -> str:
    """Say whether MLflow answers.

    Raises
    ------
    ProbeFailed, ProbeOverdue
        If it does not.
    """
    shown = hide_login(uri, uri=uri)
    probe("mlflow", uri, what=f"MLflow at {shown}", deadline_s=MLFLOW_DEADLINE_S)
    is_embedded = uri.startswith("sqlite:") and str(home.expanduser().resolve()) in uri
    return f"{shown}{' (embedded)' if is_embedded else ' answers'}"


class RayLook:
    """One look at Ray that three checks share: it is there, who it lets in, and what fits."""

    def __init__(self) -> None:
        self._address = os.environ.get("RAY_ADDRESS", "")
        self._nodes: Future[list[dict[str, float]]] = Future()
        threading.Thread(target=self._ask, name="calsweep-doctor-ray-nodes", daemon=True).start()

    def there(self) -> str:
        """Say which cluster a sweep would run on.

        Raises
        ------
        ProbeFailed, ProbeOverdue
            If it is not reached, or none of our own comes up.
        """
        n = len(self._nodes.result())
        if not self._address:
            return "started on this machine and ended again; RAY_ADDRESS would name a cluster"
        return f"{self._address}: {n} node{'s' if n > 1 else ''}"

    def authentication(self) -> str:
        """Say whether Ray asks for a token.

        Raises
        ------
        Remark
            If it lets in whoever is on this machine.
        ProbeFailed
            If it lets in whoever reaches it.
        """
        mode = os.environ.get("RAY_AUTH_MODE", "")
        if not self._address:
            if mode == "disabled":
                raise Remark(
                    "RAY_AUTH_MODE=disabled: whoever is on this machine may run code in a sweep's "
                    "Ray. Unset it, and a sweep makes a token of its own."
                )
            return "a sweep's own Ray asks for a token that it makes, and listens on loopback"
        self._nodes.result()
        try:  # with few tries: it was there just now
            self._probe(RAY_AUTH_MODE="disabled", RAY_NUM_REDIS_GET_RETRIES="3")
        except ProbeFailed:
            return "the cluster asks for a token, and this process has it"
        open_to = (
            "Ray asks for no token: whoever reaches it may run code. Start its head and nodes with "
            "RAY_AUTH_MODE=token (`ray get-auth-token --generate` makes one)."
        )
        if self._address.startswith(_LOOPBACK):
            raise Remark(open_to)
        raise ProbeFailed(open_to)

    def resources(self, resources: Resources, /) -> str:
        """Say how many folds are trained at a time.

        Raises
        ------
        NeverStarts
            If not even one.
        """
        nodes = self._nodes.result()
        each = f"{resources.num_workers} x " if resources.num_workers > 1 else ""
        gpus = f" and {resources.gpus:g} GPU" if resources.gpus else ""
        n = n_parallel(resources, nodes=nodes)
        return f"{n} fold{'s' if n > 1 else ''} at a time, each {each}{resources.cpus} CPU{gpus}"

    def _ask(self) -> None:
        try:
            self._nodes.set_result(self._probe())
        except Exception as error:  # noqa: BLE001 - who asks for the result is told
            self._nodes.set_exception(error)

    def _probe(self, **variables: str) -> Any:
        what = f"Ray at {self._address}" if self._address else "Ray on this machine"
        return probe("ray", what=what, deadline_s=RAY_DEADLINE_S, variables=variables)
