"""Texts written out, the value of each word as the colour behind it and, with its sign, as a line below it."""

from __future__ import annotations

import numpy as np

from analysis.results import TokenMap
from dashboard.figures import token_targets
from dashboard.figures.contrast import ink
from dashboard.figures.over_pictures import DENSEST, NEGATIVE, POSITIVE
from dashboard.figures.screen import screen_figure
from dashboard.figures.sheet import Sheet
from dashboard.figures.style import Theme
from dashboard.figures.text import breadth, markup, number, plain, shorten
from dashboard.figures.traces import colour_bar

MOST_TEXTS, MOST_WORDS, COLUMNS, LONGEST = 24, 400, 68, 24  # so that letters of 12 pixels fit beside a form
GAP = 1.0  # columns between words: enough to see where one ends
LINE = 24  # pixels of a line of text
BESIDE_THE_SCALE, LETTER = 0.78, 0.62  # of the page's width; of the points
SMALLEST = 0.8  # of the sheet's letters


def fits(result: TokenMap) -> bool:
    """Whether the map is drawn as texts: few, with their words, not on a grid."""
    n, tokens = np.asarray(result.values).shape
    return bool(result.words) and result.grid is None and n * min(tokens, MOST_WORDS) <= 3 * MOST_WORDS and (
        n <= MOST_TEXTS
    )  # fmt: skip


def words_of(result: TokenMap, k: int) -> list[str]:
    """Token texts of the k-th map as they are shown: blanks made visible."""
    words = result.words[k if len(result.words) > 1 else 0]
    shown = [str(w).replace("\n", "⏎").replace("\t", "⇥").replace(" ", "·") for w in words]
    return [shorten(plain(w) or "·", LONGEST) for w in shown]


def laid_out(
    result: TokenMap, columns: float = COLUMNS
) -> tuple[list[tuple[int, int, int, float, str]], list[tuple[int, str]], int]:
    """(map, token, line, first column, text) of every word, (line, name) of every map, and how many lines."""
    placed, names, line = [], [], 0
    for k in range(len(result.values)):
        names.append((line, str(result.names[k]) if result.names else f"sample {int(result.samples[k])}"))
        line, column = line + 1, 0.0
        for t, word in enumerate(words_of(result, k)[: min(MOST_WORDS, result.values.shape[1])]):
            if column and column + breadth(word) > columns:
                line, column = line + 1, 0.0
            placed.append((k, t, line, column, word))
            column += breadth(word) + GAP
        line += 2
    return placed, names, line - 1


def screen(result: TokenMap, theme: Theme, limits, notes, *, targets=False, height=None, title=True):
    """Plotly figure."""
    import plotly.graph_objects as go

    from dashboard.figures.over_pictures import see_through

    low, high, diverging = limits
    placed, names, lines = laid_out(result)
    figure = screen_figure(theme, result.title, notes, show_title=title, height=height or 130 + LINE * lines)
    shapes, look = [], {"showarrow": False, "xanchor": "left", "font": {"family": "monospace", "size": 12}}
    values = np.asarray(result.values, np.float64)
    for k, t, line, column, word in placed:
        colour, dense = _shade(values[k, t], limits)
        box = {"type": "rect", "x0": column - 0.1, "x1": column + breadth(word) + 0.1, "line": {"width": 0}}
        shapes.append({**box, "y0": line - 0.42, "y1": line + 0.32, "fillcolor": colour, "opacity": 0.6 * dense,
                       "layer": "below"})  # fmt: skip
        shapes.append({**box, "y0": line + 0.34, "y1": line + 0.46, "fillcolor": colour, "opacity": dense})
        if t == result.asked:
            shapes += token_targets.ring(column - 0.3, column + breadth(word) + 0.3, line - 0.48, line + 0.5)
    places = np.array([[column + breadth(word) / 2, line] for _, _, line, column, word in placed], np.float32)
    said = [f"token {t}: {markup(w, LONGEST)}<br>{number(values[k, t])}" for k, t, _, _, w in placed]
    font = {"family": "monospace", "size": 12, "color": theme.text}
    pointed = {"hovertext": said, "hovertemplate": "%{hovertext}<extra></extra>"}
    chosen = targets and token_targets.few(result)
    figure.add_trace(
        go.Scatter(
            x=places[:, 0], y=places[:, 1], text=[markup(w, LONGEST) for *_, w in placed], mode="text",
            showlegend=False, textfont=font, unselected={"textfont": {"color": theme.text}},
            **({"hoverinfo": "skip"} if chosen else pointed),  # the marks over them say it
        )
    )  # fmt: skip
    if chosen:
        for k in range(len(result.values)):
            mine = np.array([p[0] == k for p in placed])
            columns = np.array([p[1] for p in placed])[mine]
            figure.add_trace(token_targets.trace(result, k, columns, places[mine, 0], places[mine, 1], 14))
    nowhere = np.full(2, np.nan, np.float32)
    marker = {"color": [low, high], "coloraxis": "coloraxis"}
    figure.add_trace(
        go.Scatter(x=nowhere, y=nowhere, mode="markers", showlegend=False, hoverinfo="skip", marker=marker)
    )
    for line, name in names:
        figure.add_annotation(text=f"<b>{markup(name, 60)}</b>", x=0, y=line, **look | {"font": {"size": 12}})
    figure.update_layout(
        shapes=shapes, margin={"l": 12, "b": 12},
        coloraxis={"colorscale": see_through(theme, low, high, diverging), "cmin": low, "cmax": high,
                   "colorbar": colour_bar(result.value_name, theme)},
    )  # fmt: skip
    figure.update_xaxes(visible=False, range=[-1, COLUMNS + LONGEST / 2], fixedrange=True)
    figure.update_yaxes(visible=False, range=[lines + 0.2, -0.8], fixedrange=True)
    return figure


