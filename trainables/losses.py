"""Losses of decoders, summed over weighted windows, and the probabilities that belong to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# R run, K windows per run, O outputs, C classes


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """How the error of a window counts.

    Attributes
    ----------
    label_smoothing
        ``s`` moves the label of each of ``C`` classes from 0 and 1 to ``s / C`` and
        ``1 - s + s / C``, as Keras does.
    class_weights
        Factor of each class; empty for none.
    focal_gamma
        Exponent of the focal loss: the loss of a window counts by ``(1 - p)**gamma``, where ``p``
        is the probability it gave the label. 0 is plain cross-entropy.
    focal_alpha
        Factor of the focal loss.

    References
    ----------
    Lin et al. (2017), *ICCV*: focal loss.
    """

    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] = ()
    focal_gamma: float = 0.0
    focal_alpha: float = 1.0


def inverse_frequency(class_shares: Sequence[float], /) -> tuple[float, ...]:
    """Give weights in inverse proportion to the shares of classes, whose mean over windows is 1.

    Examples
    --------
    >>> [round(weight, 3) for weight in inverse_frequency([0.8, 0.1, 0.1])]
    [0.417, 3.333, 3.333]
    """
    return tuple(1 / (len(class_shares) * share) for share in class_shares)


def initial_bias(class_shares: Sequence[float], /) -> Tensor:
    """Give the biases of logits that stand for the shares of classes; of two classes, one bias.

    Examples
    --------
    >>> initial_bias([0.2, 0.8])
    tensor([1.3863])
    >>> torch.softmax(initial_bias([0.8, 0.1, 0.1]), 0)
    tensor([0.8000, 0.1000, 0.1000])
    """
    shares = [min(max(share, 1e-6), 1 - 1e-6) for share in class_shares]
    if len(shares) == 2:
        return torch.tensor([math.log(shares[1] / (1 - shares[1]))])
    return torch.tensor(shares).log()


def cross_entropy(
    logits_RKO: Tensor, labels_RK: Tensor, weights_RK: Tensor, /, *, criterion: Criterion
) -> Tensor:
    """Sum the cross-entropy of windows, each by its weight.

    A sum and not a mean, because only the caller knows the weight of the whole batch, of which
    these windows may be one device's share.

    Parameters
    ----------
    logits_RKO
        One logit of class 1, or one logit a class.
    labels_RK, weights_RK
        Class and weight of each window. A window of weight 0 does not count.
    criterion
        Label smoothing, class weights, focal loss.

    Returns
    -------
    loss
        A scalar, in nats.

    Examples
    --------
    >>> logits, labels = torch.zeros(1, 2, 1), torch.tensor([[0, 1]])
    >>> weights = torch.tensor([[1.0, 1.0]])
    >>> cross_entropy(logits, labels, weights, criterion=Criterion()).item()  # 2 ln 2
    1.3862943649291992
    """
    weights = weights_RK.to(logits_RKO.dtype)
    if criterion.class_weights:
        weights = weights * weights.new_tensor(criterion.class_weights)[labels_RK]
    if criterion.focal_gamma:
        weights = weights * _focal_factor(logits_RKO, labels_RK, criterion)
    if logits_RKO.shape[-1] == 1:
        s = criterion.label_smoothing
        targets_RK = labels_RK.to(logits_RKO.dtype) * (1.0 - s) + s / 2
        # Not by its own weights, through which torch lets no gradient.
        entropy_RK = functional.binary_cross_entropy_with_logits(
            logits_RKO.squeeze(-1), targets_RK, reduction="none"
        )
        return (entropy_RK * weights).sum()
    entropy = functional.cross_entropy(
        logits_RKO.flatten(0, -2),
        labels_RK.flatten(),
        reduction="none",
        label_smoothing=criterion.label_smoothing,
    )
    return (entropy * weights.flatten()).sum()


class CriterionNumbers(NamedTuple):
    """A criterion as tensors, so that each model of a stack may have its own.

    Attributes
    ----------
    label_smoothing, class_weights_C
        As in `Criterion`.
    focal_gamma, focal_alpha
        As there; none where no model of the stack has a focal loss.
    """

    label_smoothing: Tensor
    class_weights_C: Tensor
    focal_gamma: Tensor | None = None
    focal_alpha: Tensor | None = None


def criterion_numbers(criteria: Sequence[Criterion], /, *, n_classes: int) -> dict[str, Tensor]:
    """Give the numbers of several criteria by the names of `CriterionNumbers`, models first.

    Examples
    --------
    >>> numbers = criterion_numbers([Criterion(), Criterion(label_smoothing=0.5)], n_classes=2)
    >>> numbers["label_smoothing"], numbers["class_weights_C"].shape
    (tensor([0.0000, 0.5000]), torch.Size([2, 2]))
    """
    numbers = {
        "label_smoothing": [one.label_smoothing for one in criteria],
        "class_weights_C": [one.class_weights or (1.0,) * n_classes for one in criteria],
    }
    if any(one.focal_gamma for one in criteria):
        numbers["focal_gamma"] = [one.focal_gamma for one in criteria]
        numbers["focal_alpha"] = [one.focal_alpha if one.focal_gamma else 1.0 for one in criteria]
    return {name: torch.tensor(of_models) for name, of_models in numbers.items()}


def cross_entropy_by(
    logits_RKO: Tensor, labels_RK: Tensor, weights_RK: Tensor, numbers: CriterionNumbers, /
) -> Tensor:
    """Give `cross_entropy` by numbers that are tensors, under `torch.vmap` of each model its own.

    Examples
    --------
    >>> logits, labels = torch.zeros(1, 2, 1), torch.tensor([[0, 1]])
    >>> numbers = CriterionNumbers(torch.tensor(0.1), torch.ones(2))
    >>> cross_entropy_by(logits, labels, torch.ones(1, 2), numbers).item()
    1.3862943649291992
    """
    weights = weights_RK.to(logits_RKO.dtype) * numbers.class_weights_C[labels_RK]
    if numbers.focal_gamma is not None and numbers.focal_alpha is not None:
        of_label = _of_label(logits_RKO, labels_RK)
        weights = weights * numbers.focal_alpha * (1 - of_label).pow(numbers.focal_gamma)
    s = numbers.label_smoothing
    if logits_RKO.shape[-1] == 1:
        targets_RK = labels_RK.to(logits_RKO.dtype) * (1.0 - s) + s / 2
        entropy_RK = functional.binary_cross_entropy_with_logits(
            logits_RKO.squeeze(-1), targets_RK, reduction="none"
        )
    else:
        log_p = torch.log_softmax(logits_RKO, dim=-1)
        of_label = log_p.gather(-1, labels_RK[..., None]).squeeze(-1)
        entropy_RK = -(1 - s) * of_label - s * log_p.mean(-1)
    return (entropy_RK * weights).sum()


def class_probability(logits_RKO: Tensor, /) -> Tensor:
    """Give the probability of each class: logistic for one logit, softmax for several.

    Examples
    --------
    >>> class_probability(torch.zeros(1, 1, 1)).tolist()
    [[[0.5, 0.5]]]
    """
    if logits_RKO.shape[-1] == 1:
        p = torch.sigmoid(logits_RKO)
        return torch.cat([1 - p, p], dim=-1)
    return torch.softmax(logits_RKO, dim=-1)


def _focal_factor(logits_RKO: Tensor, labels_RK: Tensor, criterion: Criterion) -> Tensor:
    of_label = _of_label(logits_RKO, labels_RK)
    return criterion.focal_alpha * (1 - of_label).pow(criterion.focal_gamma)


def _of_label(logits_RKO: Tensor, labels_RK: Tensor) -> Tensor:
    return class_probability(logits_RKO).gather(-1, labels_RK[..., None].long()).squeeze(-1)
