"""A decoder as a member: its training, the values that change in it, and its state."""

import copy
import math
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from calsweep.datasets.cache import Cache
from calsweep.datasets.dataset import open_dataset
from calsweep.datasets.fold import animal_folds
from calsweep.datasets.store import FolderStore
from calsweep.datasets.view import split_fold
from calsweep.platform.fold.fold_stack import why_alone
from calsweep.platform.fold.loop import train_fold
from calsweep.platform.fold.trainee import LIVE
from calsweep.platform.fold.training import Precision, Schedule, Training
from calsweep.platform.population.decoder_learner import DecoderLearner
from calsweep.platform.population.decoder_stack import DecoderStack
from calsweep.platform.population.live_setting import carriers, check_live
from calsweep.platform.population.member import ValuesNotCarried, check_carried
from calsweep.platform.population.replay import differing
from calsweep.platform.population.state_file import read_state, write_state
from calsweep.platform.settings import Settings
from calsweep.search_spaces.population import Unit
from calsweep.trainables.attention_lstm import AttentionLSTM
from calsweep.trainables.decoder import Problem
from calsweep.trainables.recurrent import Cell, Recurrent
from calsweep.trainables.stacked_lstm import StackedLSTM

RATE, DROPOUT = "training.learning_rate", "trainables.dropout"
SEEDS = (3, 4)


@pytest.fixture(scope="module")
def settings(mice):
    return Settings(
        trainables=Recurrent(cell=Cell.GRU, n_hidden=4),
        datasets=mice.view(length=5),
        training=Training(epochs=3, batch_size=256, learning_rate=5e-3, epoch_fraction=0.5),
    )


@pytest.fixture(scope="module")
def data(mice, settings, tmp_path_factory):
    cache = Cache(tmp_path_factory.mktemp("cache"))
    dataset = open_dataset(FolderStore(mice.folder), cache=cache)
    folds = animal_folds(mice.manifest, target="run").folds[:2]
    return [split_fold(dataset, settings.datasets, fold, seed=0, cache=cache) for fold in folds]


def learner(settings, data, *, unit=Unit.EPOCHS, searched=None, seeds=SEEDS):
    searched = searched or {RATE: (1e-4, 1e-1)}
    return DecoderLearner(settings, data=data, seeds=seeds, searched=searched, unit=unit)


def through_a_file(state):
    """Write and read a state as a member's file does."""
    with tempfile.TemporaryDirectory() as folder:
        write_state(Path(folder) / "member", state)
        return read_state(Path(folder) / "member")


def test_member_that_changes_nothing_trains_as_the_loop_does(settings, data):
    one = learner(settings, data)
    one.change({RATE: settings.training.learning_rate})
    for _ in range(3):
        one.train(1)
        one.validate()
    alone = [
        train_fold(settings.trainables, data=fold, training=settings.training, seed=seed)
        for fold, seed in zip(data, SEEDS, strict=True)
    ]
    for (_, _, fold), of_loop in zip(one.finished(train_seconds=1.0), alone, strict=True):
        assert fold.curve == of_loop.curve
        assert fold.best_epoch == of_loop.best_epoch
        assert fold.test == of_loop.test
        assert differing(dict(fold.state_dict), dict(of_loop.state_dict)) == []
    assert one.validate() == pytest.approx(
        sum(fold.curve[-1].validation.loss for fold in alone) / 2, rel=1e-12
    )


@pytest.mark.parametrize(("unit", "n"), [(Unit.EPOCHS, 1), (Unit.STEPS, 5)])
def test_training_that_goes_on_from_a_state_is_training_that_never_stopped(settings, data, unit, n):
    whole = learner(settings, data, unit=unit)
    scores = []
    for _ in range(4):
        whole.train(n)
        scores.append(whole.validate())
    first = learner(settings, data, unit=unit)
    first.train(n)
    first.train(n)
    second = learner(settings, data, unit=unit)
    second.load_state(through_a_file(first.state()))
    second.train(n)
    assert second.validate() == scores[2]
    second.train(n)
    assert second.validate() == scores[3]
    assert scores[3] != scores[2]
    first = learner(settings, data, unit=unit)
    first.load_state(through_a_file(second.state()))
    assert differing(first.state(), second.state()) == []


