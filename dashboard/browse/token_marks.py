"""What a person opened or marked on a token film, in words: the input tokens inside a token, and recall in boxes."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from analysis.results import TokenFilm
from analysis.tokens.boxes import Recall, marked, recall
from dashboard.figures.film_marks import inside, opened_of
from dashboard.figures.film_panels import on_grid
from dashboard.figures.film_reading import where
from dashboard.figures.plurals import counted
from dashboard.figures.text import plain

opened = opened_of


def boxed(film: TokenFilm, boxes: str) -> np.ndarray:
    """(T,) bool: tokens inside the boxes. Raises ParameterError where they are none, or outside the picture."""
    grid = film.grid if on_grid(film) else None
    return marked(boxes, film.cell, grid, np.asarray(film.owner).shape[1])


def recalled(film: TokenFilm, boxes: str) -> Recall:
    """What the film leaves of the tokens in the boxes; chance draws from all that lie on the picture, or all words."""
    tokens = np.asarray(film.owner).shape[1]
    there = np.asarray(film.cell) >= 0 if on_grid(film) else np.ones(tokens, bool)
    return recall(np.asarray(film.owner)[-1], boxed(film, boxes), there)


def recall_words(film: TokenFilm, boxes: str) -> str:
    """That in a sentence."""
    r = recalled(film, boxes)
    if not r.total:
        return "No token lies in the boxes."
    said = (
        f"Of the **{r.total} {'patches' if on_grid(film) else 'tokens'} in the boxes** {r.standing} "
        f"({r.standing / r.total:.0%}) are left with a place of their own; of as many tokens kept at random "
        f"{r.chance:.1f} would be ({r.low} to {r.high} in 95 % of draws)"
    )
    return said + (
        f"; {r.inside} when those count that were merged into another." if r.inside > r.standing else "."
    )


def opened_words(film: TokenFilm, at: tuple[int, int]) -> str:
    """What the opened token is, and every input token inside it."""
    step, token = at
    owner, name = np.asarray(film.owner), where(film, token).removeprefix("token ")
    here = np.flatnonzero(inside(film, step, token))
    after = f"after {film.names[step]}" if step else "in the input"
    if not len(here):
        last = int(np.flatnonzero(owner[:, token] >= 0)[-1]) if (owner[:, token] >= 0).any() else 0
        went = film.names[min(last + 1, len(film.names) - 1)]
        return counted(f"{name} is gone {after}: it was dropped in {went}.").capitalize()
    if len(here) == 1:
        return f"The token of {name} {after} is that one alone."
    return f"The token of {name} {after} has {len(here)} of the {owner.shape[1]} tokens inside: {listed(film, here)}."


def listed(film: TokenFilm, tokens: np.ndarray) -> str:
    """Every one of these tokens: of a picture row by row, of a text with its words."""
    if not on_grid(film):
        if film.words:
            return ", ".join(f"{t} {plain(film.words[t])!r}" for t in tokens)
        return "tokens " + ", ".join(runs(tokens))
    cell = np.asarray(film.cell)[tokens]
    rows = {
        int(row): np.array([c % film.grid[1] + 1 for c in found])
        for row, found in groupby(np.sort(cell[cell >= 0]), key=lambda c: c // film.grid[1])
    }
    said = [f"row {row + 1}: {', '.join(runs(columns))}" for row, columns in rows.items()]
    beside = [where(film, int(t)) for t in tokens[cell < 0]]
    return "columns in " + "; ".join(said) + "".join(f"; {b}" for b in beside) if said else "; ".join(beside)


def runs(numbers: np.ndarray) -> list[str]:
    """Rising numbers as "3 to 5" and "9"."""
    parts = np.split(numbers, np.flatnonzero(np.diff(numbers) != 1) + 1)
    return [f"{p[0]}" if len(p) == 1 else f"{p[0]} to {p[-1]}" for p in parts]
