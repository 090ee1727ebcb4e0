"""Two promoters at once, and one that is killed at each step: there is one champion, always."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from calsweep.platform.champion.history import Ending, History

ROOT = Path(__file__).parents[3]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
KILLED_AT = textwrap.dedent("""
    import os, signal, sys
    from pathlib import Path
    from mlflow import MlflowClient
    from calsweep.platform.champion.candidate import best_candidate
    from calsweep.platform.champion.gate import Gate
    from calsweep.platform.champion.history import History
    from calsweep.platform.champion.promotion import promote
    from calsweep.platform.champion.registry import Registry
    from calsweep.platform.comparison import Method
    from calsweep.platform.record import read_sweep

    home, name, owner, method, calls, ensemble = sys.argv[1:]
    kind = {"Registry": Registry, "History": History, "MlflowClient": MlflowClient}[owner]
    real, left = getattr(kind, method), [int(calls)]

    def killed(*args, **settings):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **settings)

    setattr(kind, method, killed)
    candidate = best_candidate(read_sweep(Path(home), "strong"), ensemble=ensemble == "yes")
    promote(candidate, home=Path(home), name=name, gate=Gate(test=Method.SIGNED_RANK))
""")


def promote_and_be_killed(stage, owner, method, calls, *, ensemble=False):
    """Run a promotion in a process that is killed when a method is called once more."""
    asked = [str(stage.home), stage.name, owner, method, str(calls), "yes" if ensemble else "no"]
    run = subprocess.run(
        [sys.executable, "-c", KILLED_AT, *asked],
        cwd=ROOT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert run.returncode == -signal.SIGKILL, run.stdout + run.stderr


def test_promoter_killed_at_each_step_leaves_one_champion_and_the_next_mends_it(stage):
    stage.promote("weak")
    for owner, method in (
        ("Registry", "copy"),
        ("Registry", "fetch"),  # the copy is there
        ("History", "begin"),  # it has passed the gate
        ("Registry", "set_alias"),  # the history says that it begins
    ):
        promote_and_be_killed(stage, owner, method, 0)
        assert stage.aliases() == {"champion": "1"}, method

    promote_and_be_killed(stage, "Registry", "set_alias", 1)
    assert stage.aliases() == {"champion": "2"}
    for owner, method in (  # what is left to do, by promoters that are killed at it in their turn
        ("Registry", "set_alias"),
        ("Registry", "tag"),
        ("Registry", "describe"),
        ("History", "end"),
    ):
        promote_and_be_killed(stage, owner, method, 0)
        assert stage.aliases()["champion"] == "2", method

    done = stage.promote("strong")
    assert (done.model.version, done.evidence) == ("2", None)
    assert stage.aliases() == {"champion": "2", "challenger": "1"}
    assert stage.versions() == ["1", "2"]
    changes = History(stage.home, stage.name).read()
    assert [(change.version, change.former, change.ending) for change in changes] == [
        ("1", "", Ending.DONE),
        ("2", "1", Ending.GIVEN_UP),
        ("2", "1", Ending.MENDED),
    ]
    tags = stage.client.get_model_version(stage.name, "2").tags
    assert "signed-rank p =" in tags["calsweep.champion_evidence"]


def test_ensemble_that_was_half_stored_is_stored_anew(stage):
    stage.promote("weak")
    run_id = _run_of_strong(stage)
    before = _stored(stage, run_id)
    promote_and_be_killed(stage, "MlflowClient", "finalize_logged_model", 0, ensemble=True)
    assert stage.aliases() == {"champion": "1"}
    assert len(_stored(stage, run_id)) == len(before) + 1
    assert stage.promote("strong", ensemble=True).model.version == "2"
    assert {model.status for model in _stored(stage, run_id)} == {"READY"}


def _run_of_strong(stage):
    from calsweep.platform.tracking.tracking import Tracker

    sweep = stage.candidate("strong").sweep
    Tracker(stage.uri, home=stage.home, sweep="strong").sync(sweep)
    experiment = stage.client.get_experiment_by_name("calsweep/strong").experiment_id
    (run,) = stage.client.search_runs([experiment], "tags.`calsweep.run_key` = 'trial 1'")
    return run.info.run_id


def _stored(stage, run_id):
    experiment = stage.client.get_run(run_id).info.experiment_id
    asked = f"source_run_id = '{run_id}'"
    return list(stage.client.search_logged_models([experiment], filter_string=asked))


def test_two_promoters_at_once_leave_one_champion(stage):
    stage.promote("weak")
    command = [
        sys.executable, "-m", "calsweep.platform", "promote", "strong", "--home", stage.home,
        "--name", stage.name, "--no-report", "--unbeaten-because", "both want to be it",
    ]  # fmt: skip
    promoters = [
        subprocess.Popen(
            [*map(str, command), *more],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for more in ([], ["--ensemble"])
    ]  # fmt: skip
    said = [promoter.communicate(timeout=250)[0] for promoter in promoters]
    assert [promoter.returncode for promoter in promoters] == [0, 0], said
    changes = History(stage.home, stage.name).read()
    assert [(change.version, change.former) for change in changes] == [
        ("1", ""),
        ("2", "1"),
        ("3", "2"),
    ]
    assert {change.ending for change in changes} == {Ending.DONE}
    assert stage.aliases() == {"champion": "3", "challenger": "2"}
    names = {change.what for change in changes[1:]}
    assert names == {stage.candidate("strong").name, stage.candidate("strong", ensemble=True).name}
