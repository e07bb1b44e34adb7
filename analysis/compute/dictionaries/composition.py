"""Whether a direction is made of a few others: orthogonal matching pursuit in the rest of the dictionary.

The share of a unit direction that its best few others rebuild, 1 - |d - Σ a_j d_j|², the a_j by least squares. Random
directions are rebuilt to a share as well, the larger the more of them there are in few dimensions: the null is Gaussian
directions with the same second moment.
"""

from __future__ import annotations

import numpy as np

from analysis.compute.dictionaries.coherence import unit_rows

BLOCK = 64


def rebuilt_by_others(directions: np.ndarray, which: np.ndarray, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the directions `which` (m,) among `directions` (k, d): the share that `parts` others rebuild (m,), and these
    others (m, parts), -1 where nothing is left to add. O(m parts k d)."""
    u = unit_rows(directions)
    share, made = np.zeros(len(which)), np.full((len(which), parts), -1)
    for start in range(0, len(which), BLOCK):
        own = which[start : start + BLOCK]
        left = u[own].astype(np.float64)
        here = np.arange(len(own))
        for step in range(min(parts, len(u) - 1)):
            products = np.abs(left.astype(np.float32) @ u.T)
            products[here, own] = -1
            taken = made[start + here]
            row, column = np.nonzero(taken >= 0)
            products[row, taken[row, column]] = -1
            best = products.argmax(axis=1)
            found = products[here, best] > 1e-6
            made[start + here[found], step] = best[found]
            for i in np.flatnonzero(found):
                some = u[made[start + i, : step + 1]].astype(np.float64)
                target = u[own[i]].astype(np.float64)
                left[i] = target - np.linalg.lstsq(some.T, target, rcond=None)[0] @ some
        share[start : start + BLOCK] = 1 - np.einsum("ij,ij->i", left, left)
    return np.clip(share, 0.0, 1.0), made


def rebuilt_by_chance(directions: np.ndarray, parts: int, some: int, rng: np.random.Generator) -> np.ndarray:
    """The same share (some,) of Gaussian directions in sets as large and of the second moment of `directions` (k, d):
    they fill the same dimensions to the same degree. O(some parts k d + d³)."""
    u = unit_rows(directions).astype(np.float64)
    values, vectors = np.linalg.eigh(u.T @ u / len(u))
    root, found = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T, []
    for start in range(0, some, len(u)):
        drawn = rng.standard_normal(u.shape) @ root
        found.append(rebuilt_by_others(drawn, np.arange(min(some - start, len(u))), parts)[0])
    return np.concatenate(found)
