"""Partition: a line per cluster with its size, and how often it comes back from half of the samples beside chance."""

from __future__ import annotations

import numpy as np

from analysis.results import Partition
from dashboard.figures.paper import Page
from dashboard.figures.screen import screen_figure
from dashboard.figures.sheet import Sheet
from dashboard.figures.style import Theme, translucent
from dashboard.figures.table import shown
from dashboard.figures.text import markup, number, shorten

ON_SCREEN = 40
ON_PAPER = {"single": 20, "double": 30, "slide": 10, "poster": 20}
NARROW = 50  # characters in a line
STABLE = 0.75  # Hennig's rule of thumb
SPLIT = 0.4  # of the width is for the sizes


def empty(result: Partition) -> str:
    if not result.n_clusters:
        return "No cluster is detectable: there is nothing to draw."
    if "size" not in result.columns or "name" not in result.columns:
        return "The clusters have no name or no size."
    return ""


def _column(result: Partition, name: str, n: int) -> np.ndarray:
    """The first n values of a column; NaN where the partition does not have it."""
    values = result.columns.get(name)
    return np.full(n, np.nan) if values is None else np.asarray(values, np.float64)[:n]


def _left_out(result: Partition, limit: int) -> tuple[str, ...]:
    said, k, n = [], result.n_clusters, len(result.codes)
    if k > limit:
        said.append(f"the {limit} first of {k:,} clusters; the CSV file has them all")
    none = int((result.codes < 0).sum())
    if none:
        said.append(f"{none:,} of {n:,} rows ({none / n:.0%}) lie in no cluster")
    if np.isfinite(_column(result, "stability", k)).any():
        said.append(
            f"line: middle 95 % of the halves; tick: chance; dashed: {STABLE}, stable by rule of thumb"
        )
    return tuple(said)


def notes(result: Partition, *, sheet: Sheet | None = None, **_ignored) -> tuple[str, ...]:
    return _left_out(result, ON_PAPER[sheet.width] if sheet else ON_SCREEN)


