"""A decoder of two steps starts from the same fold's first step, which is trained only once."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from calsweep.datasets.cache import Cache
from calsweep.platform.fold import fold_run as module
from calsweep.platform.fold.fold_run import run_fold
from calsweep.platform.fold.model import FoldModel
from calsweep.platform.fold.training import Training
from calsweep.platform.fold.weights import with_local_weights, without_weights
from calsweep.platform.plain import from_plain, to_plain
from calsweep.platform.record import FoldRecord
from calsweep.platform.settings import Settings
from calsweep.trainables.cnn import Cnn
from calsweep.trainables.cnn_rnn import CnnRnn
from calsweep.trainables.decoder import Problem
from calsweep.trainables.linear import Linear
from calsweep.trainables.recurrence import Cell

SMALL = Cnn(width=0.25, depth=0.25, norm_momentum=0.1)
FIRST = Training(epochs=1, batch_size=32, run_length=4, epoch_fraction=0.3)
QUICK = Training(epochs=1, batch_size=16, run_length=4, epoch_fraction=0.2)


def settings_of(mice, *, cell=Cell.GRU, length=7, freeze_cnn=True):
    return Settings(
        trainables=CnnRnn(cell=cell, cnn=SMALL, n_hidden=8, freeze_cnn=freeze_cnn),
        datasets=mice.view(length=length),
        training=QUICK,
        first_training=FIRST,
    )


@pytest.fixture
def trained(monkeypatch):
    """The decoders that were trained, in order."""
    found = []
    train_fold = module.train_fold

    def noting(decoder, /, **settings):
        found.append(type(decoder).__name__)
        return train_fold(decoder, **settings)

    monkeypatch.setattr(module, "train_fold", noting)
    return found


def test_first_step_is_trained_once_for_all_that_start_from_it(image_mice, trained):
    tasks = [
        image_mice.task(settings_of(image_mice, cell=cell, length=length))
        for cell, length in [(Cell.GRU, 7), (Cell.LSTM, 7), (Cell.GRU, 9)]
    ]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(run_fold, tasks))
    assert sorted(trained) == ["Cnn", "CnnRnn", "CnnRnn", "CnnRnn"]
    assert trained[0] == "Cnn"
    cnn = Settings(trainables=SMALL, datasets=image_mice.view(length=3), training=FIRST)
    run_fold(image_mice.task(cnn))
    assert (image_mice.task(cnn).place / "fold.json").exists()
    assert trained.count("Cnn") == 1
    for task in tasks:
        assert "starts from the Cnn of the same fold" in FoldRecord.read(task.place).notes


def test_frozen_cnn_is_the_one_of_the_first_step(image_mice):
    settings = settings_of(image_mice)
    task = image_mice.task(settings)
    run_fold(task)
    first = image_mice.task(settings.first)
    cnn, both = (FoldModel.load(t.place / "model").state for t in (first, task))
    names = [name for name in both if name.startswith("cnn.network")]
    assert len(names) > 50
    for name in names:
        assert torch.equal(both[name], cnn["features." + name.removeprefix("cnn.")])


def test_cnn_that_is_not_frozen_goes_on_learning(image_mice):
    settings = settings_of(image_mice, freeze_cnn=False)
    task = image_mice.task(settings)
    run_fold(task)
    first = image_mice.task(settings.first)
    cnn, both = (FoldModel.load(t.place / "model").state for t in (first, task))
    name = "network._conv_head.weight"
    assert not torch.equal(both[f"cnn.{name}"], cnn[f"features.{name}"])


def test_training_of_a_first_step_does_not_tell_others_apart(image_mice):
    view = image_mice.view()
    plain = Settings(trainables=Linear(), datasets=view, training=QUICK)
    other = replace(plain, first_training=FIRST)
    assert plain == other
    assert plain.first is None
    both = settings_of(image_mice)
    assert both.first.datasets.window.length == 3
    assert from_plain(to_plain(both)) == both


class TestWeights:
    def file(self, folder):
        with torch.random.fork_rng():
            torch.manual_seed(5)
            built = SMALL.build(Problem(frame_shape=(32, 32), window_length=3))
        state = built.features.network.state_dict()
        save_file(state, folder / "w.safetensors")
        return folder / "w.safetensors", state

    def test_trained_model_needs_its_starting_weights_no_more(self, image_mice, tmp_path):
        path, _ = self.file(tmp_path)
        view = image_mice.view()
        settings = Settings(
            trainables=replace(SMALL, weights=str(path)), datasets=view, training=FIRST
        )
        task = image_mice.task(settings)
        run_fold(task)
        path.unlink()
        model = FoldModel.load(task.place / "model")
        assert model.decoder.weights == str(path)
        frames = np.zeros((5, 32, 32), np.float32)
        assert np.isfinite(model.probabilities(frames, trial_T=np.zeros(5, np.int32))[2]).all()

    def test_weights_are_fetched_from_s3(self, s3, tmp_path):
        path, state = self.file(tmp_path)
        s3.upload_file(str(path), "calsweep-test", "weights/w.safetensors")
        decoder = CnnRnn(
            cell=Cell.GRU, cnn=replace(SMALL, weights="s3://calsweep-test/weights/w.safetensors")
        )
        local = with_local_weights(decoder, cache=Cache(tmp_path / "cache"))
        assert local.cnn.weights.startswith(str(tmp_path / "cache"))
        built = local.build(Problem(frame_shape=(32, 32), window_length=7))
        own = built.cnn.network.state_dict()
        assert all(torch.equal(own[name], state[name]) for name in own)
        assert without_weights(decoder).cnn.weights == ""

    def test_other_decoders_stay_as_they_are(self, tmp_path):
        cache = Cache(tmp_path / "cache")
        assert with_local_weights(Linear(), cache=cache) == Linear()
        assert with_local_weights(SMALL, cache=cache) == SMALL
