"""Trials as models of dynamics read them, on the device that these train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from calsweep.datasets.trial_view import TrialView
from calsweep.platform.plain import nearest

# R trial, T bin, X values in a bin


@dataclass(frozen=True, kw_only=True)
class OnDevice:
    """What learners of the same trials share, on their device.

    Attributes
    ----------
    activity, external
        Of each recording, time first, so that the trials of a batch are gathered as the model reads
        them; no external inputs where there are none.
    """

    activity: tuple[Tensor, ...]
    external: tuple[Tensor | None, ...]

    @classmethod
    def of(cls, views: Sequence[TrialView], names: Sequence[str], device: str, /) -> OnDevice:
        """Bring trials to a device, with the measures that drive the generator."""
        return cls(
            activity=tuple(_time_first(view.activity_RTN, device) for view in views),
            external=tuple(_external_of(view, names, device) for view in views),
        )

    def trials(self, i: int, at: Tensor, /) -> tuple[Tensor, Tensor | None]:
        """Give activity and external inputs of some trials of a recording."""
        external = self.external[i]
        return (
            self.activity[i].index_select(1, at),
            None if external is None else external.index_select(1, at),
        )


def _time_first(values_RTX: NDArray[np.floating], device: str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values_RTX.swapaxes(0, 1), np.float32)).to(device)


def _external_of(view: TrialView, names: Sequence[str], device: str) -> Tensor | None:
    if not names:
        return None
    for name in names:
        if name not in view.measures:
            hint = nearest(name, view.measures)
            raise ValueError(f"{view.recording}: the view has no measure `{name}`. {hint}")
        if np.isnan(view.measures[name]).any():
            raise ValueError(
                f"{view.recording}: `{name}` must be known in every bin to drive the generator, "
                f"but is not in {np.count_nonzero(np.isnan(view.measures[name]))}."
            )
    return _time_first(np.stack([view.measures[name] for name in names], axis=2), device)
