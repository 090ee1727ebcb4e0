"""A sweep's record written line by line, with figures written out, and what MLflow has of it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import torch

from calsweep.datasets.audit import Finding, Kind, Verdict
from calsweep.datasets.fold import Fold, FoldPlan, HeldOut, PartName, Stretch
from calsweep.datasets.split import Scaling
from calsweep.datasets.view import View
from calsweep.datasets.window import Window
from calsweep.platform.fold.model import FoldModel
from calsweep.platform.plain import to_plain
from calsweep.platform.record import FoldRecord, SweepRecord
from calsweep.platform.record_reader import read_sweep
from calsweep.platform.record_writer import Record
from calsweep.platform.score import Epoch, Score
from calsweep.trainables.linear import Linear

NOWHERE = "http://me:secret@127.0.0.1:9"  # the port "discard": nobody answers
VALIDATION_AUC = (0.75, 0.875)


def tiny_model() -> FoldModel:
    """Give a model of windows of one frame: the logistic function of `a - b`."""
    return FoldModel(
        decoder=Linear(),
        view=View(address="mice", target="run", window=Window(length=1)),
        units=("a", "b"),
        rate_hz=10.0,
        scaling=Scaling(offset_N=np.zeros(2, np.float32), scale_N=np.ones(2, np.float32)),
        state={
            "kernel.weight": torch.tensor([[[1.0], [-1.0]]]),
            "kernel.bias": torch.zeros(1),
        },
    )


@dataclass
class Writer:
    """Writes a sweep's record line by line: folds of a tiny model with figures written out."""

    home: Path
    name: str
    leaky: bool = False

    def begin(self) -> None:
        stretches = tuple(
            Stretch(recording=name, start_frame=0, stop_frame=100)
            for name in ("m1_a", "m2_a", "m3_a")
        )
        fold = Fold(
            index=0,
            test_group=0,
            validation_group=1,
            train=stretches[2:],
            validation=stretches[1:2],
            test=stretches[:1],
        )
        plan = FoldPlan(
            name="animals",
            groups=(("m1",), ("m2",), ("m3",)),
            folds=(fold,),
            holds_out=HeldOut.NOTHING if self.leaky else HeldOut.ANIMALS,
        )
        self._description = {
            "settings": {"seed": 7},
            "dataset": {
                "address": "mice",
                "content_hash": "da7a",
                "target": "run",
                "rate_hz": 10.0,
                "n_units": 2,
            },
            "plan": to_plain(plan),
            "plan_hash": "f01d",
            "code_version": "0.1.0+abc",
            "verdict": to_plain(self.verdict()),
            "n_planned": 1,
        }
        self.trial()

    def verdict(self) -> Verdict:
        leak = Finding(
            kind=Kind.WINDOWS,
            is_leak=True,
            is_asked_for=True,
            parts=(PartName.TRAIN, PartName.TEST),
            where=("m1_a",),
            n_where=1,
            n_frames=70,
            folds=(0,),
        )
        what = "Detrending looks 500 frames ahead."
        note = Finding(kind=Kind.STEPS, is_leak=False, what=what)
        return Verdict(findings=(leak, note) if self.leaky else (note,))

    def trial(self) -> None:
        self._append(
            event="trial",
            name="baseline",
            values={},
            settings={"trainables": {"_target_": "calsweep.trainables.linear.Linear"}},
            verdict=to_plain(self.verdict()),
        )

    def fold(self, number: int) -> None:
        folder = self.home / "sweeps" / self.name / "folds" / f"key{number}"
        if not folder.exists():
            tiny_model().save(folder / "model")
            validation = Score(loss=0.5, auc=VALIDATION_AUC[number], accuracy=0.7)
            FoldRecord(
                key=f"key{number}",
                fold=number,
                test_group=0,
                validation_group=1,
                seed=number,
                best_epoch=2,
                curve=(
                    Epoch(epoch=1, train_loss=0.9, validation=Score(loss=0.8, auc=0.6, accuracy=1)),
                    Epoch(epoch=2, train_loss=0.6, validation=validation),
                ),
                validation=validation,
                test=Score(loss=0.4, auc=0.5 + number / 4, accuracy=0.6),
                n_windows=1000,
                train_seconds=1.5,
                process="here:1",
            ).write(folder)
        with self._record() as record:
            record.add_fold(0, key=f"key{number}")

    def end(self, *, error: str = "") -> SweepRecord:
        self._append(event="end", state="failed" if error else "done", error=error, may_pass=False)
        return self.read()

    def done(self) -> SweepRecord:
        self.begin()
        self.fold(0)
        self.fold(1)
        return self.end()

    def read(self) -> SweepRecord:
        return read_sweep(self.home, self.name)

    def _append(self, **line: object) -> None:
        with self._record() as record:
            record.append({"trial": 0, **line})

    @contextlib.contextmanager
    def _record(self) -> Iterator[Record]:
        with Record(self.home / "sweeps" / self.name) as record:
            record.begin(self._description)
            yield record


def runs_of(uri: str, sweep: str) -> pd.DataFrame:
    mlflow.set_tracking_uri(uri)
    runs = mlflow.search_runs(experiment_names=[f"calsweep/{sweep}"])
    return runs.set_index("tags.calsweep.run_key").sort_index()
