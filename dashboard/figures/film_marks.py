"""What a person marked on a token film: the token that was opened, and boxes; as lines around cells.

The opened token is written "step.token": the one that holds this input token after this step, counted from 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from analysis.results import TokenFilm
from analysis.tokens.boxes import marked
from dashboard.figures.film_panels import on_cells, on_grid
from dashboard.figures.style import Theme

OPENED, WIDE, THIN = "#D81B60", 5, 2.5  # no colour of a group; pixels
Lines = tuple[np.ndarray, np.ndarray]


def opened_of(result: TokenFilm, text: str) -> tuple[int, int] | None:
    """(step, token) that "4.17" stands for; None where that is no place of this film."""
    found = re.fullmatch(r"(\d{1,6})\.(\d{1,6})", text.strip())
    if not found:
        return None
    step, token = int(found[1]), int(found[2])
    steps, tokens = np.asarray(result.owner).shape
    return (step, token) if step < steps and token < tokens else None


def inside(result: TokenFilm, step: int, token: int) -> np.ndarray:
    """(T,) bool: every input token inside the one that holds `token` after `step`; none where it is gone."""
    owner = np.asarray(result.owner)[step]
    return (owner == owner[token]) & (owner >= 0)


def ring(cells: np.ndarray) -> Lines:
    """x, y of the lines around the cells (rows, columns) bool, a cell being one wide around its middle; NaN between."""
    whole = np.pad(cells, 1)
    down, right = np.nonzero(whole[1:] != whole[:-1])
    low, along = np.nonzero(whole[:, 1:] != whole[:, :-1])
    nan = np.full(len(down) + len(low), np.nan)
    x = np.stack([np.r_[right - 1.5, along - 0.5], np.r_[right - 0.5, along - 0.5], nan], axis=1)
    y = np.stack([np.r_[down - 0.5, low - 1.5], np.r_[down - 0.5, low - 0.5], nan], axis=1)
    return x.ravel(), y.ravel()


def marks(result: TokenFilm, opened: str, boxes: str) -> list[tuple[str, Lines]]:
    """("opened" or "boxes", lines in cells of one panel; of a text in tokens of one row). Raises ParameterError."""
    at, found = opened_of(result, opened), []
    tokens = np.asarray(result.owner).shape[1]
    if boxes.strip():
        found.append(("boxes", marked(boxes, result.cell, result.grid if on_grid(result) else None, tokens)))
    if at is not None:
        found.append(("opened", inside(result, *at)))
    if on_grid(result):
        return [(name, ring(on_cells(result, here, False))) for name, here in found if here.any()]
    return [(name, ring(here[None])) for name, here in found if here.any()]


def traces(
    found: Sequence[tuple[str, Lines]], corners: Sequence[tuple[float, float]], theme: Theme
) -> list[dict]:
    """Plotly traces of the marks in every panel; `corners` are their first rows and columns."""
    out = []
    for name, (x, y) in found:
        where = {
            "x": np.concatenate([x + right for _, right in corners]).astype(np.float32),
            "y": np.concatenate([y + down for down, _ in corners]).astype(np.float32),
            "type": "scatter", "mode": "lines", "hoverinfo": "skip", "showlegend": False,
        }  # fmt: skip
        colour = OPENED if name == "opened" else theme.text
        dash = "solid" if name == "opened" else "dot"
        out.append({**where, "line": {"width": WIDE, "color": theme.ground}})
        out.append({**where, "line": {"width": THIN, "color": colour, "dash": dash}})
    return out


def on_paper(axes, page, found: Sequence[tuple[str, Lines]], pixels: float, down: float = 0.0) -> None:
    """Draw the marks on Matplotlib's axes with so many of its units to a cell."""
    for name, (x, y) in found:
        ways = _ways(name, page)
        shift = 0.5 * (pixels - 1)  # the middle of the first cell
        for way in ways:
            axes.plot(x * pixels + shift, y * pixels + shift + down, scalex=False, scaley=False, **way)


def _ways(name: str, page) -> list[dict]:
    """How the lines of a mark are drawn, one over the other; in grey the opened token by dashes on white."""
    if name != "opened":
        return [{"color": "black", "lw": page.scale, "ls": ":"}]
    if not page.greyscale:
        return [{"color": OPENED, "lw": 1.2 * page.scale}]
    dashed = {"color": "black", "lw": 1.4 * page.scale, "ls": (0, (3, 1.5))}
    return [{"color": "white", "lw": 2.8 * page.scale}, dashed]
