"""Folds, of one trial or of all members of a population, trained as one program.

Each fold keeps its weights, optimizer, windows and order of samples; at each step those of all are
stacked, and one batched product stands for one of each (`torch.vmap`). Shorter runs and batches are
filled up with windows of weight 0. So a fold comes to what it comes to alone, but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from calsweep.datasets.split import FrameArray
from calsweep.platform.fold.batch import Runs, epoch_batches
from calsweep.platform.fold.fold_training import FoldTraining
from calsweep.platform.fold.trainee import Diverged
from calsweep.platform.fold.training import Precision, Schedule, Training
from calsweep.platform.repeated import Repeated
from calsweep.platform.stacked_weights import NO_BOUND, StackedWeights
from calsweep.trainables.losses import CriterionNumbers, criterion_numbers, cross_entropy_by

# F fold, S step, R run, T time, N unit, W window of a part, K windows per run, O outputs


def why_alone(decoder: object, training: Training, /, *, searched: Sequence[str] = ()) -> str:
    """Say why folds of a decoder cannot be stacked; empty if they can.

    Parameters
    ----------
    decoder, training
        What is trained, and how.
    searched
        Dotted names of settings that may change.
    """
    if not getattr(decoder, "is_stackable", False):
        return f"{type(decoder).__name__} cannot be stacked, as recurrent decoders can"
    if training.schedule not in {Schedule.CONSTANT, Schedule.PLATEAU}:
        return f"training.schedule={training.schedule.value} changes from step to step"
    is_mixed = training.mixup > 0 or "training.mixup" in searched
    others = {
        "training.mixup mixes runs of one batch": is_mixed,
        "training.accumulation works through a batch in pieces": training.accumulation > 1,
        "training.compile compiles one module": training.compile,
        "training.precision is not float32": training.precision is not Precision.FLOAT32,
    }
    return next((why for why, is_so in others.items() if is_so), "")


class FoldStack:
    """Folds that train their epochs together.

    Parameters
    ----------
    runs
        Each on one fold, of one decoder and batch size, over frames of one dataset.
    seeds
        Of the order of samples of each.

    Raises
    ------
    ValueError
        If frames are not the same.
    """

    def __init__(self, runs: Sequence[FoldTraining], /, *, seeds: Sequence[int]) -> None:
        self._runs, self._seeds = tuple(runs), tuple(seeds)
        first = runs[0]
        frames = first.data.train.frames
        if len({_key(run.data.train.frames) for run in runs}) > 1 or frames.ndim > 2:
            raise ValueError("folds of a stack must share their frames, which must be traces.")
        self._device = next(first.module.parameters()).device
        self._frames = _Frames(frames, self._device)
        self._forward = _Shared(first.module)
        self._length = first.data.window_length
        # Labels of each part once, however many folds or members have it.
        parts = {id(run.data): run.data.train.labels_W for run in runs}
        begins = np.cumsum([0, *map(len, parts.values())])
        self._begin_of = dict(zip(parts, begins.tolist(), strict=False))
        self._labels = torch.from_numpy(np.concatenate(list(parts.values()))).to(self._device)

    def train_epoch(
        self, epoch: int, /, *, which: Sequence[int] | None = None
    ) -> dict[int, Diverged]:
        """Train an epoch of each fold, or of some, and validate.

        Returns
        -------
        diverged
            Number of a fold to what is wrong with it; those have not been validated.
        """
        numbers = range(len(self._runs)) if which is None else which
        runs = [self._runs[f] for f in numbers]
        batches = [
            epoch_batches(run.data.train, training=run.training, seed=self._seeds[f], epoch=epoch)
            for f, run in zip(numbers, runs, strict=True)
        ]
        losses_SF = self._train(runs, batches)
        diverged = {}
        for f, run, of_fold, losses_S in zip(numbers, runs, batches, losses_SF.t(), strict=True):
            n_windows = sum(part.n_windows for part in of_fold)
            losses_S = losses_S[: len(of_fold)]
            try:
                run.trainee.check_finite(losses_S, of_fold, epoch=epoch)
                train_loss = float(losses_S.sum().item()) / n_windows
                run.end_epoch(epoch, train_loss, n_windows=n_windows)
            except Diverged as error:
                diverged[f] = error
        return diverged

    def _train(self, runs: Sequence[FoldTraining], batches: Sequence[Sequence[Runs]]) -> Tensor:
        """Take the steps of an epoch, and give the summed loss of each step and fold."""
        for run in runs:
            run.module.train()
        weights = StackedWeights(
            [run.module for run in runs], [run.trainee.optimizer for run in runs]
        )
        like = weights.flat_MP
        plan = self._plan(runs, batches)
        criteria = [run.training.criterion(run.data.class_shares) for run in runs]
        numbers = {
            name: of_folds.to(like)
            for name, of_folds in criterion_numbers(
                criteria, n_classes=runs[0].data.n_classes
            ).items()
        }
        bound_F = like.new_tensor([run.training.clip_norm or NO_BOUND for run in runs])
        losses_SF = torch.zeros(plan.n_SFR.shape[:2], dtype=torch.float64, device=self._device)
        at = torch.zeros(1, dtype=torch.int64, device=self._device)

        def step() -> None:
            frames, labels, seen = plan.batch(at, self._frames, self._labels)
            named = {f"module.{name}": weight for name, weight in weights.named().items()}

            def loss_of(
                named: dict[str, Tensor],
                frames: Tensor,
                labels_RK: Tensor,
                seen_RK: Tensor,
                numbers: dict[str, Tensor],
            ) -> Tensor:
                outputs_RKO = functional_call(self._forward, named, (frames,))
                return cross_entropy_by(
                    outputs_RKO, labels_RK, seen_RK, CriterionNumbers(**numbers)
                )

            loss_F = torch.vmap(loss_of)(named, frames, labels, seen, numbers)
            n_F = seen.sum((1, 2))
            weights.step((loss_F / n_F.clamp(min=1)).sum(), bound_M=bound_F, is_active_M=n_F > 0)
            losses_SF.index_copy_(0, at, loss_F.detach().double()[None])
            at.add_(1)

        repeated = Repeated(step, device=self._device)
        for _ in range(len(losses_SF)):
            repeated()
        weights.write_back()
        return losses_SF.cpu()

    def _plan(self, runs: Sequence[FoldTraining], batches: Sequence[Sequence[Runs]]) -> _Plan:
        n_steps = max(map(len, batches))
        n_runs = max(len(batch) for of_fold in batches for batch in of_fold)
        shape = (n_steps, len(runs), n_runs)
        first_SFR, start_SFR, n_SFR = (np.zeros(shape, np.int64) for _ in range(3))
        for f, (run, of_fold) in enumerate(zip(runs, batches, strict=True)):
            starts_W = run.data.train.starts_W
            for s, batch in enumerate(of_fold):
                first_SFR[s, f, : len(batch)] = batch.first_R
                n_SFR[s, f, : len(batch)] = batch.n_windows_R
            start_SFR[:, f] = starts_W[first_SFR[:, f]]
            first_SFR[:, f] += self._begin_of[id(run.data)]
        return _Plan(
            *(torch.from_numpy(x).to(self._device) for x in (first_SFR, start_SFR, n_SFR)),
            *(
                torch.from_numpy(np.stack([getattr(run.data.scaling, name) for run in runs]))[
                    :, None, None
                ].to(self._device)
                for name in ("offset_N", "scale_N")
            ),
            run_length=runs[0].training.run_length,
            window_length=self._length,
        )


class _Plan:
    """Which windows each fold trains on at each step of an epoch, on the device."""

    def __init__(
        self,
        first_SFR: Tensor,
        start_SFR: Tensor,
        n_SFR: Tensor,
        offset_F11N: Tensor,
        scale_F11N: Tensor,
        *,
        run_length: int,
        window_length: int,
    ) -> None:
        self._first_SFR, self._start_SFR, self.n_SFR = first_SFR, start_SFR, n_SFR
        self._offset_F11N, self._scale_F11N = offset_F11N, scale_F11N
        self._k_K = torch.arange(run_length, device=n_SFR.device)
        n_frames = run_length + window_length - 1
        self._t_T1 = torch.arange(n_frames, device=n_SFR.device)[:, None]
        self._reach = window_length - 1  # from the first frame of a window to its last

    def batch(self, step: Tensor, frames: _Frames, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give frames, labels, and which windows count, as `calsweep.platform.fold.batch.draw`."""
        first_FR, start_FR, n_FR = (
            x.index_select(0, step).squeeze(0)
            for x in (self._first_SFR, self._start_SFR, self.n_SFR)
        )
        last_FR = n_FR.clamp(min=1) - 1
        ends_F1R = (last_FR + self._reach)[:, None]
        at_FTR = start_FR[:, None] + torch.minimum(self._t_T1, ends_F1R)
        taken_FTRN = frames.take(at_FTR).sub_(self._offset_F11N).mul_(self._scale_F11N)
        windows_FRK = first_FR[..., None] + torch.minimum(self._k_K, last_FR[..., None])
        return taken_FTRN.transpose(1, 2), labels[windows_FRK], self._k_K < n_FR[..., None]


class _Frames:
    """Frames of a dataset: on a GPU as a whole, else where they are."""

    def __init__(self, frames: FrameArray, device: torch.device, /) -> None:
        self._array = frames
        self._on_gpu: Tensor | None = None
        if device.type != "cpu":
            self._on_gpu = torch.from_numpy(np.array(frames[:], np.float32)).to(device)

    def take(self, at: Tensor, /) -> Tensor:
        """Give a copy of frames by number."""
        if self._on_gpu is not None:
            return self._on_gpu[at]
        taken: NDArray[np.float32] = self._array[at.numpy()]
        return torch.from_numpy(taken).float()


class _Shared(nn.Module):
    """A module whose windows share the products of their frames, on whatever device."""

    def __init__(self, module: nn.Module, /) -> None:
        super().__init__()
        self.module = module

    def forward(self, frames: Tensor) -> Tensor:
        outputs: Tensor = self.module.forward_shared(frames)  # type: ignore[operator]
        return outputs


def _key(frames: FrameArray) -> tuple[object, ...]:
    """Tell frames apart: two views of a file are the same."""
    if isinstance(frames, np.memmap):
        return str(frames.filename), frames.offset, frames.shape
    return (id(frames),)
