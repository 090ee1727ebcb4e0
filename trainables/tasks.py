"""What H's decoders learn beside the class: one class against the rest, and neuronal activity.

A module with such tasks gives, for each window, these outputs one after the other: the logits of
the classes (`Problem.n_outputs`); a logit for each class that has a side head; the activity it
tells and the activity there was; and the log-variance of each task, where those are learnt. What
was there and the log-variances are outputs because a loss sees outputs only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from itertools import count

import torch
from torch import Tensor, nn
from torch.nn import functional

from calsweep.trainables.batch_share import BatchStatistics
from calsweep.trainables.decoder import Problem
from calsweep.trainables.initialization import begin_at
from calsweep.trainables.losses import Criterion, class_probability, cross_entropy

# R run, T time, N unit, K windows per run, B windows of all runs, F features, O outputs, S sides,
# A activity told and there was, J tasks, X frames of all runs


class Activity(Enum):
    """Which neuronal activity a decoder also learns to tell, of the window's last frame.

    H does not say which it told. Its code tells the first principal component, and without one the
    mean over units.
    """

    NONE = "none"
    MEAN = "mean"
    COMPONENT = "component"


class Weighting(Enum):
    """Whether the weights of tasks stay as they are set, or are learnt from there."""

    FIXED = "fixed"
    LEARNT = "learnt"


@dataclass(frozen=True, kw_only=True)
class TaskOutputs:
    """The outputs of a module by task; no columns where a task is off.

    Of activity there are two, what is told and what there was.
    """

    class_logits_RKO: Tensor
    side_logits_RKS: Tensor
    activity_RKA: Tensor
    log_variances_RKJ: Tensor


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """Which tasks a decoder learns, and how much each counts.

    Attributes
    ----------
    class_weight
        Weight of telling the classes apart.
    side_classes
        Classes with a head that tells them from the rest; ``None`` for all but 0.
    side_weight
        Weight of each such head.
    activity
        Which neuronal activity is told too.
    activity_weight
        Weight of its squared error.
    weighting
        Learnt weights begin at those set. The loss of a task is then the negative log-likelihood
        under a variance ``exp(s)`` of its own: ``exp(-s) loss + s / 2`` for classes, and
        ``exp(-s) loss / 2 + s / 2`` for activity.

    References
    ----------
    H (two-photon, footsteps): weights 1.0, 0.5, 0.5, 1.0.
    Kendall, Gal & Cipolla (2018), *CVPR*: weights learnt from uncertainty.

    Examples
    --------
    >>> Tasks().n_outputs(3)  # three classes, two sides, activity told and there
    7
    """

    class_weight: float = 1.0
    side_classes: tuple[int, ...] | None = None
    side_weight: float = 0.5
    activity: Activity = Activity.MEAN
    activity_weight: float = 1.0
    weighting: Weighting = Weighting.FIXED

    def __post_init__(self) -> None:
        for name in ("class_weight", "side_weight", "activity_weight"):
            weight = getattr(self, name)
            if not weight > 0:
                raise ValueError(f"`{name} > 0` must hold, but got {weight}.")
        classes = self.side_classes or ()
        if len(set(classes)) < len(classes) or any(c < 0 for c in classes):
            raise ValueError(f"`side_classes` must be different classes, but got {list(classes)}.")

    def sides(self, n_classes: int) -> tuple[int, ...]:
        """Give the classes that have a side head.

        Raises
        ------
        ValueError
            If there is no such class.
        """
        if self.side_classes is None:
            return tuple(range(1, n_classes))
        if any(c >= n_classes for c in self.side_classes):
            raise ValueError(
                f"`side_classes` must be among the {n_classes} classes from 0, "
                f"but got {list(self.side_classes)}."
            )
        return self.side_classes

    def weights(self, n_classes: int) -> list[float]:
        """Give the weight of each task: classes, sides, activity."""
        of_activity = [] if self.activity is Activity.NONE else [self.activity_weight]
        sides = self.sides(n_classes)
        return [self.class_weight, *[self.side_weight] * len(sides), *of_activity]

    def n_outputs(self, n_classes: int) -> int:
        """Give how many outputs a module with these tasks has for each window."""
        return sum(self._widths(n_classes))

    def split(self, outputs_RKO: Tensor) -> TaskOutputs:
        """Tell the outputs of a module apart by task."""
        widths = self._widths(self._n_classes(outputs_RKO))
        classes, sides, activity, log_variances = torch.split(outputs_RKO, widths, dim=-1)
        return TaskOutputs(
            class_logits_RKO=classes,
            side_logits_RKS=sides,
            activity_RKA=activity,
            log_variances_RKJ=log_variances,
        )

    def losses(
        self, outputs_RKO: Tensor, labels_RK: Tensor, weights_RK: Tensor, *, criterion: Criterion
    ) -> Tensor:
        """Sum the loss of windows for each task, shape ``(task,)``, before the tasks' weights.

        A window counts by the weight of its class in the side heads too.
        """
        told = self.split(outputs_RKO)
        logits_RKC = _of_each_class(told.class_logits_RKO)
        losses = [cross_entropy(logits_RKC, labels_RK, weights_RK, criterion=criterion)]
        by_class_RK, of_side = weights_RK, replace(criterion, class_weights=())
        if criterion.class_weights:
            by_class_RK = weights_RK * outputs_RKO.new_tensor(criterion.class_weights)[labels_RK]
        for s, side in enumerate(self.sides(self._n_classes(outputs_RKO))):
            logits_RK2 = _of_each_class(told.side_logits_RKS[..., s : s + 1])
            is_side_RK = (labels_RK == side).long()
            losses.append(cross_entropy(logits_RK2, is_side_RK, by_class_RK, criterion=of_side))
        if self.activity is not Activity.NONE:
            error_RK = told.activity_RKA[..., 0] - told.activity_RKA[..., 1].detach()
            losses.append((error_RK.square() * weights_RK).sum())
        return torch.stack(losses)

    def loss(
        self, outputs_RKO: Tensor, labels_RK: Tensor, weights_RK: Tensor, *, criterion: Criterion
    ) -> Tensor:
        """Sum the loss of windows over all tasks, each by its weight."""
        losses_J = self.losses(outputs_RKO, labels_RK, weights_RK, criterion=criterion)
        if self.weighting is Weighting.LEARNT:
            s_J = self.split(outputs_RKO).log_variances_RKJ[0, 0]  # those of all windows are equal
            of_variance = weights_RK.sum() * s_J.sum() / 2
            return (losses_J * (-s_J).exp() * self._likelihood_factors(s_J)).sum() + of_variance
        weights_J = losses_J.new_tensor(self.weights(self._n_classes(outputs_RKO)))
        return (losses_J * weights_J).sum()

    def probability(self, outputs_RKO: Tensor) -> Tensor:
        """Give the probability of each class."""
        return class_probability(self.split(outputs_RKO).class_logits_RKO)

    def side_probability(self, outputs_RKO: Tensor) -> dict[int, Tensor]:
        """Give the probability, by its own head, of each class that has one."""
        sides = self.sides(self._n_classes(outputs_RKO))
        of_sides = self.split(outputs_RKO).side_logits_RKS.sigmoid().unbind(-1)
        return dict(zip(sides, of_sides, strict=True))

    def initial_log_variances(self, n_classes: int) -> Tensor:
        """Give the log-variances at which the learnt weights are those set."""
        weights_J = torch.tensor(self.weights(n_classes))
        return (self._likelihood_factors(weights_J) / weights_J).log()

    def _likelihood_factors(self, like_J: Tensor) -> Tensor:
        """Give a half for a squared error and one for a cross-entropy."""
        factors_J = torch.ones_like(like_J)
        if self.activity is not Activity.NONE:
            factors_J[-1] = 0.5
        return factors_J

    def _widths(self, n_classes: int) -> list[int]:
        n_logits = 1 if n_classes == 2 else n_classes
        n_learnt = len(self.weights(n_classes)) if self.weighting is Weighting.LEARNT else 0
        n_activity = 0 if self.activity is Activity.NONE else 2
        return [n_logits, len(self.sides(n_classes)), n_activity, n_learnt]

    def _n_classes(self, outputs_RKO: Tensor) -> int:
        """Find how many classes there are: more of them always have more outputs."""
        n_outputs, fewest = outputs_RKO.shape[-1], 1 + max((1, *(self.side_classes or ())))
        n_classes = next(c for c in count(fewest) if self.n_outputs(c) >= n_outputs)
        assert self.n_outputs(n_classes) == n_outputs  # noqa: S101 - the module's outputs
        return n_classes


def _of_each_class(logits_RKO: Tensor) -> Tensor:
    """Give two logits for a lone one: the same loss, but its focal factor is rounded less."""
    return functional.pad(logits_RKO, (1, 0)) if logits_RKO.shape[-1] == 1 else logits_RKO


class TaskHeads(nn.Module):
    """A head for each task, over the features of windows.

    Parameters
    ----------
    tasks, problem
        What there is to learn.
    class_head, other_head
        Make the head of the classes, of so many outputs, and any other, of one. The last layer is
        linear.
    """

    def __init__(
        self,
        tasks: Tasks,
        problem: Problem,
        /,
        *,
        class_head: Callable[[int], nn.Sequential],
        other_head: Callable[[int], nn.Sequential],
    ) -> None:
        super().__init__()
        sides = tasks.sides(problem.n_classes)
        self.window_length = problem.window_length
        self.side_classes = sides
        self.classes = class_head(problem.n_outputs)
        self.sides = nn.ModuleList(other_head(1) for _ in sides)
        self.activity, self.observed = None, None
        if tasks.activity is not Activity.NONE:
            self.activity = other_head(1)
            self.observed = _OBSERVED[tasks.activity](problem.n_units)
        self.log_variances_J = None
        if tasks.weighting is Weighting.LEARNT:
            self.log_variances_J = nn.Parameter(tasks.initial_log_variances(problem.n_classes))

    def begin_at(self, problem: Problem, /) -> None:
        """Set the biases of logits to stand for the shares of classes."""
        shares = problem.class_shares
        begin_at(shares, layer=_last(self.classes))
        for head, c in zip(self.sides, self.side_classes, strict=True):
            begin_at((1 - shares[c], shares[c]), layer=_last(head))

    def forward(self, features_BF: Tensor, frames_RTN: Tensor) -> Tensor:
        """Give the outputs of the windows of runs, shape ``(run, window, output)``."""
        heads = [self.classes, *self.sides, *([self.activity] if self.activity else [])]
        told_BO = torch.cat([head(features_BF) for head in heads], dim=1)
        # Under autocast heads give bfloat16, whose rounding a loss near zero would show.
        told_BO = told_BO.to(_last(self.classes).weight.dtype)
        columns = [told_BO.view(len(frames_RTN), -1, told_BO.shape[1])]
        if self.observed is not None:
            columns.append(self.observed(frames_RTN.detach(), self.window_length)[..., None])
        if self.log_variances_J is not None:
            columns.append(self.log_variances_J.expand(*columns[0].shape[:2], -1))
        return torch.cat(columns, dim=2)


class MeanActivity(nn.Module):
    """The mean over units in the last frame of each window."""

    def __init__(self, n_units: int) -> None:  # noqa: ARG002 - the other kind asks for it
        super().__init__()

    def forward(self, frames_RTN: Tensor, window_length: int) -> Tensor:
        """Give the activity of windows, shape ``(run, window)``."""
        return frames_RTN[:, window_length - 1 :].mean(-1)


class FirstComponent(BatchStatistics):
    """The first principal component in the last frame of each window, as seen so far.

    H's code fits it to all frames, those of the test part among them. Here the direction is a
    running estimate over the frames seen in training, like the statistics of batch normalization:
    at each step it moves towards where the batch's covariance turns it, which ends at the direction
    of the largest variance. It begins at the mean over units and keeps its sign.
    """

    mean_N: Tensor
    direction_N: Tensor

    def __init__(self, n_units: int, *, momentum: float = 0.1) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean_N", torch.zeros(n_units))
        self.register_buffer("direction_N", torch.full((n_units,), n_units**-0.5))

    def forward(self, frames_RTN: Tensor, window_length: int) -> Tensor:
        """Give the activity of windows, shape ``(run, window)``; in training, move on first."""
        with torch.autocast(frames_RTN.device.type, enabled=False):
            if self.training:
                self._move_on(frames_RTN.flatten(0, 1))
            return (frames_RTN[:, window_length - 1 :] - self.mean_N) @ self.direction_N

    @torch.no_grad()
    def _move_on(self, frames_XN: Tensor) -> None:
        n = self.total(frames_XN.new_tensor(float(len(frames_XN))))
        self.mean_N.lerp_(self.total(frames_XN.sum(0)) / n, self.momentum)
        centered_XN = frames_XN - self.mean_N
        turned_N = self.total(centered_XN.t() @ (centered_XN @ self.direction_N))
        turned_N = functional.normalize(turned_N, dim=0)
        moved_N = torch.lerp(self.direction_N, turned_N, self.momentum)
        self.direction_N.copy_(functional.normalize(moved_N, dim=0))


_OBSERVED: dict[Activity, Callable[[int], nn.Module]] = {
    Activity.MEAN: MeanActivity,
    Activity.COMPONENT: FirstComponent,
}


def _last(head: nn.Module) -> nn.Linear:
    """Give the last layer of a head."""
    layer = list(head.children())[-1]
    assert isinstance(layer, nn.Linear)  # noqa: S101 - so heads are made
    return layer
