"""What became of one sample's tokens under a rule, ready to be drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.results import TokenFilm
from analysis.tokens.rule import Rule
from analysis.tokens.state import GONE, Step, TokenState
from analysis.tokens.view import TokenLayout


def film(
    states: Sequence[TokenState], steps: Sequence[Step | None], layout: TokenLayout, rule: Rule, *,
    picture=None, words: tuple[str, ...] = (), row: int = 0, **facts,
) -> TokenFilm:  # fmt: skip
    """The film of sample `row`: one step for the input and one for each layer. `facts` are title, reading and so on."""
    there = layout.present[row]
    owner = np.stack([s.owner[row] for s in states])[:, there]
    renumbered = np.full(len(there) + 1, GONE)
    renumbered[np.flatnonzero(there)] = np.arange(int(there.sum()))
    found = [_score(s, step, row) for s, step in zip(states, steps, strict=False)]
    scores = np.stack([np.full(len(there), np.nan), *found])
    judged = np.isfinite(scores)
    cell = layout.cell[row][there]
    return TokenFilm(
        names=("input", *(f"layer {i + 1}" for i in range(len(steps)))),
        owner=renumbered[owner], score=np.nan_to_num(scores, posinf=0, neginf=0)[:, there], judged=judged[:, there],
        score_name=f"score of {rule.title}", grid=layout.grid if (cell >= 0).any() else None,
        cell=cell if layout.grid is not None and (cell >= 0).any() else None, picture=picture,
        words=words if len(words) == int(there.sum()) else (), **facts,
    )  # fmt: skip


def _score(state: TokenState, step: Step | None, row: int) -> np.ndarray:
    """(T,) what the rule judged each input token by through the token that it was inside, NaN where it did not."""
    place = state.place[row]
    if step is None or step.score is None:
        return np.full(len(place), np.nan)
    return np.where(place == GONE, np.nan, np.asarray(step.score, float)[row][np.maximum(place, 0)])
