"""What is told of a mixer as one T x T matrix: how far tokens read, how much place alone tells, and of what rank it is;
and the matrix of fewer rows and columns where it is too large to draw."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError
from analysis.results import Estimate
from analysis.tokens.mixers import measures

SHOWN, SOME = 160, 8  # tokens that are drawn one by one; samples of the mean distance


def spread(m: np.ndarray) -> np.ndarray:
    """(T, T) the sum of each row evenly over what it may read."""
    there = np.tril(np.ones(m.shape)) if measures.is_causal(m) else np.ones(m.shape)
    return there * (m.sum(axis=1) / there.sum(axis=1))[:, None]


def gathered(m: np.ndarray, names) -> tuple[np.ndarray, tuple[str, ...], int]:
    """(matrix, names, how many tokens are drawn together): sums over what is read, means over who reads."""
    runs = -(-len(m) // SHOWN)
    if runs == 1 or len(names) != len(m):
        return m, tuple(names), runs
    starts = np.arange(0, len(m), runs)
    summed = np.add.reduceat(np.add.reduceat(m, starts, axis=1), starts, axis=0)
    size = np.diff(np.append(starts, len(m)))
    return summed / size[:, None], tuple(f"{names[s]} …" for s in starts), runs


def read_from(m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each row that reads the mean |t - s| of its mass, and of reading all alike."""
    lag = np.abs(np.arange(len(m))[:, None] - np.arange(len(m))[None]).astype(float)
    there = np.tril(np.ones(m.shape)) if measures.is_causal(m) else np.ones(m.shape)
    rows = np.abs(m).sum(axis=1) > 0
    size, there, lag = np.abs(m)[rows], there[rows], lag[rows]
    return (size * lag).sum(axis=1) / size.sum(axis=1), (there * lag).sum(axis=1) / there.sum(axis=1)


def distance_over_samples(found, params, own: Estimate) -> Estimate:
    """The same distance over some samples, as this one may be unlike others."""
    each, even = [], []
    for place in np.unique(np.linspace(0, found.n - 1, min(found.n, SOME)).round().astype(int)):
        try:
            far, alike = read_from(found.read(int(place)).matrix(params.layer - 1, params.head - 1))
        except InputError:  # too long, or a scan that is not what it seems
            continue
        if len(far):
            each.append(far.mean())
            even.append(alike.mean())
    each = np.array(each)
    ends = mean_interval(each, 0.0) or {"interval": "none: one sample"}
    return Estimate(f"{own.name}, over samples", float(each.mean()), **ends, null=float(np.mean(even)), n=len(each),
                    d=own.d, null_method=own.null_method, unit="tokens", estimator="mean over samples, evenly spread",
                    )  # fmt: skip


def matrix_estimates(m: np.ndarray, d: int, cell=None, grid=None) -> tuple[Estimate, ...]:
    """Of (T, T), of a tap with d units: reach, half-life, Toeplitz score (of places `cell` on a `grid`), rank."""
    t = len(m)
    each, even = read_from(m)
    exact = {"n": t, "d": d, "interval": "none: one matrix"}
    score, chance = measures.toeplitz_score(m, *((cell, grid[1]) if grid and len(cell) == t else ()))
    return (
        Estimate("mean distance read from", float(each.mean()), null=float(even.mean()), **exact,
                 null_method="rows read all alike", unit="tokens",
                 estimator="Σ |M| |t - s| / Σ |M| of each row, mean over rows"),
        Estimate("half-life", measures.half_life(m), null=measures.uniform_half_life(t), unit="tokens", **exact,
                 null_method="all distances alike", estimator="half of the mean |M| over distances"),
        Estimate("Toeplitz score", score, null=chance, null_method="entries exchanged, closed form", **exact,
                 estimator="share of the variance told by the offset"),
        Estimate("rank of blocks below the diagonal", float(measures.semiseparable_rank(m)), null=float(t // 2),
                 **exact, null_method="unrelated entries", estimator="largest of 16 blocks, from 1e-6 of it on"),
    )  # fmt: skip


def distance_on_image(m: np.ndarray, d: int, cell=None, grid=None) -> tuple[Estimate, ...]:
    """In cells of the image, of all weight between tokens that have one."""
    if not grid or len(cell) != len(m) or min(grid) < 2:
        return ()
    far, even = measures.mean_distance(m, measures.grid_distances(np.asarray(cell), grid[1]))
    told = Estimate("mean distance on the image", far, null=even, n=int((cell >= 0).sum()), d=d, unit="cells",
                    interval="none: one matrix", null_method="all readable places alike",
                    estimator="Σ |M| distance / Σ |M| over pairs of tokens on the image")  # fmt: skip
    return (told,) if np.isfinite(far) else ()
