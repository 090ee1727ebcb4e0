"""What calcium does after a spike, as an indicator reports it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# T time; whatever other axes there are come along


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """The response to one spike: it rises, decays, and has a peak of 1 at any rate of frames.

    An autoregressive process, of order 2 where there is a rise and of order 1 where there is none.

    Attributes
    ----------
    decay_s
        Time constant of the decay in seconds.
    rise_s
        Time constant of the rise in seconds; 0 rises within the spike's frame.

    Raises
    ------
    ValueError
        If ``0 <= rise_s < decay_s`` does not hold.

    Examples
    --------
    >>> kernel = Kernel(decay_s=0.4, rise_s=0.02)
    >>> spikes_T = np.array([0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    >>> float(kernel.calcium(spikes_T, rate_hz=100.0).max())
    1.0
    """

    decay_s: float
    rise_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.rise_s < self.decay_s < math.inf:
            raise ValueError(
                "`0 <= rise_s < decay_s` must hold, "
                f"but got {self.rise_s=} and {self.decay_s=} (in seconds)."
            )

    def coefficients(self, rate_hz: float, /) -> tuple[float, ...]:
        """Give the weights of the last frame, and of the one before it where there is a rise."""
        decay = math.exp(-1.0 / (self.decay_s * rate_hz))
        if self.rise_s == 0:
            return (decay,)
        rise = math.exp(-1.0 / (self.rise_s * rate_hz))
        return (decay + rise, -decay * rise)

    def peak(self, rate_hz: float, /) -> float:
        """Give the largest value that a 1 reaches in the process as it stands, not scaled."""
        if self.rise_s == 0:
            return 1.0
        peak_s = math.log(self.decay_s / self.rise_s) / (1 / self.rise_s - 1 / self.decay_s)
        spike_T = np.zeros(math.ceil(peak_s * rate_hz) + 2)
        spike_T[0] = 1.0
        return float(self._filtered(spike_T, rate_hz).max())

    def calcium(self, spikes: NDArray[np.floating], /, *, rate_hz: float) -> NDArray[np.float64]:
        """Give what spikes lead to.

        Parameters
        ----------
        spikes
            How many, or how strong, in each frame; time is the first axis.
        rate_hz
            Frames per second.

        Returns
        -------
        calcium
            In spikes, of the same shape; it starts from none.
        """
        return self._filtered(spikes, rate_hz) / self.peak(rate_hz)

    def _filtered(self, x: NDArray[np.floating], rate_hz: float) -> NDArray[np.float64]:
        from scipy.signal import (
            lfilter,  # here, since the options of every ingest lead to this file
        )

        weights = [-weight for weight in self.coefficients(rate_hz)]
        filtered: NDArray[np.float64] = lfilter([1.0], [1.0, *weights], x, axis=0)
        return filtered
