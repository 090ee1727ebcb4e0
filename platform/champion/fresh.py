"""A model tried out in a process of its own: it loads, predicts, and gives the record's figures.

``python -m calsweep.platform.champion.fresh`` reads a `Trial` as JSON from its input and writes
what came of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import calsweep
from calsweep.platform.errors import first_line

if TYPE_CHECKING:
    from calsweep.platform.fold.model import FoldModel, TrainedModel
    from calsweep.platform.record import FoldRecord, SweepRecord

DEADLINE_S = 1800.0
# A fold that was trained on a GPU is scored there in other sums than a CPU makes.
FIGURE_TOLERANCE = 1e-3


class ModelFails(ValueError):
    """A model does not load, predict, or come to its figures in a fresh process."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.what} does not pass in a fresh process: {self.reason.rstrip('.')}. "
            "Nothing is changed: the champion stays."
        )


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a fresh process is to try.

    Attributes
    ----------
    model
        Folder of the model.
    home, sweep, trial
        Where the folds' record is; an empty `sweep` for a model that is only to load and predict.
    folds
        Numbers of the folds whose models it is made of, in its order.
    cache
        Folder of this machine for decoded frames.
    """

    model: str
    home: str = ""
    sweep: str = ""
    trial: int = 0
    folds: tuple[int, ...] = ()
    cache: str = ""


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """A fold's figures as a fresh process found them.

    Attributes
    ----------
    fold
        Its number.
    auc, accuracy
        Of its test part, now.
    furthest
        Greatest difference of a probability from the one that training stored.
    """

    fold: int
    auc: float
    accuracy: float
    furthest: float


def try_out(trial: Trial, /, *, what: str, deadline_s: float = DEADLINE_S) -> tuple[Repeated, ...]:
    """Try a model out in a fresh process.

    Parameters
    ----------
    trial
        What to try.
    what
        The model in words, for messages.
    deadline_s
        Seconds until it is given up.

    Returns
    -------
    repeated
        Figures of its folds.

    Raises
    ------
    ModelFails
        If it does not load, predict, or come to the figures of the record.
    """
    root = str(Path(calsweep.__file__).parent.parent)
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    try:
        run = subprocess.run(
            [sys.executable, "-m", "calsweep.platform.champion.fresh"],
            input=json.dumps(asdict(trial)),
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=deadline_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelFails(what, f"it was not done within {deadline_s:g} s") from error
    lines = run.stdout.strip().splitlines()
    if run.returncode or not lines:
        said = run.stderr.strip().splitlines()
        raise ModelFails(what, said[-1] if said else f"it ended with code {run.returncode}")
    answer = json.loads(lines[-1])
    if "error" in answer:
        raise ModelFails(what, answer["error"])
    return tuple(Repeated(**row) for row in answer["folds"])


def _main() -> None:
    plain = json.load(sys.stdin)
    trial = Trial(**{**plain, "folds": tuple(plain["folds"])})
    try:
        answer: Mapping[str, Any] = {"folds": [asdict(row) for row in _try(trial)]}
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        answer = {"error": first_line(error)}
    sys.stdout.write(f"\n{json.dumps(answer)}\n")


def _try(trial: Trial) -> Sequence[Repeated]:
    from calsweep.platform.fold.ensemble import Ensemble, read_model
    from calsweep.platform.fold.model import FoldModel
    from calsweep.platform.record_reader import read_sweep

    model = read_model(Path(trial.model))
    _predict_something(model)
    if not trial.sweep:
        return ()
    sweep = read_sweep(Path(trial.home), trial.sweep)
    record = next(there for there in sweep.trials if there.number == trial.trial)
    if isinstance(model, Ensemble):
        members = model.members
    else:
        assert isinstance(model, FoldModel)  # noqa: S101 - there is no third kind
        members = (model,)
    return [
        _repeat(member, sweep, record.fold(fold), cache=Path(trial.cache))
        for member, fold in zip(members, trial.folds, strict=True)
    ]


def _predict_something(model: TrainedModel) -> None:
    """Predict a recording of nothing: numbers must come of it."""
    import numpy as np

    n_frames = model.view.window.length + 1
    shape = model.image_shape or (len(model.units),)
    probability_TC = model.probabilities(
        np.zeros((n_frames, *shape), np.float32), trial_T=np.zeros(n_frames, np.int32)
    )
    decoded = probability_TC[model.view.window.target_offset]
    if not np.isfinite(decoded).all():
        raise ValueError(f"its probabilities are no numbers: {decoded.tolist()}")


def _repeat(model: FoldModel, sweep: SweepRecord, fold: FoldRecord, *, cache: Path) -> Repeated:
    """Predict the test part of a fold as `calsweep predict` would, and compare."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from calsweep.platform.fold.fold_run import unchanged_dataset
    from calsweep.platform.fold.probability import from_columns, in_order
    from calsweep.platform.prediction import predict_dataset
    from calsweep.trainables.metrics import accuracy, auc

    stored = pq.read_table(
        sweep.fold_folder(fold) / "predictions.parquet", page_checksum_verification=True
    ).to_pandas()
    address, content_hash = str(model.view.address), str(sweep.dataset["content_hash"])
    dataset = unchanged_dataset(address, content_hash, cache)
    tested = set(stored.recording.astype(str))
    again = pa.concat_tables(predict_dataset(model, dataset, only=tested)).to_pandas()
    both = stored.astype({"recording": str}).merge(
        again.astype({"recording": str}), on=["recording", "frame"], suffixes=("", "_again")
    )
    if len(both) != len(stored):
        raise ValueError(
            f"of {len(stored)} test frames of fold {fold.fold} it predicts {len(both)}"
        )
    names = in_order(name for name in both.columns if not name.endswith("_again"))
    then_WC = from_columns([both[name].to_numpy(np.float64) for name in names])
    now_WC = from_columns([both[f"{name}_again"].to_numpy(np.float64) for name in names])
    labels_W = both.label.to_numpy(np.int64)
    found = Repeated(
        fold=fold.fold,
        auc=auc(labels_W, now_WC),
        accuracy=accuracy(labels_W, now_WC),
        furthest=float(np.abs(now_WC - then_WC).max()),
    )
    if not abs(found.auc - fold.test.auc) <= FIGURE_TOLERANCE:
        raise ValueError(
            f"fold {fold.fold} comes to a test AUC of {found.auc:.4f}, but the record has "
            f"{fold.test.auc:.4f}"
        )
    return found


if __name__ == "__main__":
    _main()
