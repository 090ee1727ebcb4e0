import math

import pytest
import torch

from calsweep.trainables.losses import binary_cross_entropy


def test_label_smoothing_moves_labels_by_half_of_it():
    # Logit ln 3 is probability 3/4; a label 1 smoothed by 0.1 is 0.95.
    loss = binary_cross_entropy(
        torch.tensor([[math.log(3)]]),
        torch.tensor([[1]]),
        torch.tensor([[True]]),
        label_smoothing=0.1,
    )
    assert loss.item() == pytest.approx(-0.95 * math.log(0.75) - 0.05 * math.log(0.25))


def test_window_of_weight_zero_does_not_count():
    logits = torch.tensor([[0.0, 100.0]], requires_grad=True)
    loss = binary_cross_entropy(
        logits, torch.tensor([[1, 0]]), torch.tensor([[1.0, 0.0]]), label_smoothing=0.0
    )
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2))
    assert logits.grad.tolist() == [[-0.5, 0.0]]


def test_weights_multiply():
    logits, labels = torch.zeros(1, 2), torch.tensor([[0, 1]])
    loss = binary_cross_entropy(logits, labels, torch.tensor([[2.0, 3.0]]), label_smoothing=0.0)
    assert loss.item() == pytest.approx(5 * math.log(2))
