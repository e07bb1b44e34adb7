"""Cells of a router: the parts of its input space that go to one expert, as a plane shows them."""

from __future__ import annotations

import numpy as np

BLOCK = 256


def plane_of(x: np.ndarray) -> tuple[np.ndarray, float]:
    """((n, 2) places on the first two principal axes, share of the variance that lies in their plane). O(n d²)."""
    x = x - x.mean(axis=0)
    values, vectors = np.linalg.eigh(x.T @ x)
    axes = vectors[:, ::-1][:, :2]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), range(axes.shape[1])])
    places = x @ (axes * np.where(signs == 0, 1.0, signs))
    whole = float(np.maximum(values, 0).sum())
    share = float(np.maximum(values[::-1][:2], 0).sum()) / whole if whole > 0 else 0.0
    return np.pad(places, ((0, 0), (0, 2 - places.shape[1]))), min(share, 1.0)


def nearest_elsewhere(x: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """(n,) the nearest row of x (n, d) that belongs to another sample (n,); of equally near ones the first. O(n² d),
    memory O(n)."""
    x = x - x.mean(axis=0)
    square, out = np.einsum("ij,ij->i", x, x), np.empty(len(x), int)
    for start in range(0, len(x), BLOCK):
        part = slice(start, min(start + BLOCK, len(x)))
        far = square - 2.0 * (x[part] @ x.T)
        far[samples[part][:, None] == samples] = np.inf
        out[part] = far.argmin(axis=1)
    return out


def agreement_by_chance(
    winner: np.ndarray, samples: np.ndarray, nearest: np.ndarray, rng: np.random.Generator, draws: int = 200
) -> tuple[float, np.ndarray]:
    """(chance that two tokens of different samples (n,) go to one expert, exact over all such pairs of `winner` (n,);
    (draws,) shares of tokens that agree with their `nearest` (n,) once the experts of whole samples change places:
    tokens of a sample stay together, and who is nearest to whom stays)."""
    _, of, sizes = np.unique(samples, return_inverse=True, return_counts=True)
    _, expert = np.unique(winner, return_inverse=True)
    table = np.zeros((len(sizes), int(expert.max()) + 1))
    np.add.at(table, (of, expert), 1)
    alike = float(np.square(table.sum(axis=0)).sum() - np.square(table).sum())
    pairs = float(len(winner) ** 2 - np.square(sizes.astype(float)).sum())
    at = np.argsort(of, kind="stable")
    found, starts = np.empty(draws), np.cumsum(sizes) - sizes
    for i in range(draws):
        moved = np.empty_like(expert)
        moved[at] = expert[at[in_blocks(starts, sizes, rng)]]
        found[i] = (moved == moved[nearest]).mean()
    return alike / pairs, found


def in_blocks(starts: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) places of n rows with blocks of `counts` rows from `starts` on in another order."""
    order = rng.permutation(len(starts))
    counts = counts[order]
    before = np.cumsum(counts) - counts
    return np.repeat(starts[order] - before, counts) + np.arange(counts.sum())


def margins(logits: np.ndarray, k: int) -> np.ndarray:
    """(n,) by how much the logit of the k-th expert exceeds that of the first left out; 0 on the border of a cell."""
    if k >= logits.shape[1]:
        return np.zeros(len(logits))
    ordered = -np.sort(-logits, axis=1)
    return ordered[:, k - 1] - ordered[:, k]
