"""MLflow is away at the start, in the middle and at the end of a sweep, and fails all the while.

The sweep holds secrets: none is found in what it said, nor in what was written.
"""

import contextlib
import secrets
import tempfile
from pathlib import Path

import pytest

from calsweep.platform.record_reader import read_sweep
from tests.faults import FaultProxy
from tests.mlflow_server import MlflowServer
from tests.platform import swept

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
WRITTEN = ("sweep.json", "record.jsonl", "server.log", "mlflow.db", "MLmodel", "raylet.out")


class Address:
    """MLflow's, behind which it is away, or answers some requests with 500."""

    def __init__(self, upstream):
        self.is_away, self.fails = True, True
        self.proxy = FaultProxy(upstream, self._fault)

    @property
    def url(self):
        return self.proxy.url

    def _fault(self, _method, _path, n):
        if self.is_away:
            return "reset"
        return "500" if self.fails and n % 37 == 3 else ""


def test_mlflow_away_at_start_middle_and_end_and_failing_amid_secrets(
    mice, undisturbed, tmp_path_factory
):
    hidden = {name: secrets.token_hex(32) for name in ("s3", "session", "ray", "user", "password")}
    home, files = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("server")
    server = MlflowServer(folder=files)
    address = Address(server.url)
    uri = address.url.replace("://", f"://{hidden['user']}:{hidden['password']}@")
    with (
        tempfile.TemporaryDirectory(prefix="cs-", dir="/tmp") as ray,  # sockets need a short path
        address.proxy.running(),
        contextlib.ExitStack() as at_the_end,
    ):
        at_the_end.callback(server.kill)
        env = {
            **swept.plain_env(),
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": hidden["s3"],
            "AWS_SESSION_TOKEN": hidden["session"],
            "RAY_AUTH_TOKEN": hidden["ray"],
            "RAY_TMPDIR": ray,
        }
        sweep = swept.Sweep(mice.folder, home, env, (f"tracking_uri={uri}",))
        said, before = through_outages(sweep, server, address)
        where = ("small", "--home", home, "--tracking-uri", uri)
        said += sweep.run("track", *where)
        assert "MLflow has all of them: " in said
        assert address.proxy.faults["500"] >= 20
        address.fails = False
        said += sweep.run("verify", *where)
        sweep.check(like=undisturbed, before=before, uri=server.url)
        found = dict(holding((home, files, Path(ray)), hidden))
    assert [name for name in WRITTEN if not any(path.endswith(name) for path in found)] == []
    assert {path: names for path, names in found.items() if names} == {}
    assert [name for name, value in hidden.items() if value in said] == []
    assert (home / "sweeps/small/tracking_uri").read_text() == address.url
    assert f"tracking_uri={address.url}" in read_sweep(home, "small").overrides


def through_outages(sweep, server, address):
    """Run the sweep through them; give what it said and the folds from before the last."""
    with sweep.running() as driver:
        server.start()
        sweep.wait_for(3, driver)
        driver.wait_until(lambda: address.proxy.faults["reset"])
        address.is_away = False
        with sweep.held():
            driver.wait_until(lambda: n_runs(address) >= 3)

        sweep.wait_for(30, driver)
        with sweep.held():
            server.kill()
            n_asked = len(address.proxy.requests)
            driver.wait_until(lambda: len(address.proxy.requests) > n_asked)
            server.start()

        before = sweep.wait_for(60, driver)
        server.kill()
        sweep.wait_for(swept.N_FOLDS, driver)
        server.start()
        return driver.ended(), before


def n_runs(address):
    """Count the runs that MLflow was asked to make."""
    return sum(path.endswith("runs/create") for _, path in address.proxy.requests)


def holding(folders, hidden):
    """Give each file of some folders, and which secrets are in it."""
    for path in (path for folder in folders for path in folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile
            if path.is_file():
                data = path.read_bytes()
                yield str(path), [name for name, value in hidden.items() if value.encode() in data]
