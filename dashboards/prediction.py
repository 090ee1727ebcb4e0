"""What a fold's model said of each test window, as the sweep stored it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from calsweep.platform.fold.probability import from_columns, in_order, side_columns

# W windows, C classes, P points of a curve

POINTS = 200


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Labels and probabilities of a fold's test windows.

    Attributes
    ----------
    recording_W
        Name of the recording.
    frame_W
        Frame whose label is decoded, from 0 in its recording.
    label_W
        Class that was observed, from 0.
    probability_WC
        Probability of each class that the model gave.
    sides
        Class to its probability by a head of its own, shape ``(window,)``, where it has one.
    """

    recording_W: NDArray[np.object_]
    frame_W: NDArray[np.int64]
    label_W: NDArray[np.int64]
    probability_WC: NDArray[np.float64]
    sides: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def n_classes(self) -> int:
        """Classes of the behavior."""
        return int(self.probability_WC.shape[1])

    @property
    def probability(self) -> NDArray[np.float64]:
        """Probability of class 1, of two."""
        assert self.n_classes == 2  # noqa: S101 - the caller looks at how many there are
        return self.probability_WC[:, 1]

    @property
    def decoded(self) -> NDArray[np.int64]:
        """Class of each window that was decoded: the most probable, of equal ones the lowest."""
        decoded_W: NDArray[np.int64] = np.argmax(self.probability_WC, axis=1)
        return decoded_W


@dataclass(frozen=True, kw_only=True)
class RocCurve:
    """Hits against false alarms at falling thresholds.

    Attributes
    ----------
    false_positive_P, true_positive_P
        Shares from 0 to 1, both increasing.
    """

    false_positive_P: NDArray[np.float64]
    true_positive_P: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Area under the curve."""
        return float(np.trapezoid(self.true_positive_P, self.false_positive_P))


def read_predictions(folder: Path, /) -> Predictions:
    """Read the predictions in a trained fold's folder.

    Raises
    ------
    FileNotFoundError
        If there are none.
    """
    table = pq.read_table(folder / "predictions.parquet", page_checksum_verification=True)
    columns = [table[name].to_numpy().astype(np.float64) for name in in_order(table.column_names)]
    return Predictions(
        recording_W=table["recording"].to_numpy(),
        frame_W=table["frame"].to_numpy().astype(np.int64),
        label_W=table["label"].to_numpy().astype(np.int64),
        probability_WC=from_columns(columns),
        sides={
            c: table[name].to_numpy().astype(np.float64)
            for c, name in side_columns(table.column_names).items()
        },
    )


def roc(
    label_W: NDArray[np.int64], probability_W: NDArray[np.float64], /, *, points: int = POINTS
) -> RocCurve:
    """Give the ROC curve, thinned to points that lie evenly along it.

    Parameters
    ----------
    label_W, probability_W
        As in `Predictions`; both classes are there.
    points
        Most points to keep, the ends always among them.

    Examples
    --------
    >>> curve = roc(np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.4, 0.5]))
    >>> curve.area
    0.75
    """
    false_positive, true_positive, _ = roc_curve(label_W, probability_W)
    along = false_positive + true_positive
    even = np.searchsorted(along, np.linspace(0.0, along[-1], points))
    keep = even if len(along) > points else slice(None)
    return RocCurve(false_positive_P=false_positive[keep], true_positive_P=true_positive[keep])


def mean_roc(curves: Sequence[RocCurve], /, *, points: int = POINTS) -> RocCurve:
    """Average curves: the mean share of hits at each share of false alarms.

    Parameters
    ----------
    curves
        At least one.
    points
        Points of the result.
    """
    at_P = np.linspace(0.0, 1.0, points)
    hits = [np.interp(at_P, curve.false_positive_P, curve.true_positive_P) for curve in curves]
    mean_P = np.mean(hits, axis=0)
    return RocCurve(
        false_positive_P=np.concatenate([[0.0], at_P]),
        true_positive_P=np.concatenate([[0.0], mean_P]),
    )
