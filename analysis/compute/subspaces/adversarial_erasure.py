"""Linear adversarial erasure (R-LACE): the k directions whose removal hurts the best logistic probe most.

    max over P in F_k  min over θ   (1 / n) Σ log loss(y_i, softmax((I - P) x_i Θ + b)) + λ / 2 ‖Θ‖²

F_k = {0 ⪯ P ⪯ I, tr P = k}, the Fantope, is the convex hull of the projections of rank k. The inner minimum is solved
by L-BFGS from where it was, P moves along the gradient there (Danskin) by √k / step, and is put back into F_k by
shifting and clipping its eigenvalues. Now and then P is rounded to its k leading eigenvectors and an almost free
probe fitted to what those leave; the rounding with the largest loss is returned. The loss of a constant is the most
there can be: the search ends there.

At k = classes - 1 the answer is known, since a linear probe is constant exactly where all class means are equal: the
span of their differences. Below it the game chooses. For least squares (a number) the closed form is the
cross-covariance projection (Ravfogel et al.), which is returned.

Reference: S. Ravfogel, M. Twiton, Y. Goldberg & R. Cotterell (2022), "Linear Adversarial Concept Erasure".
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.compute.groups.concept import Concept
from analysis.compute.linear.softmax_regression import Softmax, constant_loss, loss_and_slope, softmax_fit
from analysis.compute.subspaces.concept_moments import ConceptMoments
from analysis.compute.subspaces.erasure import Eraser, covariance_projection, orthogonal

STEPS, EVERY = 80, 10
PLAYING = 0.1  # λ of data scaled to unit mean variance: without it a probe undoes any P short of a projection
JUDGING = 1e-4  # λ of the probe that judges a rounding
NOTHING_LEFT = 1e-4  # of the constant's loss


def adversarial_projection(x: np.ndarray, concept: Concept, m: ConceptMoments, k: int) -> Eraser:
    """Removes k directions. O(steps (n d C + d³))."""
    if concept.is_number:
        return replace(covariance_projection(m, k), name="R-LACE")
    z, c = (x - m.mean) / m.scale, len(concept.classes)
    d = z.shape[1]
    k, top = min(k, d), constant_loss(concept.of, c)
    if k == d:
        return orthogonal("R-LACE", m.mean, np.eye(d))
    p, best, loss, probe = np.eye(d) * k / d, np.eye(d)[:, :k], -np.inf, None
    for step in range(STEPS):
        left = z - z @ p
        probe = softmax_fit(left, concept.of, c, PLAYING, probe, 30)
        rise = _rise(z, left, concept.of, probe)
        size = np.linalg.norm(rise)
        if size > 0:
            p = onto_fantope(p + rise * (np.sqrt(k) / size / (1 + step)), k)
        if step % EVERY == EVERY - 1:
            frame = np.linalg.eigh(p)[1][:, -k:]
            rounded = softmax_fit(z - (z @ frame) @ frame.T, concept.of, c, JUDGING, None, 100)
            if rounded.loss > loss:
                best, loss = frame, rounded.loss
            if loss > top * (1 - NOTHING_LEFT) or size == 0:
                break
    return orthogonal("R-LACE", m.mean, best)


def _rise(z: np.ndarray, left: np.ndarray, of: np.ndarray, probe: Softmax) -> np.ndarray:
    """Gradient (d, d) of the loss in P at the probe, symmetric: -(1 / n) Σ x_i (Θ slope_i)ᵀ."""
    slope = loss_and_slope(left @ probe.weights + probe.intercept, of)[1]
    rise = -(z.T @ slope) @ probe.weights.T
    return (rise + rise.T) / 2


def onto_fantope(p: np.ndarray, k: int) -> np.ndarray:
    """The nearest matrix (Frobenius) of {0 ⪯ P ⪯ I, tr P = k}: eigenvalues shifted by one number and clipped (Vu, Cho,
    Lei & Rohe 2013). O(d³)."""
    values, vectors = np.linalg.eigh(p)
    low, high = values[0] - 1.0, values[-1]
    for _ in range(60):
        shift = (low + high) / 2
        if np.clip(values - shift, 0.0, 1.0).sum() > k:
            low = shift
        else:
            high = shift
    return (vectors * np.clip(values - (low + high) / 2, 0.0, 1.0)) @ vectors.T