def _shade(value: float, limits) -> tuple[str, float]:
    """Colour, and how dense it is: clear where there is no value, full beyond the ends of the scale."""
    low, high, _ = limits
    share = min(abs(value) / max(abs(low), abs(high), 1e-300), 1.0) if np.isfinite(value) else 0.0
    return (NEGATIVE if value < 0 else POSITIVE), float(DENSEST * share)


def _on_paper(value: float, limits, greys) -> tuple[object, float, str]:
    """Colour of the ground, how dense it is, and the ink that can be read on it; `greys` of a page without colour."""
    if greys is None:
        return *_shade(value, limits), "#1a1a1a"
    if not np.isfinite(value):
        return "white", 0.0, "#1a1a1a"
    share = (value - limits[0]) / max(limits[1] - limits[0], 1e-300)
    ground = greys(float(np.clip(share, 0, 1)))
    return ground, 1.0, ink(ground[:3])


def _setting(result: TokenMap, sheet: Sheet) -> tuple[float, float, float]:
    """(points of the letters, columns of a line, inches of a line): as large as the sheet wishes, smaller where the
    texts would not fit on it, but never so small that they cannot be read."""
    points = sheet.points
    while True:
        columns = max(LONGEST / 2, BESIDE_THE_SCALE * sheet.inches * 72 / (LETTER * points) - LONGEST / 2)
        line = 1.5 * points / 72
        if (
            points <= SMALLEST * sheet.points
            or line * laid_out(result, columns)[2] + 0.4 * sheet.scale <= sheet.highest
        ):
            return points, columns, line
        points = max(points - 0.5, SMALLEST * sheet.points)


def _lines(result: TokenMap, sheet: Sheet) -> int:
    """Lines of text that are printed: those that the sheet has room for."""
    _, columns, line = _setting(result, sheet)
    return min(laid_out(result, columns)[2], int((sheet.highest - 0.4 * sheet.scale) / line))


def cut(result: TokenMap, sheet: Sheet | None) -> list[str]:
    """What must be said of words that have no room on the sheet (None: on screen)."""
    n, tokens = np.asarray(result.values).shape
    if sheet is None:
        return [f"the first {MOST_WORDS} of {tokens:,} words of each text"] if tokens > MOST_WORDS else []
    placed, lines = laid_out(result, _setting(result, sheet)[1])[0], _lines(result, sheet)
    shown = sum(word[2] < lines for word in placed)
    return [f"the first {shown:,} of {n * tokens:,} words"] if shown < n * tokens else []


def paper_height(result: TokenMap, sheet: Sheet) -> float:
    """Inches."""
    return 0.4 * sheet.scale + _setting(result, sheet)[2] * _lines(result, sheet)


def paper(axes, result: TokenMap, page, look: dict) -> None:
    """Draw on axes."""
    points, columns, _ = _setting(result, page.sheet)
    placed, names, _ = laid_out(result, columns)
    lines = _lines(result, page.sheet)
    limits = look["vmin"], look["vmax"], True
    axes.set_axis_off()
    axes.set_xlim(-1, columns + LONGEST / 2)
    axes.set_ylim(lines + 0.2, -0.8)
    values = np.asarray(result.values, np.float64)
    from matplotlib.patches import Rectangle

    for k, t, line, column, word in placed:
        if line >= lines:
            break
        colour, dense, letters = _on_paper(values[k, t], limits, look["cmap"] if page.greyscale else None)
        box = (column - 0.1, line - 0.42), breadth(word) + 0.2
        behind = 0.6 * dense if not page.greyscale else dense
        axes.add_patch(Rectangle(*box, 0.74, facecolor=colour, alpha=behind, linewidth=0))
        axes.add_patch(Rectangle((column - 0.1, line + 0.34), breadth(word) + 0.2, 0.12, facecolor=colour, alpha=dense,
                                 linewidth=0))  # fmt: skip
        axes.text(column + breadth(word) / 2, line, word, ha="center", va="center", family="monospace", size=points,
                  color=letters, parse_math=False)  # fmt: skip
        if t == result.asked:
            token_targets.ring_on_paper(axes, page, column - 0.3, line - 0.48, breadth(word) + 0.6, 0.98)
    for line, name in names:
        if line >= lines:
            break
        axes.text(
            0, line, shorten(name, int(columns)), va="center", weight="bold", size=points, parse_math=False
        )
