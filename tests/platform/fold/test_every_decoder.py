"""What training owes every decoder that has a YAML: masks, resumption, several devices."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import distributed

from calsweep.platform.fold.checkpoint import Checkpoint
from calsweep.platform.fold.loop import train_fold
from calsweep.platform.fold.training import Training
from tests.platform.fold.two_processes import TWO, fold_of, meet, train_together
from tests.trainables.variants import VARIANTS, decoder_of

QUICK = Training(epochs=2, batch_size=16, run_length=4, learning_rate=1e-3)
every_decoder = pytest.mark.parametrize("variant", VARIANTS, ids=lambda path: path.stem)


class Killed(Exception):
    pass


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def train(variant, *, training=QUICK, **settings):
    data = settings.pop("data", None) or fold_of(variant)
    return train_fold(decoder_of(variant), data=data, training=training, seed=0, **settings)


@every_decoder
def test_what_is_masked_does_not_reach_it(variant):
    """Not its weights in training, and not what it says."""
    once = replace(QUICK, epochs=1)
    masked = [
        train(variant, data=fold_of(variant, shown=0.0, hidden=hidden), training=once)
        for hidden in (0.0, 50.0)
    ]
    seen = train(variant, data=fold_of(variant, hidden=50.0), training=once)
    assert masked[0].curve == masked[1].curve
    assert np.array_equal(masked[0].test_probability_WC, masked[1].test_probability_WC)
    assert not np.array_equal(masked[0].test_probability_WC, seen.test_probability_WC)


@every_decoder
def test_training_that_was_killed_ends_as_one_that_was_not(variant, tmp_path):
    whole = train(variant)
    checkpoint = Checkpoint(path=tmp_path / "c", every_s=0.0)

    def kill(_):
        raise Killed

    with pytest.raises(Killed):
        train(variant, checkpoint=checkpoint, on_epoch=kill)
    resumed = train(variant, checkpoint=checkpoint)
    assert (whole.first_epoch, resumed.first_epoch) == (1, 2)
    assert resumed.curve == whole.curve
    assert all(torch.equal(w, resumed.state_dict[k]) for k, w in whole.state_dict.items())


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """A second process, which trains along with this one what is written to it."""
    file = tmp_path_factory.mktemp("two") / "meeting"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.platform.fold.two_processes", str(file)],
        stdin=subprocess.PIPE, text=True, bufsize=1,
    )  # fmt: skip
    meet(file, rank=0)
    yield process.stdin
    distributed.destroy_process_group()
    process.kill()
    process.wait()


@every_decoder
def test_two_devices_come_to_what_one_does(variant, second):
    alone = train(variant, data=fold_of(variant), training=TWO)
    second.write(f"{variant.stem}\n")
    shared = train_together(variant, rank=0)
    (one,), (two,) = alone.curve, shared.curve
    assert two.train_loss == pytest.approx(one.train_loss, rel=1e-4)
    # A bias before normalization has no gradient but rounding, which Adam makes steps of.
    assert two.validation.loss == pytest.approx(one.validation.loss, rel=0.01)
    assert shared.n_windows_trained == alone.n_windows_trained
    assert shared.state_dict.keys() == alone.state_dict.keys()
