"""What LFADS tells of values that it never saw in real recordings, beside smoothing.

    python -m tests.benchmarks.real_dynamics DATA --home HOME
    python -m tests.benchmarks.real_dynamics DATA --home HOME --only lick --recordings 2

DATA is a folder with a folder of ``.npz`` recordings for each dataset. Recordings are cut into
trials; every fifth block of trials is held out. A fifth of all values, drawn at random, is hidden
in every trial: neither method sees them anywhere.

LFADS is trained on the other trials by `run_dynamics`, as ``calsweep lfads`` does, a model a
recording, and infers rates from what is shown of the trials held out. Smoothing is `smooth` at the
width with the best score in the trials that validate LFADS. Both are scored alike:

- likelihood of hidden values in held-out trials. How far rates are drawn to neurons' means, and of
  fluorescence the variance of each neuron, are fitted to hidden values of the other trials.
- behavior in held-out trials, decoded from rates by a linear model of the others.

HOME keeps the populations, and a second run goes on from there.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.recording import Recording
from calsweep.datasets.shard_writer import write_dataset
from calsweep.datasets.trial_view import FewNeurons, split_trials, view_trials
from calsweep.platform.cluster import cluster
from calsweep.platform.config import compose_dynamics
from calsweep.platform.dynamics.lfads_learner import LfadsLearner
from calsweep.platform.dynamics.settings import DynamicsSettings
from calsweep.platform.dynamics.sweep import run_dynamics
from calsweep.platform.population.lineage import Lineage
from calsweep.platform.population.member import read_member
from calsweep.platform.resources import Resources
from calsweep.platform.statistics import paired_t
from calsweep.trainables.smoothing import smooth
from tests.benchmarks.hidden_values import (
    Mask,
    Values,
    auc_of_trials,
    gaussian_nll,
    poisson_nll,
    r2_of_bins,
)

# R trial, T bin, N neuron

HIDDEN_SHARE = 0.2
BLOCKS = 5
VALID_SHARE = 0.2
N_SAMPLES = 16
LFADS, SMOOTHING, MEAN = "LFADS", "smoothing", "mean"


@dataclass(frozen=True, kw_only=True)
class Trials:
    """A recording cut into trials; `behavior` is a value a trial or a bin, NaN where not asked."""

    name: str
    activity_RTN: NDArray[np.float32]
    behavior: Values
    rate_hz: float
    trials_in_block: int

    @property
    def test_R(self) -> Mask:  # noqa: N802 - axes ride in names
        """Which trials are held out."""
        block_R = np.arange(len(self.activity_RTN)) // self.trials_in_block
        return np.asarray(block_R % BLOCKS == BLOCKS - 1)


@dataclass(frozen=True, kw_only=True)
class Study:
    """Recordings of one kind, and how methods are compared on them.

    Attributes
    ----------
    folder, what
        In DATA, and what is said of it in the table.
    files
        The recordings' files in that folder.
    cut
        Makes trials of a file.
    model
        Overrides of ``calsweep lfads``.
    widths_ms
        Of smoothing, to choose from.
    nll
        Scores hidden values by `gaussian_nll` or `poisson_nll`.
    decode
        Scores behavior by `auc_of_trials` or `r2_of_bins`.
    decoded
        What that score is called.
    """

    folder: str
    what: str
    files: Callable[[Path], list[Path]]
    cut: Callable[[Path], Trials]
    model: tuple[str, ...]
    widths_ms: tuple[float, ...]
    nll: Callable[..., float]
    decode: Callable[..., float]
    decoded: str


def most_cells_of_each_mouse(folder: Path) -> list[Path]:
    """Give of each mouse the recording with most cells."""
    best: dict[str, tuple[int, Path]] = {}
    for file in sorted(folder.glob("*.npz")):
        mouse = file.stem.rpartition("_")[0]
        with np.load(file) as arrays:
            n_cells = arrays["traces"].shape[1]
        if n_cells > best.get(mouse, (0, file))[0]:
            best[mouse] = (n_cells, file)
    return [file for _, file in best.values()]


def first_two_days(folder: Path) -> list[Path]:
    """Give of each mouse the first two recordings."""
    return [file for day in (1, 2) for file in sorted(folder.glob(f"*-s{day}.npz"))]


def cut_events(file: Path) -> Trials:
    """Give the snippets of fluorescence around licks and other events, and which are licks."""
    with np.load(file) as arrays:
        n_trials = len(arrays["event_is_lick"])
        traces_TN = arrays["traces"]
        return Trials(
            name=file.stem,
            activity_RTN=traces_TN.reshape(n_trials, -1, traces_TN.shape[1]),
            behavior=arrays["event_is_lick"].astype(np.float64),
            rate_hz=float(arrays["rate_hz"]),
            trials_in_block=1,
        )


def cut_track(
    file: Path, *, bin_frames: int = 4, n_bins: int = 20, least_events: int = 10
) -> Trials:
    """Count events in bins of 0.2 s and cut runs into 4 s; the position is that of running mice."""
    with np.load(file) as arrays:
        n_frames = bin_frames * n_bins
        trial_T = arrays["trial"]
        starts = [
            start
            for trial in np.unique(trial_T)
            for start in range(
                int(np.argmax(trial_T == trial)),
                int(np.argmax(trial_T == trial)) + int((trial_T == trial).sum()) - n_frames + 1,
                n_frames,
            )
        ]
        at_RF = np.array(starts)[:, None] + np.arange(n_frames)
        is_event_TN = arrays["traces"] > 0
        is_event_TN = is_event_TN[:, is_event_TN[at_RF].sum(axis=(0, 1)) >= least_events]
        events = is_event_TN[at_RF].reshape(len(starts), n_bins, bin_frames, -1).sum(axis=2)
        position_RT = arrays["position"][at_RF[:, ::bin_frames]].astype(np.float64)
        running_RT = arrays["running"][at_RF[:, ::bin_frames]] > 0
        return Trials(
            name=file.stem,
            activity_RTN=events.astype(np.float32),
            behavior=np.where(running_RT, position_RT, np.nan),
            rate_hz=float(arrays["rate_hz"]) / bin_frames,
            trials_in_block=5,
        )


STUDIES = {
    "lick": Study(
        folder="s1_vip_lick_events",
        what="VIP cells of somatosensory cortex, dF/F around events: lick or not",
        files=most_cells_of_each_mouse,
        cut=cut_events,
        model=(
            "trainables=gaussian",
            "trainables.n_generator=64",
            "trainables.n_factors=24",
            "trainables.n_controller=32",
            "trainables.n_initial_encoder=32",
            "trainables.n_input_encoder=32",
            "trainables.n_initial=32",
            "training.batch_size=64",
            "training.ramp_epochs=20",
        ),
        widths_ms=(40, 60, 80, 110, 150, 200, 300, 500),
        nll=gaussian_nll,
        decode=auc_of_trials,
        decoded="AUC of licks",
    ),
    "track": Study(
        folder="ca1_linear_track_maps",
        what="CA1 cells, events of mice on a track: position of running mice",
        files=first_two_days,
        cut=cut_track,
        model=(
            "trainables=lfads",
            "trainables.n_generator=64",
            "trainables.n_factors=24",
            "trainables.n_controller=32",
            "trainables.n_initial_encoder=32",
            "trainables.n_input_encoder=32",
            "trainables.n_initial=32",
            "training.batch_size=32",
            "training.ramp_epochs=20",
        ),
        widths_ms=(100, 150, 200, 300, 400, 600, 800, 1200, 2000, 4000),
        nll=poisson_nll,
        decode=r2_of_bins,
        decoded="R² of position",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """What became of one recording: scores by method, and smoothing's widths in ms."""

    recording: str
    n_cells: int
    n_trials: int
    nll: Mapping[str, float]
    decoded: Mapping[str, float]
    widths_ms: tuple[float, float]


