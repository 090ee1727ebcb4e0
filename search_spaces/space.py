"""What a sweep varies: dotted names of settings to ranges, in Optuna's terms."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from calsweep.search_spaces.mutation import Bounds, Explore, Mutation

if TYPE_CHECKING:
    import numpy as np

Value = bool | int | float | str | None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A setting that takes one of some values.

    Attributes
    ----------
    choices
        The values, without order; ``None`` may be one.
    """

    choices: tuple[Value, ...]

    def __post_init__(self) -> None:
        if len(self.choices) == 0:
            raise ValueError("`choices` must name at least one value, but got none.")
        if len(set(map(repr, self.choices))) < len(self.choices):
            raise ValueError(f"`choices` must differ, but got {list(self.choices)}.")

    def distribution(self) -> BaseDistribution:
        """Give Optuna's distribution."""
        return CategoricalDistribution(self.choices)

    def grid(self) -> tuple[Value, ...]:
        """Give every value."""
        return self.choices

    def ends(self) -> tuple[Value, ...]:
        """Give the values to try a setting with before a search: all of them."""
        return self.choices


@dataclass(frozen=True, kw_only=True)
class Range:
    """A setting that takes any number of a range; whole numbers where both ends are whole.

    Attributes
    ----------
    low, high
        The ends, both included.
    log
        Whether to draw evenly in the logarithm.
    step
        Distance between values that may be taken; ``None`` for all.
    mutation
        How a population changes the value; other searches do not look at it.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    mutation: Mutation = field(default_factory=Mutation)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"`low < high` must hold, but got {self.low=}, {self.high=}.")
        if self.log and self.low <= 0:
            raise ValueError(f"`low > 0` must hold where `log` is set, but got {self.low=}.")
        if self.step is not None and (self.step <= 0 or self.log):
            raise ValueError(f"`step > 0` without `log` must hold, but got {self.step=}.")
        start = self.mutation.start
        if start is not None and not self.low <= start <= self.high:
            raise ValueError(f"`low <= start <= high` must hold, but got {start=}.")

    @property
    def is_whole(self) -> bool:
        """Whether only whole numbers are drawn."""
        return all(isinstance(end, int) for end in (self.low, self.high, self.step or 1))

    def distribution(self) -> BaseDistribution:
        """Give Optuna's distribution."""
        if self.is_whole:
            step = int(self.step or 1)
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=step)
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def grid(self) -> tuple[Value, ...]:
        """Give every value.

        Raises
        ------
        ValueError
            If there are endlessly many.
        """
        step = self.step or (1 if self.is_whole and not self.log else None)
        if step is None:
            raise ValueError(
                f"a grid needs countable values, but the range {self.low} to {self.high} has no "
                "`step`: give `choices`, a `step`, or use another tuner."
            )
        n_values = int((self.high - self.low) / step + 1e-9) + 1
        return tuple(self.low + i * step for i in range(n_values))

    def ends(self) -> tuple[Value, ...]:
        """Give the values to try a setting with before a search: lowest and highest."""
        return (self.low, self.high)

    def first(self, rng: np.random.Generator, /) -> float:
        """Draw the value that a member of a population starts with."""
        if self.mutation.start is not None:
            return float(self.mutation.start)
        return self._draw(rng)

    def explore(self, value: float, /, *, rng: np.random.Generator) -> float:
        """Draw the value that a member goes on with after taking over that of another.

        Examples
        --------
        >>> import numpy as np
        >>> Range(low=0.0, high=0.5).explore(0.5, rng=np.random.default_rng(2)) <= 0.5
        True
        """
        if self.mutation.explore is Explore.RESAMPLE:
            return self._draw(rng)
        moved = value * float(rng.uniform(*self.mutation.factor))
        if self.mutation.bounds is Bounds.SOFT:
            return moved
        return float(min(max(moved, self.low), self.high))

    def _draw(self, rng: np.random.Generator) -> float:
        if not self.log:
            return float(rng.uniform(self.low, self.high))
        drawn = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return min(max(drawn, self.low), self.high)  # which rounding may have left


Axis = Choice | Range
ARM = "arm"
_ARM_NAME = re.compile(r"[\w-]+")


