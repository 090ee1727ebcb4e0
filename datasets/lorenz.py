"""Simulated two-photon imaging of neurons whose rates follow a Lorenz system, as in R."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy.stats import truncnorm

from calsweep.datasets.calcium import Kernel
from calsweep.datasets.deconvolution import Deconvolution
from calsweep.datasets.recording import Recording
from calsweep.datasets.truth import Simulator, Truth

# C condition, R trial, B bin of 10 ms, S sample of a neuron, N neuron, D dimension, T time

BIN_HZ = 100.0
BINS_PER_FRAME = 3
SPEED_UP = {4: 3, 7: 5, 10: 7, 13: 9, 15: 11, 20: 14}
"""Peak frequency of the third dimension in Hz, to how many steps of 0.01 a bin takes."""

MEAN_RATE_HZ = 3.0
FIELD_UM = 500.0

GCAMP6F = Kernel(decay_s=0.4, rise_s=0.02)
RESPONSE = (
    (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0),
    (0.0, 1.0, 2.5, 4.5, 9.0, 16.0, 22.0, 26.0),
)
"""Calcium in spikes, and fluorescence as a multiple of a single spike's, linear in between.

More than proportional for a few spikes and saturating for many, as GCaMP6f is. R names a study and
not the numbers: these are chosen here, and together with the form of the noise so that events and
spikes agree as in R (0.32). That they do is therefore no evidence; other choices gave 0.20 to 0.39.
"""

EVENTS = Deconvolution(decay_s=0.4, s_min=0.1, baseline=0.0)
"""OASIS as in R, but for the decay, which is known here and needs no telling."""

_SIGMA, _RHO, _BETA, _DT = 10.0, 28.0, 8.0 / 3.0, 0.01
_MEAN_D = np.array([0.0, 0.0, 23.55])  # of the attractor, from a run of a million steps
_SPREAD_D = np.array([7.92, 9.01, 8.62])
_SETTLING_STEPS = 500
_AMPLITUDE_NOISE = 0.1


class Form(Enum):
    """What a row of the recording is.

    ``BINS``: 10 ms, with NaN wherever a neuron was not sampled; phases would say nothing more.
    ``FRAMES``: an imaging frame of 30 ms, each neuron sampled at its phase of it.
    """

    BINS = "bins"
    FRAMES = "frames"


@dataclass(frozen=True, kw_only=True)
class Lorenz:
    """One recording of neurons that follow a Lorenz system, and how it is made.

    Conditions are starts of the system (10, 28, 8/3) from random states. The log rate of a neuron
    is a random weighted sum of its three dimensions (SD 1), its mean rate is 3 spikes/s, and spikes
    are Poisson in bins of 10 ms. Calcium rises (20 ms) and decays (400 ms) by an AR(2) process with
    a single-spike peak of 1 and amplitudes that vary (SD 0.1); fluorescence is its `RESPONSE`,
    scaled so that a neuron's largest value is 1, with Gaussian noise of variance s^2 + s^2 f where
    f is the fluorescence and s the neuron's own, drawn around `noise`. The field is scanned in
    three rows, one a bin: a neuron is sampled every third bin, 0, 10 or 20 ms after the frame
    begins. Frames go on between trials, so one begins in the first, second or third bin of a trial
    in turn. Events come from OASIS, AR(1).

    The behaviors are ``condition`` and the state ``x``, ``y``, ``z``, in a frame that of its first
    bin. The truth is ``latent_CBD``, ``rate_CBN`` in spikes/s, ``spikes_RBN``, ``condition_R``,
    ``frame_start_R`` (the first bin of a trial in which a frame begins), ``weight_DN`` of the
    standardised state, ``noise_N`` and ``row_N``.

    Attributes
    ----------
    speed_hz
        Peak frequency of the third dimension: 4, 7, 10, 13, 15 or 20 Hz.
    n_conditions, trials_per_condition
        480 conditions of one trial each are the variant in which every trial is unique.
    n_neurons
        How many.
    noise
        Mean of the neurons' noise, as a share of their largest fluorescence; its SD is a sixth of
        that, and none is below half.
    bins_per_frame
        Rows of the field and bins of a frame: 3 for 33.3 frames/s as in R, 10 for 10 frames/s.
    form
        What a row is.
    deconvolution
        How events are found; none leaves fluorescence.
    seed
        Of everything.

    Raises
    ------
    ValueError
        If the speed is not one of these, or a number is below 1.

    References
    ----------
    Zhu, Grier, Tandon, Cai et al. (2022), *Nat. Neurosci.* 25: 1724-1734.

    Examples
    --------
    >>> recording = next(Lorenz(trials_per_condition=2, n_neurons=30).recordings())
    >>> recording.activity_TN.shape, float(np.isnan(recording.activity_TN).mean().round(3))
    ((1440, 30), 0.667)
    """

    speed_hz: int = 7
    n_conditions: int = 8
    trials_per_condition: int = 60
    n_neurons: int = 278
    noise: float = 0.12
    bins_per_frame: int = BINS_PER_FRAME
    form: Form = Form.BINS
    deconvolution: Deconvolution | None = EVENTS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.speed_hz not in SPEED_UP:
            speeds = ", ".join(map(str, SPEED_UP))
            raise ValueError(f"`speed_hz` must be one of {speeds}, but got {self.speed_hz}.")
        least = min(self.n_conditions, self.trials_per_condition, self.n_neurons)
        if least < 1 or self.seed < 0 or not self.noise >= 0:
            raise ValueError(
                "conditions, trials and neurons must be at least 1, `seed >= 0` and `noise >= 0` "
                f"must hold, but got {self!r}."
            )
        if not 1 <= self.bins_per_frame <= self.n_bins:
            raise ValueError(
                f"`1 <= bins_per_frame <= {self.n_bins}` must hold, so that a trial has a frame, "
                f"but got {self.bins_per_frame=}."
            )

    @property
    def n_bins(self) -> int:
        """Bins in a trial: 900 ms, or 1,200 ms of the slowest system."""
        return 120 if self.speed_hz == 4 else 90

    @property
    def name(self) -> str:
        """Of the one recording."""
        return f"lorenz_{self.speed_hz}hz"

    def recordings(self) -> Iterator[Recording]:
        """Give the recording."""
        population = self._population()
        sampled = self._sampled(population)
        if self.deconvolution is not None:
            sampled = self.deconvolution.apply(sampled)
        activity_RSN = sampled.activity_TN.reshape(len(population.condition_R), -1, self.n_neurons)
        in_bins = self.form is Form.BINS
        rows = self._bins if in_bins else self._frames
        activity_RTN, latent_RTD = rows(activity_RSN, population)
        n_trials, n_rows, _ = activity_RTN.shape
        yield Recording(
            subject="lorenz",
            name=self.name,
            activity_TN=activity_RTN.reshape(-1, self.n_neurons),
            behavior={
                "condition": np.repeat(population.condition_R, n_rows),
                **dict(zip("xyz", latent_RTD.reshape(-1, 3).T, strict=True)),
            },
            behavior_unit={},
            rate_hz=BIN_HZ if in_bins else BIN_HZ / self.bins_per_frame,
            units=sampled.units,
            trial_T=np.repeat(np.arange(n_trials, dtype=np.int32), n_rows),
            may_miss=in_bins,
            positions_ND=population.positions_ND,
            position_unit="um",
            phase_N=None
            if in_bins
            else (population.row_N / self.bins_per_frame).astype(np.float32),
            steps=sampled.steps,
        )

    def truth(self) -> Truth:
        """Give latents, rates, spikes, and what each neuron is."""
        population = self._population()
        values: dict[str, NDArray[np.generic]] = {
            "latent_CBD": population.latent_CBD[:, : self.n_bins],
            "rate_CBN": population.rate_CBN[:, : self.n_bins].astype(np.float32),
            "spikes_RBN": population.spikes_RBN[:, : self.n_bins],
            "condition_R": population.condition_R,
            "frame_start_R": population.frame_start_R,
            "weight_DN": population.weight_DN,
            "noise_N": population.noise_N,
            "row_N": population.row_N,
        }
        return Truth(simulator=repr(self), recordings={self.name: values})

    def _population(self) -> _Population:
        rng = np.random.default_rng(self.seed)
        # One frame more than a trial has: a frame that begins with its last bins is whole.
        latent_CBD = lorenz_states(
            self.n_conditions,
            n_steps=self.n_bins + self.bins_per_frame,
            stride=SPEED_UP[self.speed_hz],
            rng=rng,
        )
        weight_DN = rng.normal(0.0, np.sqrt(1 / 3), (3, self.n_neurons))
        log_rate_CBN = (latent_CBD - _MEAN_D) / _SPREAD_D @ weight_DN
        rate_CBN = np.exp(log_rate_CBN)
        rate_CBN *= MEAN_RATE_HZ / rate_CBN.mean(axis=(0, 1))
        n_trials = self.n_conditions * self.trials_per_condition
        condition_R = np.arange(n_trials) % self.n_conditions
        positions_ND = rng.uniform(0.0, FIELD_UM, (self.n_neurons, 2))
        return _Population(
            latent_CBD=latent_CBD,
            weight_DN=weight_DN,
            rate_CBN=rate_CBN,
            condition_R=condition_R,
            frame_start_R=np.arange(n_trials) % self.bins_per_frame,
            spikes_RBN=np.stack(
                [rng.poisson(rate_CBN[c] / BIN_HZ).astype(np.uint8) for c in condition_R]
            ),
            positions_ND=positions_ND.astype(np.float32),
            row_N=(positions_ND[:, 0] * self.bins_per_frame / FIELD_UM).astype(np.int64),
            noise_N=self._noise(rng),
        )

    def _noise(self, rng: np.random.Generator) -> NDArray[np.float64]:
        if self.noise == 0:
            return np.zeros(self.n_neurons)
        spread = self.noise / 6
        drawn_N: NDArray[np.float64] = truncnorm.rvs(
            -3.0, np.inf, self.noise, spread, size=(self.n_neurons,), random_state=rng
        )
        return drawn_N

    def _sampled(self, population: _Population) -> Recording:
        """Give the fluorescence of each neuron at its own samples, trial after trial."""
        rng = np.random.default_rng([self.seed, 1])
        first_RN = self._first_sample(population)
        n_samples = self.n_bins // self.bins_per_frame + 1
        n_trials = len(first_RN)
        fluorescence_RSN = np.empty((n_trials, n_samples, self.n_neurons), dtype=np.float32)
        # Neuron by neuron: all of them in every bin would fill the memory of a laptop.
        for neuron in range(self.n_neurons):
            fluorescence_RB = _fluorescence(
                population.spikes_RBN[:, :, neuron], noise=population.noise_N[neuron], rng=rng
            )
            bins_RS = first_RN[:, neuron, None] + self.bins_per_frame * np.arange(n_samples)
            fluorescence_RSN[:, :, neuron] = np.take_along_axis(fluorescence_RB, bins_RS, axis=1)
        return Recording(
            subject="lorenz",
            name=self.name,
            activity_TN=fluorescence_RSN.reshape(-1, self.n_neurons),
            behavior={},
            rate_hz=BIN_HZ / self.bins_per_frame,
            units=tuple(f"neuron{number}" for number in range(1, self.n_neurons + 1)),
            trial_T=np.repeat(np.arange(n_trials, dtype=np.int32), n_samples),
        )

    def _first_sample(self, population: _Population) -> NDArray[np.int64]:
        """Give the bin in which a neuron is first sampled, in each trial."""
        first_RN: NDArray[np.int64] = (
            population.frame_start_R[:, None] + population.row_N
        ) % self.bins_per_frame
        return first_RN

    def _bins(
        self, activity_RSN: NDArray[np.float32], population: _Population
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Put each sample into its bin."""
        n_trials, n_samples, n_neurons = activity_RSN.shape
        grid_RBN = np.full(
            (n_trials, n_samples * self.bins_per_frame, n_neurons), np.nan, dtype=np.float32
        )
        first_RN = self._first_sample(population)
        bins_RSN = first_RN[:, None, :] + self.bins_per_frame * np.arange(n_samples)[:, None]
        np.put_along_axis(grid_RBN, bins_RSN, activity_RSN, axis=1)
        latent_RBD = population.latent_CBD[population.condition_R]
        return grid_RBN[:, : self.n_bins], latent_RBD[:, : self.n_bins]

    def _frames(
        self, activity_RSN: NDArray[np.float32], population: _Population
    ) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Put samples of one frame together, from the first frame that begins in the trial."""
        n_frames = self.n_bins // self.bins_per_frame
        start_R = population.frame_start_R
        first_RN = (start_R[:, None] + population.row_N) // self.bins_per_frame
        samples_RTN = first_RN[:, None, :] + np.arange(n_frames)[:, None]
        bins_RT = start_R[:, None] + self.bins_per_frame * np.arange(n_frames)
        latent_RBD = population.latent_CBD[population.condition_R]
        return (
            np.take_along_axis(activity_RSN, samples_RTN, axis=1),
            np.take_along_axis(latent_RBD, bins_RT[:, :, None], axis=1),
        )


@dataclass(frozen=True, kw_only=True)
class _Population:
    """Neurons and what they do; the first frame begins in bin ``frame_start_R``."""

    latent_CBD: NDArray[np.float64]
    weight_DN: NDArray[np.float64]
    rate_CBN: NDArray[np.float64]
    condition_R: NDArray[np.int64]
    frame_start_R: NDArray[np.int64]
    spikes_RBN: NDArray[np.uint8]
    positions_ND: NDArray[np.float32]
    row_N: NDArray[np.int64]
    noise_N: NDArray[np.float64]


def lorenz_states(
    n_starts: int, /, *, n_steps: int, stride: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Run a Lorenz system (10, 28, 8/3) from random states, once it has settled.

    Parameters
    ----------
    n_starts
        How many runs.
    n_steps, stride
        States to give of each run, and how many steps of 0.01 lie between them.
    rng
        Draws the first states.

    Returns
    -------
    state_CBD
        Shape ``(run, step, 3)``.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> lorenz_states(2, n_steps=5, stride=3, rng=rng).shape
    (2, 5, 3)
    """
    state_CD = rng.normal(_MEAN_D, _SPREAD_D, (n_starts, 3))
    for _ in range(_SETTLING_STEPS):
        state_CD = _stepped(state_CD)
    states = []
    for _ in range(n_steps):
        states.append(state_CD)
        for _ in range(stride):
            state_CD = _stepped(state_CD)
    return np.stack(states, axis=1)


