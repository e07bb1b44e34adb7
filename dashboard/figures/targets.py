"""Cells of a heat map that can be clicked: an invisible mark over each, as Plotly tells a page of marks only."""

from __future__ import annotations

import numpy as np

MOST = 2_500  # marks; a larger matrix is zoomed and read, not clicked


def add_targets(
    figure,
    row_names: list[str],
    column_names: list[str],
    template: str,
    shown: np.ndarray,
    remarks: np.ndarray,
    colour: str,
) -> None:
    """`shown` (p, q, m): what the pointer reads, with the text of `remarks` (p, q) behind, in a label of this `colour`;
    a click gives the place in row-major order."""
    import plotly.graph_objects as go

    p, q = shown.shape[:2]
    i, j = (m.ravel() for m in np.indices((p, q)))
    figure.add_trace(
        go.Scatter(
            x=j, y=i, mode="markers", showlegend=False, customdata=shown.reshape(p * q, -1),
            text=[f"{row_names[a]}<br>{column_names[b]}" for a, b in zip(i, j, strict=True)],
            hovertext=remarks.ravel(),
            marker={"size": max(6, min(90, 420 // max(p, q))), "symbol": "square", "opacity": 0.0, "color": colour},
            hovertemplate=template, hoverlabel={"bgcolor": colour},
            selected={"marker": {"opacity": 0.0}}, unselected={"marker": {"opacity": 0.0}},
        )
    )  # fmt: skip