def compared(study: Study, trials: Trials, *, home: Path, overrides: tuple[str, ...]) -> Row:
    """Hide values, let both methods say what they were, and score that."""
    rng = np.random.default_rng(0)
    is_hidden = rng.random(trials.activity_RTN.shape) < HIDDEN_SHARE
    test_R = trials.test_R
    true = trials.activity_RTN.astype(np.float64)
    if study.nll is gaussian_nll:  # neurons are alike to the model, and so are their nats
        known = true[~test_R]
        true = (true - known.mean(axis=(0, 1))) / known.std(axis=(0, 1))
    shown = np.where(is_hidden, np.nan, true)
    lfads, valid_R = _lfads(study, trials, shown, home=home, overrides=overrides)
    mean_N = np.nanmean(shown[~test_R], axis=(0, 1))
    smoothed = {width: _smoothed(shown, mean_N, trials.rate_hz, width) for width in study.widths_ms}
    fit_R, train_R = ~test_R, ~test_R & ~valid_R

    def nll(rates: Values, of_R: Mask, fit_on_R: Mask) -> float:
        hidden = [is_hidden & part_R[:, None, None] for part_R in (fit_on_R, of_R)]
        return study.nll(rates, true, mean_N, fit=hidden[0], test=hidden[1])

    def decode(rates: Values, fit_on_R: Mask, of_R: Mask) -> float:
        return study.decode(rates, trials.behavior, train_R=fit_on_R, test_R=of_R)

    likeliest = min(smoothed, key=lambda width: nll(smoothed[width], valid_R, train_R))
    decodes_best = max(smoothed, key=lambda width: decode(smoothed[width], train_R, valid_R))
    rates = {LFADS: lfads, SMOOTHING: smoothed[likeliest], MEAN: 0 * true + mean_N}
    return Row(
        recording=trials.name,
        n_cells=true.shape[2],
        n_trials=len(true),
        nll={name: nll(of, test_R, fit_R) for name, of in rates.items()},
        decoded={
            LFADS: decode(lfads, fit_R, test_R),
            SMOOTHING: decode(smoothed[decodes_best], fit_R, test_R),
        },
        widths_ms=(likeliest, decodes_best),
    )


