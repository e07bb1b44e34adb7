"""A tap made of planted sparse features, and feature sets that encode it, as encoded taps of a store."""

from __future__ import annotations

import numpy as np

from analysis.features import rules
from analysis.features.encoding import encode_tap
from analysis.features.feature_set import FeatureSet
from analysis.store.from_arrays import write_store
from analysis.store.reader import Store

D, K = 16, 24


def atoms(k=K, d=D, seed=0) -> np.ndarray:
    a = np.random.default_rng(seed).standard_normal((k, d))
    return a / np.linalg.norm(a, axis=1, keepdims=True)


def planted_codes(n: int, k=K, seed=1, active=2) -> np.ndarray:
    """(n, k): `active` of the features in each row, one to three in size; the last two never."""
    rng, out = np.random.default_rng(seed), np.zeros((n, k))
    for row in out:
        row[rng.choice(k - 2, active, replace=False)] = 1 + 2 * rng.random(active)
    return out


def set_of(
    name: str, directions: np.ndarray, rule=rules.TOPK, active=2, centre=None, silent=0, **more
) -> FeatureSet:
    """Tied: the encoder is the decoder turned round. The last `silent` features never fire."""
    k, d = directions.shape
    bias = np.where(np.arange(k) < k - silent, 0.0, -1e3)
    centre = np.zeros(d) if centre is None else centre
    return FeatureSet(name, rule, directions.T, directions, bias, centre, centre,
                      active=active if rule in (rules.TOPK, rules.PURSUIT) else None, **more)  # fmt: skip


def encoded(directory, x, sets, labels=None, classes=(), tokens=None) -> Store:
    """A store with the tap "mlp" of `x`, encoded by every set; `tokens` (n_samples,) rows of each sample."""
    values = np.asarray(x, np.float32)
    parts = values if tokens is None else np.split(values, np.cumsum(tokens)[:-1])
    store = write_store(directory, name="s", taps={"mlp": parts}, labels=labels, classes=classes)
    for features in sets:
        store = encode_tap(store, "mlp", features)
    return store
