"""Which region each pixel of an image shows, so that a map over the image can be read by region."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NO_REGION = 0


class BadRegionMap(ValueError):
    """A file is no map of the regions of these images."""

    def __init__(self, file: Path, what: str) -> None:
        super().__init__(file, what)
        self.file = file
        self.what = what

    def __str__(self) -> str:
        return (
            f"a map of regions is a .npy file of whole numbers, one a pixel ({NO_REGION}: no "
            f"region), but {self.file} {self.what}: write one with numpy.save."
        )


def read_region_map(file: Path, /, *, height: int, width: int) -> NDArray[np.int32]:
    """Read the region of each pixel.

    Parameters
    ----------
    file
        ``.npy``, whole numbers of shape ``(height, width)``; 0 is no region.
    height, width
        Of the images that it lies over, in pixels.

    Returns
    -------
    region_HW
        Of shape ``(height, width)``.

    Raises
    ------
    BadRegionMap
        If it is not such a file, or of other images.
    """
    try:
        found = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadRegionMap(file, f"cannot be read ({error})") from error
    if not isinstance(found, np.ndarray):
        raise BadRegionMap(file, "holds several arrays")
    if found.shape != (height, width):
        of = " x ".join(map(str, found.shape))
        raise BadRegionMap(file, f"has the shape {of}, and the images {height} x {width}")
    if not np.issubdtype(found.dtype, np.integer):
        raise BadRegionMap(file, f"holds {found.dtype}")
    region_HW: NDArray[np.int32] = found.astype(np.int32)
    return region_HW


def outline(region_HW: NDArray[np.integer], /) -> list[tuple[tuple[float, float], ...]]:
    """Give the borders between regions as straight lines along the edges of pixels.

    Returns
    -------
    lines
        Of each its two ends as (column, row), in pixels: pixel 0 reaches from -0.5 to 0.5.

    Examples
    --------
    A single pixel has four sides, two that touch have a longer one at top and bottom.

    >>> outline(np.array([[0, 1], [0, 0]]))
    [((0.5, -0.5), (0.5, 0.5)), ((1.5, -0.5), (1.5, 0.5)), \
((0.5, -0.5), (1.5, -0.5)), ((0.5, 0.5), (1.5, 0.5))]
    >>> len(outline(np.array([[2, 2]])))
    4
    """
    framed = np.pad(region_HW, 1, constant_values=NO_REGION)
    beside = framed[1:-1, 1:] != framed[1:-1, :-1]
    below = framed[1:, 1:-1] != framed[:-1, 1:-1]
    upright = [((at, first), (at, last)) for at, first, last in _runs(beside.T)]
    level = [((first, at), (last, at)) for at, first, last in _runs(below)]
    return [*upright, *level]


def _runs(is_border: NDArray[np.bool_]) -> list[tuple[float, float, float]]:
    """Give where each line of a border is, begins and ends, row by row."""
    steps = np.diff(np.pad(is_border.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    at, first = np.nonzero(steps == 1)
    last = np.nonzero(steps == -1)[1]
    runs = np.stack([at, first, last], axis=1) - 0.5
    return [(float(a), float(f), float(e)) for a, f, e in runs]
