"""Intrinsic dimensions read at several numbers of points or of neighbours, with intervals, nulls and a calibration.

*Decimation*: the points are split at random into halves, quarters, …; at each size the readings of all parts are
averaged. Fewer points are further apart, so this is a curve over scale, and a curve over the number of samples.
*Interval*: the spread of readings of random halves of the samples, whose variance about their mean is that of the whole
(the jackknife that leaves out half: Shao & Wu 1989). Drawing with replacement would put points on each other and make
r_1 = 0, and leaving out few samples moves too many neighbours: on Gaussians and cubes it gives twice the variance.
*Null*: Gaussian points of the same number. *Calibration*: what Gaussians of 2 to 80 dimensions are read as, at the same
number of points.

Reference: J. Shao & C. Wu (1989), "A general theory for jackknife variance estimation".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.compute import kept
from analysis.compute.neighbours.dimension_estimators import gride, mle, near_points, two_nn
from analysis.compute.neighbours.neighbours import search_bytes
from analysis.compute.neighbours.tree_dimension import (
    SIZES,
    growth_dimension,
    mean_lengths,
    parts_of,
    tree_dimension,
)
from analysis.spec import Progress, no_progress

TWO_NN, MLE, TREE, GRIDE = "TwoNN", "MLE", "spanning tree", "Gride"
FEWEST = 50  # points of which a dimension is read
DRAWS = 4  # of a null
TRUE = (2, 5, 10, 20, 40, 80)  # dimensions of the Gaussians that readings are held against
TRUE_DRAWS = 3
MOST_SCALE = 64  # neighbours k of the coarsest ratio r_2k / r_k
VERSION = 1
SPLITS = 5  # of the samples into two halves
HOW = f"jackknife by {2 * SPLITS} random halves of the samples, t"


@dataclass(frozen=True)
class Readings:
    """`x` (m,) points or neighbours, rising; `values` by estimator (m,), and `halves` (h, m) of random halves of the
    samples, empty where there is no interval."""

    x: np.ndarray
    values: dict[str, np.ndarray]
    halves: dict[str, np.ndarray]

    def half(self, name: str) -> np.ndarray | None:
        """Half-width (m,) of the 95 % interval, None where there is none."""
        return half_width(self.halves[name])

    def interval(self, name: str, at: int = -1) -> dict:
        """Of one reading, as an `Estimate` takes it."""
        half, value = self.half(name), float(self.values[name][at])
        if half is None:
            return {}
        return {"low": max(value - float(half[at]), 0.0), "high": value + float(half[at]), "interval": HOW}


def half_width(halves: np.ndarray) -> np.ndarray | None:
    """Half-width of the 95 % interval of a statistic from its values on random halves of the samples, `halves` (h, …);
    None for fewer than three, or where one of them has none."""
    if len(halves) < 3 or not np.isfinite(halves).all():
        return None
    return stdtrit(len(halves) - 1, 0.975) * halves.std(axis=0)


def estimators(tree: bool) -> tuple[str, ...]:
    return (TWO_NN, MLE, TREE) if tree else (TWO_NN, MLE)


def halvings(n: int, k: int, most: int = 5) -> int:
    """How often n points can be halved with enough left for k neighbours."""
    least, levels = max(FEWEST, 3 * k), 0
    while levels < most and n // 2 ** (levels + 1) >= least:
        levels += 1
    return levels


def half_samples(owner: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Which points (n,) bool are in each of the halves of the samples `owner` (n,); none below eight samples."""
    count, found = int(owner.max()) + 1, []
    for _ in range(SPLITS if count >= 8 else 0):
        first = rng.permutation(count) < count // 2
        found += [first[owner], ~first[owner]]
    return found


