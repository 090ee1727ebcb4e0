"""What the settings of training do to steps, and how a killed training goes on."""

import logging
import math
import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import nn

from calsweep.datasets.split import FoldData, Part, Scaling
from calsweep.platform.fold import trainee as module
from calsweep.platform.fold.checkpoint import Checkpoint
from calsweep.platform.fold.feed import Shares
from calsweep.platform.fold.loop import train_fold
from calsweep.platform.fold.trainee import Diverged, Trainee
from calsweep.platform.fold.training import ClassWeights, Precision, Schedule, Training
from calsweep.trainables.linear import Linear
from calsweep.trainables.losses import Criterion
from calsweep.trainables.recurrence import Cell
from calsweep.trainables.recurrent import Recurrent, RecurrentModule
from calsweep.trainables.stacked_lstm import StackedLSTM

LENGTH = 5
GRU = Recurrent(cell=Cell.GRU, n_hidden=4)
QUICK = Training(epochs=6, batch_size=32, run_length=4, learning_rate=0.01)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def part_of(frames_TN, labels_T, start, stop):
    starts_W = np.arange(start, stop - LENGTH + 1)
    targets_W = starts_W + LENGTH // 2
    return Part(
        frames=frames_TN, starts_W=starts_W, targets_W=targets_W, labels_W=labels_T[targets_W]
    )


