"""What figures along time share, so that they can stand below each other on one axis."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from calsweep.dashboards.style import BLUE, GRAY, GREEN, PURPLE, VERMILLION, styled

_LEFT_PX = 76
_CLASS_COLORS = (GRAY, BLUE, GREEN, PURPLE, VERMILLION)


def times(frame: NDArray[np.floating] | NDArray[np.int64], rate_hz: float, /) -> list[float]:
    """Give seconds of frames, to a tenth of a millisecond.

    Examples
    --------
    >>> times(np.array([0, 1, 2]), 30.0)
    [0.0, 0.0333, 0.0667]
    """
    seconds: list[float] = np.round(frame / rate_hz, 4).tolist()
    return seconds


def time_range(shown: tuple[int, int], rate_hz: float, /) -> list[float]:
    """Give where an axis begins and ends, from the first and the last frame on it."""
    return [shown[0] / rate_hz, (shown[1] + 1) / rate_hz]


def class_color(of_class: int, n_classes: int, /) -> str:
    """Give the color of a class; of two, and so one probability, it is blue."""
    return BLUE if n_classes == 2 else _CLASS_COLORS[of_class % len(_CLASS_COLORS)]


def aligned(figure: go.Figure, /, *, height_px: int, reading: str) -> go.Figure:
    """Give a figure the house's look (`styled`) and the left margin that all along time have."""
    styled(figure, height_px=height_px, reading=reading)
    return figure.update_layout(margin={"l": _LEFT_PX, "r": 16})
