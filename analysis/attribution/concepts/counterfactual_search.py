"""The fewest of given moves that change an answer, found by running the network.

A move adds its rows to those of the sample; of each concept there may be two (with it, without it), of which one at
most is made. The answer is the wanted one when its logit is above every other by more than `margin`.

    greedy   the move is added that brings the wanted answer nearest; of several that reach it the shortest
    exact    every smaller set among the strongest moves is tried, up to three of them
    last     the last move is made only as far as is needed (a grid that is refined), the others whole

Of a linear head w_a - w_p and single units the length of the last move is margin / |w_a - w_p|_j of the largest j, and
the least move of all units together is margin / ‖w_a - w_p‖ (`least_move`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

Logits = Callable[[np.ndarray], np.ndarray]  # (m, tokens, d) -> (m, classes)
Sloped = Callable[[np.ndarray], tuple[float, np.ndarray]]  # (tokens, d) -> a number and its slope
STRONGEST, LARGEST_SET, GRID, ROUNDS, TRIED = (
    12,
    3,
    32,
    6,
    6,
)  # moves; moves; points; refinements; moves that reach it
STEPS, CLOSE = 40, 1e-9  # of the least move; relative


@dataclass(frozen=True)
class Moves:
    """`rows` (moves, tokens, d), `concept` (moves,) whose it is, `adds` (moves,) bool: with it, not without it."""

    rows: np.ndarray
    concept: np.ndarray
    adds: np.ndarray


@dataclass(frozen=True)
class Flips:
    """`chosen` moves in order with the `amounts` of each that were made; `logits` (steps + 1, classes), the first of
    the sample as it is; `reached` the wanted answer or not; `tried` rows that were run; `smaller`: what is known of
    smaller sets, in words."""

    chosen: tuple[int, ...]
    amounts: tuple[float, ...]
    logits: np.ndarray
    reached: bool
    tried: int
    smaller: str


def margin_of(logits: np.ndarray, wanted: int) -> np.ndarray:
    """(m,): the wanted logit less the largest other one, of logits (m, classes)."""
    others = np.delete(logits, wanted, axis=1)
    return logits[:, wanted] - others.max(axis=1)


def fewest_flips(
    ask: Logits,
    h: np.ndarray,
    moves: Moves,
    wanted: int,
    *,
    margin: float = 0.0,
    most: int = 6,
    exact: bool = True,
) -> Flips:
    """Of rows h (tokens, d). Already the wanted answer: no flips. Without `exact` only how many moves greed takes."""
    asked = _Asked(ask, wanted)
    start = asked.logits(h[None])[0]
    if asked.margin(start[None])[0] > margin:
        return Flips((), (), start[None], True, asked.count, "none is smaller than no flip at all")
    chosen, gains = _greedy(asked, h, moves, margin, most, exact)
    reached, smaller = asked.reaches(h, moves, chosen, margin), ""
    if reached and len(chosen) == 1:
        smaller = "no smaller set than one flip"
    elif exact and len(moves.rows):
        below = len(chosen) if reached else most + 1
        better = _smaller(asked, h, moves, gains, margin, below)
        tried, strong = min(below - 1, LARGEST_SET), min(STRONGEST, len(gains))
        smaller = f"no set of {tried} or fewer of the {strong} strongest moves suffices"
        smaller = "no single flip suffices" if tried == 1 else smaller
        if better is not None:
            reached, chosen, smaller = True, better, f"found among sets of the {strong} strongest moves"
        elif below - 1 > LARGEST_SET and reached:
            smaller += f"; sets of {LARGEST_SET + 1} to {below - 1} were not tried"
    amounts = [1.0] * len(chosen)
    if reached and exact:
        before = h + moves.rows[list(chosen[:-1])].sum(axis=0)
        amounts[-1] = _least_amount(asked, before, moves.rows[chosen[-1]], margin)
    logits, at = [start], h
    for move, amount in zip(chosen, amounts, strict=True):
        at = at + amount * moves.rows[move]
        logits.append(asked.logits(at[None])[0])
    return Flips(tuple(chosen), tuple(amounts), np.array(logits), reached, asked.count, smaller)


class _Asked:
    def __init__(self, ask: Logits, wanted: int) -> None:
        self._ask, self._wanted, self.count = ask, wanted, 0

    def logits(self, x: np.ndarray) -> np.ndarray:
        self.count += len(x)
        return np.asarray(self._ask(x), np.float64)

    def margin(self, logits: np.ndarray) -> np.ndarray:
        return margin_of(logits, self._wanted)

    def margins(self, x: np.ndarray) -> np.ndarray:
        return self.margin(self.logits(x))

    def reaches(self, h, moves: Moves, chosen, margin: float) -> bool:
        return bool(chosen) and bool(
            self.margins((h + moves.rows[list(chosen)].sum(axis=0))[None])[0] > margin
        )


def _greedy(asked: _Asked, h, moves: Moves, margin: float, most: int, shortest: bool):
    """The moves, and the margin (moves,) that each alone gives. `shortest`: of several last ones the shortest."""
    chosen, at, alone = [], h, None
    free = np.ones(len(moves.rows), dtype=bool)
    now = -np.inf
    while len(chosen) < most and free.any():
        some = np.flatnonzero(free)
        found = asked.margins(at + moves.rows[some])
        alone = found if alone is None else alone
        enough = some[found > margin]
        if len(enough):
            best = enough[np.argsort(-found[found > margin], kind="stable")[:TRIED]]
            if not shortest:
                return [*chosen, int(best[0])], alone
            length = [
                _least_amount(asked, at, moves.rows[j], margin) * np.linalg.norm(moves.rows[j]) for j in best
            ]
            return [*chosen, int(best[int(np.argmin(length))])], alone
        if found.max() <= now:
            break
        now, j = float(found.max()), int(some[found.argmax()])
        chosen.append(j)
        at = at + moves.rows[j]
        free &= moves.concept != moves.concept[j]
    return chosen, alone


def _smaller(asked: _Asked, h, moves: Moves, gains, margin: float, found: int) -> list[int] | None:
    """A set of fewer than `found` of the strongest moves that suffices, the furthest beyond the margin."""
    strong = np.argsort(-gains, kind="stable")[:STRONGEST]
    for size in range(2, min(found - 1, LARGEST_SET) + 1):
        sets = [
            s for s in combinations(strong.tolist(), size) if len({int(moves.concept[j]) for j in s}) == size
        ]
        if not sets:
            continue
        margins = asked.margins(np.stack([h + moves.rows[list(s)].sum(axis=0) for s in sets]))
        if margins.max() > margin:
            return sorted(sets[int(margins.argmax())], key=lambda j: -gains[j])
    return None


def _least_amount(asked: _Asked, at: np.ndarray, move: np.ndarray, margin: float) -> float:
    """The smallest part of the move that suffices on a grid, refined between it and the point before; 1 if none."""
    low, high = 0.0, 1.0
    for _ in range(ROUNDS):
        points = np.linspace(low, high, GRID + 1)[1:]
        enough = np.flatnonzero(asked.margins(at + points[:, None, None] * move) > margin)
        if not len(enough):
            return high
        first = int(enough[0])
        low, high = (points[first - 1] if first else low), points[first]
    return float(high)


def least_move(ask: Sloped, h: np.ndarray, margin: float) -> np.ndarray | None:
    """(tokens, d): a short move of everything together that takes a number, given with its slope, to `margin`, by
    linear steps; exact and least for a linear number. None where it does not get there."""
    at = h.copy()
    for _ in range(STEPS):
        value, slope = ask(at)
        if value >= margin - CLOSE * max(abs(margin), 1.0):
            return at - h
        size = float((slope**2).sum())
        if size == 0:
            return None
        at = at + (margin - value) / size * slope
    return None
