"""Simulated recordings of 50 cortical regions in running and resting mice.

A stand-in for the widefield recordings of W with the answer known: which regions carry the
behavior, and how. Regions are numbered as there, 1 to 25 left, 26 to 50 right.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from calsweep.datasets.recording import Recording
from calsweep.datasets.truth import Simulator, Truth

# T time, N region

N_REGIONS = 50
RUN_SPEED_CM_S = 0.5
CARRIERS = (6, 8, 31, 33)
"""Forelimb and hindlimb areas: the regions that carry the behavior most."""

REGION_WEIGHT = {
    **dict.fromkeys(CARRIERS, 1.0),
    **dict.fromkeys((7, 9, 32, 34), 0.5),  # their neighbors
    **dict.fromkeys((1, 2, 3, 4, 26, 27, 28, 29), 0.25),  # motor
    **dict.fromkeys((18, 19, 20, 21, 43, 44, 45, 46), 0.1),  # visual
}
"""How much each region carries of the behavior; those not named, nothing."""

_SHARE_OF_RUN = (0.36, 0.66, 0.65, 0.58, 0.80)
_CYCLE_S = 8.0  # a bout of running and one of rest
_LEAN_S = 0.4  # how long the mouse leans to one side


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """Recordings of mice that run and rest, and how they are made.

    A mouse runs and rests in bouts of gamma-distributed length (semi-Markov), and ``run`` is 1
    while ``speed_cm_s`` is above 0.5 cm/s. Regions see the behavior by `REGION_WEIGHT`, in three
    ways:

    - *Level*: activity rises with speed. A linear decoder can use it; arousal, a slow fluctuation
      that all regions share and that knows nothing of running, covers part of it.
    - *Turn*: a running mouse leans to one side and the other, and the two hemispheres move apart,
      which one up is a matter of chance. The difference is large in running whatever its sign, so
      no weighted sum of frames tells it from rest; a nonlinear decoder can.
    - *Stride*: a rhythm of 2 to 3 Hz while the mouse runs, its phase free and opposite in the
      hemispheres. Again variance tells, not the mean.

    Then each region has noise of its own, a calcium kernel (rise and decay), an indicator that
    saturates, slow drift of its baseline and camera noise. Mice differ in the gain of each region,
    the coupling to each, the share of time they run, the frequency of their stride and their noise.

    So a recurrent decoder has to do better than logistic regression over the same window; how much
    better is a choice made here and no finding about brains.

    Attributes
    ----------
    n_mice
        How many mice.
    first_mouse
        Number of the first. The data of a mouse depend on its number, not on how many are made, so
        a sixth mouse can be made later: ``Simulation(first_mouse=6, n_mice=1)``.
    recordings_per_mouse, n_frames
        Recordings of a mouse, and frames in each.
    rate_hz
        Frames per second.
    seed
        Of everything.
    level, turn, stride
        How strongly each of the three ways shows.
    spread
        How much of `REGION_WEIGHT` regions other than the limb areas have: with 0, these four alone
        carry the behavior.

    Examples
    --------
    >>> recording = next(Simulation(n_frames=300).recordings())
    >>> recording.name, recording.activity_TN.shape
    ('mouse1_r1', (300, 50))
    """

    n_mice: int = 5
    first_mouse: int = 1
    recordings_per_mouse: int = 1
    n_frames: int = 4000
    rate_hz: float = 30.0
    seed: int = 0
    level: float = 0.8
    turn: float = 2.5
    stride: float = 1.0
    spread: float = 1.0

    def __post_init__(self) -> None:
        least = min(self.n_mice, self.first_mouse, self.recordings_per_mouse, self.n_frames)
        if least < 1 or self.seed < 0 or not self.rate_hz > 0:
            raise ValueError(
                "mice, their numbers, recordings and frames must be at least 1, `seed >= 0` and "
                f"`rate_hz > 0` must hold, but got {self!r}."
            )
        if not 0 <= self.spread <= 1:
            raise ValueError(f"`0 <= spread <= 1` must hold, but got {self.spread=}.")

    def recordings(self) -> Iterator[Recording]:
        """Give each recording in turn, mouse by mouse."""
        for mouse in range(self.first_mouse, self.first_mouse + self.n_mice):
            traits = _Traits.of(mouse, seed=self.seed, spread=self.spread)
            for number in range(1, self.recordings_per_mouse + 1):
                rng = np.random.default_rng([self.seed, mouse, number])
                yield self._recording(f"mouse{mouse}", number, traits=traits, rng=rng)

    def truth(self) -> Truth:
        """Give what makes each mouse this mouse.

        Returns
        -------
        truth
            Of each recording: ``weight_N`` (how much a region carries of the behavior,
            `REGION_WEIGHT` as it came out in this mouse), ``gain_N``, ``arousal_N``,
            ``share_of_run``, ``stride_hz`` and ``noise``.
        """
        recordings = {}
        for mouse in range(self.first_mouse, self.first_mouse + self.n_mice):
            traits = _Traits.of(mouse, seed=self.seed, spread=self.spread)
            values = {
                "weight_N": traits.coupling_N,
                "gain_N": traits.gain_N,
                "arousal_N": traits.arousal_N,
                "share_of_run": np.array(traits.share_of_run),
                "stride_hz": np.array(traits.stride_hz),
                "noise": np.array(traits.noise),
            }
            for number in range(1, self.recordings_per_mouse + 1):
                recordings[f"mouse{mouse}_r{number}"] = values
        return Truth(simulator=repr(self), recordings=recordings)

    def _recording(
        self, subject: str, number: int, *, traits: _Traits, rng: np.random.Generator
    ) -> Recording:
        speed_T, lean_T = _locomotion(
            self.n_frames, rate_hz=self.rate_hz, share_of_run=traits.share_of_run, rng=rng
        )
        neural_TN = self._neural(speed_T, lean_T, traits=traits, rng=rng)
        activity_TN = _imaged(neural_TN * traits.gain_N, rate_hz=self.rate_hz, rng=rng)
        return Recording(
            subject=subject,
            name=f"{subject}_r{number}",
            activity_TN=activity_TN.astype(np.float32),
            behavior={
                "run": (speed_T > RUN_SPEED_CM_S).astype(np.int64),
                "speed_cm_s": speed_T,
            },
            behavior_unit={"run": "", "speed_cm_s": "cm/s"},
            rate_hz=self.rate_hz,
            units=tuple(f"region{region}" for region in range(1, N_REGIONS + 1)),
            trial_T=np.zeros(self.n_frames, dtype=np.int32),
        )

    def _neural(
        self,
        speed_T: NDArray[np.float64],
        lean_T: NDArray[np.float64],
        *,
        traits: _Traits,
        rng: np.random.Generator,
    ) -> NDArray[np.float64]:
        """Give what the regions do, before it is imaged."""
        side_N = np.where(np.arange(N_REGIONS) < N_REGIONS // 2, 1.0, -1.0)
        vigor_T = np.tanh(speed_T / 5.0)
        unsteady_T = _wander(self.n_frames, 1, tau=self.rate_hz, rng=rng)[:, 0]
        frequency_T = traits.stride_hz * (1 + 0.1 * unsteady_T)
        phase_T = 2 * math.pi * (np.cumsum(frequency_T) / self.rate_hz + rng.random())
        carried_TN = (
            self.level * vigor_T[:, None]
            + self.turn * (lean_T * vigor_T)[:, None] * side_N
            + self.stride * (np.sin(phase_T) * vigor_T)[:, None] * side_N
        )
        arousal_TN = _wander(self.n_frames, 1, tau=3.0 * self.rate_hz, rng=rng)
        own_TN = _wander(self.n_frames, N_REGIONS, tau=0.3 * self.rate_hz, rng=rng)
        return (
            carried_TN * traits.coupling_N
            + 0.4 * arousal_TN * traits.arousal_N
            + 0.2 * traits.noise * own_TN
        )


@dataclass(frozen=True, kw_only=True)
class _Traits:
    """What makes a mouse this mouse."""

    share_of_run: float
    stride_hz: float
    noise: float
    gain_N: NDArray[np.float64]
    coupling_N: NDArray[np.float64]
    arousal_N: NDArray[np.float64]

    @classmethod
    def of(cls, mouse: int, *, seed: int, spread: float) -> _Traits:
        rng = np.random.default_rng([seed, mouse])
        drawn_share = rng.uniform(0.4, 0.75)
        weight_N = [
            REGION_WEIGHT.get(region, 0.0) * (1.0 if region in CARRIERS else spread)
            for region in range(1, N_REGIONS + 1)
        ]
        known = mouse <= len(_SHARE_OF_RUN)
        return cls(
            share_of_run=_SHARE_OF_RUN[mouse - 1] if known else drawn_share,
            stride_hz=rng.uniform(2.0, 3.0),
            noise=rng.uniform(0.8, 1.2),
            gain_N=rng.lognormal(0.0, 0.25, N_REGIONS),
            coupling_N=np.array(weight_N) * rng.lognormal(0.0, 0.2, N_REGIONS),
            arousal_N=rng.lognormal(0.0, 0.2, N_REGIONS),
        )


def _locomotion(
    n_frames: int, *, rate_hz: float, share_of_run: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give speed in cm/s, and the side the mouse leans to, positive is left."""
    aim_T = np.zeros(n_frames)
    lean_T = _wander(n_frames, 1, tau=_LEAN_S * rate_hz, rng=rng)[:, 0]
    frame, runs = 0, rng.random() < share_of_run
    while frame < n_frames:
        mean_s = _CYCLE_S * (share_of_run if runs else 1 - share_of_run)
        stop = frame + max(1, round(rng.gamma(3.0, mean_s / 3.0) * rate_hz))
        if runs:
            aim_T[frame:stop] = rng.uniform(5.0, 20.0)
        frame, runs = stop, not runs
    jitter_T = _wander(n_frames, 1, tau=0.5 * rate_hz, rng=rng)[:, 0]
    speed_T = _smooth(aim_T, tau=0.15 * rate_hz) * np.exp(0.2 * jitter_T)
    speed_T += np.abs(rng.normal(0.0, 0.05, n_frames))
    return speed_T, lean_T


