"""`mlflow models serve` and a batch over S3 answer as the champion does."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from calsweep.platform.champion.load import load_model
from calsweep.platform.object_storage.storage import publish

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def served(model, *, uri):
    port = free_port()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # uvicorn's, by name
    with subprocess.Popen(
        [
            sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", model,
            "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        ],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(ROOT), "PATH": path},
    ) as server:  # fmt: skip
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, 9)


def ask(address, path, body=None, *, deadline_s=120):
    """Ask a server, once it is up."""
    give_up = time.monotonic() + deadline_s
    while True:
        request = urllib.request.Request(
            address + path, data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.read()
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.2)


def test_served_champion_gives_the_same_probabilities(stage, mice):
    stage.promote("strong", ensemble=True)
    model = load_model(stage.name, home=stage.home)
    rng = np.random.default_rng(0)
    frames_TN = rng.normal(size=(20, len(mice.manifest.units))).astype(np.float32)
    expected = model.probabilities(frames_TN, trial_T=np.zeros(20, np.int32))[:, 1]
    table = {"columns": list(mice.manifest.units), "data": frames_TN.astype(float).tolist()}
    with served(f"models:/{stage.name}@champion", uri=stage.uri) as address:
        ask(address, "/ping")
        answer = ask(address, "/invocations", json.dumps({"dataframe_split": table}).encode())
    rows = json.loads(answer)["predictions"]
    found = [np.nan if row["probability"] is None else row["probability"] for row in rows]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.isfinite(expected[2:-2]).all()


def test_dataset_on_s3_is_predicted_with_only_its_address_changed(
    s3, stage, calsweep, mice, tmp_path, monkeypatch
):
    stage.promote("strong")
    publish(mice.folder, address="s3://calsweep-test/mice")
    tables = []
    for name, address in {"disk": mice.folder, "s3": "s3://calsweep-test/mice"}.items():
        out = tmp_path / f"{name}.parquet"
        monkeypatch.setenv("CALSWEEP_CACHE", str(tmp_path / f"cache-{name}"))
        code, said, err = calsweep("predict", stage.name, address, out, "--home", stage.home)
        assert code == 0, said + err
        tables.append(pq.read_table(out).to_pandas())
    assert tables[0].equals(tables[1])
