"""Simulated neurons of one motor cortex while a mouse walks on a grid, as in H."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.calcium import Kernel
from calsweep.datasets.deconvolution import Deconvolution
from calsweep.datasets.recording import Recording
from calsweep.datasets.truth import Simulator, Truth

# T time, N neuron

GCAMP6S = Kernel(decay_s=1.0, rise_s=0.07)
EVENTS = Deconvolution(decay_s=1.0, s_min=0.5)


class Step(IntEnum):
    """The label of a frame: which forelimb steps."""

    NONE = 0
    CONTRALATERAL = 1
    IPSILATERAL = 2


class Code(IntEnum):
    """The steps that a neuron fires for."""

    NONE = 0
    CONTRALATERAL = 1
    IPSILATERAL = 2
    BOTH = 3


_STEP_S = {Step.CONTRALATERAL: 0.8, Step.IPSILATERAL: 0.55}
_GAP_S, _REST_S = 0.3, 3.0
_STEPS_IN_A_BOUT = 8
_TRANSIENT_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Footsteps:
    """Recordings of neurons that fire for steps of one forelimb, the other, or both.

    A mouse walks in bouts of about eight steps, the forelimbs in turn, and rests in between; about
    half of the frames have no step (0), 30 % one of the contralateral forelimb (1) and 20 % one of
    the ipsilateral (2). A neuron with a code fires more in those steps, or some time before or
    after; all others, and it at other times, at a low rate of their own. dF/F has calcium of spikes
    (GCaMP6s) and noise; it is deconvolved by OASIS, and each neuron standardised over a recording.

    The truth is, of each recording, ``code_N`` (0 none, 1 contralateral, 2 ipsilateral, 3 both),
    ``strength_N`` (spikes/s more in its steps), ``lag_frames_N`` (how long after the step, may be
    negative), ``is_transient_N`` (whether it fires at the start of a step alone), ``resting_N``
    (spikes/s otherwise) and ``spikes_TN``. A mouse's neurons keep their codes in all of its
    recordings.

    Attributes
    ----------
    n_mice, recordings_per_mouse, n_frames
        How many, and frames in each recording.
    n_neurons
        Of each mouse; H had 421 to 593.
    rate_hz
        Frames per second.
    contralateral, ipsilateral, both
        Share of neurons with each code.
    strength_hz
        Mean strength of a neuron with a code, in spikes/s.
    lags_s
        Earliest and latest that neurons follow their steps; negative is before. H says that
        activity often precedes a movement by hundreds of milliseconds, and that a movement's
        consequences last well beyond its start: ``(-0.4, 0.4)``. The default is narrower.
    transient
        Share of the neurons with a code that fire in the first 0.2 s of their steps alone, at the
        same rate. H says that some neurons stay elevated while others are transient, not how many.
    noise
        SD of dF/F, as a share of a single spike's transient.
    deconvolution
        How events are found; none leaves dF/F.
    seed
        Of everything.

    Raises
    ------
    ValueError
        If a number is below 1, a share or strength is out of its range, or lags are out of order.

    Examples
    --------
    >>> recording = next(Footsteps(n_neurons=5, n_frames=300).recordings())
    >>> recording.name, recording.activity_TN.shape
    ('mouse1_r1', (300, 5))
    """

    n_mice: int = 2
    recordings_per_mouse: int = 2
    n_frames: int = 3000
    n_neurons: int = 421
    rate_hz: float = 15.0
    contralateral: float = 0.2
    ipsilateral: float = 0.1
    both: float = 0.1
    strength_hz: float = 0.6
    lags_s: tuple[float, float] = (-0.14, 0.2)
    transient: float = 0.0
    noise: float = 0.3
    deconvolution: Deconvolution | None = EVENTS
    seed: int = 0

    def __post_init__(self) -> None:
        least = min(self.n_mice, self.recordings_per_mouse, self.n_frames, self.n_neurons)
        if least < 1 or self.seed < 0 or not self.rate_hz > 0:
            raise ValueError(
                "mice, recordings, frames and neurons must be at least 1, `seed >= 0` and "
                f"`rate_hz > 0` must hold, but got {self!r}."
            )
        shares = (self.contralateral, self.ipsilateral, self.both)
        if min(*shares, self.strength_hz, self.noise) < 0 or sum(shares) > 1:
            raise ValueError(
                "shares of neurons must be at least 0 and 1 or less together, and neither strength "
                f"nor noise may be below 0, but got {self!r}."
            )
        if not 0 <= self.transient <= 1 or self.lags_s[0] > self.lags_s[1]:
            raise ValueError(
                "`0 <= transient <= 1` and `lags_s[0] <= lags_s[1]` must hold, "
                f"but got {self.transient=}, {self.lags_s=}."
            )

    def recordings(self) -> Iterator[Recording]:
        """Give each recording in turn, mouse by mouse."""
        for made in self._made():
            raw = Recording(
                subject=f"mouse{made.mouse}",
                name=made.name,
                activity_TN=made.dff_TN,
                behavior={"footstep": made.label_T},
                rate_hz=self.rate_hz,
                units=tuple(f"neuron{number}" for number in range(1, self.n_neurons + 1)),
                trial_T=np.zeros(self.n_frames, dtype=np.int32),
            )
            found = raw if self.deconvolution is None else self.deconvolution.apply(raw)
            yield standardized(found)

    def truth(self) -> Truth:
        """Give which neurons code what and how strongly, and their spikes."""
        return Truth(
            simulator=repr(self),
            recordings={
                made.name: {
                    "code_N": made.neurons.code_N,
                    "strength_N": made.neurons.strength_N,
                    "lag_frames_N": made.neurons.lag_frames_N,
                    "is_transient_N": made.neurons.is_transient_N,
                    "resting_N": made.neurons.resting_N,
                    "spikes_TN": made.spikes_TN,
                }
                for made in self._made()
            },
        )

    def _made(self) -> Iterator[_Made]:
        for mouse in range(1, self.n_mice + 1):
            neurons = self._neurons(np.random.default_rng([self.seed, mouse]))
            for number in range(1, self.recordings_per_mouse + 1):
                rng = np.random.default_rng([self.seed, mouse, number])
                label_T = _walk(self.n_frames, rate_hz=self.rate_hz, rng=rng)
                spikes_TN = self._spikes(label_T, neurons, rng=rng)
                dff_TN = GCAMP6S.calcium(spikes_TN.astype(np.float64), rate_hz=self.rate_hz)
                dff_TN += self.noise * rng.normal(size=dff_TN.shape)
                yield _Made(
                    mouse=mouse,
                    name=f"mouse{mouse}_r{number}",
                    neurons=neurons,
                    label_T=label_T,
                    spikes_TN=spikes_TN,
                    dff_TN=dff_TN.astype(np.float32),
                )

    def _neurons(self, rng: np.random.Generator) -> _Neurons:
        shares = (self.contralateral, self.ipsilateral, self.both)
        counts = [round(share * self.n_neurons) for share in shares]
        code_N = np.zeros(self.n_neurons, dtype=np.int64)
        coding = np.repeat(list(Code)[1:], counts)[: self.n_neurons]
        code_N[: len(coding)] = coding
        rng.shuffle(code_N)
        is_coding_N = code_N != Code.NONE
        strength_N = self.strength_hz * rng.gamma(2.0, 0.5, self.n_neurons)
        earliest, latest = (round(lag_s * self.rate_hz) for lag_s in self.lags_s)
        return _Neurons(
            code_N=code_N,
            strength_N=np.where(is_coding_N, strength_N, 0.0),
            lag_frames_N=np.where(
                is_coding_N, rng.integers(earliest, latest + 1, self.n_neurons), 0
            ),
            resting_N=0.15 * rng.lognormal(0.0, 0.5, self.n_neurons),
            is_transient_N=is_coding_N & (rng.random(self.n_neurons) < self.transient),
        )

    def _spikes(
        self, label_T: NDArray[np.int64], neurons: _Neurons, *, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        rate_TN = np.empty((self.n_frames, self.n_neurons))
        for neuron, code in enumerate(neurons.code_N):
            coded_T = (label_T == code) | ((code == Code.BOTH) & (label_T != Step.NONE))
            coded_T &= code != Code.NONE
            if neurons.is_transient_N[neuron]:
                coded_T = _first_frames(coded_T, round(_TRANSIENT_S * self.rate_hz))
            steps_T = np.roll(coded_T, neurons.lag_frames_N[neuron])
            rate_TN[:, neuron] = neurons.resting_N[neuron] + neurons.strength_N[neuron] * steps_T
        return rng.poisson(rate_TN / self.rate_hz).astype(np.uint8)


def standardized(recording: Recording, /) -> Recording:
    """Bring each unit of a recording to mean 0 and SD 1; one that never changes becomes 0."""
    activity_TN = recording.activity_TN.astype(np.float64)
    spread_N = activity_TN.std(axis=0)
    centred_TN = activity_TN - activity_TN.mean(axis=0)
    return dataclasses.replace(
        recording,
        activity_TN=(centred_TN / np.where(spread_N > 0, spread_N, 1.0)).astype(np.float32),
        steps=(
            *recording.steps,
            "standardised over the whole recording: it uses later frames (not causal)",
        ),
    )


@dataclass(frozen=True, kw_only=True)
class _Neurons:
    """What the neurons of a mouse are."""

    code_N: NDArray[np.int64]
    strength_N: NDArray[np.float64]
    lag_frames_N: NDArray[np.int64]
    resting_N: NDArray[np.float64]
    is_transient_N: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class _Made:
    """One recording before events are found."""

    mouse: int
    name: str
    neurons: _Neurons
    label_T: NDArray[np.int64]
    spikes_TN: NDArray[np.uint8]
    dff_TN: NDArray[np.float32]


def _walk(n_frames: int, *, rate_hz: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Give the label of each frame: bouts of steps, the forelimbs in turn, and rest."""
    label_T = np.zeros(n_frames, dtype=np.int64)

    def drawn_frames(mean_s: float) -> int:
        return max(1, round(rng.gamma(8.0, mean_s / 8.0) * rate_hz))

    frame = drawn_frames(_REST_S)
    while frame < n_frames:
        step = Step(int(rng.integers(1, 3)))
        for _ in range(1 + rng.poisson(_STEPS_IN_A_BOUT - 1)):
            length = drawn_frames(_STEP_S[step])
            label_T[frame : frame + length] = step
            frame += length + drawn_frames(_GAP_S)
            step = Step(3 - step)
        frame += drawn_frames(_REST_S)
    return label_T


def _first_frames(coded_T: NDArray[np.bool_], n: int) -> NDArray[np.bool_]:
    """Leave the first frames, at least one, of each run of frames."""
    frame_T = np.arange(len(coded_T))
    begun_T = np.maximum.accumulate(np.where(coded_T, -1, frame_T))  # the last frame without
    return coded_T & (frame_T - begun_T <= max(1, n))


_: type[Simulator] = Footsteps
