"""The dimensions of an embedding in blocks, one for each learner: declared equal blocks, or groups of dimensions that
correlate.

Groups: average linkage on 1 - |r|, cut where the mean silhouette is largest. Its null is the same for independent
Gaussian units of as many samples: without blocks there is a best cut too.

References: P. Rousseeuw (1987), "Silhouettes"; A. Sanakoyeu et al. (2019), "Divide and conquer the embedding space for
metric learning"; S. Adiga V et al. (2022), "Attention-based dynamic subspace learners for medical image analysis".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.arrays import upper
from analysis.compute.statistics.moments import Moments
from analysis.compute.statistics.nulls import gaussian_correlation
from analysis.errors import NotEnoughData, ParameterError, TooLarge

MOST_BLOCKS = 12  # that are looked for
MOST_UNITS = 2048  # of a correlation matrix that is clustered
DRAWS = 20


@dataclass(frozen=True)
class Blocks:
    """`members`, unit numbers of each block; `names`; `notes`. Of blocks that were looked for: the `silhouette` of the
    cut and its `null` (draws,)."""

    members: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    silhouette: float | None = None
    null: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.members)


def blocks_of(x: np.ndarray, count: int, rng: np.random.Generator) -> Blocks:
    """`count` equal blocks of the units of `x` (n, d), or groups of correlated ones for 0.

    Raises
    ------
    ParameterError
        A number of blocks that does not divide the units, or one block.
    NotEnoughData, TooLarge
        Fewer than three units that vary, or more than 2,048, where blocks are to be found.
    """
    return _correlated(x, rng) if count == 0 else _equal(x, count)


def _equal(x: np.ndarray, count: int) -> Blocks:
    d = x.shape[1]
    if count < 2 or d % count:
        divisors = [str(k) for k in range(2, min(d, 64) + 1) if d % k == 0]
        raise ParameterError(
            f"{count} equal blocks of {d} units",
            "a number that divides them: " + (", ".join(divisors) or "none"),
        )
    members = tuple(np.split(np.arange(d), count))
    names = tuple(f"units {m[0]}–{m[-1]}" if len(m) > 1 else f"unit {m[0]}" for m in members)
    constant = [name for name, m in zip(names, members, strict=True) if (x[:, m] == x[:1, m]).all()]
    notes = [f"Block(s) without any change: {', '.join(constant)}."] if constant else []
    return Blocks(members, names, tuple(notes))


def _correlated(x: np.ndarray, rng: np.random.Generator) -> Blocks:
    moments = Moments.of(x)
    units = np.flatnonzero(moments.varies())
    if len(units) < 3:
        raise NotEnoughData(f"{len(units)} unit(s) that vary", "at least three to find blocks among")
    if len(units) > MOST_UNITS:
        raise TooLarge(
            f"{len(units):,} units", f"at most {MOST_UNITS:,} to find blocks among", "Declare equal blocks"
        )
    codes, quality = best_cut(np.abs(moments.correlation()[np.ix_(units, units)]))
    null = np.array([
        best_cut(np.abs(gaussian_correlation(len(units), len(x), rng)))[1] for _ in range(DRAWS)
    ])  # fmt: skip
    order = np.argsort(-np.bincount(codes), kind="stable")
    members = tuple(units[codes == c] for c in order)
    notes = [
        "Blocks are groups of correlated units, as many as in brackets "
        f"(silhouette {quality:.2f}; independent units {null.mean():.2f})."
    ]
    if quality <= null.max():
        notes.append(
            "They are no more apart than the best cut of independent units: the blocks are arbitrary."
        )
    if len(units) < x.shape[1]:
        notes.append(f"{x.shape[1] - len(units)} constant unit(s) belong to no block.")
    names = tuple(f"group {k + 1} ({len(m)})" for k, m in enumerate(members))
    return Blocks(members, names, tuple(notes), quality, null)


def best_cut(r: np.ndarray) -> tuple[np.ndarray, float]:
    """Group (d,) of each unit and the mean silhouette, of the best cut into 2 to 12 groups of |r| (d, d). O(d²)."""
    from scipy.cluster.hierarchy import cut_tree, linkage

    distance = np.maximum(1 - r, 0.0)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(upper(distance), method="average")
    cuts = cut_tree(tree, n_clusters=np.arange(2, min(MOST_BLOCKS, len(r) - 1) + 1)).T
    quality = [silhouette(distance, codes) for codes in cuts]
    best = int(np.argmax(quality))
    return cuts[best], quality[best]


def silhouette(distance: np.ndarray, codes: np.ndarray) -> float:
    """Mean over units of (b - a) / max(a, b): a the mean distance to the others of the own group, b to the nearest
    other group; 0 for a unit alone. `distance` (d, d), `codes` (d,)."""
    member = (codes[:, None] == np.arange(codes.max() + 1)).astype(np.float64)
    sums, sizes = distance @ member, member.sum(axis=0)
    own = sums[np.arange(len(codes)), codes] / np.maximum(sizes[codes] - 1, 1)
    others = np.where(member > 0, np.inf, sums / sizes).min(axis=1)
    largest = np.maximum(own, others)
    value = np.divide(others - own, largest, out=np.zeros(len(codes)), where=largest > 0)
    return float(np.where(sizes[codes] > 1, value, 0.0).mean())
