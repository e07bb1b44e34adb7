"""How many learners (parts of a module that gates switch on) each token of a tap uses.

k(token) = learners whose gate is open, from one half on;   with a budget B the gates above the (1 - B) quantile of all
are open, so that the mean is B E;   of a choice of how many, the unit with the largest value
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.streaming import Pass, finite_blocks, refuse_few
from analysis.errors import NotEnoughData
from analysis.tokens.routing.open_gates import SQUASHED, count_by_chance, open_gates

EACH, HOW_MANY = "a gate for each learner", "a choice of how many"
UNITS_HELP = "What the units of the tap are."
BUDGET_HELP = "Share of the learners that may run on average; empty: gates of at least one half are open."
FEWEST = 8


@dataclass(frozen=True)
class Learners:
    """`used` (n,) of the finite rows `rows` (n,), `most` there are; `chance` (most + 1,) what independent learners
    give, or None; `of` (n,) which sample, or independent row, each belongs to; `notes`."""

    used: np.ndarray
    rows: np.ndarray
    most: int
    chance: np.ndarray | None
    of: np.ndarray
    notes: tuple[str, ...]


def learners_of(tap: Activations, units: str, budget: float | None, progress, span=(0.0, 0.6)) -> Learners:
    """Raises NotEnoughData: fewer than eight finite tokens, or two learners."""
    seen, blocks, at = Pass(), [], []
    for rows, block in finite_blocks(tap, seen, progress, "reading gates", span):
        blocks.append(block)
        at.append(rows)
    refuse_few(tap.name, sum(map(len, at)), FEWEST, "finite token(s)")
    if tap.shape[1] < 2:
        raise NotEnoughData(f"{tap.name} has one unit", "at least two learners", "Choose another tap")
    values, rows = np.concatenate(blocks), np.concatenate(at)
    k, most, null, said = counted(values, units, budget)
    of = np.unique(seen.owners(tap.layout, rows), return_inverse=True)[1]
    return Learners(k, rows, most, null, of, (*seen.notes, *said))


def counted(values: np.ndarray, units: str, budget: float | None):
    """((n,) learners in use, how many there are, (E + 1,) what independent ones give or None, notes)."""
    e = values.shape[1]
    if units == HOW_MANY:
        notes = ["Unit j is read as a choice of j learners, counted from 0."]
        if budget is not None:
            notes.append("A choice of how many follows no budget: that asked for is left aside.")
        return values.argmax(axis=1), e - 1, None, notes
    g, kind = open_gates(values)
    notes = ["The tap leaves 0 to 1: a sigmoid of it is taken."] if kind == SQUASHED else []
    if budget is None:
        on = g >= 0.5
    else:  # so many of all gates, the largest; of equal ones the first
        on, order = np.zeros(g.size, bool), np.argsort(-g.ravel(), kind="stable")
        on[order[: round(budget * g.size)]] = True
        notes += _equal_ones(g.ravel(), on)
        on = on.reshape(g.shape)
    return on.sum(axis=1), e, count_by_chance(on.mean(axis=0)), notes


def _equal_ones(g: np.ndarray, on: np.ndarray) -> list[str]:
    """What is to be said where the budget ends among equal gates g (m,), of which the first are open."""
    if not on.any() or on.all():
        return []
    same = g == g[on].min()
    if not (same & ~on).any():
        return []
    return [
        f"The budget ends among {int(same.sum()):,} equal gates: the first {int((same & on).sum()):,} are open."
    ]
