"""Learning a dictionary by K-SVD: codes by a pursuit, then feature by feature with what the others leave over. Codes
may be held to 0 and above, as of features, or have a sign, as of weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

ROUNDS, SETTLED = 30, 1e-4
INSIDE = 1e-8  # share of an atom outside of those already taken, below which it cannot be told from them


def learned_atoms(
    x: np.ndarray,
    atoms: np.ndarray,
    codes_of: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    signed: bool = False,
    rounds: int = ROUNDS,
    tick: Callable[[float], None] = lambda share: None,
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Atoms (k, d), codes (n, k) and whether they settled, for rows `x` (n, d) and first `atoms` (k, d) of length 1.

    An atom that no row uses is set to the row that is explained worst. `codes_of` (rows, atoms) is called once a round.
    """
    size, before = float((x**2).sum()), np.inf
    for number in range(rounds):
        tick(number / rounds)
        codes = codes_of(x, atoms)
        left = x - codes @ atoms
        error = float((left**2).sum())
        if before - error < SETTLED * size and number:
            return atoms, codes, True
        before = error
        _improve(atoms, codes, left, signed)
    return atoms, codes_of(x, atoms), False


def some_rows(x: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """(k, d) rows of the data at length 1; where too few are not 0, random directions."""
    good = np.flatnonzero((x**2).sum(axis=1) > 0)
    picked = rng.choice(good, size=min(k, len(good)), replace=False)
    more = rng.standard_normal((k - len(picked), x.shape[1]))
    atoms = np.concatenate([x[picked], more])
    return atoms / np.sqrt((atoms**2).sum(axis=1, keepdims=True))


def rows_apart(x: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """(k, d) rows of the data at length 1, each the one with most outside the span of those before it, as long as there
    is such a one; then others at random."""
    left, chosen = x.copy(), []
    floor = INSIDE * float((x**2).sum(axis=1).max())
    while len(chosen) < k:
        size = (left**2).sum(axis=1)
        at = int(size.argmax())
        if size[at] <= floor:
            break
        chosen.append(at)
        q = left[at] / np.sqrt(size[at])
        left -= np.outer(left @ q, q)
    others = np.setdiff1d(np.arange(len(x)), chosen)
    rest = some_rows(x[others], k - len(chosen), rng) if k > len(chosen) else x[:0]
    picked = x[chosen]
    return np.concatenate([picked / np.sqrt((picked**2).sum(axis=1, keepdims=True)), rest])


def _improve(atoms: np.ndarray, codes: np.ndarray, left: np.ndarray, signed: bool) -> None:
    """One step for each atom, in place; `left` = x - codes @ atoms is kept up."""
    taken: list[int] = []
    for j in range(len(atoms)):
        on = np.flatnonzero(codes[:, j])
        if not len(on):
            worst = (left**2).sum(axis=1)
            worst[taken] = 0
            at = int(worst.argmax())
            if worst[at] > 0:
                taken.append(at)
                atoms[j] = left[at] / np.sqrt(worst[at])
            continue
        own = left[on] + np.outer(codes[on, j], atoms[j])
        direction = codes[on, j] @ own
        length = float(np.sqrt(direction @ direction))
        if length > 0:
            atoms[j] = direction / length
            codes[on, j] = own @ atoms[j] if signed else np.maximum(own @ atoms[j], 0)
        left[on] = own - np.outer(codes[on, j], atoms[j])


def orthogonal_codes(x: np.ndarray, atoms: np.ndarray, steps: int) -> np.ndarray:
    """Codes (n, k) of either sign, at most `steps` of each row not 0: orthogonal matching pursuit, the codes of the
    atoms taken so far being those of least squares after each step. `atoms` (k, d) of length 1.

    O(n k d) for all products and O(n (k² + steps²)) a step, by the inverse of the products of the atoms taken.
    """
    n, k = len(x), len(atoms)
    steps = min(steps, k)
    gram, aim = atoms @ atoms.T, x @ atoms.T
    taken, free = np.zeros((n, 0), int), np.ones((n, k), bool)
    inverse, codes, rows = np.zeros((n, 0, 0)), np.zeros((n, k)), np.arange(n)
    floor = 1e-14 * np.abs(aim).max(axis=1, initial=0.0)
    for _ in range(steps):
        score = np.where(free, np.abs(aim - codes @ gram), -1.0)
        best = score.argmax(axis=1)
        cross = gram[taken, best[:, None]]
        inside = np.einsum("nst,nt->ns", inverse, cross)
        outside = 1.0 - (cross * inside).sum(axis=1)
        use = (score[rows, best] > floor) & (outside > INSIDE)
        free[rows, best] = False
        inverse = _bordered(inverse, inside, np.where(use, outside, 1.0), use)
        taken = np.concatenate([taken, best[:, None]], axis=1)
        codes[rows[:, None], taken] = np.einsum("nst,nt->ns", inverse, aim[rows[:, None], taken])
    return codes


def _bordered(inverse: np.ndarray, inside: np.ndarray, outside: np.ndarray, use: np.ndarray) -> np.ndarray:
    """(n, t + 1, t + 1) inverse of the products with one more atom; a row and column of 0 where it is not used."""
    n, t = inside.shape
    out = np.zeros((n, t + 1, t + 1))
    scale = use / outside
    out[:, :t, :t] = inverse + inside[:, :, None] * inside[:, None, :] * scale[:, None, None]
    out[:, :t, t] = out[:, t, :t] = -inside * scale[:, None]
    out[:, t, t] = scale
    return out
