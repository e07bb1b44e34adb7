"""Three ways to write a row with a few atoms of one dictionary, atoms of length 1.

orthogonal matching pursuit   k times the atom with the largest |product| with what is left, which is then the row
                              less its projection onto all atoms taken            (Pati et al. 1993)
soft threshold                c = sign(p) max(|p| - λ, 0), p = D z, λ the (k + 1)th largest |p|   (Coates & Ng 2011)
locality-constrained (LLC)    the k atoms nearest to z / |z|; c = argmin |z / |z| - Σ c b|² + β tr(C) |c|², Σ c = 1,
                              C the Gram matrix of b - z / |z|; times |z|          (Wang et al. 2010)
"""

from __future__ import annotations

import numpy as np

BETA = 1e-4  # of LLC, as published


def matching_pursuit(z: np.ndarray, atoms: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Atoms taken (n, steps), in order, and the energy left (n, steps + 1) of rows `z` (n, d). O(steps n k d).

    A row of which nothing is left keeps what it has: its further atoms change nothing."""
    left, rows = z.copy(), np.arange(len(z))
    taken, energy = np.zeros((len(z), steps), np.int64), np.zeros((len(z), steps + 1))
    energy[:, 0] = (z**2).sum(axis=1)
    basis = np.zeros((len(z), steps, z.shape[1]))
    for t in range(steps):
        products = np.abs(left @ atoms.T)
        products[rows[:, None], taken[:, :t]] = -1.0
        best = products.argmax(axis=1)
        new = atoms[best].copy()
        for _ in range(2):  # once loses digits
            new -= np.einsum("nt,ntd->nd", np.einsum("ntd,nd->nt", basis[:, :t], new), basis[:, :t])
        size = np.linalg.norm(new, axis=1)
        new = np.where(size[:, None] > 1e-9, new / np.maximum(size, 1e-300)[:, None], 0.0)
        left -= (left * new).sum(axis=1)[:, None] * new
        basis[:, t], taken[:, t], energy[:, t + 1] = new, best, (left**2).sum(axis=1)
    return taken, energy


def codes_on(z: np.ndarray, atoms: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """(n, k) least-squares codes of rows `z` on the atoms `taken` (n, t)."""
    out = np.zeros((len(z), len(atoms)))
    for i, own in enumerate(taken):
        out[i, own] = np.linalg.lstsq(atoms[own].T, z[i], rcond=None)[0]
    return out


def soft_threshold(z: np.ndarray, atoms: np.ndarray, k: int) -> np.ndarray:
    """Codes (n, atoms), at most k of a row not 0."""
    p = z @ atoms.T
    if k >= p.shape[1]:
        return p
    level = np.partition(np.abs(p), -k - 1, axis=1)[:, -k - 1][:, None]
    return np.sign(p) * np.maximum(np.abs(p) - level, 0)


def rebuilt_by_llc(z: np.ndarray, atoms: np.ndarray, k: int) -> np.ndarray:
    """Rows (n, d) as LLC writes them with k atoms. O(n (k d + k³))."""
    size = np.linalg.norm(z, axis=1, keepdims=True)
    unit = z / np.where(size > 0, size, 1)
    near = np.argpartition(-(unit @ atoms.T), min(k, len(atoms) - 1), axis=1)[:, :k]
    chosen = atoms[near]
    apart = chosen - unit[:, None]
    gram = np.einsum("nid,njd->nij", apart, apart)
    trace = np.maximum(np.trace(gram, axis1=1, axis2=2), 1e-12)
    gram[:, np.arange(k), np.arange(k)] += BETA * trace[:, None]
    c = np.linalg.solve(gram, np.ones((len(z), k, 1)))[..., 0]
    c /= c.sum(axis=1, keepdims=True)
    return size * np.einsum("nk,nkd->nd", c, chosen)
