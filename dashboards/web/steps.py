"""Going along a recording: which stretch is shown, and the addresses of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from calsweep.dashboards.web.choice import Choice
from calsweep.platform.progress import minutes

SPANS_S = (10.0, 30.0, 60.0, 300.0)
USUAL_S = 60.0


def stretch_of(choice: Choice, /, *, first: int, last: int, rate_hz: float) -> tuple[int, int]:
    """Give the first and last frame that are shown, of those between two.

    Examples
    --------
    >>> stretch_of(Choice(at=950, span=100), first=2, last=999, rate_hz=30.0)
    (900, 999)
    """
    n_shown = choice.span or round(USUAL_S * rate_hz)
    n_shown = max(2, min(n_shown, last - first + 1))
    begin = max(first, min(max(choice.at, first), last - n_shown + 1))
    return begin, begin + n_shown - 1


def turns(fixed: Choice, shown: tuple[int, int], /, *, last: int) -> Sequence[tuple[str, str, str]]:
    """Give what leads earlier and later: title, relation, and the address's query.

    Parameters
    ----------
    fixed
        What stays chosen.
    shown
        First and last frame.
    last
        Of the recording.
    """
    first, n_shown = shown[0], shown[1] - shown[0] + 1
    places = [
        ("Beginning", "first", 0),
        ("Earlier", "prev", max(0, first - n_shown // 2)),
        ("Later", "next", first + n_shown // 2),
        ("End", "last", max(0, last - n_shown + 1)),
    ]
    return [(name, rel, replace(fixed, at=at, span=n_shown).address()) for name, rel, at in places]


def spans(
    fixed: Choice, shown: tuple[int, int], /, *, first: int, last: int, rate_hz: float
) -> Sequence[tuple[str, str, bool]]:
    """Give the lengths to choose from: title, the address's query, and whether it is this one."""
    n_all = last - first + 1
    n_shown = shown[1] - shown[0] + 1
    middle = shown[0] + n_shown // 2
    lengths = [(f"{minutes(s)} min", round(s * rate_hz)) for s in SPANS_S]
    lengths = [(title, n) for title, n in lengths if 2 <= n < last + 1]
    return [
        (
            title,
            replace(fixed, at=max(0, middle - n // 2), span=n).address(),
            n_shown == min(n, n_all),
        )
        for title, n in [*lengths, ("all", last + 1)]
    ]


def clock(seconds: float, /) -> str:
    """Write a time as minutes, seconds and tenths.

    Examples
    --------
    >>> clock(75.25)
    '1:15.2'
    """
    return f"{minutes(int(seconds))}.{int(10 * seconds) % 10}"


def where(shown: tuple[int, int], /, *, last: int, rate_hz: float) -> str:
    """Say which stretch of a recording is shown.

    Examples
    --------
    >>> where((0, 299), last=899, rate_hz=30.0)
    '0:00.0 to 0:10.0 of 0:30.0'
    """
    begin, end, whole = (clock(frame / rate_hz) for frame in (shown[0], shown[1] + 1, last + 1))
    return f"{begin} to {end} of {whole}"
