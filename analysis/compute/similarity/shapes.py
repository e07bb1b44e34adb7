"""Representations as shapes: how far apart two are after the best transformation that is not to count.

A centred representation X (n, p) is first whitened in part, X (α I + (1 - α) Σ^(-1/2)) with the covariance Σ, which
leaves rotations to be ignored at α = 1 and every invertible linear map at α = 0. Then Q is chosen to maximise

    s = <X, Y Q> / (|X| |Y|)

over rotations (s is the nuclear norm of XᵀY over |X| |Y|: Procrustes), over permutations of units with or without
their signs (an assignment), or not at all. The chord |X/|X| - Y Q/|Y|| = sqrt(2 - 2 s), the angle arccos s and the
distance |X - Y Q| are metrics on what is left (A. Williams et al. 2021, "Generalized shape metrics on neural
representations").

- Different widths: the narrower side has units that are 0. Whitening acts within the span of the data (directions below
  1e-6 of the largest are rounding), so that units that are 0 or constant never change a distance. A unit may be left
  without a partner by a permutation, as if there were always zero units enough; otherwise the triangle inequality
  would not hold between three widths.
- α between 0 and 1 weighs a spread against a whitened cloud, so the unit of the activations matters; clouds are
  first brought to a mean variance of 1 over their directions where sizes are not to count.
- arccos of a number near 1 loses all below 1e-8: near 1 the chord is measured on the turned clouds themselves.

The distances without each group of samples come from XᵀY less the group's own product (`crosses`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.compute.similarity.shape_null import Spread

ROTATIONS, SIGNED, PERMUTATIONS, NOTHING = (
    "rotations", "permutations and signs of units", "permutations of units", "nothing",
)  # fmt: skip
IGNORED = (ROTATIONS, SIGNED, PERMUTATIONS, NOTHING)
TOLERANCE = 1e-6  # of the largest singular value; float32 rounds at 6e-8
NEAR = 1e-4  # 1 - s below which the chord is measured


@dataclass(frozen=True)
class Shape:
    """One representation: `rows` (n, r), centred, one group of samples after another, which end at `ends` (G,);
    `shift` (G, r), the mean without each group; `turns` (1 + G) whitening matrices (r, r) of all samples and without
    each group, or none; `sizes` (1 + G,) Frobenius norms after whitening; `spread` for the null of rotations, `square`
    (r, r), XᵀX, for that of nothing ignored."""

    rows: np.ndarray
    ends: np.ndarray
    shift: np.ndarray
    turns: tuple[np.ndarray, ...]
    sizes: np.ndarray
    spread: Spread
    square: np.ndarray | None = None

    @property
    def n(self) -> int:
        return len(self.rows)

    @property
    def counts(self) -> np.ndarray:
        """(1 + G,) samples of all and without each group."""
        return np.append(self.n, self.n - np.diff(self.ends, prepend=0))

    def whole(self) -> np.ndarray:
        """(n, r) whitened rows."""
        return self.rows @ self.turns[0] if self.turns else self.rows


def shape_of(
    x: np.ndarray, group: np.ndarray, *, ignored: str = ROTATIONS, alpha: float = 1.0, sized: bool = False
) -> Shape:
    """`x` (n, d) with its samples in groups (n,).

    sized : sizes count (for the distance |X - Y Q|), so that partial whitening takes the activations as they are.

    Time O(n d min(n, d)), with whitening that for each group; memory O(n min(n, d) + G min(n, d)²).
    """
    order = np.argsort(group, kind="stable")
    centred = x[order] - x.mean(axis=0)
    largest = float(np.abs(centred).max(initial=0.0)) or 1.0
    centred /= largest  # squares of the very large overflow
    basis, singular, _ = np.linalg.svd(centred, full_matrices=False)
    kept = singular > TOLERANCE * singular[0]
    unit = largest if sized else 1.0
    rows = centred * unit
    if ignored == ROTATIONS:  # r <= n coordinates with the same inner products
        used = singular > 1e-15 * len(x) * singular[0]
        rows = basis[:, used] * (singular[used] * unit)
    counts = np.bincount(group)
    starts = np.append(0, np.cumsum(counts)[:-1])
    shift = -np.add.reduceat(rows, starts, axis=0) / (len(x) - counts)[:, None]
    ends = starts + counts
    if alpha == 1:
        spread = Spread.of(basis[:, kept], singular[kept])
        square = rows.T @ rows if ignored == NOTHING else None
        return Shape(rows, ends, shift, (), _norms(rows, starts, counts, shift), spread, square)
    turned = [_whitening(rows, alpha, sized)]
    for a, b in zip(starts, ends, strict=True):
        rest = np.delete(rows, np.s_[a:b], axis=0)
        turned.append(_whitening(rest - rest.mean(axis=0), alpha, sized))
    turns, sizes = zip(*turned, strict=True)
    flat = np.diag(turns[0])[: kept.sum()] * singular[kept]
    return Shape(rows, ends, shift, turns, np.array(sizes), Spread.of(basis[:, kept], flat))


def _norms(rows, starts, counts, shift) -> np.ndarray:
    """Frobenius norms (1 + G,) about the mean, of all rows and without each group."""
    own = np.add.reduceat(np.einsum("ij,ij->i", rows, rows), starts)
    moved = (len(rows) - counts) * np.einsum("gr,gr->g", shift, shift)
    return np.sqrt(np.maximum(np.append(own.sum(), own.sum() - own - moved), 0.0))


def _whitening(rows: np.ndarray, alpha: float, sized: bool) -> tuple[np.ndarray, float]:
    """The matrix (r, r) that whitens centred `rows` (n, r) in part, and the size of what it makes of them."""
    n = len(rows)
    _, singular, axes = np.linalg.svd(rows, full_matrices=False)
    kept = singular > TOLERANCE * singular.max(initial=0.0)
    singular, axes = singular[kept], axes[kept]
    deviation = singular / np.sqrt(n - 1)
    unit = 1.0 if sized or not len(singular) else 1 / np.sqrt((deviation**2).mean())
    factor = alpha * unit + (1 - alpha) / deviation
    return (axes.T * factor) @ axes, float(np.linalg.norm(singular * factor))


# ---------------------------------------------------------------------------- pairs
def crosses(one: Shape, other: Shape) -> Iterator[np.ndarray]:
    """XᵀY (p, q) of all samples, then without each group. Time O(n p q), with whitening O(G p q (p + q)) more."""
    whole = one.rows.T @ other.rows
    yield _turned(whole, one, other, 0)
    start = 0
    for g, end in enumerate(one.ends):
        part = slice(start, end)
        rest = whole - one.rows[part].T @ other.rows[part]
        rest -= np.outer((one.n - end + start) * one.shift[g], other.shift[g])
        yield _turned(rest, one, other, g + 1)
        start = end


def _turned(cross: np.ndarray, one: Shape, other: Shape, which: int) -> np.ndarray:
    return one.turns[which].T @ cross @ other.turns[which] if one.turns else cross


def best(cross: np.ndarray, ignored: str) -> float:
    """The largest <X, Y Q> over what is ignored, from XᵀY (p, q)."""
    if ignored == ROTATIONS:
        return float(np.linalg.svd(cross, compute_uv=False).sum())
    if ignored == NOTHING:
        return float(np.trace(cross))
    i, j, signs = partners(cross, ignored)
    return float((cross[i, j] * signs).sum())


def partners(cross: np.ndarray, ignored: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and signs (m,) of the pairs of units that gain by being matched: an assignment of what each pair
    gains, in O(p q min(p, q))."""
    from scipy.optimize import linear_sum_assignment

    gain = np.abs(cross) if ignored == SIGNED else np.maximum(cross, 0.0)
    i, j = linear_sum_assignment(gain, maximize=True)
    good = gain[i, j] > 0
    i, j = i[good], j[good]
    return i, j, np.sign(cross[i, j])


