"""The frames a decoder sees for one target."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Window:
    """Length and shift of the windows a decoder sees.

    Attributes
    ----------
    length
        Frames in a window.
    shift
        Frames from the window's centre to the frame whose label is decoded; negative is earlier.
    """

    length: int = 31
    shift: int = 0

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"`length >= 1` must hold, but got {self.length=}.")
