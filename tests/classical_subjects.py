"""Rows, stores and comparisons that tests of classical dictionaries share."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from analysis.features.row_stream import held_out_rows
from analysis.store.from_arrays import write_store

D = 8


def rows(n=400, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, D)) * np.arange(1, D + 1) @ rng.standard_normal((D, D)) + 3).astype(
        np.float32
    )


def stored(folder, x, **more):
    return write_store(folder / "s", name="s", taps={"x": x}, **more)


def seen(store, tap="x", seed=0):
    """The rows that a fit with this seed sees, in float64, and those it does not."""
    a = store.activations(tap)
    held = held_out_rows(a, 0.1, seed)[0]
    x = a.take(np.arange(a.shape[0])).astype(np.float64)
    return x[~held], x[held]


def lines(values):
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def matched(found, truth):
    """Cosines of the best one-to-one matching."""
    cosine = lines(found) @ lines(truth).T
    return cosine[linear_sum_assignment(-cosine)]


def parts(n=500, k=4, seed=0):
    """(atoms, rows): rows of 0 and above, each of one or two of k atoms that have units of their own."""
    rng = np.random.default_rng(seed)
    atoms = rng.random((k, 12)) * (rng.random((k, 12)) < 0.5) + np.eye(k, 12)
    codes = rng.exponential(size=(n, k)) * (rng.random((n, k)) < 0.4)
    return atoms / np.linalg.norm(atoms, axis=1, keepdims=True), codes @ atoms
