"""Folds that share what they test with are one; frames of one recording are none."""

import dataclasses

import pytest

from calsweep.datasets.fold import Fold, FoldPlan, HeldOut, WindowDraw
from calsweep.platform.independence import frames_ratio, independent_units
from tests.platform.scored_sweep import pair_plan, recordings_plan, stretch


def test_folds_that_test_one_animal_are_one_unit():
    units = independent_units(pair_plan())
    assert (units.n, units.name) == (5, "animals")
    assert units.of_fold == {i: i // 4 for i in range(20)}
    assert independent_units(pair_plan(members=2)).name == "groups of animals"


def test_recordings_of_one_animal_are_one_unit():
    units = independent_units(recordings_plan())
    assert units.of_fold == {0: 0, 1: 0, 2: 0, 3: 1, 4: 1, 5: 1}
    assert units.name == "animals"


def test_frames_have_no_units():
    plan = dataclasses.replace(pair_plan(), holds_out=HeldOut.FRAMES)
    assert independent_units(plan) is None


def test_ratio_is_of_test_to_training_frames():
    assert frames_ratio(pair_plan()) == pytest.approx(1 / 3)
    whole = stretch("a")
    draw = WindowDraw(seed=0, validation_share=0.15, test_share=0.15)
    fold = Fold(index=0, train=whole, validation=whole, test=whole, draw=draw)
    assert frames_ratio(FoldPlan(name="w", groups=(), folds=(fold,))) == pytest.approx(3 / 14)