@dataclass(frozen=True, kw_only=True)
class Space:
    """The settings a sweep varies, in the same nesting as the settings themselves.

    Attributes
    ----------
    trainables, datasets, training, first_training
        Names of settings to ``{choices: [...]}`` or ``{low: ..., high: ..., log: ..., step: ...}``,
        nested as deep as the setting lies. A range may say in ``mutation: {...}`` how a population
        changes it (`calsweep.search_spaces.mutation.Mutation`).
    arms
        Names to settings that go together: what is compared where more than one setting tells two
        decoders apart. Each is a value of its own axis, ``arm``. An arm says only what differs from
        the settings that the search starts from.

    Examples
    --------
    >>> space = Space(training={"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}})
    >>> space.axes["training.learning_rate"].ends()
    (0.0001, 0.01)
    """

    trainables: Mapping[str, Any] = field(default_factory=dict)
    datasets: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    first_training: Mapping[str, Any] = field(default_factory=dict)
    arms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.axes:
            raise ValueError("a search space must vary at least one setting, but it varies none.")
        wrong = [arm for arm in self.arms if not _ARM_NAME.fullmatch(arm)]
        if wrong:
            raise ValueError(
                "an arm must be named by letters, digits, - and _, so that the command line can "
                f"reach into it, but got {wrong[0]!r}."
            )
        alike = [
            f"{one} and {other}"
            for one, other in itertools.combinations(self.arms, 2)
            if self.settings({ARM: one}) == self.settings({ARM: other})
        ]
        if alike:
            raise ValueError(f"arms must differ, but {alike[0]} set the same.")

    @property
    def axes(self) -> dict[str, Axis]:
        """Dotted names of settings to what they range over, in the order given."""
        groups = {
            "trainables": self.trainables,
            "datasets": self.datasets,
            "training": self.training,
            "first_training": self.first_training,
        }
        arms = {ARM: Choice(choices=tuple(self.arms))} if self.arms else {}
        return arms | dict(_flatten(groups, at=""))

    def settings(self, values: Mapping[str, Any], /) -> dict[str, Any]:
        """Give the settings that values stand for, those of their arm first.

        Raises
        ------
        ValueError
            If there is no such arm.

        Examples
        --------
        >>> space = Space(arms={"short": {"datasets": {"window": {"length": 11}}}, "plain": {}})
        >>> space.settings({"arm": "short", "training.epochs": 3})
        {'datasets.window.length': 11, 'training.epochs': 3}
        """
        others = {name: value for name, value in values.items() if name != ARM}
        if ARM not in values:
            return others
        if values[ARM] not in self.arms:
            raise ValueError(
                f"`arm` must be one of {', '.join(self.arms) or 'none'}, but got {values[ARM]!r}."
            )
        return dict(_leaves(self.arms[values[ARM]], at="")) | others

    def mutable(self) -> dict[str, Range]:
        """Give the axes as a population needs them: numbers that may take any value of a range.

        Raises
        ------
        ValueError
            If an axis is something else.
        """
        axes = self.axes
        found = {name: axis for name, axis in axes.items() if isinstance(axis, Range)}
        for name, axis in axes.items():
            if isinstance(axis, Choice):
                raise ValueError(
                    f"`{name}` cannot be changed by a population, which needs `low` and `high`, "
                    "but it gives choices: take another tuner, or give a range."
                )
            if axis.is_whole or axis.step is not None:
                raise ValueError(
                    f"`{name}` cannot be changed by a population, since it takes whole numbers or "
                    f"steps: of a size, which changes the shapes of tensors, take another tuner; "
                    f"of any other number, write {float(axis.low)} for {axis.low}, without `step`."
                )
        return found

    def distributions(self) -> dict[str, BaseDistribution]:
        """Give Optuna's distribution of each setting."""
        return {name: axis.distribution() for name, axis in self.axes.items()}

    def grid(self) -> list[dict[str, Value]]:
        """Give every combination, the last setting varying fastest.

        Raises
        ------
        ValueError
            If a range has endlessly many values.

        Examples
        --------
        >>> Space(training={"batch_size": {"choices": [64, 256]}}).grid()
        [{'training.batch_size': 64}, {'training.batch_size': 256}]
        """
        axes = self.axes
        values = [_grid_of(name, axis) for name, axis in axes.items()]
        return [dict(zip(axes, row, strict=True)) for row in itertools.product(*values)]


def _flatten(node: Mapping[str, Any], *, at: str) -> list[tuple[str, Axis]]:
    leaves: list[tuple[str, Axis]] = []
    for key, item in node.items():
        name = f"{at}.{key}" if at else str(key)
        if not isinstance(item, Mapping):
            raise ValueError(f"`{name}` must give `choices` or `low` and `high`, but got {item!r}.")
        if {"choices", "low", "high"} & set(item):
            leaves.append((name, _axis(name, item)))
        else:
            leaves.extend(_flatten(item, at=name))
    return leaves


def _leaves(node: Mapping[str, Any], *, at: str) -> Iterator[tuple[str, Any]]:
    for key, item in node.items():
        name = f"{at}.{key}" if at else str(key)
        if isinstance(item, Mapping):
            yield from _leaves(item, at=name)
        else:
            yield name, item


def _axis(name: str, item: Mapping[str, Any]) -> Axis:
    known = {"choices"} if "choices" in item else {f.name for f in fields(Range)}
    unknown = [key for key in item if key not in known]
    if unknown or not ({"choices"} <= set(item) or {"low", "high"} <= set(item)):
        raise ValueError(
            f"`{name}` in the search space must have `choices` alone, or `low` and `high` with "
            f"`mutation`, `log` or `step` at most, but got {', '.join(map(str, item))}."
        )
    try:
        if "choices" in item:
            return Choice(choices=tuple(item["choices"]))
        mutation = Mutation.parse(item.get("mutation") or {})
        return Range(**{**item, "mutation": mutation})
    except (TypeError, ValueError) as error:
        raise ValueError(f"`{name}` in the search space: {error}") from error


def _grid_of(name: str, axis: Axis) -> tuple[Value, ...]:
    try:
        return axis.grid()
    except ValueError as error:
        raise ValueError(f"`{name}` in the search space: {error}") from error
