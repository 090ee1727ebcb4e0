"""A small sweep on disk, as a sweep writes it: the baseline and two configurations on 20 folds."""

import contextlib
import itertools
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from calsweep.datasets.audit import Finding, Kind, Verdict
from calsweep.datasets.fold import Fold, FoldPlan, HeldOut, PartName, Stretch
from calsweep.platform.config import compose_settings
from calsweep.platform.plain import to_plain
from calsweep.platform.pruning import Pruned
from calsweep.platform.record import FoldRecord, SweepRecord, TrialState, sweeps_folder
from calsweep.platform.record_reader import read_sweep
from calsweep.platform.record_writer import Record
from calsweep.platform.score import Epoch, Score
from calsweep.platform.settings import SweepSettings

SUBJECTS = ("m1", "m2", "m3", "m4", "m5")
RATE_HZ = 10.0
N_WINDOWS = 1500
RECURRENT = "calsweep.trainables.recurrent.Recurrent"
TRIALS = {
    0: ("baseline", {}, "calsweep.trainables.linear.Linear", 1.6),
    1: ("trial 1", {"trainables.cell": "gru", "training.learning_rate": 0.00312}, RECURRENT, 2.4),
    2: ("trial 2", {"trainables.cell": "simple", "training.learning_rate": 0.001}, RECURRENT, 2.0),
}


def composed(*overrides: str) -> SweepSettings:
    address = "datasets.address=s3://lab/tiny"
    return compose_settings([address, "n_trials=2", *overrides])


