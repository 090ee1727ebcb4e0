"""Which figures show test figures along the settings that a sweep searched, on page and report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import plotly.graph_objects as go

from calsweep.dashboards.curve import (
    is_worth_drawing,
    maps_worth_drawing,
    numeric_settings,
    setting_curve,
    setting_map,
    setting_name,
)
from calsweep.platform.record import SweepRecord


@dataclass(frozen=True, kw_only=True)
class SettingFigure:
    """A figure along one setting or two: its place, its title, and how it is drawn."""

    name: str
    title: str
    draw: Callable[[], go.Figure]


def setting_figures(sweep: SweepRecord, /) -> tuple[SettingFigure, ...]:
    """Give a curve along each searched setting that is a number, and maps of two."""
    curves = [
        SettingFigure(
            name=f"curve-{name}",
            title=f"Along {setting_name(name)}",
            draw=partial(setting_curve, sweep, name),
        )
        for name in numeric_settings(sweep)
        if is_worth_drawing(sweep, name)
    ]
    maps = [
        SettingFigure(
            name=f"map-{along}-{up}",
            title=f"Along {setting_name(along)} and {setting_name(up)}",
            draw=partial(setting_map, sweep, (along, up)),
        )
        for along, up in maps_worth_drawing(sweep)
    ]
    return (*curves, *maps)
