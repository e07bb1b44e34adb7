"""How much of one tap's activation lies in units that another tap has too.

ρ_i = max_j r_ij is the best correlation of unit i of A with any unit of B, s_i = Σ |x_i| its total activation, and

    wMPPC(A -> B) = Σ s_i ρ_i / Σ s_i,

the activation-weighted mean of the best correlations. It is 1 of A with itself, ignores the order of B's units, and
differs from wMPPC(B -> A). Matched *once*, each unit of B serves one unit of A only (the assignment with the largest
Σ s_i ρ_i; a unit without a partner counts 0).

A maximum over many is above 0 without any relation: exchange B's samples to see how far.

Reference: C. Cornet, R. Besançon & H. Le Borgne (2025), "Explaining how visual, textual and multimodal encoders share
concepts".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.moments import is_varying
from analysis.errors import NotEnoughData

SMALLEST = 1e-12  # of a unit's squares: less than that outside a group is rounding


@dataclass(frozen=True)
class Units:
    """The units of a tap that vary, over n samples: `x` (n, d) centred, each of length 1; `numbers` (d,) in the tap;
    `activation` (1 + G, d), the sum of |value| over all samples, then without each group; `shift` and `squares` (G, d),
    mean and squares about it without each group; `n_constant` units were left out, `n_dropped` by number."""

    x: np.ndarray
    numbers: np.ndarray
    activation: np.ndarray
    shift: np.ndarray
    squares: np.ndarray
    n_constant: int
    n_dropped: int

    @property
    def d(self) -> int:
        return self.x.shape[1]


def units_of(values: np.ndarray, groups: list[np.ndarray], name: str, most: int | None = None) -> Units:
    """`values` (n, units) float64; at most `most` units, those with the largest total activation. O(n d).

    Raises NotEnoughData where no unit varies.
    """
    mean = values.mean(axis=0)
    numbers = np.flatnonzero(is_varying(values.var(axis=0), mean))
    if not len(numbers):
        raise NotEnoughData(f"no unit of {name} varies", "at least one", "Choose another tap")
    constant, dropped = values.shape[1] - len(numbers), 0
    if most is not None and len(numbers) > most:
        total = np.abs(values[:, numbers]).sum(axis=0)
        dropped = len(numbers) - most
        numbers = np.sort(numbers[np.argsort(-total, kind="stable")[:most]])
    x = values[:, numbers]
    size = np.abs(x)
    whole = size.sum(axis=0)
    activation = np.array([whole, *(whole - size[g].sum(axis=0) for g in groups)])
    x = x - mean[numbers]
    x /= np.abs(x).max(axis=0)  # squares of huge and tiny values stay in range
    x /= np.sqrt(np.einsum("ij,ij->j", x, x))
    n = len(x)
    left = np.array([n - len(g) for g in groups], dtype=np.float64)[:, None]
    shift = np.array([-x[g].sum(axis=0) for g in groups]) / left
    squares = np.array([1 - np.einsum("ij,ij->j", x[g], x[g]) for g in groups]) - left * shift**2
    return Units(x, numbers, np.maximum(activation, 0.0), shift, squares, constant, dropped)


def unit_notes(sides: list[Units], names: tuple[str, ...]) -> list[str]:
    """What was left out of each tap, in words."""
    notes = []
    for side, name in zip(sides, names, strict=True):
        if side.n_constant:
            notes.append(
                f"{name}: {side.n_constant:,} constant unit(s) have no correlation and are left out."
            )
        if side.n_dropped:
            notes.append(
                f"{name}: the {side.d:,} units with the largest total activation used, {side.n_dropped:,} left out."
            )
    return notes


def correlations(one: Units, other: Units, order: np.ndarray | None = None) -> np.ndarray:
    """Pearson's r (p, q); with `order` (n,) after the other side's samples are exchanged. O(n p q)."""
    y = other.x if order is None else other.x[order]
    return np.clip(one.x.T @ y, -1.0, 1.0)


def correlations_without(
    one: Units, other: Units, groups: list[np.ndarray], whole: np.ndarray
) -> Iterator[np.ndarray]:
    """r (p, q) without each group of samples, from `whole`, that of all: O(n p q) for all groups together. A unit that
    does not vary outside a group correlates 0 there."""
    n = len(one.x)
    for g, rows in enumerate(groups):
        cross = whole - one.x[rows].T @ other.x[rows]
        cross -= (n - len(rows)) * one.shift[g][:, None] * other.shift[g]
        a, b = (
            np.where(s > SMALLEST, 1 / np.sqrt(np.maximum(s, SMALLEST)), 0.0)
            for s in (one.squares[g], other.squares[g])
        )
        yield np.clip(cross * a[:, None] * b, -1.0, 1.0)


def best(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best partner (p,) of each line of `r` (p, q), and its value (p,). The first of equals."""
    partner = r.argmax(axis=1)
    return partner, r[np.arange(len(r)), partner]


def once(r: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Partners (p,) when each column of `r` (p, q) may serve once, -1 for none, and their values (p,), 0 for none: the
    assignment with the largest Σ weight r. Cubic time."""
    from scipy.optimize import linear_sum_assignment

    gain = np.maximum(r, 0.0) * weight[:, None]
    rows, columns = linear_sum_assignment(gain, maximize=True)
    good = gain[rows, columns] > 0
    partner, value = np.full(len(r), -1), np.zeros(len(r))
    partner[rows[good]] = columns[good]
    value[rows[good]] = r[rows[good], columns[good]]
    return partner, value


def shared_share(r: np.ndarray, weight: np.ndarray, matched_once: bool) -> float:
    """wMPPC from `r` (p, q) and the activation `weight` (p,); 0 where there is no activation."""
    total = float(weight.sum())
    if total <= 0:
        return 0.0
    value = once(r, weight)[1] if matched_once else best(r)[1]
    return float(weight @ value) / total