def _lfads(
    study: Study, trials: Trials, shown: Values, *, home: Path, overrides: tuple[str, ...]
) -> tuple[Values, Mask]:
    """Give the rates of all trials by a model of those not held out, and which validated it."""
    whole = _recording(trials, shown)
    known = np.flatnonzero(~trials.test_R)
    address = home / "datasets" / trials.name
    if not (address / "manifest.json").exists():
        write_dataset([_recording(trials, shown[known])], folder=address)
    settings: DynamicsSettings = compose_dynamics(
        [
            *study.model,
            f"datasets.address={address}",
            f"datasets.valid_share={VALID_SHARE}",
            f"name={trials.name}",
            f"home={home}",
            *overrides,
        ]
    )
    left = run_dynamics(settings)
    view = view_trials(whole, listed=(known, np.flatnonzero(trials.test_R)))
    model = LfadsLearner(settings.trainables, training=settings.training, views=[view], seed=0)
    place = Lineage(left.folder).place(generation=left.best.generation, member=left.best.member)
    model.load_state(read_member(place)["state"])
    rates = [
        model.infer(0, some, n_samples=N_SAMPLES).rates_TBN.transpose(0, 1).double().numpy()
        for some in np.array_split(np.arange(len(shown)), -(-len(shown) // 128))
    ]
    valid_R = np.zeros(len(shown), dtype=bool)
    drawn = split_trials(len(known), valid_share=VALID_SHARE, seed=settings.seed)[1]
    valid_R[known[drawn]] = True
    return np.concatenate(rates), valid_R


def _recording(trials: Trials, shown: Values) -> Recording:
    n_trials, n_bins, n_neurons = shown.shape
    return Recording(
        subject=trials.name,
        name=trials.name,
        activity_TN=shown.reshape(-1, n_neurons).astype(np.float32),
        behavior={"trial": np.repeat(np.arange(n_trials), n_bins)},
        rate_hz=trials.rate_hz,
        units=tuple(f"cell{i}" for i in range(1, n_neurons + 1)),
        trial_T=np.repeat(np.arange(n_trials, dtype=np.int32), n_bins),
        may_miss=True,
    )


def _smoothed(shown: Values, mean_N: Values, rate_hz: float, width_ms: float) -> Values:
    smoothed = smooth(shown, rate_hz=rate_hz, sd_ms=width_ms)
    return np.where(np.isnan(smoothed), mean_N, smoothed)


def said(study: Study, rows: Sequence[Row]) -> str:
    """Give the rows of a study as Markdown, their means and the tests between methods."""
    lines = [
        f"{study.what} ({len(rows)} recordings)",
        "",
        "| recording | cells | trials | nats a hidden value: LFADS | smoothing | mean | "
        f"{study.decoded}: LFADS | smoothing | widths, ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        nll = " | ".join(f"{row.nll[name]:.4f}" for name in (LFADS, SMOOTHING, MEAN))
        scores = " | ".join(f"{row.decoded[name]:.3f}" for name in (LFADS, SMOOTHING))
        widths = ", ".join(f"{width:g}" for width in row.widths_ms)
        lines.append(
            f"| {row.recording} | {row.n_cells} | {row.n_trials} | {nll} | {scores} | {widths} |"
        )
    gain = [row.nll[SMOOTHING] - row.nll[LFADS] for row in rows]
    decoded = {name: [row.decoded[name] for row in rows] for name in (LFADS, SMOOTHING)}
    lines += ["", *_tests(study, gain, decoded)]
    return "\n".join(lines)


def _tests(
    study: Study, gain: Sequence[float], decoded: Mapping[str, Sequence[float]]
) -> list[str]:
    def test(one: Sequence[float], other: Sequence[float]) -> str:
        if len(one) < 2:
            return "one recording, no test"
        above, below = paired_t(one, other).p, paired_t(other, one).p
        n_above = sum(a > b for a, b in zip(one, other, strict=True))
        return (
            f"above in {n_above} of {len(one)}, paired t, one-sided p = {above:.2g} (that it is "
            f"above), {below:.2g} (below)"
        )

    means = {name: float(np.mean(values)) for name, values in decoded.items()}
    return [
        f"LFADS' gain over smoothing: {np.mean(gain):.4f} nats a value; "
        + test(gain, [0.0] * len(gain)),
        f"{study.decoded}: LFADS {means[LFADS]:.3f}, smoothing {means[SMOOTHING]:.3f}; "
        + test(decoded[LFADS], decoded[SMOOTHING]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the folders of recordings")
    parser.add_argument("--home", type=Path, required=True, help="where populations are kept")
    parser.add_argument("--only", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--recordings", type=int, help="of each study, the first so many")
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--generations", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=15, help="of a generation")
    options = parser.parse_args()
    overrides = (
        f"population.size={options.members}",
        f"population.generations={options.generations}",
        f"population.generation={options.epochs}",
        "n_samples=1",  # what the population itself infers is of the trials that it was given
    )
    warnings.simplefilter("ignore", FewNeurons)  # what is hidden counts as not sampled
    with cluster(Resources()):
        for name in options.only:
            study = STUDIES[name]
            rows = []
            for file in study.files(options.data / study.folder)[: options.recordings]:
                trials = study.cut(file)
                rows.append(compared(study, trials, home=options.home, overrides=overrides))
                print(json.dumps(asdict(rows[-1])), flush=True)
            print(said(study, rows), flush=True)


if __name__ == "__main__":
    main()
