"""Units of two taps matched on one half of the samples and judged on the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.matching.matched_rows import paired_rows
from analysis.compute.matching.unit_sharing import Units, best, correlations, once, units_of

EXCHANGES = 20


@dataclass(frozen=True)
class Halves:
    """The units of both taps on the matching half, `sides`, and on the other half, `others` (rows, units) of the same
    units, standardised; their `numbers` in the taps; `notes`."""

    sides: tuple[Units, Units]
    others: tuple[np.ndarray, np.ndarray]
    numbers: tuple[np.ndarray, np.ndarray]
    notes: tuple[str, ...]

    @property
    def n_matching(self) -> int:
        return len(self.sides[0].x)

    @property
    def n_held_out(self) -> int:
        return len(self.others[0])


@dataclass(frozen=True)
class Matched:
    """k pairs: units `first` and `second` (k,) of the taps, their correlations `matched` and `held_out` (k,); units of
    the first tap without a good partner, `n_dropped`."""

    first: np.ndarray
    second: np.ndarray
    matched: np.ndarray
    held_out: np.ndarray
    n_dropped: int


def halves_of(values, usable, most: int, names: tuple[str, ...], rng: np.random.Generator) -> Halves:
    """`values`, two arrays (n, units) of the same samples; only `usable` (units,) units, which vary on the matching
    half; at most `most` of a tap. O(n (p + q)).

    Raises NotEnoughData where no unit of a tap varies.
    """
    order = rng.permutation(len(values[0]))
    mine, rest = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    sides, others, numbers, notes = [], [], [], []
    for x, good, name in zip(values, usable, names, strict=True):
        kept = np.flatnonzero(good)
        side = units_of(x[np.ix_(mine, kept)], [], name, most)
        numbers.append(kept[side.numbers])
        sides.append(side)
        others.append(_standardised(x[np.ix_(rest, numbers[-1])]))
        if side.n_constant:
            notes.append(
                f"{name}: {side.n_constant:,} unit(s) that do not vary on the matching half left out."
            )
        if side.n_dropped:
            notes.append(f"{name}: the {side.d:,} units with the largest total activation used.")
    return Halves(tuple(sides), tuple(others), tuple(numbers), tuple(notes))


def _standardised(x: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and length 1; 0 where a unit does not vary here."""
    x = x - x.mean(axis=0)
    largest = np.abs(x).max(axis=0)
    x = x / np.where(largest > 0, largest, 1.0)
    length = np.sqrt((x**2).sum(axis=0))
    return x / np.where(length > 0, length, 1.0)


def match(halves: Halves, matched_once: bool, least: float) -> Matched:
    """Partners on the matching half, with a correlation of at least `least`. O(n p q); one to one also cubic."""
    r = correlations(*halves.sides)
    partner, value = once(r, np.ones(len(r))) if matched_once else best(r)
    good = (partner >= 0) & (value >= least)
    first, second = np.flatnonzero(good), partner[good]
    held = np.einsum("ij,ij->j", halves.others[0][:, first], halves.others[1][:, second])
    return Matched(
        halves.numbers[0][first],
        halves.numbers[1][second],
        value[good],
        np.clip(held, -1.0, 1.0),
        int((~good).sum()),
    )


def chance_matching(
    halves: Halves, weights, matched_once: bool, k: int, variance: float, rng: np.random.Generator
) -> np.ndarray:
    """(20, 3) SVCCA, RSA and held-out correlation of the k best pairs when samples of the second are exchanged before
    matching: the score of a matching that follows nothing but chance. `weights`, rows of all units of both taps."""
    out = np.empty((EXCHANGES, 3))
    for i in range(EXCHANGES):
        r = correlations(*halves.sides, rng.permutation(halves.n_matching))
        partner, value = once(r, np.ones(len(r))) if matched_once else best(r)
        first = np.sort(np.argsort(-value, kind="stable")[: min(k, int((partner >= 0).sum()))])
        second = partner[first]
        u, v = weights[0][halves.numbers[0][first]], weights[1][halves.numbers[1][second]]
        pairs = paired_rows(u, v, variance)
        held = np.einsum("ij,ij->j", halves.others[0][:, first], halves.others[1][:, second])
        out[i] = pairs.svcca(), pairs.rsa(), held.mean()
    return out
