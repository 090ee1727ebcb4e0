"""Each configuration of a sweep is audited by itself, and one that leaks unasked is not trained."""

import pickle
from dataclasses import replace

import pytest

from calsweep.datasets.audit import LeakFound, Standing
from calsweep.datasets.fold_in_time import TimeBlocks
from calsweep.datasets.fold_protocol import AnimalGroups
from calsweep.datasets.timeline import Timeline
from calsweep.datasets.transform import Detrend, Scope, Transforms, ZScore
from calsweep.datasets.view import View, plan_folds
from calsweep.platform.auditor import Auditor
from calsweep.platform.chooser import Chooser
from calsweep.platform.config import compose_settings
from calsweep.search_spaces.space import Space
from calsweep.search_spaces.suggestion import Tuner, suggestions


@pytest.fixture
def timeline(mice):
    from calsweep.datasets.dataset import read_timelines
    from calsweep.datasets.store import FolderStore

    timelines: dict[str, Timeline] = read_timelines(FolderStore(mice.folder))
    return timelines["run"]


def test_trial_that_leaks_is_refused_with_the_evidence_and_the_others_are_not(mice, timeline):
    settings = compose_settings(
        [
            f"datasets.address={mice.folder}",
            "datasets/folds=time_blocks",
            "datasets.transforms.detrend.length_frames=20",
        ]
    )
    lengths = {"length_frames": {"choices": [20, 60]}}
    space = Space(datasets={"transforms": {"detrend": lengths}})
    settings = replace(settings, search_spaces=space, tuner=Tuner.GRID)
    plan = plan_folds(timeline, [settings.datasets])
    assert plan.name.endswith("gap of 31 frames")
    source = suggestions(settings.search_spaces, tuner=settings.tuner, seed=0)
    chooser = Chooser(settings, source, Auditor(plan, timeline), lag=3)
    baseline, narrow, wide = (chooser.next() for _ in range(3))
    assert (baseline["error"], narrow["error"]) == ("", "")
    assert "reach the training and the validation part by Detrend" in wide["error"]
    assert wide["verdict"]["findings"][0]["is_leak"]
    assert wide["values"] == {"datasets.transforms.detrend.length_frames": 60}


def test_verdict_is_of_the_view_and_asked_once(mice, timeline):
    view = replace(mice.view(length=11), folds=AnimalGroups())
    auditor = Auditor(plan_folds(timeline, [view]), timeline)
    assert auditor.verdict(view).standing is Standing.CLEAN
    assert auditor.verdict(view) is auditor.verdict(replace(view))
    steps = Transforms(detrend=Detrend(), scaling=ZScore(over=Scope.RECORDING))
    assert auditor.verdict(replace(view, transforms=steps)).standing is Standing.NOTED


def test_check_refuses_the_first_view_that_leaks(mice, timeline):
    view: View = replace(mice.view(length=11), folds=TimeBlocks())
    auditor = Auditor(plan_folds(timeline, [view]), timeline)
    auditor.check([view])
    whole = replace(view, transforms=Transforms(scaling=ZScore(over=Scope.RECORDING)))
    with pytest.raises(LeakFound, match=r"4500 frames of mouse1_r1, .*over=training"):
        auditor.check([view, whole])


def test_no_frames_go_where_ray_keeps_its_files(timeline, mice):
    view = mice.view(length=11)
    auditor = Auditor(plan_folds(timeline, [view]), timeline)
    assert len(pickle.dumps(auditor)) < 200
