"""What a token film says of one token at one step, in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.results import TokenFilm
from dashboard.figures.text import markup, number, plain

MOST_STEPS, MOST_LISTED = 49, 8


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
        return f"row {cell // result.grid[1]}, column {cell % result.grid[1]}"
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
        scored = f"<br>{name} {number(scores[token])}" if judged and judged[token] else ""
        said.append(f"<b>{places[token]}</b><br>{state}{scored}")
    return said


def _listed(inside: list[int], places: Sequence[str]) -> str:
    shown = "; ".join(places[t] for t in inside[:MOST_LISTED]) + ("; …" if len(inside) > MOST_LISTED else "")
    return f"one of {len(inside)} in one token:<br>{shown}"


def marked_places(result: TokenFilm) -> list[str]:
    """(T,) where each token is, safe to show."""
    return [markup(where(result, t)) for t in range(np.asarray(result.owner).shape[1])]
