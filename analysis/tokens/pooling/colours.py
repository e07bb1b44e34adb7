"""Tokens (n, T, d) as colours: what the place alone gives, what is left without it, and how alike neighbours are."""

from __future__ import annotations

import numpy as np

NOTHING, PLACES, LINEAR = "nothing", "the mean of each place", "row and column"
REMOVALS = (NOTHING, PLACES, LINEAR)
NO_TOKEN = 200  # grey


def without_place(
    x: np.ndarray, present: np.ndarray, remove: str, grid: tuple[int, int] | None
) -> np.ndarray:
    """Centred tokens (n, T, d), 0 where not present, less what `remove` says of their place. "row and column" leaves
    what is orthogonal to span Cov(token, position), of which no linear reader tells them (a place in a row without a
    grid)."""
    there = present[..., None]
    x = np.where(there, x - x[present].mean(axis=0), 0.0)
    if remove == PLACES:
        mean = x.sum(axis=0) / np.maximum(present.sum(axis=0), 1)[:, None]
        return np.where(there, x - mean, 0.0)
    if remove == LINEAR:
        at = np.arange(x.shape[1])
        place = np.column_stack(np.divmod(at, grid[1]) if grid else [at]).astype(np.float64)
        place = np.broadcast_to(place, (*x.shape[:2], place.shape[1]))[present]
        ways, size, _ = np.linalg.svd(x[present].T @ (place - place.mean(axis=0)), full_matrices=False)
        ways = ways[:, size > 1e-12 * max(size[0], 1e-300)]
        return x - (x @ ways) @ ways.T
    return x


def of_place(c: np.ndarray, present: np.ndarray) -> float:
    """Share of the variance of c (n, T, k) that the means of places explain."""
    count = present.sum(axis=0)
    middle = c[present].mean(axis=0)
    mean = c.sum(axis=0) / np.maximum(count, 1)[:, None]
    whole = np.square(c[present] - middle).sum()
    between = (count[:, None] * np.square(mean - middle)).sum()
    return float(between / whole) if whole > 0 else 0.0


def neighbours_alike(c: np.ndarray, present: np.ndarray, grid: tuple[int, int] | None) -> np.ndarray:
    """(n,) of each sample 1 - mean squared difference of neighbours / twice its variance; 0 where it does not vary."""
    n, tokens, k = c.shape
    rows, columns = grid or (1, tokens)
    z, there = c.reshape(n, rows, columns, k), present.reshape(n, rows, columns)
    apart, pairs = np.zeros(n), np.zeros(n)
    for a, b in ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[:, :, 1:], np.s_[:, :, :-1])):
        both = there[a] & there[b]
        apart += (np.square(z[a] - z[b]).sum(axis=-1) * both).sum(axis=(1, 2))
        pairs += both.sum(axis=(1, 2))
    count = present.sum(axis=1)
    middle = c.sum(axis=1) / np.maximum(count, 1)[:, None]
    spread = (np.square(c - middle[:, None]).sum(axis=-1) * present).sum(axis=1) / np.maximum(count - 1, 1)
    known = (spread > 0) & (pairs > 0)
    return np.where(known, 1 - apart / np.maximum(pairs, 1) / np.where(known, 2 * spread, 1.0), 0.0)


def shuffled_inside(c: np.ndarray, present: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same with the tokens of each sample in another order; those that are not present stay."""
    order = np.where(present, rng.random(present.shape), 2.0 + np.arange(present.shape[1])).argsort(axis=1)
    found = np.zeros_like(c)
    for i, (own, there) in enumerate(zip(order, present, strict=True)):
        found[i, there] = c[i, own[: there.sum()]]
    return found


def as_colours(c: np.ndarray, present: np.ndarray) -> np.ndarray:
    """(n, T, 3) uint8 of coordinates (n, T, 3), each from its 1st to its 99th percentile over all tokens."""
    low, high = np.percentile(c[present], [1, 99], axis=0)
    share = (c - low) / np.where(high > low, high - low, np.inf)
    colours = np.round(255 * np.clip(np.where(high > low, share, 0.5), 0, 1))
    return np.where(present[..., None], colours, NO_TOKEN).astype(np.uint8)
