"""One fold's training: every window once, the same from the same seed, whoever shares the work."""

import copy
import math
import pickle
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from calsweep.datasets.split import FoldData, Part, Scaling
from calsweep.platform.fold.batch import cut_runs, draw, epoch_batches, share_of
from calsweep.platform.fold.inference import PREDICTED_AT_ONCE, predict
from calsweep.platform.fold.loop import build_module, train_fold
from calsweep.platform.fold.trainee import Diverged
from calsweep.platform.fold.training import Training
from calsweep.trainables.decoder import Problem
from calsweep.trainables.linear import Linear
from calsweep.trainables.losses import Criterion
from calsweep.trainables.recurrence import Cell
from calsweep.trainables.recurrent import Recurrent

LENGTH = 7
GRU = Recurrent(cell=Cell.GRU, n_hidden=6)
QUICK = Training(epochs=3, batch_size=32, run_length=4, learning_rate=0.01)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def part_of(frames_TN, labels_T, *segments):
    """Give all windows of stretches of frames; the label stands at the window's centre."""
    starts_W = np.concatenate([np.arange(a, b - LENGTH + 1) for a, b in segments])
    targets_W = starts_W + LENGTH // 2
    return Part(
        frames=frames_TN, starts_W=starts_W, targets_W=targets_W, labels_W=labels_T[targets_W]
    )


def fold_data(*, seed=0, n_frames=400, n_units=3, permute=False):
    """Three units that follow a label of two states, in noise."""
    rng = np.random.default_rng(seed)
    labels_T = (np.cumsum(rng.random(n_frames) < 0.05) % 2).astype(np.int64)
    noise_TN = rng.normal(size=(n_frames, n_units))
    frames_TN = (labels_T[:, None] * [1.0, -0.5, 0.0] + 0.5 * noise_TN + 3).astype(np.float32)
    if permute:
        labels_T = rng.permutation(labels_T)
    half, three_quarters = n_frames // 2, 3 * n_frames // 4
    return FoldData(
        train=part_of(frames_TN, labels_T, (0, 90), (90, 101), (101, half)),
        validation=part_of(frames_TN, labels_T, (half, three_quarters)),
        test=part_of(frames_TN, labels_T, (three_quarters, n_frames)),
        scaling=Scaling(offset_N=frames_TN[:half].mean(0), scale_N=(1 / frames_TN[:half].std(0))),
        window_length=LENGTH,
    )


def windows_of(batches):
    return [
        first + k
        for batch in batches
        for first, n in zip(batch.first_R, batch.n_windows_R, strict=True)
        for k in range(n)
    ]


class TestOrder:
    @pytest.mark.parametrize("epoch", [1, 2])
    def test_every_window_once_an_epoch(self, epoch):
        part = fold_data().train
        windows = windows_of(epoch_batches(part, training=QUICK, seed=0, epoch=epoch))
        assert sorted(windows) == list(range(len(part.starts_W)))

    def test_epochs_differ_in_cuts_and_order(self):
        part = fold_data().train
        first, second = (
            epoch_batches(part, training=QUICK, seed=0, epoch=epoch) for epoch in (1, 2)
        )
        assert windows_of(first) != windows_of(second)
        assert {f for b in first for f in b.first_R} != {f for b in second for f in b.first_R}

    @pytest.mark.parametrize("fraction", [0.25, 0.3, 0.5])
    def test_fractions_of_an_epoch_go_on_through_one_pass(self, fraction):
        part = fold_data().train
        training = replace(QUICK, epoch_fraction=fraction)
        epochs = [
            epoch_batches(part, training=training, seed=0, epoch=epoch) for epoch in range(1, 21)
        ]
        assert all(epochs)
        whole = [
            window
            for epoch in range(1, math.floor(20 * fraction) + 1)
            for window in windows_of(epoch_batches(part, training=QUICK, seed=0, epoch=epoch))
        ]
        drawn = [window for batches in epochs for window in windows_of(batches)]
        assert drawn[: len(whole)] == whole

    @pytest.mark.parametrize("world_size", [2, 3])
    def test_shares_of_all_ranks_are_the_batch(self, world_size):
        for batch in epoch_batches(fold_data().train, training=QUICK, seed=0, epoch=1):
            shares = [share_of(batch, rank=r, world_size=world_size) for r in range(world_size)]
            assert Counter(windows_of(shares)) == Counter(windows_of([batch]))

    def test_rank_without_a_run_gets_one_of_no_weight(self):
        data = fold_data()
        batch = cut_runs(data.train.starts_W, run_length=4)[:1]
        share = share_of(batch, rank=1, world_size=2)
        drawn = draw_from(data, share)
        assert drawn.weights_RK.tolist() == [[False] * 4]