def _imaged(
    neural_TN: NDArray[np.float64], *, rate_hz: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Give dF/F: calcium kernel, saturation, drift of the baseline, camera noise."""
    calcium_TN = _smooth(_smooth(neural_TN, tau=0.05 * rate_hz), tau=0.25 * rate_hz)
    fluorescence_TN = np.tanh(calcium_TN)
    time_T = np.arange(len(neural_TN)) / rate_hz
    period_s, phase = rng.uniform(120.0, 400.0, N_REGIONS), rng.uniform(0, 2 * math.pi, N_REGIONS)
    drift_TN = np.sin(2 * math.pi * time_T[:, None] / period_s + phase)
    camera_TN = rng.normal(0.0, 0.1, neural_TN.shape)
    return 0.02 * (fluorescence_TN + drift_TN + camera_TN)


def _smooth(x: NDArray[np.float64], *, tau: float) -> NDArray[np.float64]:
    """Filter along time with an exponential of `tau` frames and unit sum."""
    decay = math.exp(-1.0 / tau)
    smooth: NDArray[np.float64] = lfilter([1 - decay], [1, -decay], x, axis=0)
    return smooth


def _wander(n_frames: int, n: int, *, tau: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Give `n` Ornstein-Uhlenbeck processes of SD 1, stationary from the first frame."""
    decay = math.exp(-1.0 / tau)
    shocks = rng.normal(0.0, math.sqrt(1 - decay**2), (n_frames, n))
    shocks[0] /= math.sqrt(1 - decay**2)
    wander: NDArray[np.float64] = lfilter([1.0], [1, -decay], shocks, axis=0)
    return wander


_: type[Simulator] = Simulation
