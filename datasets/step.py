"""What is done to a recording on its way into a dataset."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from calsweep.datasets.recording import Recording

FRAME_BY_FRAME = ", frame by frame"
"""Ends the sentence of a step after which a frame depends on no other frame."""


class Step(Protocol):
    """A frozen dataclass of options, with what it does."""

    def apply(self, recording: Recording, /) -> Recording:
        """Give the recording after this step; a sentence in its `steps` says what was done."""
        ...


def check_activity(recording: Recording, /, *, what: str) -> None:
    """Check that a step over time finds a value of each unit in every frame.

    Raises
    ------
    ValueError
        If there are no units, or activity is missing somewhere.
    """
    if not recording.units:
        raise ValueError(
            f"{recording.name}: {what} is made of traces of units, but there are images only. "
            "Leave that step out, or ingest traces."
        )
    n_missing = int(np.isnan(recording.activity_TN).sum())
    if n_missing:
        raise ValueError(
            f"{recording.name}: {what} needs activity in every frame, but {n_missing} values are "
            "missing. Do that step before values are left out, or fill them."
        )
