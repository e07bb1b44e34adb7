"""A convex dictionary: every feature is a mixture of real rows.

    X ≈ C A,   A = W X,   C >= 0,   W >= 0 with rows that sum to 1;   codes of a row: argmin over c >= 0 of |x - c A|²

Ding, Li & Jordan 2010 (convex NMF). Activations may have either sign: only codes and mixing weights are not negative.
An atom lies between rows that exist, so it can be looked at through them: `about["mixed_from"]` names them. X is taken
about the mean, or about the origin. Atoms and codes are improved in turn, codes exactly, each atom by pairwise
Frank-Wolfe steps towards the best place for it (Lacoste-Julien & Jaggi 2015), which never leave the hull. The error
never rises; which optimum is found depends on the seed. Outliers are corners of the hull and may become atoms. Time
O(n d k) for each of at most 100 rounds; the rows are held in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError
from analysis.features import rules
from analysis.features.classical.classical import Classical, Fitted, refuse_more_than
from analysis.features.classical.fit_rows import FitRows
from analysis.features.nonnegative import nonnegative_codes
from analysis.spec import param

MEAN, ORIGIN = "mean", "origin"
ROUNDS, STEPS, SETTLED = 100, 12, 1e-5  # SETTLED: share of the sum of squares
NAMED = 5  # rows of a mixture


@dataclass(frozen=True)
class ConvexParams:
    components: int = param(16, "How many features", low=1, high=1024)
    centre: str = param(MEAN, "What activations are taken about", choices=(MEAN, ORIGIN))
    maximum_rows: int = param(
        5_000, "Most rows held in memory; a seeded random subset above", low=8, high=1 << 18
    )


def make(rows: FitRows, params: ConvexParams, rng, progress) -> Fitted:
    at, x, said = rows.loaded(params.maximum_rows, progress, (0.0, 0.1))
    refuse_more_than(params.components, len(x), "rows", rows.name)
    centre = x.mean(axis=0) if params.centre == MEAN else np.zeros(rows.units)
    x -= centre
    if not x.any():
        raise InputError(f"the rows of {rows.name} do not vary", "rows that differ")
    weights, settled = mixed(
        x, params.components, rng, lambda share: progress(0.1 + 0.85 * share, "mixing rows")
    )
    if not settled:
        said += (f"Not settled after {ROUNDS} rounds: another seed may look somewhat different.",)
    atoms = weights @ x
    codes = nonnegative_codes(x, atoms)
    energy = (codes**2).sum(axis=0) * (atoms**2).sum(axis=1)
    order = np.argsort(-energy, kind="stable")
    order = order[energy[order] > 0]
    if len(order) < len(atoms):
        said += (f"{len(atoms) - len(order)} feature(s) were never active and were left out.",)
    weights = weights[order]
    top = np.argsort(-weights, axis=1, kind="stable")[:, :NAMED]
    named = [
        [[int(at[i]), float(w[i])] for i in best if w[i] > 0] for w, best in zip(weights, top, strict=True)
    ]
    return Fitted(
        atoms[order], centre, rules.NONNEGATIVE, caveats=said,
        components={"share of the codes": energy[order] / energy.sum(), "rows mixed": (weights > 0).sum(axis=1)},
        facts={"mixed_from": named},
    )  # fmt: skip


def mixed(
    x: np.ndarray, k: int, rng: np.random.Generator, tick=lambda share: None
) -> tuple[np.ndarray, bool]:
    """Weights (k, n) of the mixtures for `x` (n, d), and whether they settled."""
    weights = np.zeros((k, len(x)))
    weights[np.arange(k), _apart(x, k, rng)] = 1
    atoms, before, total = weights @ x, np.inf, float((x**2).sum())
    for number in range(ROUNDS):
        tick(number / ROUNDS)
        codes = nonnegative_codes(x, atoms)
        left = x - codes @ atoms
        error = float((left**2).sum())
        if before - error < SETTLED * total:
            return weights, True
        before = error
        for j in range(k):
            size = float(codes[:, j] @ codes[:, j])
            if size > 0:
                aim = atoms[j] + codes[:, j] @ left / size
                old = atoms[j].copy()
                atoms[j] = _towards(aim, weights[j], x)
                left += np.outer(codes[:, j], old - atoms[j])
    return weights, False


def _towards(aim: np.ndarray, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Moves `weights` (n,), in place, so that weights @ x comes nearer to `aim` (d,); that mixture."""
    at = weights @ x
    for _ in range(STEPS):
        gain = x @ (aim - at)
        to, of = int(gain.argmax()), int(np.where(weights > 0, gain, np.inf).argmin())
        step = x[to] - x[of]
        length = float(step @ step)
        if length == 0 or gain[to] - gain[of] <= 0:
            break
        share = min(float(gain[to] - gain[of]) / length, weights[of])
        weights[to] += share
        weights[of] = 0.0 if share == weights[of] else weights[of] - share
        at = at + share * step
    weights /= weights.sum()
    return weights @ x


def _apart(x: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """k rows (k,), each drawn by its squared distance to those before (Arthur & Vassilvitskii 2007)."""
    chosen = [int((x**2).sum(axis=1).argmax())]
    distance = ((x - x[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < k:
        share = distance / distance.sum() if distance.any() else np.full(len(x), 1 / len(x))
        chosen.append(int(rng.choice(len(x), p=share)))
        distance = np.minimum(distance, ((x - x[chosen[-1]]) ** 2).sum(axis=1))
    return np.array(chosen)


CLASSICAL = Classical(
    "convex", "Convex dictionary", "Every feature is a mixture of real rows; only codes are not negative",
    ConvexParams, ("C. Ding, T. Li & M. Jordan (2010), Convex and semi-nonnegative matrix factorizations",), make,
)  # fmt: skip