def draw_from(data, runs, *, run_length=4):
    return draw(
        data.train,
        runs,
        scaling=data.scaling,
        run_length=run_length,
        window_length=LENGTH,
        device=torch.device("cpu"),
    )


class TestDraw:
    def test_windows_that_count_hold_their_own_frames_and_label(self):
        data = fold_data()
        runs = cut_runs(data.train.starts_W, run_length=4, rng=np.random.default_rng(0))
        batch = draw_from(data, runs)
        scaled_TN = (data.train.frames - data.scaling.offset_N) * data.scaling.scale_N
        for r, (first, n) in enumerate(zip(runs.first_R, runs.n_windows_R, strict=True)):
            assert batch.weights_RK[r].tolist() == [True] * n + [False] * (4 - n)
            for k in range(n):
                start = data.train.starts_W[first + k]
                window = batch.frames[r, k : k + LENGTH].numpy()
                np.testing.assert_array_equal(window, scaled_TN[start : start + LENGTH])
                assert batch.labels_RK[r, k] == data.train.labels_W[first + k]

    def test_no_frame_beyond_a_border_is_read(self):
        data = fold_data()
        poisoned = data.train.frames.copy()
        poisoned[200:] = np.nan
        data = replace(data, train=replace(data.train, frames=poisoned))
        batch = draw_from(data, cut_runs(data.train.starts_W, run_length=64), run_length=64)
        assert batch.frames.isfinite().all()

    def test_runs_do_not_cross_segments(self):
        starts_W = np.array([0, 1, 2, 3, 4, 9, 20, 21])
        runs = cut_runs(starts_W, run_length=3)
        assert runs.first_R.tolist() == [0, 3, 5, 6]
        assert runs.n_windows_R.tolist() == [3, 2, 1, 2]

    def test_first_cut_is_drawn_where_a_segment_is_longer_than_a_run(self):
        starts_W = np.array([0, 1, 2, 3, 4, 9, 20, 21, 22])
        cuts = {
            tuple(cut_runs(starts_W, run_length=3, rng=np.random.default_rng(seed)).first_R)
            for seed in range(20)
        }
        assert cuts == {(0, 3, 5, 6), (0, 2, 5, 6), (0, 1, 4, 5, 6)}


