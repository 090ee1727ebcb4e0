"""What a fold's model said along one recording, thinned to what a screen can show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calsweep.dashboards.prediction import Predictions

# W windows, C classes, T frames, N units, R rows of a map, B bins along time

LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """Test windows of one recording, in the order of its frames.

    Attributes
    ----------
    recording
        Its name.
    frame_W, label_W, probability_WC
        As in `Predictions`.
    """

    recording: str
    frame_W: NDArray[np.int64]
    label_W: NDArray[np.int64]
    probability_WC: NDArray[np.float64]

    @property
    def decoded(self) -> NDArray[np.int64]:
        """The most probable class of each window, of equal ones the lowest."""
        decoded_W: NDArray[np.int64] = np.argmax(self.probability_WC, axis=1)
        return decoded_W

    @property
    def is_wrong(self) -> NDArray[np.bool_]:
        """Whether another class was decoded than was observed."""
        wrong_W: NDArray[np.bool_] = self.decoded != self.label_W
        return wrong_W

    @property
    def loss(self) -> NDArray[np.float64]:
        """Minus the logarithm of the probability of what was observed, in nats."""
        seen_W = np.take_along_axis(self.probability_WC, self.label_W[:, None], axis=1)[:, 0]
        return -np.log(np.maximum(seen_W, LEAST_PROBABILITY))

    def between(self, first_frame: int, last_frame: int, /) -> Track:
        """Give the windows of some frames, both ends among them."""
        begin, end = np.searchsorted(self.frame_W, [first_frame, last_frame + 1])
        return Track(
            recording=self.recording,
            frame_W=self.frame_W[begin:end],
            label_W=self.label_W[begin:end],
            probability_WC=self.probability_WC[begin:end],
        )


@dataclass(frozen=True, kw_only=True)
class WorstStretch:
    """A stretch that was decoded badly.

    Attributes
    ----------
    first_frame, last_frame
        Both belong to it.
    loss
        Mean of `Track.loss`.
    wrong
        Share of windows decoded as another class.
    """

    first_frame: int
    last_frame: int
    loss: float
    wrong: float


def track_of(predictions: Predictions, recording: str, /) -> Track:
    """Give what was said of one recording.

    Raises
    ------
    LookupError
        If the fold does not test it.
    """
    rows = np.flatnonzero(predictions.recording_W == recording)
    if not len(rows):
        raise LookupError(f"This fold does not test a recording {recording!r}.")
    rows = rows[np.argsort(predictions.frame_W[rows], kind="stable")]
    return Track(
        recording=recording,
        frame_W=predictions.frame_W[rows],
        label_W=predictions.label_W[rows],
        probability_WC=predictions.probability_WC[rows],
    )


def choose_stretch(predictions: Predictions, /, *, n_windows: int = 800) -> Track:
    """Choose the stretch of a recording in which classes are most even.

    Of equal ones it is the first; the probabilities have no part in the choice.

    Parameters
    ----------
    predictions
        Of one fold, at least one window.
    n_windows
        Length of the stretch; a shorter recording is taken whole.

    Examples
    --------
    >>> predictions = Predictions(
    ...     recording_W=np.array(["a"] * 6, dtype=object),
    ...     frame_W=np.arange(10, 16),
    ...     label_W=np.array([0, 0, 0, 1, 1, 1]),
    ...     probability_WC=np.full((6, 2), 0.5),
    ... )
    >>> choose_stretch(predictions, n_windows=2).frame_W.tolist()
    [12, 13]
    """
    names = sorted(set(predictions.recording_W))
    tracks = (track_of(predictions, name) for name in names)
    return min((_most_even(track, n_windows) for track in tracks), key=_unevenness)


def _most_even(track: Track, n_windows: int) -> Track:
    n_windows = min(n_windows, len(track.frame_W))
    n_classes = track.probability_WC.shape[1]
    is_class_WC = track.label_W[:, None] == np.arange(n_classes)
    so_far_WC = np.concatenate([np.zeros((1, n_classes), np.int64), is_class_WC.cumsum(axis=0)])
    counts_SC = so_far_WC[n_windows:] - so_far_WC[:-n_windows]
    # In whole numbers, in which equal ones are equal.
    first = int(np.argmin(np.abs(n_classes * counts_SC - n_windows).sum(axis=1)))
    return Track(
        recording=track.recording,
        frame_W=track.frame_W[first : first + n_windows],
        label_W=track.label_W[first : first + n_windows],
        probability_WC=track.probability_WC[first : first + n_windows],
    )


def _unevenness(stretch: Track) -> float:
    n_classes = stretch.probability_WC.shape[1]
    shares_C = np.bincount(stretch.label_W, minlength=n_classes) / len(stretch.label_W)
    return float(np.abs(shares_C - 1 / n_classes).sum())


def worst_stretches(track: Track, /, *, n_windows: int, most: int = 5) -> tuple[WorstStretch, ...]:
    """Give the stretches of highest mean loss, the worst first, that do not overlap.

    Parameters
    ----------
    track
        Of a recording.
    n_windows
        Length of a stretch; a shorter recording is one.
    most
        Stretches at most.

    Examples
    --------
    >>> probability = np.array([0.9, 0.9, 0.2, 0.1, 0.9, 0.4])
    >>> track = Track(
    ...     recording="m1",
    ...     frame_W=np.arange(10, 16),
    ...     label_W=np.ones(6, np.int64),
    ...     probability_WC=np.stack([1 - probability, probability], axis=1),
    ... )
    >>> [(w.first_frame, w.last_frame, w.wrong) for w in worst_stretches(track, n_windows=2)]
    [(12, 13, 1.0), (14, 15, 0.5), (10, 11, 0.0)]
    """
    n_windows = min(n_windows, len(track.frame_W))
    loss_W = np.concatenate([[0.0], np.cumsum(track.loss)])
    wrong_W = np.concatenate([[0], np.cumsum(track.is_wrong)])
    mean_S = (loss_W[n_windows:] - loss_W[:-n_windows]) / n_windows
    is_free_S = np.ones(len(mean_S), bool)
    found: list[WorstStretch] = []
    while len(found) < most and is_free_S.any():
        begin = int(np.argmax(np.where(is_free_S, mean_S, -np.inf)))
        is_free_S[max(0, begin - n_windows + 1) : begin + n_windows] = False
        found.append(
            WorstStretch(
                first_frame=int(track.frame_W[begin]),
                last_frame=int(track.frame_W[begin + n_windows - 1]),
                loss=float(mean_S[begin]),
                wrong=float(wrong_W[begin + n_windows] - wrong_W[begin]) / n_windows,
            )
        )
    return tuple(found)


def bin_edges(n: int, /, *, most: int) -> NDArray[np.int64]:
    """Give where bins of equal size begin, at most so many; the last may be shorter.

    Examples
    --------
    >>> bin_edges(7, most=3).tolist()
    [0, 3, 6]
    """
    return np.arange(0, n, max(1, -(-n // most)))


def bin_means(values_TN: NDArray[np.floating], /, *, most: int) -> NDArray[np.float64]:
    """Give the mean of each bin along the first axis.

    Examples
    --------
    >>> bin_means(np.array([1.0, 3.0, 5.0]), most=2).tolist()
    [2.0, 5.0]
    """
    edges_B = bin_edges(len(values_TN), most=most)
    sums = np.add.reduceat(values_TN, edges_B, axis=0, dtype=np.float64)
    sizes_B = np.diff(np.append(edges_B, len(values_TN)))
    means: NDArray[np.float64] = sums / sizes_B.reshape(-1, *[1] * (values_TN.ndim - 1))
    return means
