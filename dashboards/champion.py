"""The champion of a model beside the challenger, fold by fold."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from calsweep.dashboards.style import BLUE, GRAY, VERMILLION, styled


def champion_folds(
    champion: Sequence[float], challenger: Sequence[float], /, *, names: tuple[str, str]
) -> go.Figure:
    """Draw the test AUC of both on the same folds, joined by a line.

    Parameters
    ----------
    champion, challenger
        Test AUC of each fold of the same plan, in its order.
    names
        Of both, in words.

    Examples
    --------
    >>> figure = champion_folds([0.9, 0.8], [0.7, 0.85], names=("version 2", "version 1"))
    >>> figure.data[1].y
    (0.9, 0.8)
    """
    folds = list(range(len(champion)))
    figure = go.Figure()
    ends = [end for pair in zip(challenger, champion, strict=True) for end in (*pair, None)]
    figure.add_trace(
        go.Scatter(
            x=[fold for fold in folds for _ in range(3)],
            y=ends,
            mode="lines",
            line={"color": GRAY, "width": 1},
            hoverinfo="skip",
        )
    )
    for name, values, color, symbol in (
        (names[0], champion, BLUE, "circle"),
        (names[1], challenger, VERMILLION, "diamond-open"),
    ):
        figure.add_trace(
            go.Scatter(
                x=folds,
                y=list(values),
                name=name,
                mode="markers",
                marker={"color": color, "size": 9, "symbol": symbol},
                hovertemplate=f"{name}, fold %{{x}}<br>test AUC %{{y:.4f}}<extra></extra>",
            )
        )
    n_above = sum(a > b for a, b in zip(champion, challenger, strict=True))
    figure.update_xaxes(title_text="fold", dtick=1 if len(folds) <= 20 else 5, showgrid=False)
    figure.update_yaxes(title_text="test AUC (0.5 is chance, 1 is perfect)")
    return styled(
        figure,
        height_px=340,
        reading=(
            f"Filled: {names[0]}; open: {names[1]}, on the same folds: the champion is above in "
            f"{n_above} of {len(folds)}."
        ),
    )
