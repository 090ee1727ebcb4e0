"""Images with one ``.npz`` file a frame: neighboring frames as channels, and a label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from calsweep.datasets.image import (
    ImageSeries,
    files_in,
    find_folders,
    numbered,
    pixel_step,
    pixel_type,
)
from calsweep.datasets.npz import load_arrays
from calsweep.datasets.recording import Recording
from calsweep.datasets.source import (
    Source,
    behavior_unit,
    check_pattern,
    check_rate,
    label_or_measure,
    name_of,
    naming,
    sha256_of_all,
)
from calsweep.datasets.trial import trials_from

# T time, H height, W width, C channel


@dataclass(frozen=True, kw_only=True)
class NpzFramesSource:
    """One folder of numbered .npz files a recording, one file a frame.

    Where a number is left out, a new trial begins.

    Attributes
    ----------
    rate_hz
        Frames per second.
    image
        Array of a frame: shape ``(height, width)``, or ``(channel, height, width)`` with the frames
        before and after as channels.
    channel
        Which channel is the frame itself, counted from 0; by default the middle one.
    behaviors
        Arrays with one number a frame.
    behavior_units
        Name of a behavior to its physical unit; others are guessed from the name's ending.
    names
        Regular expression for names of folders with the groups ``subject`` and ``recording``; by
        default the subject is what stands before the first ``_``.
    """

    example: ClassVar[str] = "calsweep ingest npz-frames images/ lab/widefield --rate-hz 30"

    rate_hz: float = 30.0
    image: str = "image"
    channel: int | None = None
    behaviors: tuple[str, ...] = ("label",)
    behavior_units: Mapping[str, str] = field(default_factory=dict, metadata={"option": "unit"})
    names: str = field(default="", metadata={"metavar": "REGEX"})

    def __post_init__(self) -> None:
        check_pattern(self.names)
        check_rate(self.rate_hz)

    def files(self, location: Path, /) -> tuple[Path, ...]:
        """Give the folders with ``.npz`` files in a folder, or the folder itself."""
        return find_folders(location, suffix=".npz")

    def read(self, file: Path, /) -> Recording:
        """Read the recording of one folder; its images are read when they are asked for.

        Raises
        ------
        ValueError
            If a file cannot be read, lacks an array, or an array is not what it should be.
        """
        with naming(file):
            frames, numbers = numbered(files_in(file, suffix=".npz"))
            return self._recording(file, frames, numbers)

    def _recording(
        self, folder: Path, frames: tuple[Path, ...], numbers: NDArray[np.int64]
    ) -> Recording:
        source_sha256 = {folder.name: sha256_of_all(frames)}
        behavior = self._behavior(frames)
        first_HW = self._image(frames[0])
        dtype = pixel_type(first_HW.dtype)
        name = name_of(folder, pattern=self.names)
        height, width = first_HW.shape
        return Recording(
            subject=name.subject,
            name=name.recording,
            activity_TN=np.empty((len(frames), 0), dtype=np.float32),
            behavior=behavior,
            behavior_unit={n: behavior_unit(n, given=self.behavior_units) for n in behavior},
            rate_hz=self.rate_hz,
            units=(),
            trial_T=trials_from(numbers - np.arange(len(frames)), n_frames=len(frames)),
            source_sha256=source_sha256,
            images=ImageSeries(
                shape=(len(frames), height, width),
                dtype=dtype,
                read=lambda span: self._images(frames[span], like=first_HW),
            ),
            steps=pixel_step(first_HW.dtype),
        )

    def _behavior(self, frames: tuple[Path, ...]) -> dict[str, NDArray[np.generic]]:
        rows = [[self._number(frame, name) for name in self.behaviors] for frame in frames]
        columns = zip(self.behaviors, zip(*rows, strict=True), strict=False)
        return {
            name: label_or_measure(
                np.array(values), unit=behavior_unit(name, given=self.behavior_units)
            )
            for name, values in columns
        }

    def _number(self, frame: Path, name: str) -> NDArray[np.generic]:
        with naming(frame):
            value = load_arrays(frame, names=(name,))[name]
            if value.size != 1 or value.dtype.kind not in "iubf":
                raise ValueError(
                    f"`{name}` must be one number, but is {value.dtype} of shape {value.shape}."
                )
            return value.reshape(())

    def _images(
        self, frames: tuple[Path, ...], *, like: NDArray[np.generic]
    ) -> NDArray[np.generic]:
        images_THW = np.empty((len(frames), *like.shape), dtype=like.dtype)
        for i, frame in enumerate(frames):
            image_HW = self._image(frame)
            with naming(frame):
                if image_HW.shape != like.shape or image_HW.dtype != like.dtype:
                    raise ValueError(
                        "images of a recording must have one shape and type, but this is "
                        f"{image_HW.dtype} of shape {image_HW.shape} and the first is "
                        f"{like.dtype} of shape {like.shape}."
                    )
            images_THW[i] = image_HW
        return images_THW

    def _image(self, frame: Path) -> NDArray[np.generic]:
        with naming(frame):
            image = load_arrays(frame, names=(self.image,))[self.image]
            if image.ndim == 2:
                return image
            channel = len(image) // 2 if self.channel is None and image.ndim else self.channel
            if image.ndim != 3 or channel not in range(len(image)):
                raise ValueError(
                    f"`{self.image}` must have the shape (height, width) or (channel, height, "
                    f"width), with a channel {channel}, but has {image.shape}."
                )
            return image[channel]


_: type[Source] = NpzFramesSource
