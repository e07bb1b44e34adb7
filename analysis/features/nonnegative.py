"""Non-negative least squares for many rows at once.

    c = argmin over c >= 0 of |z - c D|² + ρ Σ |d_j|² c_j²        ρ = 1e-9: the shortest answer where there are several

A few sweeps of coordinate descent guess which features are active; block principal pivoting (Júdice & Pires 1994; Kim &
Park 2011) makes the guess exact: with F the active ones, c_F solves the normal equations of F, and features whose
value or gradient is negative change sides, all of them as long as their number falls, else the last one alone, which
ends after finitely many steps. All rows take a step together. O(n k²) for each sweep and O(n f³) for f active features.
"""

from __future__ import annotations

import numpy as np

RIDGE = 1e-9
SWEEPS, PATIENCE, STEPS = 16, 3, 200
TOLERANCE = 1e-11  # of a value or gradient, in units of the row's largest product
BLOCK_ROWS = 4096
STRIDE = 8
SOLVED = 1 << 22  # numbers in the systems that are solved at a time


def nonnegative_codes(z: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Codes (n, k) of rows `z` (n, d) with `directions` (k, d), in the directions' type; 0 for one of length 0."""
    wide = np.asarray(directions, np.float64)
    lengths = np.sqrt((wide**2).sum(axis=1))
    on = lengths > 0
    unit = wide[on] / lengths[on, None]
    gram = unit @ unit.T + RIDGE * np.eye(len(unit))
    codes = np.zeros((len(z), len(wide)), np.asarray(directions).dtype)
    for start in range(0, len(z), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        products = np.asarray(z[part], np.float64) @ unit.T
        codes[part, on] = _solved(gram, products) / lengths[on]
    return codes


def _solved(gram: np.ndarray, products: np.ndarray) -> np.ndarray:
    """(n, k) minimum of c G c / 2 - b c over c >= 0, for each row b of `products` (n, k)."""
    codes = np.zeros_like(products)
    if not codes.size:
        return codes
    rows = np.flatnonzero((products > 0).any(axis=1))  # of the others the minimum is at 0
    limit = TOLERANCE * np.abs(products[rows]).max(axis=1, keepdims=True) if len(rows) else 0
    active = _descended(gram, products[rows]) > 0
    fewest, patience = np.full(len(rows), products.shape[1] + 1), np.full(len(rows), PATIENCE)
    for _ in range(STEPS):
        if not len(rows):
            return codes
        found = _on(gram, products[rows], active)
        wrong = np.where(active, found < -limit, products[rows] - found @ gram > limit)
        many = wrong.sum(axis=1)
        codes[rows] = np.maximum(found, 0)
        left = many > 0
        rows, active, limit, wrong, many = rows[left], active[left], limit[left], wrong[left], many[left]
        fewest, patience = fewest[left], patience[left]
        better = many < fewest
        fewest = np.where(better, many, fewest)
        patience = np.where(better, PATIENCE, patience - 1)
        alone = patience < 0
        if alone.any():
            last = wrong.shape[1] - 1 - wrong[alone, ::-1].argmax(axis=1)
            wrong[alone] = np.arange(wrong.shape[1]) == last[:, None]
        active = active ^ wrong
    codes[rows] = _one_by_one(gram, products[rows])
    return codes


def _descended(gram: np.ndarray, products: np.ndarray) -> np.ndarray:
    """(n, k) after a few sweeps of coordinate descent from 0."""
    b = np.ascontiguousarray(products.T)
    codes = np.zeros_like(b)
    for _ in range(SWEEPS):
        for j in range(len(b)):
            codes[j] = np.maximum(codes[j] + (b[j] - gram[j] @ codes) / gram[j, j], 0)
    return codes.T


def _on(gram: np.ndarray, products: np.ndarray, active: np.ndarray) -> np.ndarray:
    """(n, k) that solve the normal equations of each row's `active` features; 0 elsewhere."""
    out, many = np.zeros_like(products), active.sum(axis=1)
    width = np.minimum(-(-many // STRIDE) * STRIDE, len(gram))  # rows with about as many are solved together
    for f in np.unique(width[width > 0]):
        same = np.flatnonzero(width == f)
        for rows in np.array_split(same, -(-len(same) * f**2 // SOLVED)):
            at = np.argsort(~active[rows], axis=1, kind="stable")[:, :f]
            there = np.arange(f) < many[rows, None]
            system = gram[at[:, :, None], at[:, None, :]] * (there[:, :, None] & there[:, None, :])
            system[:, np.arange(f), np.arange(f)] += ~there
            values = np.take_along_axis(products[rows], at, axis=1) * there
            out[rows[:, None], at] = np.linalg.solve(system, values[..., None])[..., 0]
    return out


def _one_by_one(gram: np.ndarray, products: np.ndarray) -> np.ndarray:
    """The same by Lawson and Hanson's method, for rows that rounding keeps from ending."""
    from scipy.linalg import solve_triangular
    from scipy.optimize import nnls

    lower = np.linalg.cholesky(gram)
    return np.array([nnls(lower.T, solve_triangular(lower, b, lower=True))[0] for b in products])
