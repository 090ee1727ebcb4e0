"""How a population changes a searched number from generation to generation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any


class Explore(Enum):
    """How a member that took over another's weights gets values of its own."""

    FACTOR = "factor"
    RESAMPLE = "resample"


class Bounds(Enum):
    """Whether a value that was multiplied stays within the range that members start from."""

    HARD = "hard"
    SOFT = "soft"


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """How a population changes one value.

    Attributes
    ----------
    explore
        Whether the donor's value is multiplied by a random factor, or drawn anew from the range.
    factor
        Lowest and highest factor, drawn evenly between.
    bounds
        Whether a multiplied value is kept inside the range, or may leave it.
    start
        Value that every member starts with; by default each draws its own from the range.

    References
    ----------
    Keshtkaran et al. (2022), *Nat. Methods* 19: factors, and which values may leave their range.
    """

    explore: Explore = Explore.FACTOR
    factor: tuple[float, float] = (0.8, 1.2)
    bounds: Bounds = Bounds.HARD
    start: float | None = None

    def __post_init__(self) -> None:
        low, high = self.factor
        if not 0 < low < 1 < high < math.inf:
            raise ValueError(
                "`0 < factor[0] < 1 < factor[1]` must hold, so that a value can fall and rise, "
                f"but got factor={list(self.factor)}."
            )
        if self.explore is Explore.RESAMPLE and self.bounds is Bounds.SOFT:
            raise ValueError(
                "a value drawn anew lies in its range, so `bounds: soft` means nothing there: "
                "leave it out, or take `explore: factor`."
            )
        if self.start == 0 and self.explore is Explore.FACTOR:
            raise ValueError("a `start` of 0 stays 0 whatever the factor: start above it.")

    @classmethod
    def parse(cls, item: Mapping[str, Any], /) -> Mutation:
        """Read a mutation as YAML has it.

        Raises
        ------
        ValueError
            If a name is unknown or a value makes no sense.

        Examples
        --------
        >>> Mutation.parse({"factor": [0.7, 1.3], "bounds": "soft"}).bounds
        <Bounds.SOFT: 'soft'>
        """
        known = [field.name for field in fields(cls)]
        unknown = [str(key) for key in item if key not in known]
        if unknown:
            raise ValueError(
                f"`mutation` must have no more than {', '.join(known)}, but got "
                f"{', '.join(unknown)}."
            )
        given = dict(item)
        if "explore" in given:
            given["explore"] = Explore(given["explore"])
        if "bounds" in given:
            given["bounds"] = Bounds(given["bounds"])
        if "factor" in given:
            given["factor"] = _pair(given["factor"])
        return cls(**given)


def _pair(value: Any) -> tuple[float, float]:
    try:
        low, high = map(float, value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`factor` must be a list of two numbers, but got {value!r}.") from error
    return low, high
