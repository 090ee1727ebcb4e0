"""A stretch of a test recording: behavior as observed, and its probability as decoded."""

from __future__ import annotations

import plotly.graph_objects as go

from calsweep.dashboards.style import (
    BLUE,
    GRAY,
    SHADE,
    label,
    styled,
)
from calsweep.dashboards.track import Track


def prediction_stretch(
    stretch: Track, /, *, target: str, rate_hz: float, about: str = ""
) -> go.Figure:
    """Draw the decoded probability over the behavior that was observed.

    Parameters
    ----------
    stretch
        Part of a test recording, of two classes.
    target
        Name of the behavior.
    rate_hz
        Frames per second.
    about
        Which fold this is, as part of a sentence.

    Examples
    --------
    >>> import numpy as np
    >>> stretch = Track(
    ...     recording="m1_1",
    ...     frame_W=np.array([30, 31, 34]),
    ...     label_W=np.array([0, 1, 1]),
    ...     probability_WC=np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]]),
    ... )
    >>> figure = prediction_stretch(stretch, target="run", rate_hz=10.0)
    >>> figure.data[1].x
    (3.0, 3.1, 3.2, 3.4)
    >>> figure.data[1].y
    (0.1, 0.8, None, 0.9)
    """
    frame, observed, probability = _with_gaps(stretch)
    time_s = [round(at / rate_hz, 4) for at in frame]
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(
            x=time_s,
            y=observed,
            name=label(target),
            line={"shape": "hvh", "width": 0},
            fill="tozeroy",
            fillcolor=SHADE,
            hoverinfo="skip",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=time_s,
            y=probability,
            name="probability",
            line={"color": BLUE, "width": 2},
            hovertemplate="%{x:.2f} s<br>probability %{y:.3f}<extra></extra>",
        )
    )
    figure.add_annotation(
        x=0,
        y=1,
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="bottom",
        text=f"<span style='color:{BLUE}'><b>━</b></span> probability decoded    "
        f"<span style='color:{GRAY}'>■</span> {label(target)} observed",
    )
    figure.add_hline(y=0.5, line={"color": GRAY, "dash": "dot", "width": 1})
    figure.update_xaxes(title_text=f"time in {label(stretch.recording)} (s)", showgrid=False)
    figure.update_yaxes(title_text=f"probability of {label(target)}", range=[-0.02, 1.02])
    return styled(
        figure,
        height_px=340,
        reading=(
            f"Shaded: {target} as observed; line: its probability as decoded, which counts as "
            f"{target} above the dotted line. The stretch of this test recording is chosen for "
            f"even shares of both classes, not for its result{about}."
        ),
    )


def _with_gaps(
    stretch: Track,
) -> tuple[list[int], list[int | None], list[float | None]]:
    """Break the lines where frames are missing."""
    frame: list[int] = []
    observed: list[int | None] = []
    probability: list[float | None] = []
    for at, seen, decoded in zip(
        stretch.frame_W.tolist(),
        stretch.label_W.tolist(),
        stretch.probability_WC[:, 1].tolist(),
        strict=True,
    ):
        if frame and at > frame[-1] + 1:
            frame.append(frame[-1] + 1)
            observed.append(None)
            probability.append(None)
        frame.append(at)
        observed.append(seen)
        probability.append(round(decoded, 4))
    return frame, observed, probability
