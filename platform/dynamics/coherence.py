"""How well a predicted movement follows the true one, frequency by frequency."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

# B trial, T bin, D dimension, Q frequency

WINDOW_BINS = 35
OVERLAP_BINS = 25


@dataclass(frozen=True, kw_only=True, eq=False)
class Coherence:
    """Magnitude-squared coherence of two movements.

    Attributes
    ----------
    frequency_Q
        Hz.
    coherence_QD
        From 0 to 1, of each frequency and dimension.
    """

    frequency_Q: NDArray[np.float64]
    coherence_QD: NDArray[np.float64]


def coherence(
    true_BTD: NDArray[np.floating],
    predicted_BTD: NDArray[np.floating],
    /,
    *,
    rate_hz: float,
    window_bins: int = WINDOW_BINS,
    overlap_bins: int = OVERLAP_BINS,
) -> Coherence:
    """Give the coherence of true and predicted movement; spectra are averaged over all trials.

    Parameters
    ----------
    true_BTD, predicted_BTD
        Shape ``(trial, bin, dimension)``.
    rate_hz
        Bins a second.
    window_bins, overlap_bins
        Of the Hann windows within a trial.

    Raises
    ------
    ValueError
        If shapes differ, a value is missing, or a trial is shorter than a window.

    References
    ----------
    Welch's method, as MATLAB's ``mscohere`` does it (a symmetric window, no detrending); Zhu et al.
    (2022), *Nat. Neurosci.* 25: 1724-1734, "Coherence analysis".

    Examples
    --------
    >>> movement_BTD = np.random.default_rng(0).normal(size=(5, 70, 1))
    >>> found = coherence(movement_BTD, -2 * movement_BTD, rate_hz=100)
    >>> found.coherence_QD.round(6).min(), found.frequency_Q.max().round(1)
    (np.float64(1.0), np.float64(48.6))
    """
    if true_BTD.shape != predicted_BTD.shape:
        raise ValueError(
            "true and predicted movement must have one shape, but have "
            f"{true_BTD.shape} and {predicted_BTD.shape}."
        )
    if not (np.isfinite(true_BTD).all() and np.isfinite(predicted_BTD).all()):
        raise ValueError("movements must have no missing values: cut trials to what is known.")
    if true_BTD.shape[1] < window_bins:
        raise ValueError(
            f"trials must have at least the {window_bins} bins of a window, but have "
            f"{true_BTD.shape[1]}."
        )

    def spectrum(
        one_BTD: NDArray[np.floating], other_BTD: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
        # (The stubs know no window of one's own.)
        frequency_Q, of_BQD = signal.csd(  # type: ignore[call-overload]
            one_BTD.astype(np.float64),
            other_BTD.astype(np.float64),
            fs=rate_hz,
            window=signal.windows.hann(window_bins, sym=True),
            noverlap=overlap_bins,
            detrend=False,
            axis=1,
        )
        return frequency_Q, of_BQD.mean(axis=0)

    frequency_Q, cross_QD = spectrum(true_BTD, predicted_BTD)
    own_QD = spectrum(true_BTD, true_BTD)[1].real * spectrum(predicted_BTD, predicted_BTD)[1].real
    with np.errstate(invalid="ignore", divide="ignore"):
        coherence_QD = np.abs(cross_QD) ** 2 / own_QD
    return Coherence(frequency_Q=frequency_Q, coherence_QD=coherence_QD)
