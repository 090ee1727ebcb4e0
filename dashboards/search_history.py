"""How a search went: what each configuration came to, and the best so far."""

from __future__ import annotations

from itertools import accumulate

import plotly.graph_objects as go

from calsweep.dashboards.style import BLUE, PURPLE, VERMILLION, label, styled
from calsweep.platform.record import SweepRecord


def search_history(sweep: SweepRecord, /) -> go.Figure:
    """Draw the mean validation AUC of each finished configuration in the order they began.

    Parameters
    ----------
    sweep
        With at least one finished configuration.
    """
    tried = [trial for trial in sweep.finished if not trial.is_baseline]
    numbers = [trial.number for trial in tried]
    values = [trial.mean_validation_auc() for trial in tried]
    drawn = go.Figure(
        go.Scatter(
            x=numbers,
            y=values,
            name="configurations",
            mode="markers",
            marker={"color": BLUE, "size": 7, "opacity": 0.7},
            text=[f"{label(t.name)}<br>{label(t.decoder, width=60)}" for t in tried],
            hovertemplate="%{text}<br>mean validation AUC %{y:.3f}<extra></extra>",
        )
    )
    drawn.add_trace(
        go.Scatter(
            x=numbers,
            y=list(accumulate(values, max)),
            name="best so far",
            mode="lines",
            line={"color": PURPLE, "width": 3, "shape": "hv"},
            hovertemplate="best so far %{y:.3f}<extra></extra>",
        )
    )
    baseline = [t.mean_validation_auc() for t in sweep.finished if t.is_baseline]
    for auc in baseline:
        drawn.add_hline(y=auc, line={"color": VERMILLION, "dash": "dash", "width": 1.5})
        drawn.add_annotation(
            x=1.0,
            xref="paper",
            xanchor="right",
            y=auc,
            yshift=10,
            text=f"linear baseline {auc:.3f}",
        )
    drawn.update_xaxes(
        title_text="configuration, in the order they began", dtick=1 if len(tried) <= 20 else None
    )
    drawn.update_yaxes(title_text="mean validation AUC<br>(0.5 is chance, 1 is perfect)")
    return styled(
        drawn,
        height_px=380,
        reading=(
            "Each dot is a configuration's mean validation AUC over its folds, which is all that "
            "the search sees (0.5 is chance, 1 is perfect); the line is the best so far: where it "
            "stays level, trying more of the same has stopped to pay."
        ),
    )
