"""What one fold trains, validates and tests on: windows as views over shared frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

# T frames of the dataset, N units, W windows


class FrameArray(Protocol):
    """Frames of a dataset, read by number: an array, or images whose shards are fetched."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(time, *frame_shape)``."""
        ...

    @property
    def ndim(self) -> int:
        """Axes."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, frames: Any, /) -> Any:
        """Read frames by number, in the shape of the numbers, or a stretch of them."""
        ...


class FrameStretch:
    """Neighboring frames of more, numbered from 0.

    Examples
    --------
    >>> FrameStretch(np.arange(10), slice(4, 8))[np.array([0, 3])].tolist()
    [4, 7]
    """

    def __init__(self, frames: FrameArray, span: slice, /) -> None:
        self._frames = frames
        self._span = span

    @property
    def shape(self) -> tuple[int, ...]:
        """``(time, *frame_shape)``."""
        return len(self), *self._frames.shape[1:]

    @property
    def ndim(self) -> int:
        """Axes."""
        return self._frames.ndim

    def __len__(self) -> int:
        return int(self._span.stop - self._span.start)

    def __getitem__(self, frames: Any, /) -> Any:
        """Read frames by number, in the shape of the numbers, or a stretch of them."""
        if isinstance(frames, slice):
            frames = np.arange(*frames.indices(len(self)))
        return self._frames[self._span.start + frames]


@runtime_checkable
class ShardedFrames(FrameArray, Protocol):
    """Frames that lie in shards: reading near each other is cheaper than reading anywhere."""

    @property
    def shard_borders(self) -> NDArray[np.int64]:
        """First frame of each shard, and the number of frames."""
        ...

    @property
    def shard_recordings(self) -> NDArray[np.int64]:
        """Number of the recording that each shard begins with."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what is read."""
        ...

    @property
    def n_ahead(self) -> int:
        """Shards that may be announced before those in use are done with."""
        ...

    def prefetch(self, frames: NDArray[np.int64], /) -> None:
        """Begin to fetch the shards of frames that are needed soon."""
        ...

    def let_go(self, frames: NDArray[np.int64], /) -> None:
        """Give back what the shards of frames take that are not needed soon."""
        ...

    def read(self, frames: NDArray[np.int64], /, *, into: NDArray[Any]) -> None:
        """Read frames by number, each converted to the type of an array as it is put there."""
        ...


@dataclass(frozen=True, kw_only=True)
class Part:
    """The windows of one part of a fold.

    Attributes
    ----------
    frames
        Of the whole dataset, all parts share it: traces of shape ``(time, unit)``, float32, or
        images of shape ``(time, height, width)`` of any kind of number; C order.
    starts_W
        First frame of each window, increasing; neighboring windows start one frame apart.
    targets_W
        Frame whose label each window decodes.
    labels_W
        Class of each window, from 0.
    """

    frames: FrameArray
    starts_W: NDArray[np.int64]
    targets_W: NDArray[np.int64]
    labels_W: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """An affine map, ``(frames - offset) * scale``, applied to batches as drawn.

    Attributes
    ----------
    offset_N, scale_N
        Of each unit, or each pixel of an image.
    """

    offset_N: NDArray[np.float32]
    scale_N: NDArray[np.float32]

    @cached_property
    def changes_nothing(self) -> bool:
        """Whether all offsets are 0 and all scales 1."""
        return not self.offset_N.any() and bool((self.scale_N == 1).all())


@dataclass(frozen=True, kw_only=True)
class FoldData:
    """The three parts of one fold.

    Attributes
    ----------
    train, validation, test
        Their windows.
    scaling
        Fitted on the training part.
    window_length
        Frames in a window.
    n_classes
        Classes of the target.
    spans
        Name of a recording to its frames, by which messages name recordings.
    """

    train: Part
    validation: Part
    test: Part
    scaling: Scaling
    window_length: int
    n_classes: int = 2
    spans: Mapping[str, slice] = field(default_factory=dict)

    @property
    def frame_shape(self) -> tuple[int] | tuple[int, int]:
        """Of a frame: ``(unit,)`` or ``(height, width)``."""
        n, *more = self.train.frames.shape[1:]
        return (n, more[0]) if more else (n,)

    @property
    def class_shares(self) -> tuple[float, ...]:
        """Share of each class among the labels of the training part."""
        counts_C = np.bincount(self.train.labels_W, minlength=self.n_classes)
        return tuple((counts_C / counts_C.sum()).tolist())

    def recordings_of(self, frames: NDArray[np.int64], /) -> tuple[str, ...]:
        """Name the recordings that frames of the dataset lie in."""
        return tuple(
            name
            for name, span in self.spans.items()
            if np.any((frames >= span.start) & (frames < span.stop))
        )
