"""Samples with a concept, for the tests of concepts."""

from __future__ import annotations

import numpy as np

from analysis.activations import ArrayActivations, Layout


def tap(x, tokens=1, **columns) -> ArrayActivations:
    layout = Layout(np.arange(len(x) // tokens + 1, dtype=np.int64) * tokens)
    return ArrayActivations(np.asarray(x), name="store:tap", samples=columns, layout=layout)


def two_classes(n=400, d=6, seed=0, shift=2.0):
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(n) % 2)
    return rng.standard_normal((n, d)) + shift * label[:, None] * np.eye(d)[0] + 3, label
