"""What is decoded from real recordings, beside the linear baseline.

    python -m tests.benchmarks.real_data DATA                      all of them
    python -m tests.benchmarks.real_data DATA --only track parcels
    python -m tests.benchmarks.real_data DATA --commands           what it would run

DATA is a folder with a folder of ``.npz`` recordings for each dataset. Each is ingested, checked,
swept and compared by the commands that it prints, in ``--home`` (by default a folder that is taken
away at the end); what is there already is not done again. Then a row of Markdown a dataset: the
best configuration by validation that is not linear, its test AUC over the folds, that of the linear
baseline, and the tests of their difference that allow for what folds share.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from calsweep.platform.arm import Arm, find_arm
from calsweep.platform.comparison import Method, compare
from calsweep.platform.leaderboard import leaderboard, nested_choice
from calsweep.platform.record import SweepRecord, TrialRecord
from calsweep.platform.record_reader import read_sweep


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """A dataset and what is decoded from it.

    Attributes
    ----------
    folder
        Of recordings, in DATA.
    what
        Said of it in the table.
    ingest, sweep
        Options of ``calsweep ingest npz`` and overrides of ``calsweep sweep``.
    """

    folder: str
    what: str
    ingest: tuple[str, ...]
    sweep: tuple[str, ...]


def registered(mouse: str) -> tuple[str, ...]:
    """Give the options that match a mouse's cells over its recordings, at 5 frames a second."""
    return (
        f"--only={mouse}_*",
        f"--names=(?P<subject>{mouse})_envA-(?P<recording>s\\d+)",
        "--unit-ids=registered_cell_id",
        "--common-units",
        "--resample-hz=5",
    )


def blocks(n_blocks: int) -> tuple[str, ...]:
    """Give the overrides that divide one recording into blocks of time in five groups."""
    return ("datasets/folds=time_blocks", f"datasets.folds.n_blocks={n_blocks}")


# Small recordings: more steps of smaller batches, for the baseline as well.
SMALL = (
    "datasets=traces",
    "trainables=gru",
    "training.epochs=15",
    "training.batch_size=64",
    "training.learning_rate=3e-3",
    "baseline_training.epochs=15",
    "baseline_training.batch_size=64",
)
GRID = ("search_spaces=empty", "tuner=grid")
ONE_DIRECTION_OR_BOTH = "search_spaces.trainables.bidirectional.choices=[false,true]"
ONE_SECOND_OR_TWO = (
    "search_spaces.datasets.window.length.choices=[11,21]",
    "datasets.window.length=21",
)
# Cells with few events: z-scored, one that is hardly ever active reaches far.
MINMAX = (
    "search_spaces.arms.minmax={datasets:{transforms:{scaling:"
    "{_target_:calsweep.datasets.transform.MinMax}}}}"
)

