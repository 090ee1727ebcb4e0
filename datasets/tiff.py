"""Images in TIFF files: a stack of pages a recording, or a folder of one-page files."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import ClassVar

import numpy as np
import tifffile
from numpy.typing import NDArray

from calsweep.datasets.image import (
    ImageSeries,
    files_in,
    find_folders,
    numbered,
    pixel_step,
    pixel_type,
)
from calsweep.datasets.recording import Recording
from calsweep.datasets.source import (
    Source,
    check_pattern,
    check_rate,
    find_files,
    name_of,
    naming,
    sha256_of,
    sha256_of_all,
)
from calsweep.datasets.table import Behavior, behavior_beside
from calsweep.datasets.trial import trials_from

# T time, H height, W width

_SUFFIXES = (".tif", ".tiff")


class Layout(Enum):
    """What holds a recording."""

    STACK = "stack"
    PAGES = "pages"


@dataclass(frozen=True, kw_only=True)
class _Stack:
    """Where the images of a file are, and of what kind they are."""

    file: Path
    shape: tuple[int, int, int]
    dtype: np.dtype[np.generic]
    offset: int | None
    """Where they begin, if they lie end to end, uncompressed."""


@dataclass(frozen=True, kw_only=True)
class TiffSource:
    """One .tif stack a recording, or one folder of numbered one-page files; behavior in a .csv.

    Images are read when they are asked for. In a folder of pages, a new trial begins where a number
    is left out.

    Attributes
    ----------
    rate_hz
        Frames per second.
    layout
        ``stack``: each file is a recording, each page a frame. ``pages``: each folder is a
        recording, each file a frame.
    behavior
        Whether behavior lies beside the stack or folder, in a .csv of the same name: a column each,
        named in the first line, and a row a frame.
    time
        Column of the .csv with times in seconds from the first frame, if its rows are not the
        frames.
    behavior_units
        Name of a behavior to its physical unit; others are guessed from the name's ending.
    names
        Regular expression for names of files or folders with the groups ``subject`` and
        ``recording``; by default the subject is what stands before the first ``_``.
    """

    example: ClassVar[str] = "calsweep ingest tiff stacks/ lab/widefield --rate-hz 30"

    rate_hz: float
    layout: Layout = Layout.STACK
    behavior: bool = True
    time: str = ""
    behavior_units: Mapping[str, str] = field(default_factory=dict, metadata={"option": "unit"})
    names: str = field(default="", metadata={"metavar": "REGEX"})

    def __post_init__(self) -> None:
        check_pattern(self.names)
        check_rate(self.rate_hz)

    def files(self, location: Path, /) -> tuple[Path, ...]:
        """Give the stacks of a folder, or the folders of pages in it."""
        if self.layout is Layout.PAGES:
            return find_folders(location, suffix=_SUFFIXES)
        return find_files(location, suffix=_SUFFIXES)

    def read(self, file: Path, /) -> Recording:
        """Read the recording of one stack or folder; its images are read when they are asked for.

        Raises
        ------
        ValueError
            If a file cannot be read, or images or behavior are not what they should be.
        """
        with naming(file):
            if self.layout is Layout.PAGES:
                return self._of_pages(file)
            return self._of_stack(file)

    def _of_stack(self, file: Path) -> Recording:
        sha256 = sha256_of(file)
        stack = open_stack(file)
        return self._recording(
            file,
            sha256=sha256,
            shape=stack.shape,
            recorded=stack.dtype,
            read=lambda span: read_stack(stack, span),
            trial_T=np.zeros(stack.shape[0], dtype=np.int32),
        )

    def _of_pages(self, folder: Path) -> Recording:
        frames, numbers = numbered(files_in(folder, suffix=_SUFFIXES))
        first = open_stack(frames[0])
        return self._recording(
            folder,
            sha256=sha256_of_all(frames),
            shape=(len(frames), *first.shape[1:]),
            recorded=first.dtype,
            read=lambda span: _read_pages(frames[span], like=first),
            trial_T=trials_from(numbers - np.arange(len(frames)), n_frames=len(frames)),
        )

    def _recording(
        self,
        file: Path,
        *,
        sha256: str,
        shape: tuple[int, int, int],
        recorded: np.dtype[np.generic],
        read: Callable[[slice], NDArray[np.generic]],
        trial_T: NDArray[np.int32],
    ) -> Recording:
        name = name_of(file, pattern=self.names)
        behavior = self._behavior(file, n_frames=shape[0])
        return Recording(
            subject=name.subject,
            name=name.recording,
            activity_TN=np.empty((shape[0], 0), dtype=np.float32),
            behavior=behavior.values,
            behavior_unit=behavior.units,
            rate_hz=self.rate_hz,
            units=(),
            trial_T=trial_T,
            source_sha256={file.name: sha256, **behavior.source_sha256},
            images=ImageSeries(shape=shape, dtype=pixel_type(recorded), read=read),
            steps=(*pixel_step(recorded), *behavior.steps),
        )

    def _behavior(self, file: Path, *, n_frames: int) -> Behavior:
        if not self.behavior:
            return Behavior()
        return behavior_beside(
            file,
            n_frames=n_frames,
            rate_hz=self.rate_hz,
            time=self.time,
            units=self.behavior_units,
        )


# What tifffile and decoders of pages raise, beside `ValueError`, where a file is damaged.
_DAMAGED = (OSError, RuntimeError, ArithmeticError, LookupError, TypeError, struct.error)


def open_stack(file: Path, /) -> _Stack:
    """Look at a stack without reading its images.

    Raises
    ------
    ValueError
        If it is no TIFF file, not whole, or its pages are no images of one kind in shades of gray.
    """
    n_pages = _count_pages(file)
    with _damage_told(), tifffile.TiffFile(file) as opened:
        if len(opened.series) != 1:
            raise ValueError(
                "pages must be images of one shape and type, but are of "
                f"{len(opened.series)} kinds."
            )
        (series,) = opened.series
        shape, axes = series.shape, series.axes
        if len(shape) == 2:
            shape, axes = (1, *shape), f"T{axes}"
        if len(shape) != 3 or not axes.endswith("YX"):
            raise ValueError(
                "pages must be images in shades of gray, one a frame, but together have the axes "
                f"{axes} and the shape {series.shape}. Write each channel or plane to a stack of "
                "its own."
            )
        offset = series.dataoffset
        dtype = np.dtype(series.dtype).newbyteorder("<" if opened.byteorder == "<" else ">")
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    is_short = offset is not None and offset + n_bytes > file.stat().st_size
    if is_short or (offset is None and shape[0] != n_pages):
        raise ValueError(
            f"this is no whole TIFF file: it ends before the last of {shape[0]} pages."
        )
    return _Stack(file=file, shape=(shape[0], shape[1], shape[2]), dtype=dtype, offset=offset)


def read_stack(stack: _Stack, frames: slice, /) -> NDArray[np.generic]:
    """Read neighboring frames of a stack, and nothing else of it.

    Raises
    ------
    ValueError
        If the file is not whole.
    """
    if stack.offset is not None:
        mapped = np.memmap(
            stack.file, mode="r", dtype=stack.dtype, offset=stack.offset, shape=stack.shape
        )
        return np.array(mapped[frames])
    n_bytes = stack.file.stat().st_size
    with naming(stack.file), _damage_told(), tifffile.TiffFile(stack.file) as opened:
        return np.stack([_page(opened.pages[i], n_bytes) for i in range(frames.start, frames.stop)])


def _page(page: tifffile.TiffPage | tifffile.TiffFrame, n_bytes: int) -> NDArray[np.generic]:
    ends = [a + n for a, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if max(ends) > n_bytes:
        raise ValueError(f"this is no whole TIFF file: page {page.index} is cut off.")
    return page.asarray()


def _read_pages(frames: tuple[Path, ...], *, like: _Stack) -> NDArray[np.generic]:
    images_THW = np.empty((len(frames), *like.shape[1:]), dtype=like.dtype)
    for i, frame in enumerate(frames):
        with naming(frame):
            stack = open_stack(frame)
            if stack.shape != (1, *like.shape[1:]) or stack.dtype != like.dtype:
                raise ValueError(
                    "a file must hold one page of the same shape and type as the first, "
                    f"{like.dtype} of shape {like.shape[1:]}, but holds {stack.dtype} of shape "
                    f"{stack.shape}. A stack of pages is read with `--layout stack`."
                )
            images_THW[i] = read_stack(stack, slice(0, 1))[0]
    return images_THW


@contextmanager
def _damage_told() -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise ValueError(f"this is no whole TIFF file: {error}.") from error


def _count_pages(file: Path) -> int:
    """Follow the chain of pages, which tifffile ends quietly where the file does."""
    with file.open("rb") as opened:
        head = opened.read(16)
        order = {b"II": "<", b"MM": ">"}.get(head[:2])
        version = struct.unpack(f"{order}H", head[2:4])[0] if order and len(head) >= 4 else 0
        if version not in (42, 43):
            raise ValueError("this is no TIFF file.")
        # BigTIFF (43) has wider counts and offsets.
        count, entry, offset = ("H", 12, "I") if version == 42 else ("Q", 20, "Q")
        at_first = 4 if version == 42 else 8
        seen: set[int] = set()
        try:
            (at,) = struct.unpack_from(f"{order}{offset}", head, at_first)
            while at:
                seen.add(at)
                opened.seek(at)
                n_count = struct.calcsize(count)
                (n_entries,) = struct.unpack(f"{order}{count}", opened.read(n_count))
                opened.seek(at + n_count + n_entries * entry)
                following = opened.read(struct.calcsize(offset))
                (at,) = struct.unpack(f"{order}{offset}", following)
                if at in seen:
                    raise ValueError("this is no whole TIFF file: its pages go round in a circle.")
        except struct.error as error:
            raise ValueError(
                f"this is no whole TIFF file: it ends within page {len(seen)}, before the last."
            ) from error
    return len(seen)


_: type[Source] = TiffSource
