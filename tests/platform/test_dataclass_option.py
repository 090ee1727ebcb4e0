"""A command's options are the fields of a dataclass; nothing is written twice."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from calsweep.platform.commands.dataclass_option import (
    attributes_of,
    help_of,
    options_of,
    values_of,
)


class Axes(Enum):
    TIME_UNIT = "time-unit"
    UNIT_TIME = "unit-time"


@dataclass(frozen=True, kw_only=True)
class Every:
    """One of every kind.

    What it does, with ``code`` and
    a second line.

    Attributes
    ----------
    rate_hz
        Frames per second, see `kinds`.
    first, second
        Both.

        A second paragraph.
    kinds
        Several.

    Raises
    ------
    ValueError
        Never.
    """

    rate_hz: float
    first: int = 3
    second: str = ""
    limit: float | None = None
    table: Path | None = None
    kinds: tuple[str, ...] = ("a", "b")
    widths: tuple[int, ...] = ()
    behavior_units: Mapping[str, str] = field(default_factory=dict, metadata={"option": "unit"})
    shares: Mapping[str, float] = field(default_factory=dict)
    axes: Axes = Axes.TIME_UNIT
    rejected: bool = False
    behavior: bool = True


@pytest.fixture
def built():
    found = {}

    def run(**given):
        found["every"] = Every(**values_of(Every, given))

    command = click.Command("every", callback=run, params=options_of(Every))

    def build(*arguments):
        result = CliRunner().invoke(command, arguments, standalone_mode=False)
        if result.exception:
            raise result.exception
        return found["every"]

    return build


def test_defaults_are_those_of_the_fields(built):
    assert built("--rate-hz", "30") == Every(rate_hz=30.0)


def test_each_kind_of_field_is_read_from_its_option(built):
    every = built(
        "--rate-hz", "7.5", "--first", "4", "--second", "x", "--limit", "0.5", "--table", "t.csv",
        "--kind", "c", "--width", "1", "--width", "2", "--unit", "speed=cm/s",
        "--share", "run=0.5", "--axes", "unit-time", "--rejected", "--no-behavior",
    )  # fmt: skip
    assert every == Every(
        rate_hz=7.5,
        first=4,
        second="x",
        limit=0.5,
        table=Path("t.csv"),
        kinds=("c",),
        widths=(1, 2),
        behavior_units={"speed": "cm/s"},
        shares={"run": 0.5},
        axes=Axes.UNIT_TIME,
        rejected=True,
        behavior=False,
    )


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((), click.MissingParameter, "--rate-hz"),
        (("--rate-hz", "fast"), click.BadParameter, "'fast' is not a valid float"),
        (("--rate-hz", "1", "--axes", "time"), click.BadParameter, "'time-unit', 'unit-time'"),
        (("--rate-hz", "1", "--unit", "cm"), ValueError, "`--unit NAME=UNIT` is the form"),
        (("--rate-hz", "1", "--share", "a=b"), ValueError, "takes float values, but got 'a=b'"),
    ],
)
def test_what_does_not_suit_a_field_is_told(built, arguments, kind, message):
    with pytest.raises(kind) as told:
        built(*arguments)
    error = told.value
    said = error.format_message() if isinstance(error, click.ClickException) else str(error)
    assert message in said


def test_help_is_the_docstring():
    assert attributes_of(Every) == {
        "rate_hz": "Frames per second, see `kinds`.",
        "first": "Both. A second paragraph.",
        "second": "Both. A second paragraph.",
        "kinds": "Several.",
    }
    texts = {option.name: option.help for option in options_of(Every)}
    assert texts["rate_hz"] == "Frames per second, see --kind."
    assert help_of(Every, example="calsweep every") == (
        "One of every kind.\n\nWhat it does, with `code` and\na second line.\n\n\b\ncalsweep every"
    )
