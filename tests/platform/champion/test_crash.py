"""A promoter that is killed at each step: there is one champion, always."""

import pytest

from calsweep.platform.champion.history import Ending, History
from tests.platform.champion import killed_promoter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def promote_and_be_killed(stage, owner, method, calls, *, ensemble=False):
    killed_promoter.promote_and_be_killed(
        stage.home, "strong", owner, method, calls, name=stage.name, ensemble=ensemble
    )


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
