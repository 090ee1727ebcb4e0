"""A sweep submitted again, its driver paused and woken, clocks that move, promoters that crash."""

import os
import signal

import pytest
from mlflow import MlflowClient

from calsweep.platform.champion.history import Ending, History
from calsweep.platform.ownership.lease import read_owner
from calsweep.platform.record_reader import read_sweep, record_events
from tests.platform import swept
from tests.platform.champion.killed_promoter import promote_and_be_killed

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(900)]
# Python imports it at its start, in each process of a sweep.
MOVED_CLOCK = """
import os, time
true_time, true_time_ns = time.time, time.time_ns

def hours():
    try:
        with open(os.environ["CALSWEEP_TEST_CLOCK"]) as file:
            return int(file.read())
    except (KeyError, OSError, ValueError):
        return 0

time.time = lambda: true_time() + hours() * 3600.0
time.time_ns = lambda: true_time_ns() + hours() * 3600 * 10**9
"""


class Clock:
    """The clock of a sweep's processes, which can be moved while they run."""

    def __init__(self, folder):
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(MOVED_CLOCK)
        self._file = folder / "hours"
        self.env = {"PYTHONPATH": str(folder), "CALSWEEP_TEST_CLOCK": str(self._file)}

    def move(self, *, hours):
        self._file.write_text(str(hours))


def test_submitted_again_with_moved_clocks_and_the_first_paused_and_woken(
    mice, undisturbed, tmp_path, monkeypatch
):
    """And promoted meanwhile: by one that is killed between copy and alias, by two at once."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = tmp_path / "home"
    sweep = swept.Sweep(mice.folder, home)
    of_first, of_second = (Clock(tmp_path / name) for name in ("first", "second"))
    with sweep.running(env=of_first.env) as first:
        sweep.wait_for(1, first)
        with sweep.running(env=of_second.env) as second:
            second.wait_until(lambda: "looking on until it is done" in second.said)
            assert f":{first.process.pid} just now: looking on" in second.said
            of_first.move(hours=1)
            of_second.move(hours=-1)
            sweep.wait_for(len(sweep.folds) + 8, first)
            of_first.move(hours=-1)
            of_second.move(hours=1)
            sweep.wait_for(len(sweep.folds) + 8, first)
            first.wait_until(lambda: read_sweep(home, "small").finished)
            assert tokens(home) == {1}

            os.kill(first.process.pid, signal.SIGSTOP)
            before = sweep.folds
            second.wait_until(lambda: read_owner(home / "sweeps/small").token == 2)
            os.kill(first.process.pid, signal.SIGCONT)
            said = first.ended(code=2)
            by = f":{second.process.pid}: this process gave no sign of life for 20 s"
            assert "was taken over by" in said
            assert by in said

            with sweep.running() as third:
                # The trial that was finished is begun once more where the sweep goes on.
                sweep.wait_for(len(before) + 1, second)
                second.wait_until(lambda: read_sweep(home, "small").finished)
                promote_and_be_killed(home, "small", "Registry", "set_alias", name="runner")
                with (
                    sweep.running(*promotion(home)) as promoter,
                    sweep.running(*promotion(home), "--ensemble") as other,
                ):
                    for driver in (promoter, other, second, third):
                        driver.ended()
                assert f":{first.process.pid} is gone; going on here" in second.said
                assert "nothing to train" in third.said
                assert "Honest figure: test AUC" in second.said
                assert "Honest figure: test AUC" in third.said
    assert tokens(home) == {1, 2}
    sweep.check(like=undisturbed, before=before)
    check_one_champion(home)


def promotion(home):
    return (
        "promote", "small", "--home", home, "--name", "runner", "--no-report",
        "--unbeaten-because", "both want to be it",
    )  # fmt: skip


def tokens(home):
    """Give the tokens of those who wrote lines of trials into the record."""
    lines = record_events(home / "sweeps/small")
    return {line["token"] for line in lines if "trial" in line}


def check_one_champion(home):
    """Check that each change of champion was carried to its end, or given up, one by one."""
    broken_off, *done = History(home, "runner").read()
    assert broken_off.ending is Ending.GIVEN_UP
    assert [change.ending for change in done] == [Ending.DONE] * 2
    assert [change.former for change in done] == ["", done[0].version]
    assert len({change.what for change in done}) == len({change.version for change in done}) == 2
    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    aliases = client.get_registered_model("runner").aliases
    assert {alias: str(version) for alias, version in aliases.items()} == {
        "champion": done[1].version,
        "challenger": done[0].version,
    }
