"""Points of two pictures assigned to each other, with a dustbin for those that have no partner, and the plane's motion
that the matches follow.

Optimal assignment with a dustbin: scores S (m, n) get a row and a column of the dustbin's score z, and the transport P
of (m + 1, n + 1) with row sums (1, …, 1, n) and column sums (1, …, 1, m) of the largest <P, S> + entropy is found by
Sinkhorn's iterations in logarithms. Every point's row, dustbin included, then sums to 1.

Homography: direct linear transform of points moved to their mean and scaled (Hartley), robust by random
samples of four.

References: P. Sarlin et al. (2020), "SuperGlue"; M. Cuturi (2013); R. Hartley & A. Zisserman (2004), chapter 4.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

TRIALS, LEAST, SAFE = 200, 4, 200.0  # random samples; points that a homography needs; span of scores


def dustbin_assignment(
    scores: np.ndarray, dustbin: float, iterations: int = 200, close: float = 1e-9
) -> tuple[np.ndarray, float]:
    """((m + 1, n + 1) assignment, largest distance of a row of a point from 1). Columns are exact."""
    m, n = scores.shape
    s = np.full((m + 1, n + 1), float(dustbin))
    s[:m, :n] = scores
    rows, columns = np.zeros(m + 1), np.zeros(n + 1)
    rows[m], columns[n] = np.log(n), np.log(m)
    if np.ptp(s) < SAFE:
        return _scaled(np.exp(s - s.max()), np.exp(rows), np.exp(columns), iterations, close)
    v = np.zeros(n + 1)
    for _ in range(iterations):
        u = rows - logsumexp(s + v, axis=1)
        v = columns - logsumexp(s + u[:, None], axis=0)
        p = np.exp(s + u[:, None] + v)
        off = float(np.abs(p[:m].sum(axis=1) - 1).max())
        if off <= close:
            break
    return p, off


def _scaled(k, rows, columns, iterations: int, close: float) -> tuple[np.ndarray, float]:
    """The same without logarithms, where no number is lost."""
    b, off = np.ones(k.shape[1]), np.inf
    kb = k @ b
    for _ in range(iterations):
        a = rows / kb
        b = columns / (a @ k)
        kb = k @ b
        off = float(np.abs((a * kb)[:-1] - 1).max())
        if off <= close:
            break
    return a[:, None] * k * b, off


def mutual_matches(p: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """((k, 2) pairs, (k,) confidence) of an assignment with a dustbin: each the other's largest, and at least
    `threshold`. The largest of a row that two share is the first."""
    inner = p[:-1, :-1]
    to, back = inner.argmax(axis=1), inner.argmax(axis=0)
    at = np.arange(len(inner))
    good = (back[to] == at) & (inner[at, to] >= threshold)
    return np.stack([at[good], to[good]], axis=1), inner[at, to][good]


def homography(a: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """(3, 3) that takes a (k, 2) to b in least squares of the linear equations; None for fewer than four points, or
    points in a line."""
    if len(a) < LEAST:
        return None
    (a, ta), (b, tb) = _normalised(a), _normalised(b)
    x, y, u, v = *a.T, *b.T
    one, none = np.ones(len(a)), np.zeros(len(a))
    first = np.stack([x, y, one, none, none, none, -u * x, -u * y, -u], axis=1)
    second = np.stack([none, none, none, x, y, one, -v * x, -v * y, -v], axis=1)
    _, s, right = np.linalg.svd(np.concatenate([first, second]))
    if len(s) < 8 or s[7] < 1e-9 * s[0]:
        return None
    h = np.linalg.inv(tb) @ right[8].reshape(3, 3) @ ta
    return h / h[2, 2] if abs(h[2, 2]) > 1e-12 else None


def _normalised(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle = x.mean(axis=0)
    size = max(float(np.linalg.norm(x - middle, axis=1).mean()) / np.sqrt(2), 1e-12)
    return (x - middle) / size, np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, size]]) / size


def moved(h: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(k, 2) where a homography takes points; infinite where it takes them to infinity."""
    found = np.column_stack([points, np.ones(len(points))]) @ h.T
    with np.errstate(divide="ignore", invalid="ignore"):
        out = found[:, :2] / found[:, 2:]
    return np.where(np.isfinite(out), out, np.inf)


def plane_motion(a: np.ndarray, b: np.ndarray, close: float, rng: np.random.Generator) -> np.ndarray | None:
    """The homography that most of the matches a → b follow to within `close`, fitted again to these; None where no
    four of them give one."""
    best, most = None, 0
    for _ in range(TRIALS if len(a) > LEAST else 1):
        four = rng.choice(len(a), LEAST, replace=False) if len(a) >= LEAST else np.arange(0)
        h = homography(a[four], b[four])
        if h is None:
            continue
        near = np.linalg.norm(moved(h, a) - b, axis=1) <= close
        if near.sum() > most:
            best, most = near, int(near.sum())
            if most == len(a):
                break
    return None if best is None else homography(a[best], b[best])