@dataclass
class SweepWriter:
    """Writes a sweep's record piece by piece, and holds it as a running sweep does."""

    home: Path
    held: contextlib.ExitStack
    name: str = "tiny"
    settings: SweepSettings = field(default_factory=lambda: composed("seed=7"))
    subjects: tuple[str, ...] = SUBJECTS
    notes: tuple[str, ...] = ("Detrending looks 500 frames ahead.",)
    leaky: bool = False
    changes: dict[str, object] = field(default_factory=dict)
    grouped: bool = True

    def plan(self) -> FoldPlan:
        pairs = itertools.permutations(range(5), 2)
        return FoldPlan(
            name="animals",
            holds_out=HeldOut.ANIMALS if self.grouped else HeldOut.FRAMES,
            groups=tuple((subject,) for subject in self.subjects) if self.grouped else (),
            folds=tuple(self._fold(i, *pair) for i, pair in enumerate(pairs)),
        )

    def verdict(self) -> Verdict:
        leak = Finding(
            kind=Kind.FRAMES,
            is_leak=True,
            is_asked_for=True,
            parts=(PartName.TRAIN, PartName.TEST),
            where=("m1_a",),
            n_where=1,
            n_frames=30,
            folds=(0,),
        )
        notes = tuple(Finding(kind=Kind.STEPS, is_leak=False, what=note) for note in self.notes)
        return Verdict(findings=((leak,) if self.leaky else ()) + notes)

    def begin(self) -> None:
        dataset = {
            "address": "s3://lab/tiny",
            "content_hash": "da7a" * 16,
            "target": "run",
            "rate_hz": RATE_HZ,
            "n_units": 50,
            "n_frames": 5 * N_WINDOWS,
            "subjects": list(self.subjects),
            "recordings": [f"{subject}_a" for subject in self.subjects],
        }
        description = {
            "settings": self.settings.intent,
            "overrides": list(self.settings.overrides),
            "dataset": dataset,
            "plan": to_plain(self.plan()),
            "plan_hash": "f01d" * 16,
            "code_version": "0.1.0+abc",
            "verdict": to_plain(self.verdict()),
            "n_planned": 3,
        }
        self._record = self.held.enter_context(Record(sweeps_folder(self.home) / self.name))
        self._record.begin({**description, **self.changes})

    def trial(
        self,
        number: int,
        *,
        n_folds: int = 20,
        error: str = "",
        pruned: Pruned | None = None,
    ) -> None:
        name, values, target, strength = TRIALS.get(number, (f"trial {number}", {}, RECURRENT, 2.0))
        self._record.begin_trial(
            number,
            name=name,
            values=values,
            verdict=to_plain(self.verdict()),
            settings={"trainables": {"_target_": target}},
        )
        for fold in self.plan().folds[:n_folds]:
            key = f"{number:02d}{fold.index:02d}"
            self._train(fold, key, strength=strength)
            self._record.add_fold(number, key=key)
        if pruned:
            self._record.end_trial(number, TrialState.PRUNED, pruned=asdict(pruned))
        elif n_folds == 20 or error:
            state = TrialState.FAILED if error else TrialState.DONE
            self._record.end_trial(number, state, error=error)

    def read(self) -> SweepRecord:
        return read_sweep(self.home, self.name)

    def _fold(self, index: int, test: int, validation: int) -> Fold:
        others = [i for i in range(5) if i not in (test, validation)]
        return Fold(
            index=index,
            test_group=test if self.grouped else None,
            validation_group=validation if self.grouped else None,
            train=tuple(self._stretch(i) for i in others),
            validation=(self._stretch(validation),),
            test=(self._stretch(test),),
        )

    def _stretch(self, mouse: int) -> Stretch:
        return Stretch(recording=f"{self.subjects[mouse]}_a", start_frame=0, stop_frame=N_WINDOWS)

    def _train(self, fold: Fold, key: str, *, strength: float) -> None:
        rng = np.random.default_rng([int(key), 3])
        mouse = fold.test_group or 0
        label = (np.sin(np.arange(N_WINDOWS) / 40 + mouse) > 0.2).astype(np.int64)
        drift = np.convolve(rng.normal(size=N_WINDOWS + 8), np.ones(9) / 3, mode="valid")
        logit = (strength - 0.2 * mouse) * (2 * label - 1) + 1.2 * drift
        probability = (1 / (1 + np.exp(-logit))).astype(np.float32)
        test = Score(
            loss=0.3,
            auc=float(roc_auc_score(label, probability)),
            accuracy=float(np.mean((probability > 0.5) == label)),
        )
        folder = sweeps_folder(self.home) / self.name / "folds" / key
        folder.mkdir(parents=True)
        curve = _curve(rng, strength=strength)
        best = min(curve, key=lambda epoch: epoch.validation.loss)
        FoldRecord(
            key=key,
            fold=fold.index,
            test_group=fold.test_group,
            validation_group=fold.validation_group,
            seed=fold.index,
            best_epoch=best.epoch,
            curve=curve,
            validation=best.validation,
            test=test,
            n_windows=1000,
            train_seconds=1.0,
            process="here:1",
        ).write(folder)
        columns = {
            "recording": [fold.test[0].recording] * N_WINDOWS,
            "frame": np.arange(N_WINDOWS) + 15,
            "label": label,
            "probability": probability,
        }
        pq.write_table(pa.table(columns), folder / "predictions.parquet", write_page_checksum=True)


def _curve(rng: np.random.Generator, *, strength: float) -> tuple[Epoch, ...]:
    slow, offset = rng.uniform(2, 4), rng.normal(0, 0.02)
    return tuple(
        Epoch(
            epoch=epoch,
            train_loss=0.25 + 0.4 * np.exp(-epoch / slow),
            validation=Score(
                loss=0.3 + offset + 0.4 * np.exp(-epoch / slow) + 0.004 * epoch,
                auc=0.82 + 0.05 * strength - 0.3 * np.exp(-epoch / slow) - offset,
                accuracy=0.9,
            ),
        )
        for epoch in range(1, 16)
    )


@pytest.fixture
def writer(tmp_path):
    """Give a writer of sweeps under a fresh home."""
    with contextlib.ExitStack() as held:
        yield lambda **changes: SweepWriter(home=tmp_path, held=held, **changes)


@pytest.fixture(scope="session")
def sweep(tmp_path_factory):
    """Give a finished sweep."""
    with contextlib.ExitStack() as held:
        written = SweepWriter(home=tmp_path_factory.mktemp("home"), held=held)
        written.begin()
        for number in TRIALS:
            written.trial(number)
    return written.read()
