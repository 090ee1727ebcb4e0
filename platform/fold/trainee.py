"""A module in training: batches to steps of its optimizer, by the settings of `Training`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import lr_scheduler

from calsweep.datasets.split import FoldData
from calsweep.platform.fold.batch import Batch, Runs
from calsweep.platform.fold.feed import Feed, Shares
from calsweep.platform.fold.training import Precision, Schedule, Training
from calsweep.trainables.batch_share import share_statistics
from calsweep.trainables.decoder import Decoder

_LOG = logging.getLogger(__name__)
LIVE = (
    "learning_rate",
    "weight_decay",
    "label_smoothing",
    "focal_gamma",
    "focal_alpha",
    "clip_norm",
    "mixup",
)
"""Names of settings of training that may change while a module trains."""

_DTYPE = {Precision.BFLOAT16: torch.bfloat16, Precision.FLOAT16: torch.float16}


class Diverged(ArithmeticError):
    """The loss is no longer a finite number.

    Attributes
    ----------
    epoch
        From 1.
    step
        Of the epoch, from 1; 0 where not a training step but a validation or test showed it.
    learning_rate
        As set.
    recordings
        Those that the step's windows came from.
    """

    def __init__(
        self, epoch: int, step: int, learning_rate: float, recordings: tuple[str, ...] = ()
    ) -> None:
        super().__init__(epoch, step, learning_rate, recordings)
        self.epoch = epoch
        self.step = step
        self.learning_rate = learning_rate
        self.recordings = recordings

    def __str__(self) -> str:
        where = f"step {self.step} of epoch {self.epoch}" if self.step else f"epoch {self.epoch}"
        some = ", ".join(self.recordings[:5]) + (", ..." if len(self.recordings) > 5 else "")
        windows = f", on windows of {some}," if some else ""
        return (
            f"The loss was not finite in {where}{windows} at learning rate "
            f"{self.learning_rate:g}: lower `training.learning_rate`, set `training.clip_norm`, or "
            "look at these recordings with `calsweep data check`."
        )


class Trainee:
    """A module with its optimizer and schedule, and this process's share of the work.

    Parameters
    ----------
    decoder
        What built the module.
    module
        On its device.
    data
        The fold's windows.
    training
        How.
    n_steps
        Steps over all epochs, which a schedule is laid over.
    shares
        This process among others. Where there are some, statistics that the module takes of a batch
        are those of all shares (`calsweep.trainables.batch_share`).
    wrap
        Wraps the module to average gradients over processes (DDP).
    """

    def __init__(
        self,
        decoder: Decoder,
        /,
        *,
        module: nn.Module,
        data: FoldData,
        training: Training,
        n_steps: int,
        shares: Shares,
        wrap: Callable[[nn.Module], nn.Module] | None = None,
    ) -> None:
        self._decoder = decoder
        self._batch_share = share_statistics(module) if shares.world_size > 1 else None
        module = wrap(module) if wrap else module
        self._module = module
        self._data = data
        self._training = training
        self._shares = shares
        self._criterion = training.criterion(data.class_shares)
        self._device = next(module.parameters()).device
        self._parameters = [p for p in module.parameters() if p.requires_grad]
        self.optimizer = _optimizer(self._parameters, training)
        self._schedule = _schedule(self.optimizer, training, n_steps)
        is_half = training.precision is Precision.FLOAT16
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=is_half)
        self._feed = Feed(
            part=data.train,
            scaling=data.scaling,
            window_length=data.window_length,
            training=training,
            device=self._device,
            shares=shares,
        )
        self._forward: nn.Module | Any = _Compiled(module) if training.compile else module

    def train_epoch(
        self,
        batches: Sequence[Runs],
        /,
        *,
        epoch: int,
        seed: int,
        done_S: Tensor | None = None,
        on_step: Callable[[Tensor], None] | None = None,
    ) -> float:
        """Take a step for each batch and give the mean loss of its windows.

        Parameters
        ----------
        batches
            Of the epoch.
        epoch, seed
            By which what is random is drawn, step by step: training that goes on in the middle of
            an epoch is the same.
        done_S
            Loss of the steps that were taken before, where training goes on.
        on_step
            Called after each step with the losses so far.

        Raises
        ------
        Diverged
            If a loss is not finite.
        """
        self._module.train()
        losses_S = torch.zeros(len(batches), dtype=torch.float64, device=self._device)
        first = 0 if done_S is None else len(done_S)
        if done_S is not None:
            losses_S[:first] = done_S.to(self._device)
        for step, pieces in enumerate(self._feed.batches(batches[first:]), start=first):
            random = np.random.SeedSequence([seed, epoch, step, self._shares.rank])
            self._seed(int(random.generate_state(1)[0]))
            losses_S[step] = self._step(batches[step], pieces, np.random.default_rng(random))
            if on_step:
                on_step(losses_S[: step + 1])
        if self._shares.world_size > 1 and distributed.is_initialized():
            distributed.all_reduce(losses_S)
        self.check_finite(losses_S, batches, epoch=epoch)
        return float(losses_S.sum().item()) / sum(runs.n_windows for runs in batches)

    def _seed(self, seed: int) -> None:
        # Not `torch.manual_seed`: for each kind of device that a process does not use, it keeps
        # the seed and where it was called from, which takes a tenth of a step and ever more memory.
        torch.default_generator.manual_seed(seed)
        if self._device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def see_validation(self, loss: float, /) -> None:
        """Let a schedule that follows the validation loss know it."""
        if isinstance(self._schedule, lr_scheduler.ReduceLROnPlateau):
            self._schedule.step(loss)

    def change(self, training: Training, /, *, decoder: Decoder) -> None:
        """Go on with other settings, in the live optimizer and loss.

        Parameters
        ----------
        training
            Differs from that it was begun with in what may change (`LIVE`) alone.
        decoder
            Builds modules of the same tensors.
        """
        self._training = training
        self._decoder = decoder
        self._criterion = training.criterion(self._data.class_shares)
        for group in self.optimizer.param_groups:
            group["lr"] = training.learning_rate
            group["weight_decay"] = training.weight_decay

    def live(self) -> dict[str, float]:
        """Read back what `change` set, from the optimizer and the loss themselves."""
        group = self.optimizer.param_groups[0]
        return {
            "learning_rate": float(group["lr"]),
            "weight_decay": float(group["weight_decay"]),
            "label_smoothing": self._criterion.label_smoothing,
            "focal_gamma": self._criterion.focal_gamma,
            "focal_alpha": self._criterion.focal_alpha,
            "clip_norm": self._training.clip_norm,
            "mixup": self._training.mixup,
        }

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def state(self) -> dict[str, Any]:
        """Give what training goes on from, as tensors and plain values."""
        return {
            "module": _bare(self._module).state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": _plain(self._schedule.state_dict()) if self._schedule else {},
            "scaler": self._scaler.state_dict(),
        }

    def load_state(self, state: dict[str, Any], /) -> None:
        """Go on from a state."""
        _bare(self._module).load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self._schedule:
            self._schedule.load_state_dict(state["schedule"])
        self._scaler.load_state_dict(state["scaler"])

    def _step(self, runs: Runs, pieces: Sequence[Batch], mixing: np.random.Generator) -> Tensor:
        """Take a step and give the summed loss of this process's windows.

        DDP averages gradients over processes, so each counts its sum over the mean share of a
        process: the average is then the gradient of the mean over the whole batch.
        """
        factor = self._shares.world_size / runs.n_windows
        self.optimizer.zero_grad()
        losses = torch.zeros((), dtype=torch.float64, device=self._device)
        for i, piece in enumerate(pieces):
            if self._batch_share:
                self._batch_share.is_counted = piece.n_windows > 0
            with self._synchronized(is_last=i == len(pieces) - 1):
                loss = self._loss(piece, mixing)
                self._scaler.scale(loss * factor).backward()  # type: ignore[no-untyped-call]
            losses += loss.detach()
        if self._training.clip_norm:
            self._scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self._parameters, self._training.clip_norm)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        if self._schedule and not isinstance(self._schedule, lr_scheduler.ReduceLROnPlateau):
            self._schedule.step()
        return losses

    def _loss(self, batch: Batch, mixing: np.random.Generator) -> Tensor:
        if not self._training.mixup:
            return self._loss_of(batch, batch.frames)
        share = float(mixing.beta(self._training.mixup, self._training.mixup))
        order = torch.from_numpy(mixing.permutation(len(batch.frames))).to(self._device)
        frames = share * batch.frames + (1 - share) * batch.frames[order]
        # A mixed window counts where both of its halves do.
        weights_RK = batch.weights_RK & batch.weights_RK[order]
        mixed = replace(batch, frames=frames, weights_RK=weights_RK)
        other = replace(mixed, labels_RK=batch.labels_RK[order])
        outputs_RKO = self._outputs(frames)
        return share * self._criterion_of(outputs_RKO, mixed) + (1 - share) * self._criterion_of(
            outputs_RKO, other
        )

    def _loss_of(self, batch: Batch, frames: Tensor) -> Tensor:
        return self._criterion_of(self._outputs(frames), batch)

    def _outputs(self, frames: Tensor) -> Tensor:
        dtype = _DTYPE.get(self._training.precision)
        with torch.autocast(self._device.type, dtype=dtype, enabled=dtype is not None):
            outputs_RKO: Tensor = self._forward(frames)
        return outputs_RKO.float()

    def _criterion_of(self, outputs_RKO: Tensor, batch: Batch) -> Tensor:
        return self._decoder.loss(
            outputs_RKO,
            batch.labels_RK,
            batch.weights_RK,
            frames=batch.frames,
            criterion=self._criterion,
        )

    @contextlib.contextmanager
    def _synchronized(self, *, is_last: bool) -> Iterator[None]:
        """Let DDP average gradients once a step, not once a piece."""
        no_sync = getattr(self._module, "no_sync", None)
        with contextlib.nullcontext() if is_last or no_sync is None else no_sync():
            yield

    def check_finite(self, losses_S: Tensor, batches: Sequence[Runs], /, *, epoch: int) -> None:
        """Check the losses of an epoch's steps.

        Raises
        ------
        Diverged
            If one is not finite.
        """
        if bool(losses_S.isfinite().all()):
            return
        step = int((~losses_S.isfinite()).nonzero()[0])
        targets = self._data.train.targets_W
        windows = batches[step]
        frames = np.concatenate(
            [
                targets[first : first + n]
                for first, n in zip(windows.first_R, windows.n_windows_R, strict=True)
            ]
        )
        raise Diverged(
            epoch, step + 1, self._training.learning_rate, self._data.recordings_of(frames)
        )


def _bare(module: nn.Module) -> nn.Module:
    """Give a module without what averages its gradients, so that names are those of one alone."""
    return module.module if isinstance(module, DistributedDataParallel) else module


class _Compiled:
    """A module that `torch.compile` runs, or, where that fails, the module itself."""

    def __init__(self, module: nn.Module, /) -> None:
        self._module = module
        self._compiled: Any = torch.compile(module)

    def __call__(self, frames: Tensor) -> Tensor:
        if self._compiled is not None:
            try:
                outputs: Tensor = self._compiled(frames)
            except Exception as error:  # noqa: BLE001 - of whatever kind, the module itself can run
                _LOG.warning("torch.compile failed and is left out: %s", str(error).splitlines()[0])
                self._compiled = None
            else:
                return outputs
        plain: Tensor = self._module(frames)
        return plain


def _optimizer(parameters: list[nn.Parameter], training: Training) -> torch.optim.Optimizer:
    # Without weight decay, AdamW is Adam.
    return torch.optim.AdamW(
        parameters, lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
    )


def _schedule(
    optimizer: torch.optim.Optimizer, training: Training, n_steps: int
) -> lr_scheduler.LRScheduler | None:
    if training.schedule is Schedule.ONE_CYCLE:
        total = n_steps + 1  # torch steps once when it begins
        # Torch divides by the steps between the first and the last of the warm-up: here none.
        warmup = 0.0 if training.warmup * total == 1 else training.warmup
        return lr_scheduler.OneCycleLR(
            optimizer, max_lr=training.learning_rate, total_steps=total, pct_start=warmup
        )
    if training.schedule is Schedule.COSINE:
        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=n_steps)
    if training.schedule is Schedule.PLATEAU:
        return lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=5)
    return None


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """Leave out what cannot be read back without pickle, and is not needed."""
    return {key: value for key, value in state.items() if not callable(value)}
