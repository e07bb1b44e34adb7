"""Copies recognised as their originals at a rate of false accepts, among strangers."""

from __future__ import annotations

import numpy as np

from analysis.errors import NotEnoughData


def verified(original: np.ndarray, moved: np.ndarray, who: np.ndarray, far: float):
    """((n,) cosines of pairs, (n,) recognised or not, mean cosine of strangers, FAR that is reached, their pairs)."""
    a, b = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-300) for x in (original, moved))
    all_ = a @ b.T
    strangers = all_[who[:, None] != who[None, :]]
    own = np.diag(all_).copy()
    if not len(strangers):
        raise NotEnoughData("one identity", "two or more", "Choose another column of identities")
    bar = np.sort(strangers)[::-1][int(far * len(strangers))]  # the first stranger that is not let in
    return (
        own,
        (own > bar).astype(float),
        float(strangers.mean()),
        float((strangers > bar).mean()),
        len(strangers),
    )
