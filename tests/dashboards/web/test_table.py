import dataclasses

from calsweep.dashboards.web.choice import Choice
from calsweep.dashboards.web.shelf import Reading
from calsweep.dashboards.web.table import leaderboard_csv


def test_name_that_a_spreadsheet_would_run_is_text(sweep):
    hostile = dataclasses.replace(sweep.trials[1], name="=1+1", values={"a.b": -0.5, "a.c": "@x"})
    changed = dataclasses.replace(sweep, trials=(sweep.trials[0], hostile))
    reading = Reading(sweep=changed, version="")
    lines = leaderboard_csv(reading, Choice()).splitlines()
    assert lines[0].startswith("rank,configuration,state,decoder,a.b,a.c,folds,validation_auc")
    assert lines[1].startswith("1,'=1+1,done,recurrent,-0.5,'@x,20,")
    assert lines[2].startswith("2,baseline,done,linear,,,20,")
