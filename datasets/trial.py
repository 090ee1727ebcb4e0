"""Trials: stretches of frames that no window crosses the border of."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.recording import Recording, trial_borders


def trials_from(values: NDArray[np.generic], /, *, n_frames: int) -> NDArray[np.int32]:
    """Count the trials of a recording, from an array that says where they are.

    Parameters
    ----------
    values
        Either one value per frame (a trial ends where it changes), or the first frame of each
        trial, increasing.
    n_frames
        Frames in the recording.

    Returns
    -------
    trial_T
        Counted from 0, shape ``(time,)``.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> trials_from(np.array([7, 7, 3, 3, 3]), n_frames=5).tolist()
    [0, 0, 1, 1, 1]
    >>> trials_from(np.array([0, 3]), n_frames=5).tolist()
    [0, 0, 0, 1, 1]
    """
    is_first = np.zeros(n_frames, dtype=bool)
    if values.shape == (n_frames,):
        is_first[1:] = values[1:] != values[:-1]
    else:
        is_first[_checked(values, n_frames=n_frames)] = True
        is_first[0] = False
    trial_T: NDArray[np.int32] = np.cumsum(is_first, dtype=np.int32)
    return trial_T


def split_trials_every(recording: Recording, /, *, n_frames: int) -> Recording:
    """Cut each trial into trials of a number of frames; the last may be shorter.

    Examples
    --------
    >>> recording = Recording(
    ...     subject="m1",
    ...     name="m1_d1",
    ...     activity_TN=np.zeros((5, 1), dtype=np.float32),
    ...     behavior={},
    ...     rate_hz=30.0,
    ...     units=("a",),
    ...     trial_T=np.array([0, 0, 0, 1, 1], dtype=np.int32),
    ... )
    >>> split_trials_every(recording, n_frames=2).trial_T.tolist()
    [0, 0, 1, 2, 2]
    """
    if n_frames < 1:
        raise ValueError(f"`n_frames >= 1` must hold, but got {n_frames=}.")
    borders = trial_borders(recording.trial_T)
    firsts = [np.arange(a, b, n_frames) for a, b in itertools.pairwise(borders)]
    starts = np.concatenate(firsts)
    trial_T = np.repeat(
        np.arange(len(starts), dtype=np.int32), np.diff(starts, append=recording.n_frames)
    )
    return dataclasses.replace(recording, trial_T=trial_T)


def _checked(values: NDArray[np.generic], *, n_frames: int) -> NDArray[np.int64]:
    whole = values.ndim == 1 and values.size > 0 and values.dtype.kind in "iu"
    firsts = values.astype(np.int64) if whole else np.empty(0, dtype=np.int64)
    inside = whole and firsts[0] >= 0 and firsts[-1] < n_frames
    if not inside or (np.diff(firsts) <= 0).any():
        raise ValueError(
            f"trials must be one value per frame ({n_frames}), or the increasing first frames of "
            f"trials, but came as {values.dtype} of shape {values.shape}."
        )
    return firsts
