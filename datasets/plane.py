"""Units of several imaging planes, side by side in one recording."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# T time, N unit, D dimension in space

_MAY_DIFFER_FRAMES = 1


@dataclass(frozen=True, kw_only=True)
class Plane:
    """Activity of one plane.

    Attributes
    ----------
    name
        Of the plane.
    rois
        What its units are called in it.
    activity_TN
        Shape ``(time, unit)``.
    positions_ND, phase_N
        As `Recording` has them, where known.
    """

    name: str
    rois: tuple[str, ...]
    activity_TN: NDArray[np.float32]
    positions_ND: NDArray[np.float32] | None = None
    phase_N: NDArray[np.float32] | None = None


@dataclass(frozen=True, kw_only=True)
class Planes:
    """Activity of several planes, as `Recording` takes it."""

    units: tuple[str, ...]
    activity_TN: NDArray[np.float32]
    positions_ND: NDArray[np.float32] | None
    phase_N: NDArray[np.float32] | None
    steps: tuple[str, ...]


def plane_order(name: str, /) -> tuple[tuple[str, int], ...]:
    """Give what sorts names of planes by the numbers in them.

    Examples
    --------
    >>> sorted(["plane10", "plane2"], key=plane_order)
    ['plane2', 'plane10']
    """
    return tuple((text, int(number or 0)) for text, number in re.findall(r"(\D*)(\d*)", name))


def join_planes(planes: Sequence[Plane], /) -> Planes:
    """Put the units of planes side by side.

    Units of one plane alone keep their names; of several, the plane's stands before. Where imaging
    stops in the middle of a volume, the last planes are a frame shorter: it is left out of all.

    Raises
    ------
    ValueError
        If the planes' lengths differ by more than a frame.

    Examples
    --------
    >>> upper = Plane(name="plane0", rois=("roi4",), activity_TN=np.zeros((3, 1), np.float32))
    >>> lower = Plane(name="plane1", rois=("roi0",), activity_TN=np.zeros((2, 1), np.float32))
    >>> joined = join_planes([upper, lower])
    >>> joined.units, joined.activity_TN.shape
    (('plane0_roi4', 'plane1_roi0'), (2, 2))
    >>> joined.steps
    ('last frame left out: `plane1` has none',)
    """
    if len(planes) == 1:
        (plane,) = planes
        return Planes(
            units=plane.rois,
            activity_TN=plane.activity_TN,
            positions_ND=plane.positions_ND,
            phase_N=plane.phase_N,
            steps=(),
        )
    n_frames = min(len(plane.activity_TN) for plane in planes)
    return Planes(
        units=tuple(f"{plane.name}_{roi}" for plane in planes for roi in plane.rois),
        activity_TN=np.concatenate([plane.activity_TN[:n_frames] for plane in planes], axis=1),
        positions_ND=_joined([plane.positions_ND for plane in planes]),
        phase_N=_joined([plane.phase_N for plane in planes]),
        steps=_cut(planes, n_frames=n_frames),
    )


def _cut(planes: Sequence[Plane], *, n_frames: int) -> tuple[str, ...]:
    """Say which planes are shorter than others, if they may be."""
    longest = max(len(plane.activity_TN) for plane in planes)
    if longest - n_frames > _MAY_DIFFER_FRAMES:
        lengths = ", ".join(f"`{plane.name}` {len(plane.activity_TN)}" for plane in planes)
        raise ValueError(
            f"planes must have equally many frames, or one less in the last, but have: {lengths}. "
            "Choose planes with `--plane`."
        )
    short = [f"`{plane.name}`" for plane in planes if len(plane.activity_TN) < longest]
    return (f"last frame left out: {', '.join(short)} has none",) if short else ()


def _joined(parts: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    """Put parts end to end if all are known, and in the same space."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts) or len({part.shape[1:] for part in known}) > 1:
        return None
    return np.concatenate(known)
