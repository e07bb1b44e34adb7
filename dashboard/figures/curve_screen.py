"""Curve on screen."""

from __future__ import annotations

import numpy as np

from analysis.results import Curve
from dashboard.figures import crowd_screen, curve_film
from dashboard.figures.contrast import readable
from dashboard.figures.curve_axes import hovered, x_axis
from dashboard.figures.curve_parts import (
    DIRECT_LABELS,
    chosen,
    crowded,
    drawn_places,
    last_points,
    marked,
    notes,
    span,
)
from dashboard.figures.labels import label_heights
from dashboard.figures.screen import screen_figure
from dashboard.figures.style import DASHES, Theme
from dashboard.figures.text import markup, shorten
from dashboard.figures.traces import band, line


def screen(result: Curve, theme: Theme, *, height=None, title=True):
    """Plotly figure."""
    if crowded(result):
        return crowd_screen.screen(result, theme, notes(result), height=height, title=title)
    coloured, rest = chosen(result)
    direct = len(result.series) <= DIRECT_LABELS
    height = height or (400 if direct else max(400, 130 + 20 * (len(coloured) + 2)))
    height += curve_film.HIGHER * bool(len(curve_film.filmed(result)))
    figure = screen_figure(theme, result.title, notes(result), height=height, show_title=title)
    x, named = np.asarray(result.x, np.float32), {"text": hovered(result)} if result.x_labels else {}
    if result.log_x:  # Plotly would draw a line from the left edge instead of leaving these out
        x = np.where(x > 0, x, np.float32(np.nan))
    for k, name in enumerate(rest):
        group = {"legendgroup": "other", "legendrank": 2000, "showlegend": k == 0, "opacity": 0.5}
        line(
            figure, x, result.series[name], theme.missing, f"other ({len(rest):,} series)", width=0.8, **group
        )
    for k, name in enumerate(coloured):
        if name in result.low and name in result.high and name not in result.bars:
            good = drawn_places(result, x, name)
            ends = result.low[name][good], result.high[name][good]
            band(figure, x[good], *ends, theme.categories[k % 8])
    for k, name in enumerate(result.null):
        group = {"legendgroup": "null", "showlegend": k == 0 and not direct}
        hover = f"null of {markup(name, 30)} %{{y:.4g}}"
        line(
            figure, x, result.null[name], theme.missing, "null", width=1.3, dash="dash", hover=hover, **group
        )
    at = "%{text}" if named else "%{x:.4g}"
    for k, name in enumerate(coloured):
        label, dash = markup(name, 34), DASHES[k // 8 % 4][0]
        look = {"dash": dash, "markers": direct and len(x) <= 60, "showlegend": not direct}
        hover = f"{label}<br>{at}: %{{y:.4g}}"
        good = drawn_places(result, x, name)
        if name in result.bars:
            curve_film.bar_on_screen(
                figure, result, name, good, theme.categories[k % 8], label, hover, theme.muted
            )
            continue
        colour = theme.categories[k % 8]
        if curve_film.ghost(result, name):
            look["dash"], look["markers"], colour = "dot", False, theme.muted
        said = {key: np.asarray(texts, object)[good].tolist() for key, texts in named.items()}
        line(
            figure,
            x[good],
            result.series[name][good],
            colour,
            label,
            hover=hover,
            **look,
            **said,
        )
        _diamonds(figure, result, x, name, theme.categories[k % 8])
    axis = x_axis(result, x)
    figure.update_xaxes(title_text=markup(result.x_name, 80), exponentformat="power", **axis)
    figure.update_yaxes(title_text=markup(result.y_name, 44), range=span(result), exponentformat="power")
    curve_film.strip_on_screen(figure, result)
    if direct and len(coloured) > 1:
        _direct(figure, result, coloured, theme, height)
    return figure


def _diamonds(figure, result: Curve, x: np.ndarray, name: str, colour: str) -> None:
    import plotly.graph_objects as go

    at = marked(result, name)
    if at.any():
        hover = (
            f"{markup(name, 34)}<br>{markup(result.mark_name, 30)}: %{{x:.4g}} (%{{y:.4g}})<extra></extra>"
        )
        look = {"symbol": "diamond", "size": 12, "color": colour, "line": {"width": 1.5, "color": "white"}}
        y = np.asarray(result.series[name], np.float32)[at]
        figure.add_trace(
            go.Scatter(x=x[at], y=y, mode="markers", marker=look, hovertemplate=hover, showlegend=False)
        )


def _direct(figure, result: Curve, names: list[str], theme: Theme, height: int) -> None:
    """Names at the right end of the lines, spread so that none covers another."""
    ends = last_points(result, names)
    heights = label_heights([y for _, y in ends.values()], span(result), 17 / max(height - 120, 100))
    for (name, _), y in zip(ends.items(), heights, strict=True):
        colour = readable(theme.categories[names.index(name) % 8], theme.ground)
        colour = theme.muted if curve_film.ghost(result, name) else colour
        figure.add_annotation(
            text=markup(name, 26),
            x=1.01,
            xref="paper",
            xanchor="left",
            y=y,
            yref="y",
            yanchor="middle",
            showarrow=False,
            font={"size": 12, "color": colour},
        )
    longest = max(len(shorten(name, 26)) for name in ends)
    figure.update_layout(margin_r=int(24 + 6.8 * longest))
