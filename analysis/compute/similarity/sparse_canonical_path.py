"""Sparse canonical pairs along falling penalties: how well each holds on samples that had no part, and which to
choose.

Penalties fall geometrically from 0.45 of the strongest correlation of two units, where these two alone are still
worth their penalty, to a fiftieth of that, or to what two unrelated units correlate by chance, 1 / √n. For each fold,
the path is fitted on the other samples, and the scores of the fold are correlated. Chosen is the largest penalty
whose held-out correlation, of the first pair, is within one standard error (over folds) of the best: the fewest
weights that do as well (L. Breiman et al. 1984).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.similarity.sparse_canonical import Covariances, Pairs, sparse_pairs
from analysis.compute.statistics.moments import is_varying
from analysis.errors import InputError, TooLarge
from analysis.spec import Progress, no_progress

FOLDS = 5
TOP, LAST = 0.45, 0.02  # of the strongest correlation, and of the largest penalty
MOST_BYTES = 4 << 30
PATIENCE = 3  # penalties in a row without a better held-out correlation, after which choosing stops


class Cohort:
    """Samples of two sides, of which any part can be left out: second moments are taken once."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        """`x` (n, p), `y` (n, q). Time O(n (p + q)²). Raises InputError (nothing varies) and TooLarge."""
        self.p = x.shape[1]
        needed = cohort_bytes(len(x), self.p, y.shape[1])
        if needed > MOST_BYTES:
            raise TooLarge(
                f"{self.p:,} and {y.shape[1]:,} units need {needed / 2**30:.1f} GiB",
                "at most 4 GiB",
                "Choose narrower taps",
            )
        z = np.hstack([x, y])
        mean = z.mean(axis=0)
        z -= mean
        spread = np.sqrt(np.einsum("ij,ij->j", z, z) / len(z))
        self.varies = is_varying(spread**2, mean)
        for side in (self.varies[: self.p], self.varies[self.p :]):
            if not side.any():
                raise InputError(
                    "every unit of a tap is constant", "activations that differ", "Choose another tap"
                )
        self.mean, self.scale = mean, np.where(self.varies, 1 / np.where(self.varies, spread, 1.0), 0.0)
        z *= self.scale
        self.z, self.whole = z, z.T @ z

    def covariances(self, out: np.ndarray) -> tuple[Covariances, np.ndarray, np.ndarray]:
        """Of the samples that are not `out` (n,) bool, and what takes a unit there to mean 0 and deviation 1: shift
        and scale (p + q,)."""
        part = self.z[out]
        m = len(self.z) - len(part)
        mean = -part.sum(axis=0) / m
        scatter = (self.whole - part.T @ part) / m - np.outer(mean, mean)
        variance = np.diag(scatter)
        scale = np.where(self.varies & (variance > 1e-12), 1 / np.sqrt(np.maximum(variance, 1e-300)), 0.0)
        r = scatter * scale * scale[:, None]
        p = self.p
        return Covariances(r[:p, :p], r[p:, p:], r[:p, p:]), mean, scale

    def scores(self, pairs: Pairs, rows: np.ndarray, mean, scale) -> tuple[np.ndarray, np.ndarray]:
        """Scores (m, k) of both sides of the samples `rows`."""
        z = (self.z[rows] - mean) * scale
        return z[:, : self.p] @ pairs.u, z[:, self.p :] @ pairs.v

    def placed(self, x: np.ndarray, y: np.ndarray, mean, scale) -> np.ndarray:
        """Other samples (m, p + q) in the units of `covariances`."""
        return ((np.hstack([x, y]) - self.mean) * self.scale - mean) * scale

    def exchanged(self, rng: np.random.Generator) -> Cohort:
        """The same with the samples of the second side exchanged."""
        z = self.z.copy()
        z[:, self.p :] = z[rng.permutation(len(z)), self.p :]
        return Cohort(z[:, : self.p], z[:, self.p :])


def cohort_bytes(n: int, p: int, q: int) -> float:
    """Memory of a cohort and of the covariances without each fold."""
    return 8.0 * (2 * n * (p + q) + (FOLDS + 3) * (p + q) ** 2)


@dataclass(frozen=True)
class Path:
    """Of the first pair along `penalties` (s,), falling: correlations `made` of the samples that made it and `held`
    of the others, and its number of weights `counts`, all (s, folds)."""

    penalties: np.ndarray
    made: np.ndarray
    held: np.ndarray
    counts: np.ndarray

    def mean(self) -> np.ndarray:
        """(s,) held-out correlation."""
        return self.held.mean(axis=1)

    def error(self) -> np.ndarray:
        """(s,) its standard error over folds."""
        return self.held.std(axis=1, ddof=1) / np.sqrt(self.held.shape[1])

    def chosen(self) -> int:
        """The place of the largest penalty within one standard error of the best."""
        best = int(self.mean().argmax())
        return int(np.argmax(self.mean() >= self.mean()[best] - self.error()[best]))


def penalties_of(c: Covariances, n: int, steps: int) -> np.ndarray:
    """(steps,) falling, for covariances of n samples. Raises InputError where no two units covary."""
    top = TOP * float(np.abs(c.xy).max())
    if top < 1e-9:
        raise InputError(
            "no unit of one tap varies with one of the other", "activations that differ", "Choose other taps"
        )
    return np.geomspace(top, np.clip(1 / np.sqrt(n), LAST * top, top / 2), steps)


def followed(
    cohort: Cohort,
    penalties: np.ndarray,
    fold: np.ndarray,
    *,
    patience: int | None = None,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Path:
    """The path with each fold (n,) left out; up to `patience` penalties past the best where that is given."""
    folds = int(fold.max()) + 1
    parts = [cohort.covariances(fold == f) for f in range(folds)]
    before: list[Pairs | None] = [None] * folds
    made, held, counts = [], [], []
    for s, penalty in enumerate(penalties):
        progress(span[0] + (span[1] - span[0]) * s / len(penalties), "following the penalty down")
        for f, (c, mean, scale) in enumerate(parts):
            before[f] = sparse_pairs(c, float(penalty), 1, before[f])
            held.append(score_correlations(*cohort.scores(before[f], fold == f, mean, scale))[0])
            made.append(before[f].rho[0])
            counts.append(before[f].counts[0])
        so_far = np.array(held).reshape(s + 1, folds).mean(axis=1)
        if patience is not None and s - so_far.argmax() >= patience:
            break
    return Path(penalties[: s + 1], *(np.array(v).reshape(s + 1, folds) for v in (made, held, counts)))


def fitted(
    cohort: Cohort, penalties: np.ndarray, out: np.ndarray, k: int
) -> tuple[Pairs, np.ndarray, np.ndarray]:
    """The pairs at the last of `penalties`, followed from the first, without the samples `out`; shift and scale."""
    c, mean, scale = cohort.covariances(out)
    pairs = None
    for penalty in penalties:
        pairs = sparse_pairs(c, float(penalty), k, pairs)
    return pairs, mean, scale


def score_correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(k,) correlation of each column of scores with its mate; 0 where one is constant."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    scale = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    return np.einsum("ij,ij->j", x, y) / np.where(scale > 1e-300, scale, np.inf)
