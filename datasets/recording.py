"""One continuous imaging run of one subject."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Activity and behavior of one continuous imaging run, frame by frame.

    Attributes
    ----------
    subject
        The animal.
    name
        Name of the recording, unique in its dataset.
    activity_TN
        Shape ``(time, unit)``, finite.
    behavior
        Name to values of shape ``(time,)``; labels are whole numbers, measures are floats.
    behavior_unit
        Name to physical unit (``"cm/s"``), ``""`` where there is none.
    rate_hz
        Frames per second.
    units
        Name of each column of ``activity_TN``.
    trial_T
        Shape ``(time,)``. A window never crosses a change of this number.
    source_sha256
        Name of each source file to its SHA-256.
    """

    subject: str
    name: str
    activity_TN: NDArray[np.float32]
    behavior: Mapping[str, NDArray[np.generic]]
    behavior_unit: Mapping[str, str] = field(default_factory=dict)
    rate_hz: float
    units: tuple[str, ...]
    trial_T: NDArray[np.int32]
    source_sha256: Mapping[str, str] = field(default_factory=dict)
