"""A label from a behavior: between which edges it lies."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from calsweep.datasets.recording import MISSING_LABEL, Recording, is_label
from calsweep.datasets.step import FRAME_BY_FRAME, Step

# T time


@dataclass(frozen=True, kw_only=True)
class Bins:
    """Add a label that says between which edges a behavior lies.

    Class 0 is below the first edge, class 1 from there to below the second, and so on: one edge is
    a threshold. Where the behavior is not known (not finite, or -1 of a label), the label is -1.

    Attributes
    ----------
    label
        Name of the label.
    behavior
        The behavior it is made from, a measure or a label.
    edges
        Increasing.

    Raises
    ------
    ValueError
        If the label has no name of its own, or edges are not finite and increasing.

    Examples
    --------
    >>> recording = Recording(
    ...     subject="m1",
    ...     name="m1_d1",
    ...     activity_TN=np.zeros((4, 1), dtype=np.float32),
    ...     behavior={"speed_cm_s": np.array([0.0, 4.9, 5.0, np.nan])},
    ...     rate_hz=30.0,
    ...     units=("a",),
    ...     trial_T=np.zeros(4, dtype=np.int32),
    ... )
    >>> binned = Bins(label="running", behavior="speed_cm_s", edges=(5.0,)).apply(recording)
    >>> binned.behavior["running"].tolist(), binned.steps
    ([0, 0, 1, -1], ('running is speed_cm_s cut at 5, frame by frame',))
    """

    label: str
    behavior: str
    edges: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.label or self.label == self.behavior:
            raise ValueError(
                "a label must have a name of its own, "
                f"but {self.label!r} is made of {self.behavior!r}."
            )
        finite = all(math.isfinite(edge) for edge in self.edges)
        increasing = all(low < high for low, high in itertools.pairwise(self.edges))
        if not (self.edges and finite and increasing):
            raise ValueError(
                f"the edges of `{self.label}` must be numbers that increase, but got "
                f"{list(self.edges)}."
            )

    @classmethod
    def parse(cls, text: str, /) -> Self:
        """Read ``LABEL=BEHAVIOR:EDGE,EDGE``.

        Raises
        ------
        ValueError
            If it is not of this form.

        Examples
        --------
        >>> Bins.parse("running=speed_cm_s:5")
        Bins(label='running', behavior='speed_cm_s', edges=(5.0,))
        """
        label, _, rest = text.partition("=")
        behavior, _, edges = rest.rpartition(":")
        try:
            numbers = tuple(float(edge) for edge in edges.split(","))
        except ValueError:
            numbers = ()
        if not (label and behavior and numbers):
            raise ValueError(
                "`--bins LABEL=BEHAVIOR:EDGE,EDGE` is the form, as in running=speed_cm_s:5, "
                f"but got {text!r}."
            )
        return cls(label=label, behavior=behavior, edges=numbers)

    def apply(self, recording: Recording, /) -> Recording:
        """Give the recording with the label added.

        Raises
        ------
        ValueError
            If it has no such behavior, or has one of the label's name.
        """
        there = recording.behavior
        if self.behavior not in there:
            raise ValueError(
                f"{recording.name}: there is no behavior {self.behavior!r} to make "
                f"`{self.label}` of. There are: {', '.join(there) or 'none'}."
            )
        if self.label in there:
            raise ValueError(
                f"{recording.name}: there is a behavior {self.label!r} already: give the label "
                "that is made another name."
            )
        values_T = there[self.behavior].astype(np.float64)
        of_label = is_label(there[self.behavior])
        known_T = values_T != MISSING_LABEL if of_label else np.isfinite(values_T)
        classes_T = np.digitize(values_T, self.edges)  # what is not finite is past every edge
        label_T = np.where(known_T, classes_T, MISSING_LABEL)
        edges = ", ".join(f"{edge:g}" for edge in self.edges)
        said = f"{self.label} is {self.behavior} cut at {edges}{FRAME_BY_FRAME}"
        return dataclasses.replace(
            recording,
            behavior={**there, self.label: label_T},
            behavior_unit={**recording.behavior_unit, self.label: ""},
            steps=(*recording.steps, said),
        )


_: type[Step] = Bins