def test_steps_lie_end_to_end_over_epochs(settings, data):
    """Steps that add up to an epoch leave the weights of that epoch."""
    from calsweep.platform.fold.batch import epoch_batches

    n_steps = [
        len(epoch_batches(fold.train, training=settings.training, seed=seed, epoch=1))
        for fold, seed in zip(data, SEEDS, strict=True)
    ]
    by_epoch = learner(settings, data[:1], seeds=SEEDS[:1])
    by_epoch.train(1)
    by_steps = learner(settings, data[:1], unit=Unit.STEPS, seeds=SEEDS[:1])
    by_steps.train(2)
    by_steps.train(n_steps[0] - 2)
    assert by_steps.validate() == by_epoch.validate()
    one, other = (each.state()["folds"][0]["trainee"] for each in (by_epoch, by_steps))
    assert differing(one, other) == []


def test_every_live_setting_is_set_and_read_back(settings, data):
    one = learner(settings, data)
    values = {
        "training.learning_rate": 0.02, "training.weight_decay": 0.3,
        "training.label_smoothing": 0.2, "training.focal_gamma": 1.5,
        "training.focal_alpha": 0.7, "training.clip_norm": 2.0, "training.mixup": 0.4,
    }  # fmt: skip
    assert set(values) == {f"training.{name}" for name in LIVE}
    before = one.values()
    assert all(before[name] != value for name, value in values.items())
    one.change(values)
    assert one.values() == values
    one.train(1)
    assert one.values() == values


def test_donor_s_state_brings_its_values_and_new_ones_hold_against_it(settings, data):
    donor = learner(settings, data)
    donor.change({RATE: 0.05, "training.label_smoothing": 0.1})
    donor.train(1)
    heir = learner(settings, data, seeds=(8, 9))
    heir.change({RATE: 1e-4})
    heir.load_state(through_a_file(donor.state()))
    assert heir.values()[RATE] == 0.05
    assert heir.values()["training.label_smoothing"] == 0.1
    heir.change({RATE: 0.06})
    check_carried(heir, {RATE: 0.06}, when="now,")
    heir.train(1)
    assert heir.values()[RATE] == 0.06


def test_value_that_an_optimizer_does_not_carry_is_noticed(settings, data):
    one = learner(settings, data)
    one.change({RATE: 0.05})
    state = one._folds[1].trainee.optimizer.state_dict()
    state["param_groups"][0]["lr"] = 1e-3  # as a checkpoint that is loaded too late undoes it
    one._folds[1].trainee.optimizer.load_state_dict(state)
    with pytest.raises(ValuesNotCarried, match="was set to 0.05, but after training, .* has nan"):
        check_carried(one, {RATE: 0.05}, when="after training,")


def test_rate_that_changes_changes_training(settings, data):
    slow, fast = (learner(settings, data[:1], seeds=SEEDS[:1]) for _ in range(2))
    slow.change({RATE: 1e-4})
    fast.change({RATE: 1e-2})
    for one in (slow, fast):
        one.train(1)
    assert slow.validate() != fast.validate()


def test_loss_that_is_no_number_is_nan(settings, data):
    one = learner(settings, data)
    one.change({RATE: 1e38})
    one.train(1)
    assert math.isnan(one.validate())


@pytest.mark.parametrize("decoder", [StackedLSTM(n_hidden=4, n_layers=2, dropout=0.2),
                                     AttentionLSTM(dropout=0.2)])  # fmt: skip
def test_dropout_changes_in_the_live_modules(settings, data, decoder):
    one = learner(replace(settings, trainables=decoder), data, searched={DROPOUT: (0.0, 0.6)})
    one.change({DROPOUT: 0.45})
    assert one.values()[DROPOUT] == 0.45
    fresh = dict(replace(decoder, dropout=0.45).build(PROBLEM).named_modules())
    for fold in one._folds:
        for name, module in fold.module.named_modules():
            assert getattr(module, "p", None) == getattr(fresh[name], "p", None)
            assert getattr(module, "dropout", None) == pytest.approx(
                getattr(fresh[name], "dropout", None)
            ) or not isinstance(module.dropout, float)
    other = learner(replace(settings, trainables=decoder), data, searched={DROPOUT: (0.0, 0.6)})
    other.load_state(through_a_file(one.state()))
    assert other.values()[DROPOUT] == 0.45


PROBLEM = Problem(frame_shape=(50,), window_length=5)


def test_setting_that_changes_shapes_is_refused():
    decoder = Recurrent(cell=Cell.GRU)
    with pytest.raises(ValueError, match=r"`trainables.n_hidden` changes the shapes of tensors"):
        carriers(decoder, "n_hidden", (8, 16), PROBLEM)