def decimated(
    points: np.ndarray,
    owner: np.ndarray,
    k: int,
    rng: np.random.Generator,
    *,
    tree: bool = True,
    levels: int | None = None,
    shared: bool = False,
    intervals: bool = True,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Readings:
    """Readings at n / 2^levels, …, n / 2, n different `points` (n, d) whose samples are `owner` (n,).

    Time O(2 n² d) and twice the tree's, three and a half times that with intervals; memory O(n (d + k)), O(n²) below
    3,000 points with trees.
    """
    levels = halvings(len(points), k) if levels is None else levels
    sets = [np.ones(len(points), bool), *(half_samples(owner, rng) if intervals else ())]
    values = []
    for i, stay in enumerate(sets):
        mine = tuple(span[0] + (span[1] - span[0]) * _done(j, len(sets)) for j in (i, i + 1))
        some = points if i == 0 else points[stay]
        part = parts_of(len(some), levels + SIZES - 1, rng)
        values.append(_levels(some, part, levels, k, tree, shared and i == 0, progress, mine))
    x = np.array([len(points) // 2**level for level in range(levels, -1, -1)])
    return _readings(x, estimators(tree), np.array(values)[:, :, ::-1])


def _done(i: int, sets: int) -> float:
    """Share of the work after the first i sets: halves cost a quarter of the whole."""
    return 0.0 if i == 0 else (4 + i - 1) / (4 + sets - 1)


def _levels(points, part, levels, k, tree, shared, progress, span) -> np.ndarray:
    """(estimators, levels + 1), all points first; NaN where a part has too few points."""
    out = np.zeros((2 + tree, levels + 1))
    for level in range(levels + 1):
        of = part >> (levels + SIZES - 1 - level)
        for i in range(2**level):
            progress(
                span[0] + (span[1] - span[0]) * 0.5 * (level + i / 2**level) / (levels + 1),
                "finding neighbours",
            )
            some = points if level == 0 else points[of == i]
            out[:2, level] += _two(some, k, shared and level == 0) / 2**level
    if tree:
        progress((span[0] + span[1]) / 2, "joining points by trees")
        if np.bincount(part, minlength=2 ** (levels + SIZES - 1)).min() < 2:
            out[2] = np.nan
            return out
        sizes, lengths = mean_lengths(points, part, levels + SIZES - 1)
        out[2] = [growth_dimension(sizes[i : i + SIZES], lengths[i : i + SIZES]) for i in range(levels + 1)]
    return out


def _two(points: np.ndarray, k: int, shared: bool = False) -> np.ndarray:
    if len(points) <= k:
        return np.full(2, np.nan)
    r = near_points(points, k, shared=shared).distances
    return np.array([two_nn(r), mle(r, k)])


def at_scales(
    points: np.ndarray,
    owner: np.ndarray,
    rng: np.random.Generator,
    *,
    shared: bool = False,
    intervals: bool = True,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Readings:
    """Gride of r_2k / r_k and the MLE of 2k neighbours at k = 1, 2, 4, … of different `points` (n, d). O(3.5 n² d)."""
    n = len(points)
    ks = [2**i for i in range(7) if 2**i <= MOST_SCALE and 8 * 2**i <= n]
    sets = [np.ones(n, bool), *(half_samples(owner, rng) if intervals else ())]
    values = []
    for i, stay in enumerate(sets):
        progress(span[0] + (span[1] - span[0]) * _done(i, len(sets)), "reading scales")
        if stay.sum() <= 2 * ks[-1]:
            values.append(np.full((2, len(ks)), np.nan))
            continue
        r = near_points(points[stay], 2 * ks[-1], shared=shared and i == 0).distances
        values.append([[gride(r, k) for k in ks], [mle(r, 2 * k) for k in ks]])
    return _readings(np.array(ks), (GRIDE, MLE), np.array(values))


def _readings(x: np.ndarray, names, values: np.ndarray) -> Readings:
    """`values` (1 + halves, estimators, m)."""
    return Readings(
        x,
        {name: values[0, i] for i, name in enumerate(names)},
        {name: values[1:, i] for i, name in enumerate(names)},
    )


# ---------------------------------------------------------------------------- what structureless data gives
INDEPENDENT, COVARIANCE = "independent units", "same covariance"
NULLS = {
    INDEPENDENT: "Gaussian of independent units with the same variances",
    COVARIANCE: "Gaussian with the same covariance",
}


def gaussian_like(x: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """(n, d) independent Gaussian rows with the variances (O(n d)), or the covariance (O(n² d)), of `x` (n, d)."""
    centred = x - x.mean(axis=0)
    if kind == INDEPENDENT:
        return rng.standard_normal(x.shape) * centred.std(axis=0, ddof=1)
    return rng.standard_normal((len(x), len(x))) @ centred / np.sqrt(len(x) - 1)


def null_range(found: np.ndarray, kind: str) -> dict:
    """Of null readings (draws,), as an `Estimate` takes it."""
    return {
        "null": float(found.mean()),
        "null_low": float(found.min()),
        "null_high": float(found.max()),
        "null_method": f"{NULLS.get(kind, kind)}, {len(found)} draws: mean, least, most",
    }


# ---------------------------------------------------------------------------- calibration
def calibration(
    n: int, k: int, tree: bool, progress: Progress = no_progress, span=(0.0, 1.0)
) -> dict[str, np.ndarray]:
    """Mean reading (dimensions of TRUE,) by estimator of n points of standard Gaussians: the same for everybody, and
    kept. O(n² Σ TRUE)."""
    names, lines = estimators(tree), []
    for i, dimension in enumerate(TRUE):
        progress(span[0] + (span[1] - span[0]) * i / len(TRUE), "reading Gaussians of known dimension")
        made_of = {"n": n, "k": k, "tree": tree, "dimension": dimension, "version": VERSION}
        found = kept.find("dimension calibration", made_of)
        if found is None:
            draws = [np.random.default_rng([n, dimension, draw]) for draw in range(TRUE_DRAWS)]
            read = [_once(rng.standard_normal((n, dimension)), k, tree, rng) for rng in draws]
            found = kept.keep("dimension calibration", made_of, {"read": np.mean(read, axis=0)})
        lines.append(found["read"])
    return dict(zip(names, np.array(lines).T, strict=True))


def _once(x: np.ndarray, k: int, tree: bool, rng: np.random.Generator) -> np.ndarray:
    return np.append(_two(x, k), [tree_dimension(x, parts_of(len(x), SIZES - 1, rng))] * tree)


def read_alike(value: float, read: np.ndarray) -> float | None:
    """The dimension of a Gaussian that is read as `value`, on straight lines between the TRUE ones that are `read`
    (dimensions of TRUE,); None beyond them."""
    line = np.maximum.accumulate(np.append(0.0, read))
    if not 0 <= value <= line[-1]:
        return None
    return float(np.interp(value, line, np.append(0.0, TRUE)))


def bytes_of(n: int, d: int, k: int, tree: bool = True) -> float:
    """Peak memory of readings, roughly."""
    squares = 0.0 if not tree else 8.0 * n * n * 3.2 if n <= 3000 else 128e6
    return 8.0 * n * d * 2 + 8.0 * n * k * 8 + max(squares, search_bytes(n, d, k))
