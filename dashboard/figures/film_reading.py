"""What a token film says of one token at one step, in words, and which token and step a place of its figure is.

Rows and columns are counted from 1, as in boxes; tokens and steps from 0.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from analysis.results import TokenFilm
from dashboard.figures.text import markup, number, plain

MOST_STEPS, MOST_LISTED = 49, 8
A_ROW, TOP, GAP = 7, 0.2, 0.07  # panels of a line; above and between panels, of their height and width
_written = functools.lru_cache(maxsize=8192)(number)  # a merged token's score stands at all that is inside


def steps_shown(result: TokenFilm) -> np.ndarray:
    """Numbers of the steps that are drawn: all, or evenly so many, first and last among them."""
    n = len(result.names)
    return (
        np.arange(n) if n <= MOST_STEPS else np.unique(np.linspace(0, n - 1, MOST_STEPS).round().astype(int))
    )


def left(result: TokenFilm, step: int) -> int:
    """Tokens that are left."""
    owner = np.asarray(result.owner)[step]
    return len(np.unique(owner[owner >= 0]))


def where(result: TokenFilm, token: int) -> str:
    """The place of a token, or its word."""
    cell = -1 if result.cell is None else int(np.asarray(result.cell)[token])
    if result.grid is not None and cell >= 0:
        return f"row {cell // result.grid[1] + 1}, column {cell % result.grid[1] + 1}"
    return f"token {token}" + (f" {plain(result.words[token])!r}" if token < len(result.words) else "")


def pointed(result: TokenFilm, step: int, tokens: Sequence[int], places: Sequence[str]) -> list[str]:
    """What the pointer says of each of `tokens` at one step; `places` (T,) of all of them, as markup."""
    owner = np.asarray(result.owner)[step].tolist()
    groups: dict[int, list[int]] = {}
    for token, mine in enumerate(owner):
        if mine >= 0:
            groups.setdefault(mine, []).append(token)
    listed = {mine: _listed(inside, places) for mine, inside in groups.items() if len(inside) > 1}
    judged = [] if result.score is None else np.asarray(result.judged, bool)[step].tolist()
    scores = [] if result.score is None else np.asarray(result.score, float)[step].tolist()
    name, said = markup(result.score_name, 40), []
    for token in tokens:
        mine = owner[token]
        state = "gone" if mine < 0 else listed.get(mine, "kept")
        scored = f"<br>{name} {_written(scores[token])}" if judged and judged[token] else ""
        said.append(f"<b>{places[token]}</b><br>{state}{scored}")
    return said


def _listed(inside: list[int], places: Sequence[str]) -> str:
    """The first of them, a few in each line: a label as wide as the page would hide the film."""
    named = [places[t] for t in inside[:MOST_LISTED]] + (["…"] if len(inside) > MOST_LISTED else [])
    lines = ["; ".join(named[k : k + 2]) for k in range(0, len(named), 2)]
    return f"one of {len(inside)} in one token:<br>" + ";<br>".join(lines)


def marked_places(result: TokenFilm) -> list[str]:
    """(T,) where each token is, safe to show."""
    return [markup(where(result, t)) for t in range(np.asarray(result.owner).shape[1])]


# ---------------------------------------------------------------------------- places of the figure
def apart(result: TokenFilm, pixels: int) -> tuple[float, float]:
    """From a panel to the next one below and beside, in cells; whole numbers of pixels."""
    rows, columns = result.grid
    return rows + round(rows * TOP * pixels) / pixels, columns + round(columns * GAP * pixels) / pixels


def corners(result: TokenFilm, pixels: int) -> list[tuple[float, float]]:
    """(first row, first column) of the panel of each step that is drawn, in cells of the figure."""
    shown = steps_shown(result)
    down, right = apart(result, pixels)
    columns = min(A_ROW, len(shown))
    return [((k // columns) * down, (k % columns) * right) for k in range(len(shown))]


def clicked(result: TokenFilm, index: int, places: int) -> str:
    """The opened token, as "step.token", of the index-th mark of a figure with `places` marks for every step."""
    shown = steps_shown(result)
    step, place = divmod(index, max(places, 1))
    if step >= len(shown):
        return ""
    there = np.arange(places) if result.grid is None else np.flatnonzero(np.asarray(result.cell) >= 0)
    return f"{shown[step]}.{there[place]}"


def dragged(result: TokenFilm, x: Sequence[float], y: Sequence[float], pixels: int, words: int) -> str:
    """The box, or of a text the stretch of tokens, that was drawn over a panel; "" of one that touches none."""
    (left, right), (top, low) = sorted(x), sorted(y)
    if result.grid is None:
        first, last = max(round(left), 0), min(round(right), words - 1)
        return f"{first}-{last}" if first <= last else ""
    rows, columns = result.grid
    middle = (top + low) / 2, (left + right) / 2
    for down, along in corners(result, pixels):
        if down - 0.5 <= middle[0] <= down + rows - 0.5 and along - 0.5 <= middle[1] <= along + columns - 0.5:
            a, b = max(round(top - down), 0), min(round(low - down), rows - 1)
            c, d = max(round(left - along), 0), min(round(right - along), columns - 1)
            return f"{a + 1}-{b + 1}, {c + 1}-{d + 1}" if a <= b and c <= d else ""
    return ""
