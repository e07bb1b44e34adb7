"""Directions of the fourth moments: the symmetric tensor of the activations' fourth cumulants, as a sum of powers.

    κ = E y⊗y⊗y⊗y - (what a Gaussian has) = Σ_i w_i a_i⊗a_i⊗a_i⊗a_i,   y white, in at most 50 principal directions

Subspace power method (Kileel & Pereira): written as a matrix over pairs of directions, κ has the rank of the sum, and
its column space is spanned by the a_i⊗a_i. A direction whose square lies in that space is found by x ← P(x⊗x) x + x/2,
then w = 1 / (a⊗a)ᵀ κ⁺ (a⊗a), and w a⊗a⊗a⊗a is taken off. So there can be more directions than dimensions (about d²/2),
and they need not be orthogonal, which ICA's are. w > 0: heavy tails, a feature that is rare; w < 0: two sides or flat.

Gaussian activations have κ = 0. The rank is the number of eigenvalues beyond what 95 % of Gaussian data of the same
shape have as their largest, so one in twenty Gaussian taps is given a rank; each direction is tried on held-out samples
(by log cosh, which few outliers cannot move): where none is beyond chance the answer is "none". Fourth moments need
many rows (errors fall as d² / √n) and follow outliers. Codes: least squares. Two passes; d⁴ / 4 numbers in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.arrays import first_sign
from analysis.errors import InputError
from analysis.features.classical.classical import Classical, Fitted
from analysis.features.classical.fit_rows import FitRows
from analysis.features.classical.ica import chance_said
from analysis.features.classical.non_gaussian import KURTOSIS, LOG_COSH, departures
from analysis.features.classical.pca import axes_of
from analysis.spec import param

LEVEL, NULL_ROWS = 20, 10_000  # one in so many Gaussian data sets is beyond the edge
MOST_BEYOND, NULL_WORK = 5, 2e9
STARTS, STEPS, SHIFT, SETTLED = 6, 3000, 0.5, 1e-12


@dataclass(frozen=True)
class CumulantParams:
    dimensions: int = param(16, "Principal directions that the tensor is made of", low=2, high=50)
    components: int = param(32, "Most directions that are taken out", low=1, high=1275)


def make(rows: FitRows, params: CumulantParams, rng, progress) -> Fitted:
    """Raises InputError ("none") where the activations look Gaussian to the fourth order."""
    mean, axes, values, _ = axes_of(rows, params.dimensions, progress, (0.0, 0.2))
    white, colour = axes.T / np.sqrt(values), axes * np.sqrt(values)[:, None]
    r, total, n = len(axes), 0.0, 0
    for _, block in rows.blocks(progress, (0.2, 0.6), "fourth moments"):
        squares = paired((block - mean) @ white)
        total, n = total + squares.T @ squares, n + len(squares)
    progress(0.6, "what Gaussian rows have")
    edge = gaussian_edge(n, r, rng)
    cumulant = beyond_gaussian(total / n * (n / (n - 1)) ** 2)  # white by sums over n, as the edge is
    sizes = np.linalg.eigvalsh(cumulant)
    rank = int((np.abs(sizes) > edge).sum())
    if rank == 0:
        raise InputError(
            f"none: the fourth cumulants of {rows.name} are no larger than those of {n:,} Gaussian rows",
            "activations that are not Gaussian", "Use PCA, or more rows",
        )  # fmt: skip
    said, most = _said(r, rank, params)
    if not rows.activations.layout.is_pooled:
        said += ("The rank takes the rows of a sample as independent, so it is rather too large.",)
    progress(0.7, "taking out directions")
    found, weights, inside = powers(
        cumulant, min(rank, most), rng, lambda s: progress(0.7 + 0.25 * s, "taking out")
    )
    order = np.argsort(-np.abs(weights), kind="stable")
    found, weights, inside = first_sign(found[order] @ colour), weights[order], inside[order]
    turned = found @ white
    held, samples = (rows.held - mean) @ white @ turned.T, rows.samples_of(rows.held_rows)
    tried, fourth = departures(held, samples, LOG_COSH), departures(held, samples, KURTOSIS)
    return Fitted(
        found, mean, encoder=white @ np.linalg.pinv(turned), caveats=said + chance_said(tried, rows),
        components={"weight": weights, "share inside the space": inside, "excess kurtosis": fourth.value,
                    "its error": fourth.error, "q": tried.q},
        facts={"rank": rank, "gaussian_edge": edge, "largest_eigenvalue": float(np.abs(sizes).max())},
    )  # fmt: skip


def _said(r: int, rank: int, params: CumulantParams) -> tuple[tuple[str, ...], int]:
    most, said = min(params.components, max(1, r * (r - 1) // 2)), []
    if r < params.dimensions:
        said.append(f"The rows span {r} directions.")
    if rank > most:
        said.append(f"The tensor has rank {rank}; the {most} directions taken out first are kept.")
    if min(rank, most) > r:
        said.append(f"More directions than the {r} dimensions: codes are the shortest that fit.")
    return tuple(said), most


# ---------------------------------------------------------------------------- the tensor over pairs of directions
def paired(y: np.ndarray) -> np.ndarray:
    """(n, r (r + 1) / 2): products of two entries of each row, so that paired(a)·paired(b) = (a·b)²."""
    i, j = np.triu_indices(y.shape[1])
    return y[:, i] * y[:, j] * np.where(i == j, 1.0, np.sqrt(2.0))


def beyond_gaussian(fourth: np.ndarray) -> np.ndarray:
    """The cumulants of white rows from their fourth moments (m, m) over pairs."""
    r = round((np.sqrt(8 * len(fourth) + 1) - 1) / 2)
    i, j = np.triu_indices(r)
    same = (i == j).astype(float)
    return fourth - np.outer(same, same) - 2 * np.eye(len(fourth))


def gaussian_edge(n: int, r: int, rng: np.random.Generator) -> float:
    """What the largest eigenvalue, by magnitude, of Gaussian rows of this shape is above in 1 of 20 data sets.

    The j-th largest of 20 j - 1 draws, which another draw exceeds with a chance of 1/20 exactly; j from 1 to 5, as the
    shape costs. Of more than 10,000 rows: as edges grow with √(pairs / rows) by the law of Marchenko and Pastur.
    """
    rows, pairs = min(n, NULL_ROWS), r * (r + 1) // 2
    beyond = int(np.clip(NULL_WORK / (LEVEL * rows * pairs**2), 1, MOST_BEYOND))
    found = np.sort([gaussian_largest(rows, r, rng) for _ in range(LEVEL * beyond - 1)])[-beyond]
    return float(2 * ((1 + (np.sqrt(1 + found / 2) - 1) * np.sqrt(rows / n)) ** 2 - 1))


def gaussian_largest(n: int, r: int, rng: np.random.Generator) -> float:
    """The largest eigenvalue, by magnitude, that n white Gaussian rows have."""
    y = rng.standard_normal((n, r))
    y -= y.mean(axis=0)
    squares = paired(np.linalg.qr(y)[0] * np.sqrt(n))
    return float(np.abs(np.linalg.eigvalsh(beyond_gaussian(squares.T @ squares / n))).max())


# ---------------------------------------------------------------------------- the subspace power method
def powers(cumulant: np.ndarray, rank: int, rng: np.random.Generator, tick=lambda share: None):
    """Directions (k, r) of length 1, weights (k,), and how far each square lies in the space (1: inside)."""
    sizes, vectors = np.linalg.eigh(cumulant)
    kept = np.argsort(-np.abs(sizes))[:rank]
    sizes, space = sizes[kept], vectors[:, kept]
    found, weights, inside = [], [], []
    for number in range(rank):
        tick(number / rank)
        a, share = max((_climbed(space, rng) for _ in range(STARTS)), key=lambda one: one[1])
        at = space.T @ paired(a[None])[0]
        weight = 1 / float(at**2 @ (1 / sizes))
        found.append(a)
        weights.append(weight)
        inside.append(share)
        left, turn = np.linalg.eigh(np.diag(sizes) - weight * np.outer(at, at))
        keep = np.argsort(-np.abs(left))[: rank - number - 1]
        sizes, space = left[keep], space @ turn[:, keep]
    return np.array(found), np.array(weights), np.array(inside)


def _climbed(space: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """A direction (r,) whose square lies in `space` (m, k) as far as a climb from a random one leads, and how far."""
    r = round((np.sqrt(8 * len(space) + 1) - 1) / 2)
    i, j = np.triu_indices(r)
    scale = np.where(i == j, 1.0, np.sqrt(0.5))
    a = rng.standard_normal(r)
    a /= np.linalg.norm(a)
    before, matrix = -1.0, np.zeros((r, r))
    for _ in range(STEPS):
        at = space.T @ paired(a[None])[0]
        share = float(at @ at)
        if share - before < SETTLED:
            break
        before = share
        matrix[i, j] = matrix[j, i] = (space @ at) * scale
        a = matrix @ a + SHIFT * a
        a /= np.linalg.norm(a)
    return a, share


CLASSICAL = Classical(
    "cumulants", "Fourth-order directions", "Non-Gaussian directions by the subspace power method",
    CumulantParams, ("Subspace power method for symmetric tensor decomposition",), make,
)  # fmt: skip
