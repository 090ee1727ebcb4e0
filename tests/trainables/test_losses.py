import math

import pytest
import torch

from calsweep.trainables.losses import (
    Criterion,
    class_probability,
    cross_entropy,
    initial_bias,
    inverse_frequency,
)

# Logits whose probabilities are 3/4 of class 1, and 1/4, 1/2, 1/4.
OF_TWO = torch.tensor([[[math.log(3)]]])
OF_THREE = torch.tensor([[[0.0, math.log(2), 0.0]]])
ONE = torch.tensor([[1.0]])


def loss_of(logits, label, *, weight=1.0, **criterion):
    labels, weights = torch.tensor([[label]]), torch.tensor([[weight]])
    return cross_entropy(logits, labels, weights, criterion=Criterion(**criterion)).item()


class TestCrossEntropy:
    def test_is_that_of_the_label(self):
        assert loss_of(OF_TWO, 1) == pytest.approx(-math.log(0.75))
        assert loss_of(OF_TWO, 0) == pytest.approx(-math.log(0.25))
        assert loss_of(OF_THREE, 1) == pytest.approx(-math.log(0.5))
        assert loss_of(OF_THREE, 2) == pytest.approx(-math.log(0.25))

    def test_label_smoothing_moves_labels_by_half_of_it(self):
        # A label 1 smoothed by 0.1 is 0.95.
        expected = -0.95 * math.log(0.75) - 0.05 * math.log(0.25)
        assert loss_of(OF_TWO, 1, label_smoothing=0.1) == pytest.approx(expected)

    def test_label_smoothing_of_three_classes_moves_labels_by_a_third_of_it(self):
        # Labels 0, 1, 0 smoothed by 0.3 are 0.1, 0.8, 0.1.
        expected = -0.8 * math.log(0.5) - 0.2 * math.log(0.25)
        assert loss_of(OF_THREE, 1, label_smoothing=0.3) == pytest.approx(expected)

    @pytest.mark.parametrize("n_logits", [1, 3])
    def test_window_of_weight_zero_does_not_count(self, n_logits):
        logits = torch.zeros(1, 2, n_logits)
        logits[0, 1] = 100 * torch.arange(1, n_logits + 1)
        logits.requires_grad_()
        loss = cross_entropy(
            logits, torch.tensor([[0, 0]]), torch.tensor([[1.0, 0.0]]), criterion=Criterion()
        )
        loss.backward()
        assert loss.item() == pytest.approx(math.log(max(n_logits, 2)))
        assert logits.grad[0, 0].abs().sum() > 0
        assert logits.grad[0, 1].abs().sum() == 0

    @pytest.mark.parametrize("n_logits", [1, 3])
    def test_weights_multiply(self, n_logits):
        loss = cross_entropy(
            torch.zeros(1, 2, n_logits),
            torch.tensor([[0, 1]]),
            torch.tensor([[2.0, 3.0]]),
            criterion=Criterion(),
        )
        assert loss.item() == pytest.approx(5 * math.log(max(n_logits, 2)))

    def test_class_weights_multiply_by_class(self):
        weights = (0.5, 4.0)
        assert loss_of(OF_TWO, 1, class_weights=weights) == pytest.approx(-4 * math.log(0.75))
        assert loss_of(OF_TWO, 0, class_weights=weights) == pytest.approx(-0.5 * math.log(0.25))
        weights = (0.5, 4.0, 8.0)
        expected = -3 * 8 * math.log(0.25)
        assert loss_of(OF_THREE, 2, weight=3.0, class_weights=weights) == pytest.approx(expected)

    def test_focal_loss_counts_by_what_the_label_lacks(self):
        # 2 (1 - 3/4)^2 and 2 (1 - 1/4)^2 of the cross-entropy
        focal = {"focal_alpha": 2.0, "focal_gamma": 2.0}
        assert loss_of(OF_TWO, 1, **focal) == pytest.approx(-0.125 * math.log(0.75))
        assert loss_of(OF_TWO, 0, **focal) == pytest.approx(-1.125 * math.log(0.25))
        assert loss_of(OF_THREE, 1, **focal) == pytest.approx(-0.5 * math.log(0.5))
        assert loss_of(OF_THREE, 2, **focal) == pytest.approx(-1.125 * math.log(0.25))

    def test_gradient_goes_through_the_focal_factor(self):
        # d/dp of -(1 - p)^2 ln p is 2 (1 - p) ln p - (1 - p)^2 / p, and dp/dz = p (1 - p).
        z = torch.tensor([[[0.0, math.log(3)]]], requires_grad=True)
        cross_entropy(z, torch.tensor([[1]]), ONE, criterion=Criterion(focal_gamma=2.0)).backward()
        p = 0.75
        expected = (2 * (1 - p) * math.log(p) - (1 - p) ** 2 / p) * p * (1 - p)
        assert z.grad[0, 0, 1].item() == pytest.approx(expected)

    def test_gradient_goes_through_the_focal_factor_of_one_logit(self):
        z = torch.tensor([[[math.log(3)]]], requires_grad=True)
        cross_entropy(z, torch.tensor([[1]]), ONE, criterion=Criterion(focal_gamma=2.0)).backward()
        p = 0.75
        expected = (2 * (1 - p) * math.log(p) - (1 - p) ** 2 / p) * p * (1 - p)
        assert z.grad.item() == pytest.approx(expected)

    def test_one_logit_is_two_of_which_the_first_is_zero(self):
        two = torch.tensor([[[0.0, math.log(3)]]])
        for label in (0, 1):
            settings = {"label_smoothing": 0.2, "focal_gamma": 1.5, "class_weights": (2.0, 3.0)}
            assert loss_of(OF_TWO, label, **settings) == pytest.approx(
                loss_of(two, label, **settings)
            )


def test_probabilities_are_logistic_or_softmax():
    torch.testing.assert_close(class_probability(OF_TWO), torch.tensor([[[0.25, 0.75]]]))
    torch.testing.assert_close(class_probability(OF_THREE), torch.tensor([[[0.25, 0.5, 0.25]]]))


@pytest.mark.parametrize("shares", [(0.2, 0.8), (0.8, 0.1, 0.1)])
def test_initial_bias_stands_for_the_shares(shares):
    probability = class_probability(initial_bias(shares)[None, None])
    torch.testing.assert_close(probability[0, 0], torch.tensor(shares))


def test_classes_that_are_missing_have_a_finite_bias():
    assert initial_bias((1.0, 0.0)).isfinite().all()
    assert initial_bias((1.0, 0.0, 0.0)).isfinite().all()


def test_inverse_frequency_gives_every_class_the_same_weight_in_all():
    shares = (0.8, 0.15, 0.05)
    weights = inverse_frequency(shares)
    assert [w * s for w, s in zip(weights, shares, strict=True)] == pytest.approx([1 / 3] * 3)
