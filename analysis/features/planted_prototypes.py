"""A small set of prototypes with a last layer, and images of patches that hold some of them: known answers."""

from __future__ import annotations

import numpy as np

from analysis.activations import ArrayActivations, Layout
from analysis.features import rules
from analysis.features.feature_set import FeatureSet
from analysis.features.tap_dictionary import TapDictionary

PATCHES, CLASSES, EACH, UNITS = 9, 3, 2, 8


def planted_prototypes(
    rng, n: int = 60, spoilt: bool = False
) -> tuple[TapDictionary, np.ndarray, np.ndarray]:
    """Six prototypes of three classes, n images of 3 × 3 patches, one patch near a prototype of its class and the
    first images' *on* it; the classes (n,) and, patch by patch, the logits (n, 3).

    `spoilt`: the images are the same, then prototype 1 becomes 0 again, 2 moves far away, and 5 is said to be of class
    0."""
    vectors = rng.random((CLASSES * EACH, UNITS)).astype(np.float32)
    owner, of = np.repeat(np.arange(CLASSES), EACH), np.arange(n) % CLASSES
    x = rng.random((n, PATCHES, UNITS)).astype(np.float32)
    for i in range(n):
        own = vectors[EACH * of[i] + i // CLASSES % EACH]
        x[i, i % PATCHES] = own + (0.05 * rng.standard_normal(UNITS) if i >= CLASSES * EACH else 0)
    if spoilt:
        vectors[1], vectors[2], owner[5] = vectors[0], vectors[2] + 10, 0
    last = np.where(owner == np.arange(CLASSES)[:, None], 1.0, -0.5)
    zero, names = np.zeros(UNITS, np.float32), tuple(f"{p}" for p in range(len(vectors)))
    about = {"prototype_classes": owner.tolist(), "output_bias": []}
    features = FeatureSet("planted", rules.PROTOTYPE, vectors.T, vectors, np.zeros(len(vectors)), zero, zero,
                          epsilon=1e-4, connections=last, about=about)  # fmt: skip
    layout = Layout(np.arange(n + 1) * PATCHES, (3, 3), 0)
    rows, samples = x.reshape(-1, UNITS), {"label": of}
    source = ArrayActivations(rows, "images", samples, layout)
    codes = ArrayActivations(features.encode(rows), "images@planted", samples, layout, names)
    logits = np.zeros((n, CLASSES))
    for i in range(n):
        for p, vector in enumerate(vectors.astype(np.float64)):
            d2 = ((x[i].astype(np.float64) - vector) ** 2).sum(axis=1).min()
            logits[i] += last[:, p] * np.log((d2 + 1) / (d2 + 1e-4))
    return TapDictionary(codes, source, features, False), of, logits
