"""CP (CANDECOMP/PARAFAC): an array as a sum of outer products of one profile for each axis.

    X ≈ Σ_r w_r a_r ∘ b_r ∘ c_r …        (all profiles of length 1, w falling)

By alternating least squares: one mode's factor at a time, the others held, from several seeded starts of which the best
counts; where a mode may not be negative, by exact steps for one column after the other (HALS). The error never rises.

Unique up to order and scale where the Kruskal ranks k of the factors of N modes have Σ k >= 2 R + N - 1 (Kruskal 1977;
Sidiropoulos & Bro 2000): no rotation is free, unlike in PCA or Tucker. Of a plain matrix it never is.

Core consistency (Bro & Kiers 2003): the core G that fits X best with these factors, X multiplied with each pseudo-
inverse, should be 1 on the superdiagonal and 0 elsewhere; 100 (1 - Σ (G - I)² / R), 100 where it is. Far below 0 where
there are more components than the data have.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute.tensors.products import column_products, summed, times, unfolded

SWEEPS, SETTLED = 500, 1e-8  # at most; share of the squares that a sweep must save to go on
RIDGE = 1e-10  # of the mean diagonal: two equal columns
INNER = 3  # steps over the columns of a mode that may not be negative


@dataclass(frozen=True)
class Components:
    """`factors`: (size, k) of every mode, columns of length 1; `weights` (k,) falling; `left`: squares left over;
    `total`: squares of the data."""

    factors: tuple[np.ndarray, ...]
    weights: np.ndarray
    left: float
    total: float
    settled: bool = True

    @property
    def explained(self) -> float:
        return 1 - self.left / self.total if self.total > 0 else 0.0

    def weighted(self) -> tuple[np.ndarray, ...]:
        """The factors with the weights on those of the first mode."""
        return (self.factors[0] * self.weights, *self.factors[1:])

    def kept(self, order: np.ndarray) -> Components:
        """The same with the components in this order."""
        return Components(
            tuple(f[:, order] for f in self.factors), self.weights[order], self.left, self.total, self.settled
        )


def cp(
    x: np.ndarray,
    k: int,
    rng: np.random.Generator,
    *,
    nonnegative: Sequence[int] = (),
    starts: int = 2,
    sweeps: int = SWEEPS,
    settles: float = SETTLED,
    begin: Sequence[np.ndarray] | None = None,
    tick: Callable[[float], None] = lambda share: None,
) -> Components:
    """k components of `x`, an array of finite float64 numbers with two axes or more.

    nonnegative : modes whose profiles may not have values below 0. begin : factors to start from instead of `starts`
    seeded ones (that of mode 0 is not looked at). O(k · size of x) for each mode and sweep.
    """
    flat = [unfolded(x, mode) for mode in range(x.ndim)]
    found = None
    for start in range(1 if begin is not None else starts):
        first = list(begin) if begin is not None else _first(flat, k, rng, start == 0, nonnegative)

        def told(share: float, start: int = start) -> None:
            tick((start + share) / starts)

        one = _alternated(flat, first, nonnegative, sweeps, settles, told)
        found = one if found is None or one.left < found.left else found
    return _tidied(found, nonnegative)


def _first(flat, k: int, rng, leading: bool, nonnegative) -> list[np.ndarray]:
    """Factors to start from: the leading singular vectors of every unfolding, random ones beyond; or all random."""
    found = []
    for mode, matrix in enumerate(flat):
        size = len(matrix)
        factor = rng.standard_normal((size, k))
        if leading and size > 1 and mode > 0:
            gram = matrix @ matrix.T
            vectors = np.linalg.eigh(gram)[1][:, ::-1]
            factor[:, : min(k, size)] = vectors[:, :k]
            factor[:, : min(k, size)] += 0.05 / np.sqrt(size) * rng.standard_normal((size, min(k, size)))
        found.append(np.abs(factor) if mode in nonnegative else factor)
    return found


def _alternated(flat, factors, nonnegative, sweeps: int, settles: float, tick) -> Components:
    total, before, settled = float((flat[0] ** 2).sum()), np.inf, False
    factors = [_unit(f)[0] for f in factors]
    weights = np.ones(factors[0].shape[1])
    for number in range(sweeps):
        tick(number / sweeps)
        for mode in range(len(flat)):
            others = [f for i, f in enumerate(factors) if i != mode]
            products = flat[mode] @ column_products(others)
            gram = np.prod([f.T @ f for f in others], axis=0)
            start = factors[mode] * weights
            solved = _solved(products, gram, start if mode in nonnegative else None)
            factors[mode], weights = _unit(solved)
        # of the last mode: |X - X̂|² = |X|² - 2 <products, solved> + <gram, solvedᵀ solved>
        left = total - 2 * float((products * solved).sum()) + float((gram * (solved.T @ solved)).sum())
        left = max(left, 0.0)
        if before - left <= settles * total:
            settled = True
            break
        before = left
    return Components(tuple(factors), weights, left, total, settled)


def _solved(products: np.ndarray, gram: np.ndarray, nonnegative: np.ndarray | None) -> np.ndarray:
    """(size, k) that solves factor @ gram = products, or the best without values below 0 from a start."""
    if nonnegative is None:
        ridge = RIDGE * max(np.trace(gram) / len(gram), np.finfo(float).tiny)
        return np.linalg.solve(gram + ridge * np.eye(len(gram)), products.T).T
    out = nonnegative.copy()
    for _ in range(INNER):
        for j in range(len(gram)):
            if gram[j, j] > 0:
                out[:, j] = np.maximum(out[:, j] + (products[:, j] - out @ gram[:, j]) / gram[j, j], 0)
    return out


def _unit(factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.sqrt((factor**2).sum(axis=0))
    return factor / np.where(lengths > 0, lengths, 1), lengths


def _tidied(found: Components, nonnegative) -> Components:
    """By falling weight; profiles of the modes between the first and the last have a positive sum, those of the last
    their largest entry positive, and the first mode takes the signs. Weights of 0 are left out."""
    order = np.argsort(-found.weights, kind="stable")
    order = order[found.weights[order] > 0]
    found = found.kept(order)
    factors = [f.copy() for f in found.factors]
    for mode in range(1, len(factors)):
        f = factors[mode]
        if mode in nonnegative:
            continue
        said = (
            f[np.abs(f).argmax(axis=0), np.arange(f.shape[1])] if mode == len(factors) - 1 else f.sum(axis=0)
        )
        sign = np.where(said < 0, -1.0, 1.0)
        factors[mode], factors[0] = f * sign, factors[0] * sign
    return Components(tuple(factors), found.weights, found.left, found.total, found.settled)


def core_consistency(x: np.ndarray, found: Components) -> float:
    """100 where the components need no products of profiles of different ones; 0 or below where they are too many."""
    core, k = x, len(found.weights)
    for mode, factor in enumerate(found.weighted()):
        core = times(core, np.linalg.pinv(factor), mode)
    wanted = np.zeros(core.shape)
    wanted[(np.arange(k),) * x.ndim] = 1
    return float(100 * (1 - ((core - wanted) ** 2).sum() / k))


def consistency_in_words(core: float) -> str:
    """Far below 0 it is a number without a meaning of its own."""
    return f"{core:.0f} of 100" if core >= 0 else "less than 0, where 100 is best"


def worst_cancelling(found: Components) -> float:
    """The lowest product of cosines over the modes of two components: near -1 two of them run away from each other and
    cancel (degeneracy); 0 with a single one."""
    k = len(found.weights)
    if k < 2:
        return 0.0
    products = np.prod([f.T @ f for f in found.factors], axis=0)
    return float(products[~np.eye(k, dtype=bool)].min())


def kruskal_rank(factor: np.ndarray, close: float = 1e-8) -> int:
    """The largest r such that any r columns are independent. Looks at all subsets: for few columns."""
    from itertools import combinations

    k = factor.shape[1]
    for r in range(1, k + 1):
        for which in combinations(range(k), r):
            sizes = np.linalg.svd(factor[:, which], compute_uv=False)
            if len(sizes) < r or sizes[r - 1] <= close * max(sizes[0], np.finfo(float).tiny):
                return r - 1
    return k


def left_over(x: np.ndarray, factors: Sequence[np.ndarray]) -> float:
    """Squares of what weighted factors leave of `x`."""
    return float(((x - summed(factors)) ** 2).sum())