def _stepped(state_CD: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take one Runge-Kutta step of order 4."""
    k1 = _change(state_CD)
    k2 = _change(state_CD + _DT / 2 * k1)
    k3 = _change(state_CD + _DT / 2 * k2)
    k4 = _change(state_CD + _DT * k3)
    return state_CD + _DT / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def _change(state_CD: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, z = state_CD.T
    return np.stack([_SIGMA * (y - x), x * (_RHO - z) - y, x * y - _BETA * z], axis=-1)


def _fluorescence(
    spikes_RB: NDArray[np.uint8], *, noise: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Give the fluorescence of one neuron in every bin; its largest value without noise is 1."""
    amplitude_RB = spikes_RB + _AMPLITUDE_NOISE * np.sqrt(spikes_RB) * rng.normal(
        size=spikes_RB.shape
    )
    calcium_RB = GCAMP6F.calcium(amplitude_RB.T, rate_hz=BIN_HZ).T
    fluorescence_RB = np.interp(calcium_RB, *RESPONSE)
    fluorescence_RB /= fluorescence_RB.max() or 1.0
    variance_RB = noise**2 * (1 + fluorescence_RB)
    return fluorescence_RB + np.sqrt(variance_RB) * rng.normal(size=spikes_RB.shape)


_: type[Simulator] = Lorenz
