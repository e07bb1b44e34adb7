"""Canonical correlations on samples that had no part in finding the canonical directions, with a ridge.

For each fold, directions come from the samples outside it: the leading singular vectors of W_XᵀC W_Y, with W the
inverse root of S + λ I (H. Vinod 1976, "Canonical ridge and econometrics of joint production"; λ in units of the mean
variance of the independent directions, of units at deviation 1 unless only a share of their variance is kept). Each
pair of directions scores the fold's samples, and correlates within the fold.

Null: for given directions, exchanging the samples of a fold makes the mean over k correlations 0 on average, with
variance Σ_ij a_ij b_ij / (k² (m - 1)) exactly, for m samples whose scores correlate by a on one side and b on the
other. Folds are not independent: each has helped to fit the others, and their correlations under the null are
themselves correlated (about 0.2 with five folds). The deviation of their mean is therefore given as the largest it can
be, the mean of the folds' deviations: for one component 1 / √(m - 1) whatever the data, for several by the scores' own
correlations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigh

from analysis.compute.similarity.canonical import Side, cross_products, side_of, span_of, whitener
from analysis.compute.statistics.sample_groups import GROUPS
from analysis.spec import Progress, no_progress

FOLDS = 5
FEWEST = 30  # samples: six in a fold


@dataclass(frozen=True)
class HeldOut:
    """Of k components: `series` (1 + G, k), the mean over folds of the held-out correlation, on all samples and
    without each group; `in_sample` (k,), the same of the samples that made the directions; `deviations`: largest
    deviation of the mean over all k under the null, and of each (k,)."""

    series: np.ndarray
    in_sample: np.ndarray
    deviation: float
    deviations: np.ndarray


def ridge_sides(
    values: Sequence[np.ndarray],
    names: Sequence[str],
    fold: np.ndarray,
    *,
    ridge: float,
    variance: float | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.3, 0.5),
) -> list[Side]:
    """One side for each of `values` (n, d), whose whiteners are those of the samples outside each `fold` (n,) with
    `ridge`; `extra` holds the ridges (folds, r) in the whitened basis. `variance` as `span_of` has it. Time
    O(n d min(n, d) + folds r³) for each."""
    sides = []
    for i, (x, name) in enumerate(zip(values, names, strict=True)):
        progress(span[0] + (span[1] - span[0]) * i / len(values), f"preparing {name}")
        side = side_of(span_of(x, name, variance=variance), fold)
        sides.append(_ridged(side, ridge))
    return sides


def _ridged(side: Side, ridge: float) -> Side:
    squares = side.span.singular**2
    ridges, whiteners = [], []
    for g in range(len(side.parts)):
        scatter = side.scatter(g)
        ridges.append(ridge * float((squares * np.diag(scatter)).mean()) / squares)
        whiteners.append(whitener(scatter + np.diag(ridges[-1])) if ridge > 0 else side.whiteners[g])
    return replace(side, whiteners=tuple(whiteners), extra=np.array(ridges))


def held_out(one: Side, other: Side, components: int, group: np.ndarray) -> HeldOut:
    """At most `components` pairs of directions; `group` (n,) numbers the samples for the jackknife, in the order in
    which the folds of the sides hold them. Time O(n p q + folds p q (p + q))."""
    crosses = cross_products(one, other)[1]
    k = min(components, *(min(c.shape) for c in crosses))
    start, series, made, variances, each = 0, [], [], [], []
    for f, cross in enumerate(crosses):
        u, rho, v = leading(cross, k)
        x, y = _scores(one, f, u), _scores(other, f, v)
        made.append(rho / np.sqrt(_train_variance(one, f, u) * _train_variance(other, f, v)))
        mine = group[start : start + len(x)]
        start += len(x)
        series.append(
            [_correlations(x, y)]
            + [_correlations(x[mine != g], y[mine != g]) for g in range(group.max() + 1)]
        )
        alike = _normed(x).T @ _normed(x) * (_normed(y).T @ _normed(y))
        variances.append(alike.sum() / (k**2 * (len(x) - 1)))
        each.append(np.diag(alike) / (len(x) - 1))
    return HeldOut(
        np.mean(series, axis=0), np.minimum(np.mean(made, axis=0), 1.0), float(np.sqrt(variances).mean()),
        np.sqrt(each).mean(axis=0),
    )  # fmt: skip


def leading(cross: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k leading singular vectors and values of `cross` (p, q): (p, k), (k,) falling, (q, k); zeros where there is
    nothing left."""
    if cross.shape[0] > cross.shape[1]:
        v, rho, u = leading(cross.T, k)
        return u, rho, v
    p = len(cross)
    u = eigh(cross @ cross.T, subset_by_index=[p - k, p - 1])[1][:, ::-1]
    v = cross.T @ u
    rho = np.sqrt(np.einsum("ij,ij->j", v, v))
    return u, np.minimum(rho, 1.0), v / np.where(rho > 1e-12, rho, np.inf)


def _scores(side: Side, f: int, u: np.ndarray) -> np.ndarray:
    """Scores (m, k) of the samples of fold f, which the directions `u` have not seen."""
    part = side.parts[f]
    return (part + side.sums[f] / (side.n - len(part))) @ (side.whiteners[f] @ u)


def _train_variance(side: Side, f: int, u: np.ndarray) -> np.ndarray:
    """(k,) sum of squares of the scores of the samples outside fold f: 1 but for the ridge."""
    w = side.whiteners[f] @ u
    return np.maximum(1.0 - side.extra[f] @ w**2, 1e-12)


def _normed(x: np.ndarray) -> np.ndarray:
    """Centred columns of length 1, 0 where constant."""
    x = x - x.mean(axis=0)
    length = np.sqrt(np.einsum("ij,ij->j", x, x))
    return x / np.where(length > 1e-12, length, np.inf)


def _correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(k,) correlation of each column of x with that of y."""
    return np.einsum("ij,ij->j", _normed(x), _normed(y))


def folds_and_groups(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Fold (n,) of each sample, at random, and jackknife group (n,) in the order in which the folds hold the samples:
    ten groups, each with as many of every fold as can be (fewer groups where a fold has less than 20 samples)."""
    fold = rng.permutation(np.arange(n) % FOLDS)
    sizes = np.bincount(fold)
    groups = int(np.clip(sizes.min() // 2, 3, GROUPS))
    return fold, np.concatenate([rng.permutation(np.arange(m) % groups) for m in sizes])
