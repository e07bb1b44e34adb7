"""Iterated nullspace projection (INLP): fit a linear classifier, remove what it reads, fit again on the rest.

A round fits a multinomial logistic regression (of a number: ridge regression) to x (I - U Uᵀ) and adds the span of its
weights, at most classes - 1 directions, to U. Each round leaves a direction for the next one: the weights are not the
span of the class means unless the classes are spherical, so it removes more than Σ_xz needs.

Reference: S. Ravfogel, Y. Elazar, H. Gonen, M. Twiton & Y. Goldberg (2020), "Null It Out".
"""

from __future__ import annotations

import numpy as np

from analysis.compute.groups.concept import Concept
from analysis.compute.linear.softmax_regression import softmax_fit
from analysis.compute.subspaces.concept_moments import ConceptMoments
from analysis.compute.subspaces.erasure import Eraser, orthogonal

PENALTY = 1e-3  # ridge on weights of data scaled to unit mean variance


def iterated_nullspace(x: np.ndarray, concept: Concept, m: ConceptMoments, k: int) -> Eraser:
    """Removes k directions, those of the largest weights in the last round. O(rounds n d C) and O(d²)."""
    z = (x - m.mean) / m.scale
    frame = np.zeros((x.shape[1], 0))
    while frame.shape[1] < min(k, x.shape[1]):
        rest = z - (z @ frame) @ frame.T
        weights = _weights(rest, concept)
        weights -= frame @ (frame.T @ weights)
        u, s, _ = np.linalg.svd(weights, full_matrices=False)
        new = u[:, s > 1e-6 * max(float(s[0]), 1e-3)][:, : min(k, x.shape[1]) - frame.shape[1]]
        if not new.shape[1]:
            break
        frame = np.linalg.qr(np.hstack([frame, new]))[0]
    return orthogonal("INLP", m.mean, frame)


def _weights(x: np.ndarray, concept: Concept) -> np.ndarray:
    """(d, q) what a linear reader weighs the units by."""
    if concept.is_number:
        y = (concept.values - concept.values.mean()) / concept.values.std()
        return np.linalg.solve(x.T @ x / len(x) + PENALTY * np.eye(x.shape[1]), x.T @ y / len(x))[:, None]
    w = softmax_fit(x, concept.of, len(concept.classes), PENALTY).weights
    w = w - w.mean(axis=1, keepdims=True)
    u, s, vt = np.linalg.svd(w, full_matrices=False)
    q = len(concept.classes) - 1
    return u[:, :q] * s[:q] @ vt[:q]