def screen(result: Partition, theme: Theme, *, height=None, title=True):
    """Plotly figure: bars of sizes at the left, stability with chance at the right."""
    import plotly.graph_objects as go

    n = min(result.n_clusters, ON_SCREEN)
    figure = screen_figure(
        theme, result.title, notes(result), height=height or 150 + 22 * max(n, 4), show_title=title
    )
    at = np.arange(n, dtype=np.float32)
    names = [shorten(name, 40) for name in np.asarray(result.columns["name"])[:n]]
    size = _column(result, "size", n).astype(np.float32)
    bar = {"color": translucent(theme.accent, 0.55), "line": {"width": 0}}
    hover = [f"{markup(name)}<br>{int(rows):,} rows" for name, rows in zip(names, size, strict=True)]
    figure.add_trace(
        go.Bar(
            x=size,
            y=at,
            orientation="h",
            marker=bar,
            hovertext=hover,
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    _screen_stability(figure, result, theme, at)
    figure.update_yaxes(
        range=[n - 0.4, -0.6],
        tickvals=at.tolist(),
        ticktext=[markup(x) for x in names],
        tickfont={"size": 12},
    )
    figure.update_layout(
        showlegend=False, bargap=0.35,
        xaxis={"title": {"text": "rows"}, "domain": [0, SPLIT], "rangemode": "tozero"},
        xaxis2={**_like(figure), "domain": [SPLIT + 0.04, 1], "range": [-0.02, 1.04], "anchor": "y",
                "title": {"text": "stability (Jaccard)"}},
    )  # fmt: skip
    return figure


def _like(figure) -> dict:
    """The look of the first axis, for the second."""
    return {
        k: v for k, v in figure.layout.xaxis.to_plotly_json().items() if k not in ("domain", "title", "range")
    }


def _screen_stability(figure, result: Partition, theme: Theme, at: np.ndarray) -> None:
    import plotly.graph_objects as go

    n = len(at)
    value, low, high, chance = (
        _column(result, name, n) for name in ("stability", "stability low", "stability high", "chance")
    )
    ends = np.column_stack([low, high, np.full(n, np.nan)]).ravel().astype(np.float32)
    line = {"color": theme.accent, "width": 1.5}
    shared = {"xaxis": "x2", "showlegend": False}
    figure.add_trace(
        go.Scatter(x=ends, y=np.repeat(at, 3), mode="lines", line=line, hoverinfo="skip", **shared)
    )
    tick = {"symbol": "line-ns-open", "size": 11, "color": theme.muted, "line": {"width": 2}}
    figure.add_trace(
        go.Scatter(x=chance.astype(np.float32), y=at, mode="markers", marker=tick,
                   hovertemplate="chance %{x:.2f}<extra></extra>", **shared)
    )  # fmt: skip
    texts = [
        f"stability {number(v)}, {number(a)} to {number(b)}" for v, a, b in zip(value, low, high, strict=True)
    ]
    figure.add_trace(
        go.Scatter(x=value.astype(np.float32), y=at, mode="markers", marker={"size": 8, "color": theme.accent},
                   hovertext=texts, hovertemplate="%{hovertext}<extra></extra>", **shared)
    )  # fmt: skip
    dash = {"color": theme.muted, "width": 1, "dash": "dash"}
    figure.add_shape(type="line", xref="x2", yref="paper", x0=STABLE, x1=STABLE, y0=0, y1=1, line=dash)


def paper_height(result: Partition, sheet: Sheet, **_ignored) -> float:
    """Inches that the lines need at print size."""
    return (min(result.n_clusters, ON_PAPER[sheet.width]) * 0.16 + 0.55) * sheet.scale


def paper(result: Partition, page: Page, **_ignored) -> None:
    """Two panels that share their lines."""
    n = min(result.n_clusters, ON_PAPER[page.width])
    left, right = page.figure.subplots(1, 2, sharey=True, width_ratios=[SPLIT, 1 - SPLIT])
    at, colour = np.arange(n), page.mark(0)[0]
    left.barh(at, _column(result, "size", n), height=0.62, color=colour, alpha=0.55, linewidth=0)
    room = max(8, int(page.characters * 0.3))
    left.set_yticks(at, [" " + shorten(name, room) for name in np.asarray(result.columns["name"])[:n]])
    left.set_ylim(n - 0.4, -0.6)
    left.set_xlabel("rows")
    left.locator_params(axis="x", nbins=3)
    value, low, high, chance = (
        _column(result, name, n) for name in ("stability", "stability low", "stability high", "chance")
    )
    right.axvline(STABLE, color="#7a7a7a", linewidth=0.6 * page.scale, dashes=(4, 3))
    right.hlines(at, low, high, color=colour, linewidth=1.0 * page.scale)
    right.plot(value, at, "o", color=colour, markersize=3 * page.scale)
    right.plot(chance, at, "|", color="#7a7a7a", markersize=5 * page.scale, markeredgewidth=page.scale)
    right.set_xlim(-0.02, 1.04)
    right.set_xlabel("stability (Jaccard)")
    if page.characters < NARROW:  # 0.0 would stand in the last number of the other side
        right.set_xticks([0.5, 1.0])
    right.tick_params(axis="y", length=0)


def table(result: Partition, **_ignored) -> dict[str, np.ndarray]:
    """One line per cluster: all columns, and the name of its group at each coarser level."""
    found = {name: np.asarray(values) for name, values in result.columns.items()}
    for i in range(len(result.levels) - 1):
        found[f"group at level {i + 1}"] = np.asarray(result.level_names[i])
    return found


def words(result: Partition) -> str:
    n, k = len(result.codes), result.n_clusters
    none = int((np.asarray(result.codes) < 0).sum())
    parts = [f"Partition of {n:,} row(s) into {k:,} cluster(s); {none:,} lie in none."]
    if not empty(result):
        sizes = zip(shown(result.columns["name"][:5], 40), result.columns["size"][:5], strict=True)
        parts.append("The first: " + "; ".join(f"{name}, {int(size):,} row(s)" for name, size in sizes) + ".")
        stable = _column(result, "stability", k)
        stable = stable[np.isfinite(stable)]
        if len(stable):
            parts.append(f"Stability from {number(stable.min())} to {number(stable.max())}.")
    return " ".join(parts)
