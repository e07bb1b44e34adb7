"""How far each sample is from where a probe that never saw it fails, and which real samples lead there.

Features are centred by the training samples and of unit length. The margin of a sample of class y is its distance from
the nearest boundary, min over c of ((w_y - w_c) · x + b_y - b_c) / ‖w_y - w_c‖: negative where the probe is wrong. The
direction of easiest failure among real features is the gradient of the loss, projected on the span of a batch of other
samples (Qian et al. 2024): u = Σ_j a_j x_j, with the a_j of least length where they are not unique. It lies in that
span and is no longer than the gradient.

Reference: Q. Qian, Y. Xu & J. Hu (2024), "SeA: semantic adversarial augmentation for last layer features from
unsupervised representation learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.subspaces.adversarial_features import PLAIN, gradients, train, unit_rows
from analysis.compute.subspaces.compared_probes import FOLDS, Training
from analysis.spec import Progress, no_progress


@dataclass(frozen=True)
class Fragile:
    """Of n samples: `margins` (refits, n), the first of which goes with all that follows; `rival` (n,) the class across
    the nearest boundary; `fails_at` (n,) how far along the direction the probe fails (0 where it is wrong already,
    infinite where it never does) and `becomes` (n,) the class there (-1: none); `random_fails_at` (n,) the same along a
    random direction of the same span; `kept` (n,) the share of the gradient's square that lies in the span;
    `weights` (n, m) of the unit direction by the samples `batch` (n, m), places among the n."""

    margins: np.ndarray
    rival: np.ndarray
    fails_at: np.ndarray
    becomes: np.ndarray
    random_fails_at: np.ndarray
    kept: np.ndarray
    weights: np.ndarray
    batch: np.ndarray


def margins_of(
    x: np.ndarray, of: np.ndarray, weights: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) signed distances of the rows of `x` (n, d) from the nearest boundary of their class `of` (n,), and the class
    across it. `weights` (d, C). O(n d C + C² d)."""
    scores, gram = x @ weights + bias, weights.T @ weights
    length = np.sqrt(np.maximum(np.diag(gram)[:, None] + np.diag(gram) - 2 * gram, 0.0))
    lead = scores[np.arange(len(x)), of][:, None] - scores
    away = length[of]
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(away > 0, lead / away, np.where(lead < 0, -np.inf, np.inf))
    distance[np.arange(len(x)), of] = np.inf
    rival = distance.argmin(axis=1)
    found = distance[np.arange(len(x)), rival]
    return np.where(np.isfinite(found), found, 0.0), rival


def failing(x, of, weights, bias, along) -> tuple[np.ndarray, np.ndarray]:
    """(n,) how far the rows of `x` (n, d) go along the unit rows of `along` until another class leads, and which."""
    scores, slopes = x @ weights + bias, along @ weights
    own = np.arange(len(x)), of
    lead, closing = scores[own][:, None] - scores, slopes - slopes[own][:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        at = np.where(lead < 0, 0.0, np.where(closing > 1e-12, lead / closing, np.inf))
    at[own] = np.inf
    # of several classes that lead already, the one that leads most
    becomes = np.where((lead < 0).any(axis=1), lead.argmin(axis=1), at.argmin(axis=1))
    first = at.min(axis=1)
    return first, np.where(np.isfinite(first), becomes, -1)


def composed(g: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of `g` (n, d) projected on the span of the rows of `others` (m, d), and the coefficients (n, m) of least
    length that make them of those rows. O(d min(m, d)²)."""
    left, s, right = np.linalg.svd(others, full_matrices=False)
    good = s > s[:1] * 1e-10
    inside = g @ right[good].T
    return inside @ right[good], (inside / s[good]) @ left[:, good].T


def fragile(
    x: np.ndarray,
    of: np.ndarray,
    classes: int,
    how: Training,
    others: int,
    refits: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Fragile:
    """Of the samples `x` (n, d) of class `of` (n,): folds x refits probes, each `how.epochs` of O(n d C)."""
    n, size = len(x), min(others, int(0.8 * len(x)) - 1)
    margins, index = np.empty((refits, n)), np.empty((2, n), np.int64)
    numbers, weights, batch = np.empty((3, n)), np.empty((n, size)), np.empty((n, size), np.int64)
    for r in range(refits):
        fold = folds_of(of, FOLDS, rng)
        for f in range(FOLDS):
            done = (r + f / FOLDS) / refits
            progress(span[0] + (span[1] - span[0]) * done, "training probes")
            stay, test = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
            middle = x[stay].mean(axis=0)
            known, new = unit_rows(x[stay] - middle), unit_rows(x[test] - middle)
            w, b = train(
                known, of[stay], classes, PLAIN, 0.0, epochs=how.epochs, batch=how.batch, rate=how.rate,
                seed=int(rng.integers(2**31)),
            )  # fmt: skip
            margins[r, test], rival = margins_of(new, of[test], w, b)
            if r:
                continue
            chosen = rng.choice(len(stay), size, replace=False)
            g = gradients(new, np.eye(classes)[of[test]], w, b)
            inside, a = composed(g, known[chosen])
            length = np.linalg.norm(inside, axis=1)
            scale = np.maximum(length, 1e-300)[:, None]
            at, becomes = failing(new, of[test], w, b, inside / scale)
            chance = composed(rng.standard_normal(g.shape), known[chosen])[0]
            numbers[:, test] = at, failing(new, of[test], w, b, unit_rows(chance))[0], _share(length, g)
            index[:, test] = rival, becomes
            weights[test], batch[test] = a / scale, stay[chosen]
    return Fragile(margins, index[0], numbers[0], index[1], numbers[1], numbers[2], weights, batch)


def _share(length: np.ndarray, g: np.ndarray) -> np.ndarray:
    whole = (g**2).sum(axis=1)
    return np.divide(length**2, whole, out=np.zeros_like(whole), where=whole > 0)


def fragile_cost(n: int, d: int, how: Training, others: int, refits: int) -> tuple[float, float, float]:
    """Operations in products, small calls, and bytes held."""
    steps = refits * FOLDS * how.epochs * (0.8 * n / how.batch + 1)
    flops = steps * how.batch * d * 10 * 6.0 + FOLDS * 30.0 * d * min(others, d) ** 2
    return flops, steps * 30, 8.0 * (n * d * 3.2 + 2.0 * n * others)