class TestTraining:
    def test_same_seed_gives_the_same_bits(self):
        first, second = (
            train_fold(GRU, data=fold_data(), training=QUICK, seed=5) for _ in range(2)
        )
        assert first.curve == second.curve
        assert all(torch.equal(w, second.state_dict[k]) for k, w in first.state_dict.items())
        assert np.array_equal(first.test_probability_WC, second.test_probability_WC)
        assert (first.validation, first.test) == (second.validation, second.test)

    def test_another_seed_gives_another_result(self):
        first, second = (
            train_fold(GRU, data=fold_data(), training=QUICK, seed=seed) for seed in (5, 6)
        )
        assert first.curve != second.curve

    def test_leaves_the_random_state_alone(self):
        torch.manual_seed(0)
        wanted = torch.rand(3)
        torch.manual_seed(0)
        train_fold(GRU, data=fold_data(), training=replace(QUICK, epochs=1), seed=5)
        assert torch.equal(torch.rand(3), wanted)

    def test_learns(self):
        trained = train_fold(GRU, data=fold_data(), training=replace(QUICK, epochs=10), seed=0)
        assert trained.test.auc > 0.95
        assert trained.n_windows_trained == 10 * len(fold_data().train.starts_W)

    def test_permuted_labels_stay_near_chance(self):
        aucs = [
            train_fold(
                Linear(),
                data=fold_data(seed=s, n_frames=2000, permute=True),
                training=QUICK,
                seed=s,
            ).test.auc
            for s in range(4)
        ]
        assert 0.45 < np.mean(aucs) < 0.55

    def test_keeps_the_epoch_of_lowest_validation_loss(self):
        """A high learning rate: the loss goes up again."""
        training = replace(QUICK, epochs=8, learning_rate=0.3)
        trained = train_fold(GRU, data=fold_data(seed=3), training=training, seed=0)
        losses = [row.validation.loss for row in trained.curve]
        assert trained.best_epoch == 1 + losses.index(min(losses)) < 8
        assert trained.validation == trained.curve[trained.best_epoch - 1].validation
        until_best = replace(training, epochs=trained.best_epoch)
        shorter = train_fold(GRU, data=fold_data(seed=3), training=until_best, seed=0)
        assert all(torch.equal(w, shorter.state_dict[k]) for k, w in trained.state_dict.items())
        assert shorter.test == trained.test

    def test_test_part_has_no_say(self):
        data = fold_data()
        flipped = replace(data, test=replace(data.test, labels_W=1 - data.test.labels_W))
        first, second = (train_fold(GRU, data=d, training=QUICK, seed=0) for d in (data, flipped))
        assert first.curve == second.curve
        assert np.array_equal(first.test_probability_WC, second.test_probability_WC)
        assert first.test.auc == pytest.approx(1 - second.test.auc)

    def test_first_loss_is_that_of_smoothed_labels(self):
        """A linear decoder begins at the base rate for any window; a tiny step keeps it."""
        training = replace(QUICK, epochs=1, learning_rate=1e-12, label_smoothing=0.2)
        trained = train_fold(Linear(), data=fold_data(), training=training, seed=0)
        p = fold_data().train.labels_W.mean()
        q = 0.8 * p + 0.1  # the mean of labels moved from 0 and 1 to 0.1 and 0.9
        expected = -(q * math.log(p) + (1 - q) * math.log(1 - p))
        assert trained.curve[0].train_loss == pytest.approx(expected)
        v = fold_data().validation.labels_W.mean()
        unsmoothed = -(v * math.log(p) + (1 - v) * math.log(1 - p))
        assert trained.curve[0].validation.loss == pytest.approx(unsmoothed)

    def test_smoothing_is_of_the_training_loss_only(self):
        data = fold_data()
        training = replace(QUICK, epochs=5, learning_rate=0.03)
        sharp, smooth = (
            train_fold(Linear(), data=data, training=replace(training, label_smoothing=s), seed=0)
            for s in (0.0, 0.5)
        )
        # With labels 1/4 and 3/4, no loss is below the entropy of 1/4; the plain one can be.
        assert min(row.train_loss for row in smooth.curve) > 0.562335
        assert smooth.validation.loss < 0.55
        assert sharp.curve[-1].train_loss < 0.4

    def test_tells_each_epoch(self):
        told = []
        trained = train_fold(GRU, data=fold_data(), training=QUICK, seed=0, on_epoch=told.append)
        assert tuple(told) == trained.curve
        assert [row.epoch for row in told] == [1, 2, 3]


class TestSeveralDevices:
    @pytest.mark.parametrize("world_size", [2, 3])
    def test_averaged_gradients_are_those_of_one(self, world_size):
        data = fold_data()
        module = build_module(GRU, data=data, seed=0)
        for batch in epoch_batches(data.train, training=QUICK, seed=0, epoch=1):
            alone = gradients(module, data, batch, n_windows=batch.n_windows)
            shares = [share_of(batch, rank=r, world_size=world_size) for r in range(world_size)]
            each = [
                gradients(module, data, share, n_windows=batch.n_windows, world_size=world_size)
                for share in shares
            ]
            for one, *several in zip(alone, *each, strict=True):
                torch.testing.assert_close(sum(several) / world_size, one, rtol=1e-4, atol=1e-7)

    def test_wrapped_module_is_the_one_trained(self):
        wrapped = []

        def wrap(module):
            wrapped.append(module)
            return torch.nn.Sequential(module)

        data = fold_data()
        trained = train_fold(GRU, data=data, training=QUICK, seed=0, wrap=wrap)
        plain = train_fold(GRU, data=data, training=QUICK, seed=0)
        assert len(wrapped) == 1
        assert trained.curve == plain.curve
        assert trained.state_dict.keys() == plain.state_dict.keys()


def gradients(module, data, runs, *, n_windows, world_size=1):
    module = copy.deepcopy(module)
    batch = draw_from(data, runs)
    loss = GRU.loss(
        module(batch.frames),
        batch.labels_RK,
        batch.weights_RK,
        frames=batch.frames,
        criterion=Criterion(label_smoothing=0.01),
    )
    (loss * (world_size / n_windows)).backward()
    return [p.grad for p in module.parameters()]


