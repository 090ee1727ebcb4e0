"""`ray job submit` to a running head does what the command line does, and goes on when lost."""

import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from calsweep.datasets.fold_protocol import AnimalGroups
from calsweep.platform.champion.candidate import best_candidate
from calsweep.platform.champion.promotion import promote
from calsweep.platform.fold.training import Training
from calsweep.platform.settings import Settings
from calsweep.trainables.linear import Linear
from tests.platform import swept
from tests.ray_nodes import RAY, ray_nodes
from tests.recorded import record_sweep

NOT_UP_YET = ("Failed to connect to Ray", "No available agent to submit job")
CALSWEEP = ("python", "-m", "calsweep.platform")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def head():
    """Start a Ray head on ports of its own; end it and only it."""
    with ray_nodes() as nodes:
        nodes.start_head(cpus=2)
        yield nodes


def submit(head, *command, working_dir=".", wait=True):
    """Submit once the head takes jobs; wait for the end of the job, or not."""
    flags = [] if wait else ["--no-wait"]
    arguments = [
        RAY, "job", "submit", f"--address={head.url}", f"--working-dir={working_dir}", *flags,
        "--", *command,
    ]  # fmt: skip
    for _ in range(30):
        run = subprocess.run(
            arguments, cwd=swept.ROOT, env=head.env,
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        if not any(text in run.stderr + run.stdout for text in NOT_UP_YET):
            break
        time.sleep(1)
    return run


def driver(home):
    """Give the process that runs the sweep of a job."""
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        if f"home={home}" in command and Path(command[0]).name.startswith("python"):
            return process
    raise AssertionError("no driver runs")


@pytest.fixture(scope="module")
def gone_on(head, mice, tmp_path_factory):
    """Submit a sweep, kill its driver amid it, and submit the same again."""
    home = tmp_path_factory.mktemp("job")
    command = [*CALSWEEP, *swept.words(mice.folder, home)]
    first = submit(head, *command, wait=False)
    assert first.returncode == 0, first.stdout + first.stderr
    before = swept.wait_for_folds(home, 25)
    driver(home).send_signal(signal.SIGKILL)
    again = submit(head, *command)
    assert again.returncode == 0, again.stdout + again.stderr
    return home, before, again.stdout


def test_job_whose_driver_was_killed_goes_on_when_submitted_again(gone_on, undisturbed):
    home, before, said = gone_on
    assert 25 <= len(before) < swept.N_FOLDS
    assert "Honest figure: test AUC" in said
    swept.check_whole(home, like=undisturbed, before=before)


def test_job_with_a_home_that_would_vanish_is_refused(head, mice):
    run = submit(head, *CALSWEEP, "sweep", f"datasets.address={mice.folder}")
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build a wheel of the checkout, from a copy: setuptools leaves files where it builds."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    kept = shutil.ignore_patterns(".git", ".venv", ".calsweep", "tests", "*.egg-info", "build")
    shutil.copytree(swept.ROOT, source, symlinks=True, ignore=kept)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, f"--wheel-dir={folder}", source], check=True, timeout=200)
    (file,) = folder.glob("*.whl")
    return file


def test_wheel_has_every_file_of_the_package(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    kinds = {".py", ".yaml", ".html", ".css", ".js", ".LICENSE"}
    folders = ("platform", "datasets", "trainables", "search_spaces", "dashboards")
    files = {
        f"calsweep/{path.relative_to(swept.ROOT).as_posix()}"
        for folder in folders
        for path in (swept.ROOT / folder).rglob("*")
        if path.suffix in kinds
    }
    files |= {f"calsweep/{path.name}" for path in (swept.ROOT / "calsweep").glob("*.*")}
    assert {name for name in inside if name.startswith("calsweep/")} == files
    assert len([name for name in files if name.endswith(".yaml")]) > 50
    assert "calsweep/dashboards/report.html" in files


def test_job_from_a_wheel_is_the_same_sweep(head, gone_on, mice, wheel, tmp_path):
    """It attaches to what the job from the checkout did: even the code's version is the same."""
    home = gone_on[0]
    trained = swept.folds_of(home)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--target", tmp_path / "job", wheel], check=True, timeout=200)
    assert not (tmp_path / "job/platform").exists()
    command = [*CALSWEEP, *swept.words(mice.folder, home)]
    run = submit(head, *command, working_dir=tmp_path / "job")
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"Sweep small was run to its end before; nothing to train\.", run.stdout)
    assert swept.folds_of(home) == trained
