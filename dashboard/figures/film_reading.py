"""What a token film says of one token at one step, in words."""

from __future__ import annotations

import numpy as np

from analysis.results import TokenFilm
from dashboard.figures.text import markup, number, plain

MOST_STEPS = 49


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


def state_of(result: TokenFilm, step: int, token: int) -> tuple[str, int]:
    """(what a token is, how many are where it is now)."""
    owner = np.asarray(result.owner)[step]
    mine = int(owner[token])
    count = int((owner == mine).sum()) if mine >= 0 else 0
    if mine < 0:
        return "gone", 0
    if count == 1:
        return "kept", 1
    return ("stands for a group" if mine == token else "merged"), count


def where(result: TokenFilm, token: int) -> str:
    cell = -1 if result.cell is None else int(np.asarray(result.cell)[token])
    if result.grid is not None and cell >= 0:
        return f"row {cell // result.grid[1]}, column {cell % result.grid[1]}"
    return f"token {token}" + (f" {plain(result.words[token])!r}" if token < len(result.words) else "")


def pointed(result: TokenFilm, step: int, token: int) -> str:
    what, count = state_of(result, step, token)
    said = [f"<b>{markup(where(result, token))}</b>", what]
    if count > 1:
        owner = np.asarray(result.owner)[step]
        inside = np.flatnonzero(owner == owner[token])
        listed = "; ".join(where(result, int(t)) for t in inside[:8])
        said = [said[0], f"one of {count} in one token:", markup(listed + ("; …" if count > 8 else ""))]
    if result.score is not None and np.asarray(result.judged, bool)[step, token]:
        said.append(f"{markup(result.score_name, 40)} {number(float(np.asarray(result.score)[step, token]))}")
    return "<br>".join(said)
