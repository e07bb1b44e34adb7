"""What of the activations is left for each feature when all the others have had their part.

    y_j = x - Σ_{i≠j} e_i d_i = r + e_j d_j          r = x - x', what the whole dictionary leaves

e are the codes as lengths in activations. The direction that the data give feature j is that of g_j = Cov(y_j, e_j) =
Var(e_j) d_j + Cov(r, e_j), the least-squares direction of y_j on the codes as they are: one product of codes and
remainder for all features together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.activations import Activations, Layout
from analysis.compute.dictionaries.sparse_codes import paired_blocks
from analysis.compute.statistics.moments import UnitMoments
from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.compute.streaming import Pass
from analysis.spec import Progress

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True)
class OwnParts:
    """Of m rows that were drawn: `lengths` (m, k) of what each feature adds along its `directions` (k, d), `left`
    (m, d) centred; `sample` (m,) the independent observation (0 … g - 1) of each row; `n_rows` finite ones in all.
    `variance` of the activations, summed over units."""

    lengths: csr_array
    left: np.ndarray
    directions: np.ndarray
    sample: np.ndarray
    n_rows: int
    variance: float

    @property
    def n(self) -> int:
        """Independent observations."""
        return int(self.sample[-1]) + 1 if len(self.sample) else 0

    @property
    def rebuilt_exactly(self) -> bool:
        """Whether the dictionary leaves nothing but rounding, as units do."""
        return float((self.left**2).sum()) <= 1e-9 * self.variance * max(len(self.left), 1)


def own_parts(
    codes: Activations, source: Activations, features, most: int, rng: np.random.Generator, seen: Pass,
    progress: Progress, span: tuple[float, float],
) -> OwnParts:  # fmt: skip
    """One pass over codes and source; at most about `most` rows, drawn at random, are kept: 8 m d bytes.

    `features` decodes: an `analysis.features.feature_set.FeatureSet`.
    """
    from scipy.sparse import csr_array, vstack

    layout: Layout = source.layout
    lengths, left, kept, rows_seen, found = [], [], [], 0, None
    drawn = rng.random(layout.n_rows) < most / max(layout.n_rows, 1)
    for rows, x, c in paired_blocks(codes, source, seen, progress, "reading", span):
        rows_seen += len(rows)
        pick = np.flatnonzero(drawn[rows])
        if not len(pick):
            continue
        c = csr_array(c[pick]).astype(np.float64)
        lengths.append(csr_array(features.contributions(c, x[pick])))
        left.append(x[pick] - features.decode_beside(c, x[pick]))
        kept.append(rows[pick])
        part = UnitMoments.of(x[pick])
        found = part if found is None else found.merge(part)
    if not left:
        return OwnParts(csr_array((0, codes.shape[1])), np.zeros((0, source.shape[1])), features.directions,
                        np.zeros(0, np.int64), rows_seen, 0.0)  # fmt: skip
    rest = np.concatenate(left)
    rest -= rest.mean(axis=0)
    _, sample = np.unique(seen.owners(layout, np.concatenate(kept)), return_inverse=True)
    return OwnParts(csr_array(vstack(lengths)), rest, features.directions, sample.reshape(-1), rows_seen,
                    float(found.m2.sum()) / found.n)  # fmt: skip


def weighted_directions(parts: OwnParts, weight: np.ndarray, block: slice) -> tuple[np.ndarray, np.ndarray]:
    """g (b, d) of the features of `block`, and how many rows with weight each fires in (b,), rows counted by `weight`
    (m,). O(entries d)."""
    return _directions(parts.lengths[:, block], parts.left, parts.directions[block], weight, None)


def moved_directions(
    parts: OwnParts, weight: np.ndarray, block: slice, order: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The same where the activations come in another `order` (m,) than the codes, so that nothing relates them."""
    own = parts.lengths[:, block]
    return _directions(own, parts.left[order], parts.directions[block], weight, own[order])


def _directions(own, left, directions, weight, other) -> tuple[np.ndarray, np.ndarray]:
    total = weight.sum()
    weighed = own.multiply(weight[:, None]).tocsr()
    mean = np.asarray(weighed.sum(axis=0)).ravel() / total
    other = own if other is None else other
    other_mean = (other.T @ weight) / total
    spread = np.asarray(weighed.multiply(other).sum(axis=0)).ravel() / total - mean * other_mean
    cross = np.asarray(weighed.T @ left) / total - np.outer(mean, weight @ left / total)
    fires = np.bincount(weighed.tocoo().coords[1][weighed.tocoo().data != 0], minlength=own.shape[1])
    return spread[:, None] * directions + cross, fires


def code_variances(parts: OwnParts, rng) -> tuple[np.ndarray, np.ndarray]:
    """Variance (k,) of each code over the rows, and the half width of its 95 % interval by groups of samples."""
    from scipy.sparse import csr_array

    groups = sample_groups(parts.n, rng)
    of = np.zeros(parts.n, np.int64)
    for g, members in enumerate(groups):
        of[members] = g
    m, hot = len(parts.sample), of[parts.sample]
    group = csr_array((np.ones(m), (hot, np.arange(m))), (len(groups), m))
    first, second = group @ parts.lengths, group @ parts.lengths.multiply(parts.lengths)
    first, second = (a.toarray() if hasattr(a, "toarray") else np.asarray(a) for a in (first, second))
    rows = np.bincount(hot, minlength=len(groups))[:, None]
    sums, squares = first.sum(axis=0), second.sum(axis=0)
    whole = np.maximum(squares / m - (sums / m) ** 2, 0.0)
    left = np.maximum(m - rows, 1)
    without = np.maximum((squares - second) / left - ((sums - first) / left) ** 2, 0.0)
    half = jackknife_half(without)
    return whole, np.zeros(len(whole)) if half is None else half


def blocks_of(k: int, d: int, bytes_of: int = 32 << 20) -> list[slice]:
    """Features in runs whose directions take at most so many bytes."""
    step = max(1, bytes_of // (8 * max(d, 1)))
    return [slice(start, min(start + step, k)) for start in range(0, k, step)]


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(k,) cosine of each line of two (k, d); 0 where one of them is 0."""
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.where(size > 0, np.einsum("ij,ij->i", a, b) / np.where(size > 0, size, 1), 0.0)
