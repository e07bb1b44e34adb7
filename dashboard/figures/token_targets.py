"""Tokens of a map that can be chosen: an unseen mark over each, which one was clicked, and a ring around the one that
asks."""

from __future__ import annotations

import numpy as np

from analysis.results import TokenMap
from dashboard.figures.text import markup, number

MOST = 5_000  # marks of a figure; a larger map is asked by its list of tokens
RING = "outlined: the token that asks"
UNSEEN = {"marker": {"opacity": 0.0}}


def names(result: TokenMap) -> list[str]:
    """(tokens,) what each is called, safe to show."""
    if result.token_names:
        return [markup(name, 60) for name in result.token_names]
    return [f"token {t}" for t in range(np.asarray(result.values).shape[1])]


def few(result: TokenMap) -> bool:
    """Whether the figure can have a mark for every token of every map."""
    return result.tokens is not None and np.asarray(result.values).size <= MOST


def trace(result: TokenMap, k: int, columns: np.ndarray, x: np.ndarray, y: np.ndarray, size: float, **axes):
    """Marks over the tokens `columns` (m,) of the k-th map, which lie at x, y (m,): a trace of their own."""
    import plotly.graph_objects as go

    said, values = names(result), np.asarray(result.values, np.float64)
    return go.Scatter(
        x=x.astype(np.float32), y=y.astype(np.float32), mode="markers", showlegend=False,
        hovertext=[f"{said[c]}<br>{number(values[k, c])}<br>click: it asks" for c in columns],
        hovertemplate="%{hovertext}<extra></extra>", marker={"size": size, "symbol": "square", "opacity": 0.0},
        selected=UNSEEN, unselected=UNSEEN, **axes,
    )  # fmt: skip


def ring(x0: float, x1: float, y0: float, y1: float, **axes) -> list[dict]:
    """Shapes around the token that asks: dark within light, which stands out on any ground."""
    box = {"type": "rect", "x0": x0, "x1": x1, "y0": y0, "y1": y1, **axes}
    return [
        {**box, "line": {"color": colour, "width": width}}
        for colour, width in (("#ffffff", 5), ("#111111", 2))
    ]


def ring_on_paper(axes, page, x0: float, y0: float, wide: float, high: float) -> None:
    """The same on axes."""
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((x0, y0), wide, high, fill=False, edgecolor="#1a1a1a", linewidth=1.2 * page.scale,
                             clip_on=False))  # fmt: skip


def chosen(result: TokenMap, index: int, on_grid: bool) -> int | None:
    """The number by which a setting calls the token of the index-th mark of a map; None where there is none."""
    column = index + (result.leading if on_grid else 0)
    if result.tokens is None or not 0 <= column < len(result.tokens):
        return None
    token = int(np.asarray(result.tokens)[column])
    return token if token >= 0 else None  # -1: one that cannot ask
