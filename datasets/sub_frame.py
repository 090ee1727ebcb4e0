"""Bins finer than a frame: each neuron's sample goes where the scanner was when it passed."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.trial_view import TrialView, warn_of_few_neurons

# R trial, T frame, S bin finer than a frame, N neuron


def in_sub_frame_bins(
    view: TrialView, /, *, phase_N: NDArray[np.floating], bins_per_frame: int
) -> TrialView:
    """Put each sample into the bin of its frame in which the neuron was scanned, as RADICaL does.

    Other bins of that neuron become NaN. Measures, which are those of a frame's beginning, are
    interpolated linearly to the beginning of bins; those after the last frame's keep its value.

    Parameters
    ----------
    view
        Trials of whole frames.
    phase_N
        When each neuron is sampled, as a share of the frame's duration after its start.
    bins_per_frame
        Bins in a frame.

    Warns
    -----
    FewNeurons
        If a bin has fewer than 20 sampled neurons.

    Raises
    ------
    ValueError
        If phases are not one a neuron, from 0 to below 1.

    Examples
    --------
    >>> view = TrialView(
    ...     recording="m1",
    ...     activity_RTN=np.ones((2, 1, 40), dtype=np.float32),
    ...     rate_hz=30.0,
    ...     units=tuple(map(str, range(40))),
    ...     condition_R=np.zeros(2, dtype=np.int64),
    ...     train_R=np.array([0]),
    ...     valid_R=np.array([1]),
    ... )
    >>> finer = in_sub_frame_bins(view, phase_N=np.arange(40) % 2 / 2, bins_per_frame=2)
    >>> finer.rate_hz, np.nan_to_num(finer.activity_RTN[0, :, :2]).tolist()
    (60.0, [[1.0, 0.0], [0.0, 1.0]])
    """
    n_trials, n_frames, n_neurons = view.activity_RTN.shape
    inside = phase_N.shape == (n_neurons,) and ((phase_N >= 0) & (phase_N < 1)).all()
    if not inside or bins_per_frame < 1:
        raise ValueError(
            f"{view.recording}: phases must be one for each of {n_neurons} neurons, at least 0 and "
            f"below 1, and `bins_per_frame >= 1`, but got {phase_N.shape} from "
            f"{phase_N.min(initial=0):g} to {phase_N.max(initial=0):g}, and {bins_per_frame=}."
        )
    # A phase a hair below the border of a bin, as a third in float32 is, belongs to the next.
    bin_N = np.minimum(phase_N * bins_per_frame + 1e-4, bins_per_frame - 0.5).astype(np.int64)
    shape = (n_trials, n_frames, bins_per_frame, n_neurons)
    activity = np.full(shape, np.nan, dtype=np.float32)
    activity[:, :, bin_N, np.arange(n_neurons)] = view.activity_RTN
    n_bins = n_frames * bins_per_frame
    finer = dataclasses.replace(
        view,
        activity_RTN=activity.reshape(n_trials, n_bins, n_neurons),
        rate_hz=view.rate_hz * bins_per_frame,
        measures={
            name: _interpolated(values_RT, bins_per_frame=bins_per_frame)
            for name, values_RT in view.measures.items()
        },
    )
    warn_of_few_neurons(finer)
    return finer


def _interpolated(values_RT: NDArray[np.float64], *, bins_per_frame: int) -> NDArray[np.float64]:
    following_RT = np.concatenate([values_RT[:, 1:], values_RT[:, -1:]], axis=1)
    share_S = np.arange(bins_per_frame) / bins_per_frame
    finer = values_RT[..., None] + (following_RT - values_RT)[..., None] * share_S
    # Towards a frame that is not there, the last one that is keeps its value.
    is_last_RT = np.isnan(following_RT)
    finer = np.where(is_last_RT[..., None], values_RT[..., None], finer)
    whole: NDArray[np.float64] = finer.reshape(len(values_RT), -1)
    return whole
