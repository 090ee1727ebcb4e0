"""How well methods tell the true state of a simulated system: all in the system's own bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.lorenz import BIN_HZ, Form, Lorenz
from calsweep.datasets.trial_view import TrialView
from calsweep.platform.dynamics.state_decoding import PENALTIES, decode_states
from calsweep.trainables.smoothing import smooth

# R trial, T frame or bin, B bin of 10 ms, N neuron, D dimension

LAGS_MS = (0, 10, 20, 30, 40, 50)
MEASURES = ("x", "y", "z")
# R, "Data preparation for each method": the best of 3 to 40 ms for the faster systems.
SMOOTH_MS = 6.0


@dataclass(frozen=True, kw_only=True, eq=False)
class TrueStates:
    """The states of a simulated system, which rates are mapped to.

    Attributes
    ----------
    state_RBD
        In bins of 10 ms.
    frame_start_R
        The bin in which the first frame of a trial begins.
    bins_per_frame
        How many bins a frame takes.
    """

    state_RBD: NDArray[np.float64]
    frame_start_R: NDArray[np.int64]
    bins_per_frame: int

    @classmethod
    def of(cls, simulator: Lorenz, /) -> TrueStates:
        """Take them from the simulator's truth."""
        values = simulator.truth().recordings[simulator.name]
        return cls(
            state_RBD=values["latent_CBD"].astype(np.float64)[values["condition_R"]],
            frame_start_R=values["frame_start_R"].astype(np.int64),
            bins_per_frame=simulator.bins_per_frame,
        )

    def in_bins(self, rates_RTN: NDArray[np.floating], /, form: Form) -> NDArray[np.float64]:
        """Give rates in the bins of the state; those of frames are interpolated linearly, as in R.

        A frame's rate stands at its middle, when its neurons were sampled on average; bins before
        the first middle and after the last have the rate of the nearest.

        Parameters
        ----------
        rates_RTN
            Shape ``(trial, bin or frame, neuron)``.
        form
            What the second axis is.

        Examples
        --------
        >>> states = TrueStates(
        ...     state_RBD=np.zeros((2, 7, 3)), frame_start_R=np.array([0, 1]), bins_per_frame=3
        ... )
        >>> states.in_bins(np.array([[[0.0], [3.0]], [[0.0], [3.0]]]), Form.FRAMES)[..., 0].tolist()
        [[0.0, 0.0, 1.0, 2.0, 3.0, 3.0, 3.0], [0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 3.0]]
        """
        if form is Form.BINS:
            return np.asarray(rates_RTN, dtype=np.float64)
        n_frames = rates_RTN.shape[1]
        middle_R = self.frame_start_R + (self.bins_per_frame - 1) / 2
        bins_B = np.arange(self.state_RBD.shape[1])
        frame_RB = np.clip((bins_B - middle_R[:, None]) / self.bins_per_frame, 0.0, n_frames - 1.0)
        before_RB = np.minimum(frame_RB.astype(np.int64), max(n_frames - 2, 0))
        after_RB = np.minimum(before_RB + 1, n_frames - 1)
        share_RBN = (frame_RB - before_RB)[:, :, None]
        trial_R1 = np.arange(len(rates_RTN))[:, None]
        before_RBN = rates_RTN[trial_R1, before_RB].astype(np.float64)
        after_RBN = rates_RTN[trial_R1, after_RB].astype(np.float64)
        between_RBN: NDArray[np.float64] = before_RBN + share_RBN * (after_RBN - before_RBN)
        return between_RBN

    def decoded(
        self,
        rates_RBN: NDArray[np.floating],
        /,
        *,
        lag_ms: float,
        penalties: Sequence[float] = PENALTIES,
    ) -> NDArray[np.float64]:
        """Give R² of each fold of trials and dimension (`decode_states`)."""
        lag_bins = round(lag_ms / 1000 * BIN_HZ)
        return decode_states(
            rates_RBN, self.state_RBD, lag_bins=lag_bins, penalties=penalties
        ).r2_FD


def smoothed(view: TrialView, /) -> NDArray[np.float64]:
    """Smooth whole frames, of events or fluorescence, as R does: baselines that train nothing."""
    return smooth(view.activity_RTN, rate_hz=view.rate_hz, sd_ms=SMOOTH_MS)


def best_lag(states: TrueStates, rates_RBN: NDArray[np.floating], /) -> float:
    """Find by how much events come later than the state, as R does: the lag that tells it best.

    Parameters
    ----------
    states
        What is told.
    rates_RBN
        In its bins; those of a method that trains nothing, so that the lag favors no model.

    Returns
    -------
    lag_ms
        That of the highest R², the mean over dimensions and folds.
    """
    # One penalty for all: with tens of thousands of bins it matters less than a lag, and seven take
    # seven times as long.
    r2 = {
        lag: float(states.decoded(rates_RBN, lag_ms=lag, penalties=(1.0,)).mean())
        for lag in LAGS_MS
    }
    return max(r2, key=r2.__getitem__)
