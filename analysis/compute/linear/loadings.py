"""Axes that can be read: sparse and rotated directions, and loadings in words."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.ratios import sample_sums

SPELLED = 6  # units of an axis that are named


def in_words(loading: np.ndarray, names: tuple[str, ...], most: int = SPELLED) -> str:
    """Such as "0.71 unit 12 - 0.53 unit 40 and 3 more": the strongest loadings of a direction (d,)."""
    order = np.argsort(-np.abs(loading), kind="stable")
    order = order[np.abs(loading[order]) > 1e-9 * max(np.abs(loading).max(), 1e-300)]
    text = ""
    for i in order[:most]:
        sign = ("-" if loading[i] < 0 else "") if not text else (" - " if loading[i] < 0 else " + ")
        text += f"{sign}{abs(loading[i]):.2f} unit {names[i]}"
    return text + (f" and {len(order) - most} more" if len(order) > most else "")


def truncated(v: np.ndarray, r: int) -> np.ndarray:
    """`v` with all but its r largest magnitudes set to 0, of unit length (ties to the lower index)."""
    keep = np.argsort(-np.abs(v), kind="stable")[:r]
    out = np.zeros_like(v)
    out[keep] = v[keep]
    length = np.linalg.norm(out)
    return out / length if length else out


def sparse_directions(x: np.ndarray, k: int, r: int, steps: int = 200) -> np.ndarray:
    """k unit directions (k, d), each with at most r units, by truncated power steps (Yuan & Zhang 2013).

    Each next direction is sought in what the earlier scores leave of `x` (n, d, centred), so that it is chosen for
    the variance it adds. Deterministic: from the leading direction with 8 r, 4 r, 2 r units, and from the two most
    variable single units; the best is kept. Time O(k n d steps). Fewer directions where nothing is left.
    """
    rest, found = x.copy(), []
    whole = (x**2).sum()
    for _ in range(k):
        variances = (rest**2).sum(axis=0)
        if variances.sum() <= 1e-12 * whole:
            break
        starts = [variances / np.linalg.norm(variances)]
        starts += [np.eye(1, x.shape[1], j)[0] for j in np.argsort(-variances, kind="stable")[:2]]
        candidates = [_power(rest, start, r, steps) for start in starts]
        best = max(candidates, key=lambda v: ((rest @ v) ** 2).sum())
        best = best * np.sign(best[np.abs(best).argmax()])
        found.append(best)
        t = rest @ best
        rest = rest - np.outer(t, (t @ rest) / (t @ t))
    return np.array(found)


def _power(x: np.ndarray, start: np.ndarray, r: int, steps: int) -> np.ndarray:
    v = start
    for size in (8 * r, 4 * r, 2 * r, r):
        for _ in range(steps):
            moved = truncated((x @ v) @ x, size)
            if not moved.any():
                return truncated(start, r)
            done = np.abs(moved - v).max() < 1e-10
            v = moved
            if done:
                break
    return v


def adjusted_variances(scores: np.ndarray) -> np.ndarray:
    """Variance (k,) that each score (n, k, centred) adds to those before it: squares of R's diagonal in scores =
    Q R, over n - 1 (Zou, Hastie & Tibshirani 2006). Correlated scores are not counted twice."""
    return np.diag(np.linalg.qr(scores, mode="r")) ** 2 / (len(scores) - 1)


def varimax(frame: np.ndarray, rng: np.random.Generator, starts: int = 4, steps: int = 500) -> np.ndarray:
    """The rotation R (m, m) that makes the columns of `frame` (d, m, orthonormal) @ R most unequal: the largest
    Σ loading⁴ (Kaiser 1958; for orthonormal columns also quartimax), best of several starts. O(starts steps d m²)."""
    m, best, top = frame.shape[1], None, -1.0
    for i in range(starts):
        rotation = np.eye(m) if i == 0 else np.linalg.qr(rng.standard_normal((m, m)))[0]
        value = 0.0
        for _ in range(steps):
            u, s, vt = np.linalg.svd(frame.T @ (frame @ rotation) ** 3)
            rotation = u @ vt
            if s.sum() <= value * (1 + 1e-12):
                break
            value = s.sum()
        reached = float(((frame @ rotation) ** 4).sum())
        if reached > top * (1 + 1e-9):
            best, top = rotation, reached
    return best


def simplicity(frame: np.ndarray) -> float:
    """Mean over the columns of `frame` (d, m, unit length) of Σ loading⁴: 1 for single units, 1 / d when all units
    share equally; its inverse is how many units an axis has, in effect."""
    return float((frame**4).sum(axis=0).mean())


def adjusted_shares_interval(x, scores, sample, rng, draws: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """95 % bootstrap interval (low (k,), high (k,)) over samples of `adjusted_variances` as shares of the variance of
    `x` (n, d) centred, from sums of products of the `scores` (n, k) per `sample` (n,). O(n k² + draws k² samples)."""
    products = sample_sums(scores[:, :, None] * scores[:, None, :], sample)
    total = sample_sums((x**2).sum(axis=1), sample)
    drawn = []
    for _ in range(draws):
        weights = rng.multinomial(len(total), np.full(len(total), 1 / len(total)))
        gram = np.tensordot(weights, products, axes=1)
        whole = weights @ total
        if whole > 0 and np.linalg.eigvalsh(gram)[0] > 0:
            drawn.append(np.diag(np.linalg.cholesky(gram)) ** 2 / whole)
    if not drawn:
        return np.full(scores.shape[1], np.inf), np.full(scores.shape[1], -np.inf)
    return tuple(np.percentile(drawn, [2.5, 97.5], axis=0))
