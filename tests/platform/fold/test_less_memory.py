"""A fold that memory does not suffice for is trained once more, in smaller pieces, and says so."""

import numpy as np
import pytest
import torch

from calsweep.platform.fold.fold_run import run_fold
from calsweep.platform.fold.less_memory import with_less_memory
from calsweep.platform.fold.training import Training
from calsweep.platform.record import FoldRecord
from calsweep.platform.settings import Settings
from calsweep.trainables.linear import Linear, LinearModule

CPU = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 16 bytes"
NO_MEMORY = [torch.OutOfMemoryError("CUDA out of memory. Tried 3 GiB"), RuntimeError(CPU)]
NO_MEMORY.append(MemoryError())


@pytest.mark.parametrize("error", NO_MEMORY, ids=lambda error: type(error).__name__)
def test_trained_once_more_with_more_pieces(error):
    asked = []

    def train(training):
        asked.append(training.accumulation)
        if len(asked) == 1:
            raise error
        return "trained"

    trained, notes = with_less_memory(train, Training(accumulation=2))
    assert (trained, asked) == ("trained", [2, 8])
    assert notes[0].startswith("memory did not suffice")
    assert notes[0].endswith("trained again with each batch in 4 times as many pieces")


def test_only_once():
    def train(_):
        raise MemoryError

    with pytest.raises(MemoryError):
        with_less_memory(train, Training())


def test_other_errors_are_not_hidden():
    def train(_):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        with_less_memory(train, Training())


def test_fold_says_that_it_had_too_little(image_mice, monkeypatch):
    """A batch of more than 20 images is more than this machine holds, it says."""
    forward = LinearModule.forward

    def small_only(self, frames):
        if self.training and frames.shape[0] * frames.shape[1] > 20:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(self, frames)

    monkeypatch.setattr(LinearModule, "forward", small_only)
    training = Training(epochs=1, batch_size=32, run_length=4)
    settings = Settings(trainables=Linear(), datasets=image_mice.view(), training=training)
    task = image_mice.task(settings)
    run_fold(task)
    record = FoldRecord.read(task.place)
    assert len(record.notes) == 1
    assert "4 times as many pieces" in record.notes[0]
    assert np.isfinite(record.test.auc)
