"""`ray job submit` against a running head does what the command line does."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from calsweep.datasets.fold_protocol import AnimalGroups
from calsweep.platform.champion.candidate import best_candidate
from calsweep.platform.champion.promotion import promote
from calsweep.platform.fold.training import Training
from calsweep.platform.record import TrialState, read_sweep
from calsweep.platform.settings import Settings
from calsweep.trainables.linear import Linear
from tests.recorded import record_sweep

ROOT = Path(__file__).parent.parent.parent
RAY = Path(sys.executable).with_name("ray")
NOT_UP_YET = ("Failed to connect to Ray", "No available agent to submit job")
# A head takes any token that it finds and `ray job submit` does not look for one: said to both.
AUTH = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def head():
    """Start a Ray head on ports of its own; end it and only it."""
    temp = Path("/tmp") / f"calsweep-ray-{os.getpid()}"  # sockets need a short path
    # The agent, which takes jobs, is not there if another Ray of this machine has its port.
    port, dashboard, agent = free_port(), free_port(), free_port()
    path = f"{RAY.parent}:{os.environ['PATH']}"
    env = {**os.environ, **AUTH, "RAY_USAGE_STATS_ENABLED": "0", "PATH": path}
    head = subprocess.Popen(
        [
            RAY, "start", "--head", "--block", "--num-cpus=2",
            "--node-ip-address=127.0.0.1", f"--port={port}",
            "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}",
            f"--dashboard-agent-listen-port={agent}", f"--temp-dir={temp}",
        ],
        env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    yield f"http://127.0.0.1:{dashboard}"
    head.terminate()
    head.wait(timeout=60)
    shutil.rmtree(temp, ignore_errors=True)


def submit(head, *command):
    """Submit once the head takes jobs, and wait for the end of the job."""
    arguments = [RAY, "job", "submit", f"--address={head}", "--working-dir=.", "--", *command]
    for _ in range(30):
        run = subprocess.run(
            arguments, cwd=ROOT, env={**os.environ, **AUTH},
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        if not any(text in run.stderr + run.stdout for text in NOT_UP_YET):
            break
        subprocess.run(["sleep", "1"], check=True)
    return run


def test_job_sweeps_as_the_command_line_does(head, mice, tmp_path):
    run = submit(
        head,
        "python", "-m", "calsweep.platform", "sweep",
        f"home={tmp_path}",
        f"datasets.address={mice.folder}",
        "datasets.window.length=11",
        "training.epochs=1",
        "training.batch_size=64",
        "baseline_training.epochs=1",
        "n_trials=1",
        "name=job",
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Honest figure: test AUC" in run.stdout
    sweep = read_sweep(tmp_path, "job")
    assert [trial.state for trial in sweep.trials] == [TrialState.DONE] * 2
    assert [len(trial.folds) for trial in sweep.trials] == [20, 20]


def test_job_with_a_home_that_would_vanish_is_refused(head, mice):
    run = submit(
        head,
        "python", "-m", "calsweep.platform", "sweep", f"datasets.address={mice.folder}",
    )  # fmt: skip
    assert run.returncode != 0
    assert "home=" in run.stdout
    assert "would be lost" in run.stdout


def test_job_predicts_with_the_champion(head, mice, tmp_path):
    view = replace(mice.view(length=5), folds=AnimalGroups(k_groups=3))
    settings = Settings(trainables=Linear(), datasets=view, training=Training(epochs=1))
    sweep = record_sweep(tmp_path, "s", {"trial 1": settings}, n_folds=1)
    promote(best_candidate(sweep), home=tmp_path, name="runner")
    command = ["python", "-m", "calsweep.platform", "predict", "runner", str(mice.folder)]
    run = submit(head, *command, str(tmp_path / "out.parquet"), "--home", str(tmp_path))
    assert run.returncode == 0, run.stdout + run.stderr
    assert pq.read_metadata(tmp_path / "out.parquet").num_rows == 5 * (900 - 4)

    run = submit(head, *command, "out.parquet", "--home", str(tmp_path))
    assert run.returncode != 0
    assert "would be lost with it" in run.stdout
