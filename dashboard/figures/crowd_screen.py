"""Many lines on screen: on the left the lines, on the right their ranked list with intervals."""

from __future__ import annotations

import numpy as np

from analysis.results import Curve
from dashboard.figures.contrast import readable
from dashboard.figures.crowd import Row, nulls, ranked, reach, said, total_name
from dashboard.figures.curve_axes import hovered, x_axis
from dashboard.figures.curve_parts import BANDS, drawn_places, last_points, span
from dashboard.figures.labels import label_heights
from dashboard.figures.screen import screen_figure
from dashboard.figures.short_names import told_apart
from dashboard.figures.style import DASHES, Theme, translucent
from dashboard.figures.text import markup, wrapped
from dashboard.figures.traces import band, line

LINE, HEAD = 21, 130  # pixels of a line of the list, of all else
LINES, KEY, NAMES, DOTS = 0.55, (0.575, 0.61), 0.62, 0.84  # where they are across the figure
LONGEST = 24  # characters of a name


def screen(result: Curve, theme: Theme, notes, *, height=None, title=True):
    """Plotly figure, higher than `height` where the list asks for it."""
    rows, summed = ranked(result), total_name(result)
    height = max(height or 420, HEAD + 20 * len(notes) + LINE * len(rows))
    figure = screen_figure(theme, result.title, notes, height=height, show_title=title)
    x = np.asarray(result.x, np.float32)
    if result.log_x:
        x = np.where(x > 0, x, np.float32(np.nan))
    if (ends := nulls(result)) is not None:
        band(figure, x, *ends, theme.missing, alpha=0.3)
    first = [row for row in rows if not row.control][:BANDS]
    for row in first:
        if row.name in result.low and row.name in result.high:
            good = drawn_places(result, x, row.name)
            band(
                figure,
                x[good],
                result.low[row.name][good],
                result.high[row.name][good],
                colour(row, theme),
                alpha=0.16,
            )
    for row in reversed(rows):  # the first of the list lies on top
        _line(figure, result, x, row, theme, row in first)
    figure.update_xaxes(title_text=markup(result.x_name, 60), exponentformat="power", **x_axis(result, x))
    figure.update_xaxes(domain=[0, LINES])
    figure.update_yaxes(
        title_text=markup(result.y_name, 44),
        range=span(result, {row.name for row in first}),
        exponentformat="power",
    )
    heights = _list(figure, result, rows, theme, height) if not summed else np.arange(len(rows), dtype=float)
    if summed:
        _totals(figure, rows, summed, theme)
    _names(figure, rows, heights, "y2" if summed else "y", theme)
    figure.update_layout(margin_r=24, showlegend=False)
    return figure


def colour(row: Row, theme: Theme) -> str:
    return theme.missing if row.control else theme.categories[row.hue]


def _line(figure, result: Curve, x: np.ndarray, row: Row, theme: Theme, strong: bool) -> None:
    good = drawn_places(result, x, row.name)
    y = np.asarray(result.series[row.name])[good]
    at = "%{text}" if result.x_labels else "%{x:.4g}"
    more = {}
    if result.x_labels:
        more["text"] = np.asarray(hovered(result), object)[good].tolist()
    interval = ""
    if row.name in result.low and row.name in result.high:
        more["customdata"] = np.column_stack([result.low[row.name][good], result.high[row.name][good]])
        interval = " (%{customdata[0]:.3g} to %{customdata[1]:.3g})"
    hover = f"<b>{markup(row.name, 34)}</b><br>{at}: %{{y:.4g}}{interval}"
    line(figure, x[good], y, colour(row, theme), markup(row.name, 34), width=2.6 if strong else 1.6,
         dash=DASHES[row.dash][0], hover=hover, **more)  # fmt: skip


def _names(figure, rows: list[Row], heights, axis: str, theme: Theme) -> None:
    """Names beside a piece of their line, in its colour."""
    short = told_apart([row.name for row in rows], LONGEST)
    for row, name, at in zip(rows, short, heights, strict=True):
        shade = theme.muted if row.control else readable(colour(row, theme), theme.ground)
        look = {"color": colour(row, theme), "width": 2.2, "dash": DASHES[row.dash][0]}
        figure.add_shape(type="line", xref="paper", yref=axis, x0=KEY[0], x1=KEY[1], y0=at, y1=at, line=look)
        figure.add_annotation(text=markup(name), x=NAMES, xref="paper", xanchor="left", y=at, yref=axis,
                              yanchor="middle", showarrow=False, font={"size": 12, "color": shade})  # fmt: skip


def _list(figure, result: Curve, rows: list[Row], theme: Theme, height: int) -> np.ndarray:
    """Heights of names where nothing sums the lines up: as near to their ends as can be, and tied to them."""
    ends = last_points(result, [row.name for row in rows])
    gap = 17 / max(height - HEAD, 100)
    values = [ends[row.name][1] if row.name in ends else span(result)[0] for row in rows]
    heights = label_heights(values, span(result), gap)
    for row, value, at in zip(rows, values, heights, strict=True):
        look = {"color": colour(row, theme), "width": 1}
        figure.add_shape(type="line", xref="paper", yref="y", x0=LINES, x1=KEY[0], y0=value, y1=at, line=look)
    return heights


def _totals(figure, rows: list[Row], name: str, theme: Theme) -> None:
    """What sums each line up with its interval, over the band that chance gives."""
    import plotly.graph_objects as go

    places = {"xaxis": "x2", "yaxis": "y2"}
    for i, row in enumerate(rows):
        if row.null is not None:
            figure.add_shape(type="rect", xref="x2", yref="y2", x0=row.null[0], x1=row.null[1], y0=i - 0.5, y1=i + 0.5,
                             fillcolor=translucent(theme.missing, 0.3), line={"width": 0}, layer="below")  # fmt: skip
    known = [(i, row) for i, row in enumerate(rows) if np.isfinite(row.value)]
    shades = [colour(row, theme) for _, row in known]
    for (i, row), shade in zip(known, shades, strict=True):
        if row.high > row.low:
            figure.add_shape(type="line", xref="x2", yref="y2", x0=row.low, x1=row.high, y0=i, y1=i,
                             line={"color": shade, "width": 1.6})  # fmt: skip
    figure.add_trace(go.Scatter(
        x=np.array([row.value for _, row in known], np.float32), y=np.array([i for i, _ in known], np.float32),
        mode="markers", marker={"size": 8, "color": shades}, showlegend=False,
        hovertext=[f"<b>{markup(row.name, 40)}</b><br>{markup(name, 40)} {markup(said(row))}" for _, row in known],
        hovertemplate="%{hovertext}<extra></extra>", **places,
    ))  # fmt: skip
    bare = {"showgrid": False, "zeroline": False}
    figure.update_layout(
        xaxis2={**bare, "domain": [DOTS, 1.0], "anchor": "y2", "range": reach(rows), "nticks": 4, "ticks": "outside",
                "ticklen": 4, "tickcolor": theme.muted, "linecolor": theme.muted, "showline": True,
                "tickfont": {"size": 12, "color": theme.muted}, "exponentformat": "power",
                "automargin": True,
                "title": {"text": "<br>".join(map(markup, wrapped(name, 18, 2))), "font": {"size": 13},
                          "standoff": 8}},
        yaxis2={**bare, "anchor": "x2", "range": [len(rows) - 0.5, -0.5], "visible": False},
    )  # fmt: skip
