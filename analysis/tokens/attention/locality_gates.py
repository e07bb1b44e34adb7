"""The gates σ(λ) of heads between content and place, as ConViT learns them: one tensor called gating_param a layer."""

from __future__ import annotations

import numpy as np

from analysis.errors import LoupeError
from analysis.sources.weights import weights_of
from analysis.tokens.attention.heads import HeadReader

GATE = "gating_param"


def gates_of(tap, reader: HeadReader) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """((L, H) σ(λ) or None, what is to be said)."""
    try:
        network = weights_of(tap)
        names = sorted((k for k in network.shapes if k.split(".")[-1] == GATE), key=_numbered)
        gates = [np.asarray(network.tensor(k), np.float64).reshape(-1) for k in names]
    except LoupeError:
        return None, ()
    if not gates or any(len(g) != reader.heads for g in gates) or len(gates) > reader.layers:
        return None, ()
    out = np.full((reader.layers, reader.heads), np.nan)  # the last layers of such networks have none
    out[: len(gates)] = 1 / (1 + np.exp(-np.array(gates)))
    return out, (f"Gates are σ of {len(gates)} tensors called {GATE}.",)


def _numbered(name: str) -> tuple:
    return tuple(int(p) if p.isdigit() else -1 for p in name.split("."))