def fold_data(*, n_classes=2, n_frames=400, seed=0):
    """A unit for each class that is up while the class lasts, in noise."""
    rng = np.random.default_rng(seed)
    labels_T = np.repeat(rng.integers(n_classes, size=n_frames // 5), 5)
    frames_TN = np.eye(n_classes)[labels_T] + 0.3 * rng.normal(size=(n_frames, n_classes))
    frames_TN = frames_TN.astype(np.float32)
    half, three_quarters = n_frames // 2, 3 * n_frames // 4
    return FoldData(
        train=part_of(frames_TN, labels_T, 0, half),
        validation=part_of(frames_TN, labels_T, half, three_quarters),
        test=part_of(frames_TN, labels_T, three_quarters, n_frames),
        scaling=Scaling(
            offset_N=np.zeros(n_classes, np.float32), scale_N=np.ones(n_classes, np.float32)
        ),
        window_length=LENGTH,
        n_classes=n_classes,
        spans={"r1": slice(0, 100), "r2": slice(100, half), "r3": slice(half, n_frames)},
    )


def curve(training, *, decoder=GRU, data=None, **settings):
    return train_fold(
        decoder, data=data or fold_data(), training=training, seed=0, **settings
    ).curve


def rates(training, *, n_steps, losses=()):
    """Give the learning rate before each step, or after each validation loss."""
    layer = nn.Linear(2, 1)
    optimizer = module._optimizer(list(layer.parameters()), training)
    schedule = module._schedule(optimizer, training, n_steps)
    found = []
    for loss in losses or range(n_steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step(loss) if losses else schedule.step()
    return found


class TestSchedule:
    def test_one_cycle_rises_over_the_warm_up_and_falls_to_nothing(self):
        training = replace(QUICK, schedule=Schedule.ONE_CYCLE, learning_rate=1.0)
        found = rates(training, n_steps=100)
        assert found[0] == pytest.approx(1 / 25)
        assert np.argmax(found) in {29, 30}
        assert max(found) == pytest.approx(1.0, abs=2e-3)
        assert found[-1] < 1e-3
        assert np.all(np.diff(found[:29]) > 0)
        assert np.all(np.diff(found[31:]) < 0)

    @pytest.mark.parametrize("n_steps", [1, 2, 3, 4, 7])
    def test_one_cycle_of_few_steps_has_a_rate_for_each(self, n_steps):
        training = replace(QUICK, schedule=Schedule.ONE_CYCLE, learning_rate=1.0, warmup=0.25)
        found = rates(training, n_steps=n_steps)
        assert len(found) == n_steps
        assert all(0 < rate <= 1 for rate in found)

    def test_cosine_falls_by_half_at_half(self):
        training = replace(QUICK, schedule=Schedule.COSINE, learning_rate=1.0)
        found = rates(training, n_steps=100)
        assert [found[0], found[50]] == pytest.approx([1.0, 0.5])
        assert found[99] == pytest.approx((1 + math.cos(0.99 * math.pi)) / 2)

    def test_plateau_halves_after_five_epochs_without_gain(self):
        training = replace(QUICK, schedule=Schedule.PLATEAU, learning_rate=1.0)
        losses = [1.0, 0.9, *[0.9] * 7]
        assert rates(training, n_steps=0, losses=losses) == [1.0] * 8 + [0.5]

    @pytest.mark.parametrize("schedule", Schedule)
    def test_training_goes_through_with_each(self, schedule):
        training = replace(QUICK, schedule=schedule, learning_rate=0.03)
        losses = [row.validation.loss for row in curve(training)]
        assert len(losses) == 6
        assert losses[-1] < losses[0]


class TestSteps:
    def test_pieces_of_a_batch_add_up_to_it(self):
        whole = curve(QUICK, decoder=Linear())
        pieces = curve(replace(QUICK, accumulation=3), decoder=Linear())
        for one, other in zip(whole, pieces, strict=True):
            assert one.validation.loss == pytest.approx(other.validation.loss, rel=1e-5)

    def test_clipped_gradient_has_the_norm_asked_for(self):
        """With plain gradient descent the step is the gradient."""
        data = fold_data()
        steps = {}
        for norm in (0.0, 1e-3):
            layer = Linear().build(problem_of(data))
            before = layer.kernel.weight.detach().clone(), layer.kernel.bias.detach().clone()
            trainee = Trainee(
                Linear(),
                module=layer,
                data=data,
                training=replace(QUICK, clip_norm=norm),
                n_steps=0,
                shares=Shares(),
            )
            trainee.optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
            batch = module_batches(data)[0]
            trainee._step(batch, *trainee._feed.batches([batch]), np.random.default_rng(0))
            moved = [
                (now - then).flatten() for now, then in zip(layer.parameters(), before, strict=True)
            ]
            steps[norm] = torch.cat(moved)
        assert steps[1e-3].norm().item() == pytest.approx(1e-3, rel=1e-3)
        assert steps[0.0].norm().item() > 0.05
        cosine = torch.cosine_similarity(steps[0.0], steps[1e-3], dim=0)
        assert cosine.item() == pytest.approx(1.0)

    def test_inverse_frequency_counts_classes_alike(self):
        training = replace(QUICK, class_weights=ClassWeights.INVERSE_FREQUENCY)
        assert training.criterion((0.8, 0.2)).class_weights == pytest.approx((0.625, 2.5))
        assert QUICK.criterion((0.8, 0.2)) == Criterion(label_smoothing=0.01)

    def test_half_mixed_runs_have_both_labels(self):
        """Mixed half and half always, a linear decoder that sees nothing learns no label."""
        training = replace(QUICK, mixup=1e6, epochs=1, learning_rate=1e-9, label_smoothing=0.0)
        mixed = curve(training, decoder=Linear())[0].train_loss
        plain = curve(replace(training, mixup=0.0), decoder=Linear())[0].train_loss
        # Fewer windows count where one of two runs is short; of those that do, the loss is alike.
        assert 0.8 * plain < mixed <= plain * 1.001

    @pytest.mark.parametrize("precision", [Precision.BFLOAT16])
    def test_lower_precision_learns_as_well(self, precision):
        training = replace(QUICK, epochs=10, learning_rate=0.03)
        full = curve(training)[-1].validation
        low = curve(replace(training, precision=precision))[-1].validation
        assert low.auc == pytest.approx(full.auc, abs=0.02)
        assert low.loss != full.loss

    def test_failing_compiler_is_left_out_and_said(self, monkeypatch, caplog):
        def fail(_):
            raise RuntimeError("no compiler\nat all")

        monkeypatch.setattr(torch, "compile", lambda _: fail)
        with caplog.at_level(logging.WARNING):
            assert curve(replace(QUICK, compile=True)) == curve(QUICK)
        assert caplog.messages == ["torch.compile failed and is left out: no compiler"]

    def test_deterministic_leaves_torch_as_it_was(self):
        assert curve(replace(QUICK, deterministic=True)) == curve(QUICK)
        assert not torch.are_deterministic_algorithms_enabled()

    def test_patience_ends_training_after_epochs_without_gain(self):
        training = replace(QUICK, epochs=40, learning_rate=0.3, patience=3)
        rows = curve(training)
        losses = [row.validation.loss for row in rows]
        best = losses.index(min(losses))
        assert len(rows) == best + 4 < 40
        assert rows == curve(replace(training, patience=0))[: len(rows)]


def test_three_classes_are_learnt():
    data = fold_data(n_classes=3, n_frames=1200)
    trained = train_fold(
        GRU, data=data, training=replace(QUICK, epochs=15, learning_rate=0.03), seed=0
    )
    assert trained.test_probability_WC.shape == (len(data.test.labels_W), 3)
    np.testing.assert_allclose(trained.test_probability_WC.sum(axis=1), 1.0, rtol=1e-5)
    assert trained.test.auc > 0.95
    assert trained.test.f1 > 0.85


def test_class_missing_in_training_is_refused():
    data = replace(fold_data(), n_classes=3)
    with pytest.raises(ValueError, match=r"each of the 3 classes, but has none of \[2\]"):
        train_fold(GRU, data=data, training=QUICK, seed=0)


class Killed(Exception):
    pass


def kill_after(epoch):
    def on_epoch(row):
        if row.epoch == epoch:
            raise Killed

    return on_epoch


class TestCheckpoint:
    @pytest.mark.parametrize("schedule", Schedule)
    def test_killed_training_ends_as_one_that_was_not(self, tmp_path, schedule):
        training = replace(QUICK, schedule=schedule, mixup=0.2, clip_norm=1.0)
        whole = train_fold(GRU, data=fold_data(), training=training, seed=0)
        checkpoint = Checkpoint(path=tmp_path / "c", every_s=0.0)
        for epoch in (2, 5):
            with pytest.raises(Killed):
                curve(training, checkpoint=checkpoint, on_epoch=kill_after(epoch))
        resumed = train_fold(
            GRU, data=fold_data(), training=training, seed=0, checkpoint=checkpoint
        )
        assert (whole.first_epoch, resumed.first_epoch) == (1, 6)
        assert resumed.curve == whole.curve
        assert resumed.n_windows_trained == whole.n_windows_trained
        assert np.array_equal(resumed.test_probability_WC, whole.test_probability_WC)
        assert all(torch.equal(w, resumed.state_dict[k]) for k, w in whole.state_dict.items())

    @pytest.mark.parametrize("step", [1, 5, 12])
    def test_killed_in_the_middle_of_an_epoch_it_goes_on_there(self, tmp_path, step, monkeypatch):
        training = replace(QUICK, schedule=Schedule.ONE_CYCLE, mixup=0.2)
        deep = StackedLSTM(n_hidden=4, n_connected=(4, 3))  # with dropout and batch normalization
        whole = train_fold(deep, data=fold_data(), training=training, seed=0)
        checkpoint = Checkpoint(path=tmp_path / "c", every_s=0.0)
        take = Trainee._step
        taken = []

        def until(*arguments):
            if len(taken) == step:
                raise Killed
            taken.append(take(*arguments))
            return taken[-1]

        monkeypatch.setattr(Trainee, "_step", until)
        with pytest.raises(Killed):
            curve(training, decoder=deep, checkpoint=checkpoint)
        monkeypatch.setattr(Trainee, "_step", take)
        resumed = train_fold(
            deep, data=fold_data(), training=training, seed=0, checkpoint=checkpoint
        )
        assert resumed.first_epoch == 1 + step // 7
        assert resumed.curve == whole.curve
        assert all(torch.equal(w, resumed.state_dict[k]) for k, w in whole.state_dict.items())

    def test_one_that_is_not_whole_is_left_aside(self, tmp_path):
        checkpoint = Checkpoint(path=tmp_path / "c", every_s=0.0)
        with pytest.raises(Killed):
            curve(QUICK, checkpoint=checkpoint, on_epoch=kill_after(3))
        whole = checkpoint.path.read_bytes()
        checkpoint.path.write_bytes(whole[: len(whole) // 2])
        assert curve(QUICK, checkpoint=checkpoint) == curve(QUICK)

    def test_pickled_code_is_not_run(self, tmp_path):
        (tmp_path / "c").write_bytes(pickle.dumps(Evil(tmp_path / "ran")))
        assert Checkpoint(path=tmp_path / "c").read() is None
        assert not (tmp_path / "ran").exists()

    def test_is_not_due_before_its_time(self, tmp_path):
        checkpoint = Checkpoint(path=tmp_path / "c", every_s=1000.0)
        curve(QUICK, checkpoint=checkpoint)
        assert not checkpoint.path.exists()


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@dataclass(frozen=True, kw_only=True)
class Breaking(Recurrent):
    """Gives no number for windows in which a unit is above a bound."""

    bound: float

    def build(self, problem, /):
        layer = BreakingModule(self, problem)
        layer.bound = self.bound
        return layer


class BreakingModule(RecurrentModule):
    def forward(self, frames_RTN):
        outputs_RKO = super().forward(frames_RTN)
        return outputs_RKO + 0 * torch.where(frames_RTN.amax() > self.bound, math.nan, 0.0)


def test_loss_that_is_not_finite_names_step_and_recordings():
    data = fold_data()
    data.train.frames[150] = 50.0
    with pytest.raises(Diverged) as caught:
        curve(QUICK, decoder=Breaking(cell=Cell.GRU, bound=40.0), data=data)
    error = caught.value
    batch = module_batches(data)[error.step - 1]
    spoilt = [
        first + k
        for first, n in zip(batch.first_R, batch.n_windows_R, strict=True)
        for k in range(n)
        if 150 in range(first + k, first + k + LENGTH)
    ]
    assert error.epoch == 1
    assert spoilt
    assert "r2" in error.recordings
    assert f"step {error.step} of epoch 1, on windows of " in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)


def problem_of(data):
    from calsweep.trainables.decoder import Problem

    return Problem(frame_shape=data.frame_shape, window_length=LENGTH)


def module_batches(data):
    from calsweep.platform.fold.batch import epoch_batches

    return epoch_batches(data.train, training=QUICK, seed=0, epoch=1)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"accumulation": 0}, "`accumulation >= 1` must hold, but got accumulation=0"),
        ({"warmup": 1.0}, "`0 <= warmup < 1` must hold"),
        ({"clip_norm": -1.0}, "`clip_norm >= 0` must hold"),
        ({"patience": -1}, "`patience >= 0` must hold"),
        ({"focal_gamma": -1.0}, "`focal_gamma >= 0` must hold"),
        ({"focal_alpha": 0.0}, "`focal_alpha > 0` must hold"),
        ({"mixup": math.nan}, "`mixup >= 0` must hold"),
    ],
)
def test_setting_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        Training(**setting)