class TestPredict:
    def test_each_window_by_itself(self):
        data = fold_data()
        module = build_module(GRU, data=data, seed=0)
        part = data.train
        probability_WC = predict(
            module,
            frames=part.frames,
            starts_W=part.starts_W,
            scaling=data.scaling,
            window_length=LENGTH,
            probability=GRU.probability,
        )
        scaled_TN = torch.from_numpy((part.frames - data.scaling.offset_N) * data.scaling.scale_N)
        with torch.no_grad():
            alone = [module(scaled_TN[None, s : s + LENGTH]).sigmoid() for s in part.starts_W]
        np.testing.assert_allclose(probability_WC[:, 1], torch.cat(alone)[:, 0, 0], rtol=1e-5)

    def test_runs_longer_than_go_at_once(self):
        frames_TN = np.random.default_rng(0).normal(size=(2500, 2)).astype(np.float32)
        starts_W = np.arange(2500 - LENGTH + 1)
        assert len(starts_W) > 2 * PREDICTED_AT_ONCE
        torch.manual_seed(0)
        module = GRU.build(Problem(frame_shape=(2,), window_length=LENGTH))
        settings = {
            "frames": frames_TN,
            "scaling": Scaling(offset_N=np.zeros(2, np.float32), scale_N=np.ones(2, np.float32)),
            "window_length": LENGTH,
            "probability": GRU.probability,
        }
        whole = predict(module, starts_W=starts_W, **settings)
        sparse = predict(module, starts_W=starts_W[::7], **settings)
        np.testing.assert_allclose(whole[::7], sparse, rtol=1e-5)

    def test_window_beyond_the_frames_is_refused(self):
        module = Linear().build(Problem(frame_shape=(2,), window_length=3))
        with pytest.raises(ValueError, match="must lie within the 5 frames, but they reach"):
            predict(
                module,
                frames=np.zeros((5, 2), np.float32),
                starts_W=np.array([2, 3]),
                scaling=Scaling(offset_N=np.zeros(2, np.float32), scale_N=np.ones(2, np.float32)),
                window_length=3,
                probability=Linear().probability,
            )


class TestBadInput:
    def test_not_finite_loss_says_what_to_lower(self):
        training = replace(QUICK, learning_rate=1e38)
        with pytest.raises(Diverged, match=r"lower `training\.learning_rate`") as caught:
            train_fold(Linear(), data=fold_data(), training=training, seed=0)
        again = pickle.loads(pickle.dumps(caught.value))
        assert (again.epoch, again.learning_rate) == (1, 1e38)
        assert str(again) == str(caught.value)

    def test_part_without_windows_is_refused(self):
        data = fold_data()
        none = part_of(data.test.frames, np.zeros(400, int), (0, LENGTH - 1))
        with pytest.raises(ValueError, match="the test part needs at least one window"):
            train_fold(GRU, data=replace(data, test=none), training=QUICK, seed=0)

    def test_windows_beyond_the_frames_are_refused(self):
        data = replace(fold_data(), window_length=LENGTH + 1)
        with pytest.raises(ValueError, match="windows of 8 frames must lie within the 400 frames"):
            train_fold(GRU, data=data, training=QUICK, seed=0)

    def test_validation_of_one_class_is_refused(self):
        data = fold_data()
        ones = replace(data.validation, labels_W=np.ones_like(data.validation.labels_W))
        with pytest.raises(ValueError, match="needs windows of two classes"):
            train_fold(GRU, data=replace(data, validation=ones), training=QUICK, seed=0)

    def test_epoch_without_a_batch_is_refused(self):
        training = replace(QUICK, epoch_fraction=0.01)
        with pytest.raises(ValueError, match=r"at least one of \d+ batches"):
            train_fold(GRU, data=fold_data(), training=training, seed=0)

    @pytest.mark.parametrize(
        ("setting", "message"),
        [
            ({"epochs": 0}, "`epochs >= 1` must hold, but got epochs=0"),
            ({"batch_size": 100, "run_length": 8}, "positive multiple of `run_length`"),
            ({"run_length": 0}, "positive multiple of `run_length`"),
            ({"learning_rate": 0.0}, "`learning_rate > 0` must hold"),
            ({"learning_rate": math.nan}, "`learning_rate > 0` must hold"),
            ({"weight_decay": -1.0}, "`weight_decay >= 0` must hold"),
            ({"label_smoothing": 1.0}, "`0 <= label_smoothing < 1` must hold"),
            ({"epoch_fraction": 0.0}, "`0 < epoch_fraction <= 1` must hold"),
        ],
    )
    def test_setting_is_refused(self, setting, message):
        with pytest.raises(ValueError, match=message):
            Training(**setting)
