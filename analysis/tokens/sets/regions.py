"""Recorded tokens with the boxes that lie over them, and what regions lose when they are put back."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations
from analysis.spec import no_progress
from analysis.tokens.pooling.token_sets import token_sets
from analysis.tokens.sets.boxes import lost
from analysis.tokens.sets.instances import instances_of


def placed(
    tap: Activations, texts: np.ndarray | None, maximum: int, rng, progress=no_progress, span=(0.0, 1.0)
):
    """(tokens of samples, their instances); boxes as `texts` (samples,)."""
    sets = token_sets(tap, maximum, rng, progress, span=span)
    cell = np.where(sets.present, np.arange(sets.present.shape[1]), -1)
    return sets, instances_of(texts, sets.samples, cell, sets.present, sets.grid)


def regions_lost(
    tap: Activations, texts: np.ndarray | None, maximum: int, rng
) -> tuple[np.ndarray, np.ndarray] | None:
    """(n,) share lost of regions put back and cut out again, and with places exchanged."""
    if texts is None or tap.layout.grid is None or tap.layout.is_pooled:
        return None
    sets, found = placed(tap, texts, maximum, rng)
    turned, own, null = rng.permutation(sets.x.shape[1]), [], []
    for x, boxes in zip(sets.x, found.boxes, strict=True):
        if len(boxes):
            maps = [v.reshape(*sets.grid, -1) for v in (x, x[turned])]
            own.append(np.mean([lost(maps[0], b) for b in boxes]))
            null.append(np.mean([lost(maps[1], b) for b in boxes]))
    return np.array(own), np.array(null)
