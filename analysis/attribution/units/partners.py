"""Which other unit does a unit's part hang on, beside its own value?

    explained residual    within blocks of samples with like values of unit j, what is left of φ_j after a line in x_j
                          is regressed on each other x_k; the share explained, adjusted for the lines fitted
    Shapley interaction   mean over samples of |I_jk|, I_jk the Shapley value of k in the game S -> v(S + j) - v(S)

The strongest is chosen on one half of the samples and its strength read on the other: the best of several on the same
samples is too strong. The first costs nothing more but sees only partners that go up or down within a block; the second
asks the network anew and sees any. Null of the first: the other units' rows shuffled within blocks, largest of all
partners that are asked about; of the second an additive network, exactly 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.attribution.units.explained_units import Explained, UnitPartsParams
from analysis.attribution.units.unit_parts import EXACT
from analysis.compute.games.exact import exact_values
from analysis.compute.games.game import Game
from analysis.compute.games.permutations import permutation_values
from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.spec import Progress

FEWEST, BLOCKS, DRAWS = 8, 12, 200  # samples of a block; blocks; shuffles


@dataclass(frozen=True)
class Partners:
    """`strength` (m,) of each unit as partner, 0 of the unit itself; `null` (draws,) the largest by chance; `alone` the
    share of the part's variance that the unit's own value tells."""

    strength: np.ndarray
    null: np.ndarray
    alone: float


@dataclass(frozen=True)
class HeldOut:
    """`partner` chosen on one half of the samples; `strength` and `null` (draws,) of it on the other, of `read`
    samples; `alone` of all. `half`, `alone_half`: half-widths of 95 % intervals by Student's t, or None."""

    partner: int
    strength: float
    null: np.ndarray
    read: int
    alone: float
    half: float | None
    alone_half: float | None


def held_out_partner(x: np.ndarray, part: np.ndarray, unit: int, rng: np.random.Generator) -> HeldOut:
    """The partner that explains most of the rest on one half of the samples, and what it explains on the other."""
    n, m = x.shape
    order = rng.permutation(n)
    choosing, reading = np.sort(order[: n // 2]), np.sort(order[n // 2 :])
    chosen = residual_partners(x[choosing], part[choosing], unit, rng, 0).strength
    best = int(np.argmax(np.where(np.arange(m) == unit, -1.0, chosen)))
    pair, own = x[reading][:, [unit, best]], part[reading]
    found, whole = residual_partners(pair, own, 0, rng), residual_partners(x, part, unit, rng, 0)
    half = _jackknife(lambda at: residual_partners(pair[at], own[at], 0, rng, 0).strength[1], len(own), rng)
    alone = _jackknife(lambda at: residual_partners(x[at], part[at], unit, rng, 0).alone, n, rng)
    return HeldOut(best, float(found.strength[1]), found.null, len(own), whole.alone, half, alone)


def _jackknife(value, n: int, rng: np.random.Generator) -> float | None:
    groups = sample_groups(n, rng)
    found = jackknife_half(np.array([value(np.delete(np.arange(n), g)) for g in groups]))
    return None if found is None else float(found)


def residual_partners(
    x: np.ndarray, part: np.ndarray, unit: int, rng: np.random.Generator, draws: int = DRAWS
) -> Partners:
    """Of units x (n, m) and the parts (n,) of one of them."""
    n, m = x.shape
    order = np.argsort(x[:, unit], kind="stable")
    blocks = np.array_split(order, max(1, min(BLOCKS, n // FEWEST)))
    left, others, frames, freedom = np.zeros(n), np.zeros((n, m)), [], 0
    for some in blocks:
        line = np.column_stack([np.ones(len(some)), x[some, unit] - x[some, unit].mean()])
        basis = np.linalg.svd(line, full_matrices=False)
        frame = basis[0][:, basis[1] > 1e-9 * max(float(basis[1][0]), 1e-300)]
        left[some] = part[some] - frame @ (frame.T @ part[some])
        others[some] = x[some] - frame @ (frame.T @ x[some])
        frames.append(frame)
        freedom += len(some) - frame.shape[1]
    flat = np.abs(others).max(axis=0) <= 1e-9 * np.maximum(np.abs(x).max(axis=0), 1e-300)
    flat[unit] = True
    whole = float((part - part.mean()) @ (part - part.mean()))
    rest = float(left @ left)
    if rest <= 1e-20 * max(whole, 1e-300) or flat.all():  # a function of its own value and nothing else
        return Partners(np.zeros(m), np.zeros(draws), 1.0 if whole > 0 else 0.0)
    found = _explained(left, others, blocks, flat, freedom)
    null = np.empty(draws)
    for i in range(draws):
        moved = np.empty_like(others)
        for some, frame in zip(blocks, frames, strict=True):
            moved[some] = others[rng.permutation(some)]
            moved[some] -= frame @ (frame.T @ moved[some])  # else it has one more way to miss what is left
        null[i] = _explained(left, moved, blocks, flat, freedom).max()
    return Partners(found, null, max(0.0, 1 - (rest / max(freedom, 1)) / (whole / max(n - 1, 1))))


def _explained(left, others, blocks, flat, freedom: int) -> np.ndarray:
    """(m,) adjusted share of the squares of `left` that a line in each unit explains, block by block."""
    gained, used = np.zeros(others.shape[1]), 0
    for some in blocks:
        here = others[some]
        below = (here**2).sum(axis=0)
        gained += np.divide((left[some] @ here) ** 2, below, out=np.zeros_like(below), where=below > 1e-300)
        used += 1
    share = gained / float(left @ left)
    adjusted = 1 - (1 - share) * freedom / max(freedom - used, 1)
    return np.where(flat, 0.0, np.maximum(adjusted, 0.0))


def interaction_partners(
    explained: Explained, params: UnitPartsParams, unit: int, some: np.ndarray, rng: np.random.Generator,
    progress: Progress, span,
) -> np.ndarray:  # fmt: skip
    """(samples, m) Shapley interactions of player `unit` with each other, 0 with itself, of the samples `some`."""
    m, found = len(explained.players.names), []
    rest = np.delete(np.arange(m), unit)
    for k, i in enumerate(some):
        progress(span[0] + (span[1] - span[0]) * k / len(some), "interactions with the unit")
        game = explained.game(explained.run(i), params)

        def value(coalitions: np.ndarray, game=game) -> np.ndarray:
            both = np.zeros((2, len(coalitions), m), bool)
            both[:, :, rest] = coalitions
            both[1, :, unit] = True
            without, with_unit = game(both.reshape(-1, m)).reshape(2, -1)
            return with_unit - without

        inner = Game(value, m - 1)
        budget = 2 * (m - 2) * params.rounds + 2
        exact = 2 ** (m - 1) <= max(EXACT, budget)
        own = exact_values(inner) if exact else permutation_values(inner, rng, budget=budget)
        found.append(np.insert(own.values[:, 0], unit, 0.0))
    return np.array(found)