DECODINGS = {
    "flies": Decoding(
        folder="fly_heading_walking",
        what="19 flies, compass neurons: moves or stands",
        ingest=("--order-units-by=roi_neuron_type", "--resample-hz=10"),
        sweep=(
            "+experiment=widefield_rnns",
            "datasets=traces",
            "datasets.target=moving",
            # Flies differ in brightness: each is scaled by its own frames, which reports note.
            "datasets.transforms.scaling.over=recording",
            "datasets.window.length=21",
            "training.epochs=6",
            "training.learning_rate=5e-3",
            "training.epoch_fraction=0.25",
            "baseline_training.epoch_fraction=0.25",
        ),
    ),
    "track": Decoding(
        folder="patmap_small_twophoton",
        what="a mouse on a track, 343 cells: which half",
        ingest=("--only=NR-6*", "--bins=half=position_bin:5"),
        sweep=(
            *SMALL,
            *GRID,
            ONE_DIRECTION_OR_BOTH,
            *ONE_SECOND_OR_TWO,
            "datasets.target=half",
            *blocks(10),
        ),
    ),
    "gratings": Decoding(
        folder="patmap_small_twophoton",
        what="a mouse that sees gratings, 218 cells: which of 4",
        ingest=(
            "--only=v1mouse*",
            "--rate-hz=10.2",
            "--trials=orientation_class",
            "--behavior=orientation_class",
            "--bins=orientation=orientation_class:2,3,4",
        ),
        sweep=(
            *SMALL,
            *GRID,
            ONE_DIRECTION_OR_BOTH,
            "datasets.window.length=11",
            "datasets.target=orientation",
            "datasets/folds=whole_trials",
        ),
    ),
    "parcels": Decoding(
        folder="widefield_parcels_locomotion",
        what="a mouse on a wheel, 48 parcels of cortex: runs or rests",
        ingest=(),
        sweep=(
            *SMALL,
            *GRID,
            ONE_DIRECTION_OR_BOTH,
            *ONE_SECOND_OR_TWO,
            "datasets.target=locomotion",
            *blocks(20),
        ),
    ),
    **{
        name: Decoding(
            folder="ca1_linear_track_maps",
            what=f"a mouse on a track ({mouse}), cells of CA1 found on every day: runs or rests",
            ingest=registered(mouse),
            sweep=(
                "datasets=traces",
                "trainables=bi_gru",
                *GRID,
                MINMAX,
                "datasets.window.length=21",
                "datasets.target=running",
                "datasets/folds=leave_one_recording_out",
                "training.epochs=10",
                "training.batch_size=128",
                "training.learning_rate=3e-3",
                "training.epoch_fraction=0.5",
                "baseline_training.epochs=5",
                "baseline_training.epoch_fraction=0.5",
            ),
        )
        for name, mouse in {"ca1-c11": "C11_M1", "ca1-c16": "C16_M4"}.items()
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of the folders of recordings")
    parser.add_argument("--only", nargs="+", choices=DECODINGS, default=list(DECODINGS))
    parser.add_argument("--home", type=Path, help="where datasets and sweeps are kept")
    parser.add_argument("--commands", action="store_true", help="print the commands alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = options.home or Path(scratch)
        rows = []
        for name in options.only:
            for command in commands(name, data=options.data, home=home):
                print(shlex.join(["calsweep", *command]), flush=True)
                if not options.commands:
                    run(command, home=home)
            if not options.commands:
                rows.append(row(name, read_sweep(home, name)))
        if rows:
            print("\n".join([HEAD, *rows]))


def commands(name: str, *, data: Path, home: Path) -> list[list[str]]:
    """Give what a lab types, less the program's name."""
    decoding = DECODINGS[name]
    dataset = home / name
    return [
        ["ingest", "npz", str(data / decoding.folder), str(dataset), *decoding.ingest],
        ["data", "check", str(dataset)],
        ["sweep", f"name={name}", f"home={home}", f"datasets.address={dataset}", *decoding.sweep],
        ["compare", name, f"--home={home}"],
    ]


def run(command: Sequence[str], *, home: Path) -> None:
    if command[0] == "ingest" and Path(command[3]).exists():
        return
    home.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "calsweep.platform", *command], check=True)


HEAD = (
    "| recordings | folds | best configuration | its test AUC | linear baseline | difference | "
    "verdict |\n|---|---|---|---|---|---|---|"
)


def row(name: str, sweep: SweepRecord) -> str:
    """Say in a row of the table what a sweep has found."""
    best = next(
        place.trial
        for place in leaderboard(sweep)
        if "Linear" not in place.trial.settings["trainables"]["_target_"]
    )
    linear = find_arm(sweep, "baseline")
    folds = f"{len(sweep.plan.folds)}: {sweep.plan.name}"
    choices = nested_choice(sweep)
    nested = statistics.fmean(choice.test_auc for choice in choices) if choices else None
    cells = (
        f"{DECODINGS[name].what} (`{name}`)",
        folds,
        f"{best.decoder} ({best.name})",
        with_spread(best) + (f" (nested {nested:.3f})" if nested else ""),
        with_spread(linear.trial),
        difference(Arm(sweep=sweep, trial=best), linear),
        best.verdict.standing.value,
    )
    return f"| {' | '.join(cells)} |"


def difference(arm: Arm, linear: Arm) -> str:
    """Say by how much a configuration is above the baseline, and by chance or not."""
    pair = compare((arm, linear), reference=linear).pairs[0]
    n_above = sum(value > 0 for value in pair.differences)
    shown = [
        f"{method.value} p = {pair.p[method].holm:.2g}"
        for method in (Method.CORRECTED_T, Method.SIGN_FLIP)
        if method in pair.p
    ]
    return (
        f"{pair.mean_difference:+.3f} ({n_above} of {len(pair.differences)} folds above); "
        f"{', '.join(shown)}"
    )


def with_spread(trial: TrialRecord) -> str:
    values = [fold.test.auc for fold in trial.folds]
    return f"{statistics.fmean(values):.3f} ± {statistics.stdev(values):.3f}"


if __name__ == "__main__":
    main()