def similarities(one: Shape, other: Shape, ignored: str) -> np.ndarray:
    """s (1 + G,), of all samples and without each group. Time 1 + G singular value decompositions or assignments of
    (p, q); 0 where one side has no size left."""
    found = np.array([best(cross, ignored) for cross in crosses(one, other)])
    sizes = one.sizes * other.sizes
    return np.clip(np.divide(found, sizes, out=np.zeros_like(found), where=sizes > 0), -1.0, 1.0)


def chords(s: np.ndarray, one: Shape, other: Shape, ignored: str) -> np.ndarray:
    """|X/|X| - Y Q/|Y|| (1 + G,) from s (1 + G,), the first of them measured where they are nearly equal."""
    out = np.sqrt(2 - 2 * s)
    if 1 - s[0] < NEAR:
        out[0] = _measured(one.whole() / one.sizes[0], other.whole() / other.sizes[0], ignored)
    return out


def angles(chord: np.ndarray) -> np.ndarray:
    """The angles (radians) of chords of unit length."""
    return 2 * np.arcsin(np.clip(chord / 2, 0.0, 1.0))


def distances(chord: np.ndarray, size: np.ndarray, other: np.ndarray, n: np.ndarray) -> np.ndarray:
    """|X - Y Q| over √n, root mean square per sample, from the chord, both sizes and the samples; shapes broadcast."""
    return np.sqrt(((size - other) ** 2 + size * other * chord**2) / n)


def _measured(x: np.ndarray, y: np.ndarray, ignored: str) -> float:
    """The chord of two clouds of length 1 after the best transformation."""
    cross = x.T @ y
    if ignored == ROTATIONS:
        u, _, vt = np.linalg.svd(cross, full_matrices=False)
        a, b = x @ u, y @ vt.T
        rest = np.linalg.norm(x - a @ u.T) ** 2 + np.linalg.norm(y - b @ vt) ** 2
        return float(np.sqrt(np.linalg.norm(a - b) ** 2 + rest))
    if ignored == NOTHING:
        return float(np.linalg.norm(x - y))
    i, j, signs = partners(cross, ignored)
    alone = [np.linalg.norm(np.delete(z, k, axis=1)) for z, k in ((x, i), (y, j))]
    return float(np.linalg.norm([np.linalg.norm(x[:, i] - y[:, j] * signs), *alone]))