def test_setting_that_no_module_keeps_is_refused():
    one_layer = StackedLSTM(n_layers=1, n_connected=())
    with pytest.raises(ValueError, match=r"`trainables.dropout` is nowhere in the module"):
        carriers(one_layer, "dropout", (0.1, 0.5), PROBLEM)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("training.batch_size", "There are: training.clip_norm"),
        ("training.learning_rte", "Did you mean `training.learning_rate`?"),
        ("datasets.window.length", "cannot be changed by a population while a decoder trains"),
    ],
)
def test_setting_that_cannot_change_in_training_is_refused(name, hint):
    with pytest.raises(ValueError, match=re.escape(hint)):
        check_live(name)


@pytest.mark.parametrize("cell", [Cell.GRU, Cell.LSTM])
def test_stack_of_members_trains_their_folds_as_each_does_alone(settings, data, cell):
    """Over epochs, with values and seeds of their own, and across an exploit."""
    decoder = Recurrent(cell=cell, n_hidden=4, bidirectional=cell is Cell.LSTM)
    settings = replace(settings, trainables=decoder)
    names = {f"training.{name}": (0.0, 1.0) for name in LIVE if name != "mixup"}
    values = [
        {"learning_rate": 5e-3, "weight_decay": 0.1, "label_smoothing": 0.2, "clip_norm": 0.1},
        {"learning_rate": 1e-2, "focal_gamma": 2.0, "focal_alpha": 0.5},
        {"learning_rate": 2e-3, "weight_decay": 0.0, "label_smoothing": 0.0},
    ]

    def members():
        found = [
            learner(settings, data, searched=names, seeds=(seed, seed + 10)) for seed in (1, 2, 3)
        ]
        for one, own in zip(found, values, strict=True):
            for run, _ in one.runs:
                in_double(run.module)
            one.change({f"training.{name}": value for name, value in own.items()})
        return found

    alone, stacked = members(), members()
    stack = DecoderStack(stacked)
    for generation in range(2):
        for one in alone:
            one.train(1)
        stack.train(1)
        assert stack.validate() == pytest.approx([one.validate() for one in alone], rel=1e-5)
        for one, other in zip(alone, stacked, strict=True):
            for (run, _), (its, _) in zip(one.runs, other.runs, strict=True):
                assert run.curve[-1].train_loss == pytest.approx(its.curve[-1].train_loss, rel=1e-5)
                assert run.n_windows == its.n_windows
                for p, q in zip(run.module.parameters(), its.module.parameters(), strict=True):
                    torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)
        if generation == 0:  # the third goes on from the first
            for whole in (alone, stacked):
                whole[2].load_state(copy.deepcopy(whole[0].state()))
                whole[2].change({RATE: 3e-3})
    assert len(set(stack.validate())) == 3


def in_double(module):
    """Have all but the loss in double precision, so that Adam makes little of rounding."""
    forward = type(module).forward_shared
    module.double().forward_shared = lambda frames: forward(module, frames.double())


def test_member_of_a_stack_that_diverges_leaves_the_others_alone(settings, data):
    alone, *stacked = (learner(settings, data, seeds=seeds) for seeds in ((3, 4), (3, 4), (5, 6)))
    with torch.no_grad():
        stacked[1].runs[0][0].module.readout.bias.fill_(torch.nan)
    stack = DecoderStack(stacked)
    alone.train(1)
    stack.train(1)
    first, second = stack.validate()
    assert first == pytest.approx(alone.validate(), rel=1e-4)
    assert math.isnan(second)


def test_what_cannot_be_stacked_says_why():
    recurrent = Recurrent(cell=Cell.GRU)
    assert why_alone(recurrent, Training()) == ""
    assert why_alone(StackedLSTM(), Training()) == (
        "StackedLSTM cannot be stacked, as recurrent decoders can"
    )
    assert "mixes runs" in why_alone(recurrent, Training(mixup=0.2))
    assert "mixes runs" in why_alone(recurrent, Training(), searched=("training.mixup",))
    assert "from step to step" in why_alone(recurrent, Training(schedule=Schedule.ONE_CYCLE))
    assert "in pieces" in why_alone(recurrent, Training(accumulation=2))
    assert "float32" in why_alone(recurrent, Training(precision=Precision.BFLOAT16))
