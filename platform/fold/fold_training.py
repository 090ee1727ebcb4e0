"""A fold's training as it goes: epochs or steps, validation, and where it stands."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from calsweep.datasets.split import FoldData
from calsweep.platform.fold.batch import epoch_batches
from calsweep.platform.fold.checkpoint import Checkpoint, Progress
from calsweep.platform.fold.feed import Shares
from calsweep.platform.fold.inference import Scored, score
from calsweep.platform.fold.trainee import Diverged, Trainee
from calsweep.platform.fold.training import Training
from calsweep.platform.score import Epoch
from calsweep.trainables.decoder import Decoder


class FoldTraining:
    """A module on a fold: its curve, and the weights of its best epoch.

    Parameters
    ----------
    decoder
        What built the module.
    module
        On its device.
    trainee
        The module with its optimizer.
    data
        The fold's windows.
    training
        How.
    checkpoint
        Where a fold that trains alone keeps where it stands.
    shares
        This process among others.
    """

    def __init__(
        self,
        *,
        decoder: Decoder,
        module: nn.Module,
        trainee: Trainee,
        data: FoldData,
        training: Training,
        checkpoint: Checkpoint | None = None,
        shares: Shares = Shares(),  # noqa: B008 - frozen
    ) -> None:
        self.decoder = decoder
        self.module = module
        self.trainee = trainee
        self.data = data
        self.training = training
        self._checkpoint = checkpoint
        self._shares = shares
        self._done_S: Tensor | None = None
        self._train_loss: float | None = None
        self.curve: list[Epoch] = []
        self.n_windows = 0
        self.best: Mapping[str, Tensor] = {}

    @property
    def best_epoch(self) -> Epoch:
        """Of equals the earlier."""
        return min(self.curve, key=lambda row: row.validation.loss)

    @property
    def is_early_enough(self) -> bool:
        """Whether the validation loss has not fallen for as long as patience lasts."""
        patience = self.training.patience
        return bool(patience and self.curve) and (
            self.curve[-1].epoch - self.best_epoch.epoch >= patience
        )

    def train_epoch(self, epoch: int, /, *, seed: int) -> None:
        """Train an epoch and validate."""
        batches = epoch_batches(self.data.train, training=self.training, seed=seed, epoch=epoch)
        train_loss = self.trainee.train_epoch(
            batches,
            epoch=epoch,
            seed=seed,
            done_S=self._done_S,
            # Each of several processes knows its own losses only: they go on between two epochs.
            on_step=self._keep if self._shares.world_size == 1 else None,
        )
        self._done_S = None
        self.end_epoch(epoch, train_loss, n_windows=sum(batch.n_windows for batch in batches))

    def end_epoch(self, epoch: int, train_loss: float, /, *, n_windows: int) -> None:
        """Validate after an epoch that was trained, here or in a stack.

        Raises
        ------
        Diverged
            If the validation loss is not finite.
        """
        self.n_windows += n_windows
        self._validate(epoch, train_loss)

    @property
    def is_within_epoch(self) -> bool:
        """Whether some steps of the next epoch are done."""
        return self._done_S is not None

    def train_steps(self, n_steps: int, /, *, epoch: int, seed: int) -> int:
        """Train some steps on; an epoch may end among them.

        Parameters
        ----------
        n_steps
            To take.
        epoch
            Under way, from 1.
        seed
            Of the order of samples.

        Returns
        -------
        epoch
            Under way after these steps.
        """
        n_left = n_steps
        while n_left:
            batches = epoch_batches(self.data.train, training=self.training, seed=seed, epoch=epoch)
            first = 0 if self._done_S is None else len(self._done_S)
            stop = min(first + n_left, len(batches))
            losses: list[Tensor] = []
            train_loss = self.trainee.train_epoch(
                batches[:stop], epoch=epoch, seed=seed, done_S=self._done_S, on_step=losses.append
            )
            self.n_windows += sum(batch.n_windows for batch in batches[first:stop])
            self._done_S = losses[-1].clone()
            n_left -= stop - first
            if stop == len(batches):
                epoch, self._done_S = epoch + 1, None
        self._train_loss = train_loss
        return epoch

    def validate_steps(self) -> None:
        """Validate, if steps were taken since it was done.

        Raises
        ------
        Diverged
            If the validation loss is not finite.
        """
        if self._train_loss is not None:
            self._validate(len(self.curve) + 1, self._train_loss)
            self._train_loss = None

    def change(self, training: Training, /, *, decoder: Decoder) -> None:
        """Go on with other settings (`Trainee.change`)."""
        self.training = training
        self.decoder = decoder
        self.trainee.change(training, decoder=decoder)

    def test(self) -> Scored:
        """Give the module the weights of its best epoch, and their figures on the test part."""
        self.module.load_state_dict(self.best)
        test = score(self.module, decoder=self.decoder, data=self.data, part=self.data.test)
        if not math.isfinite(test.score.loss):
            raise Diverged(self.best_epoch.epoch, 0, self.training.learning_rate)
        return test

    def _validate(self, epoch: int, train_loss: float) -> None:
        validation = score(
            self.module, decoder=self.decoder, data=self.data, part=self.data.validation
        ).score
        if not math.isfinite(validation.loss):
            raise Diverged(epoch, 0, self.training.learning_rate)
        self.curve.append(Epoch(epoch=epoch, train_loss=train_loss, validation=validation))
        if self.best_epoch is self.curve[-1]:
            self.best = _copy_weights(self.module)
        self.trainee.see_validation(validation.loss)
        self._keep(torch.empty(0))

    def _keep(self, losses_S: Tensor) -> None:
        """Keep what an interrupted training goes on from, if it is time."""
        if self._checkpoint is None or self._shares.rank > 0 or not self._checkpoint.is_due():
            return
        self._checkpoint.write(self._progress(losses_S))

    def resume(self) -> int:
        """Go on from a checkpoint if there is one, and give the epoch to begin with."""
        progress = self._checkpoint.read() if self._checkpoint else None
        if progress is None:
            return 1
        self.go_on_from(progress)
        return len(self.curve) + 1

    def progress(self) -> Progress:
        """Give what training goes on from, between two epochs or two generations of steps."""
        return self._progress(torch.empty(0) if self._done_S is None else self._done_S)

    def go_on_from(self, progress: Progress, /) -> None:
        """Stand where another training stood."""
        self.trainee.load_state(dict(progress.trainee))
        self.curve = list(progress.curve)
        self.n_windows = progress.n_windows
        self.best = progress.best
        self._done_S = progress.losses_S if len(progress.losses_S) else None

    def _progress(self, losses_S: Tensor) -> Progress:
        return Progress(
            curve=tuple(self.curve),
            n_windows=self.n_windows,
            best=self.best,
            trainee=self.trainee.state(),
            losses_S=losses_S.cpu().clone(),
        )


def _copy_weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
