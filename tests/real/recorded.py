"""Open a real checkpoint and data through the ordinary sources, and record them."""

from __future__ import annotations

import numpy as np

from analysis.recording.recorder import record
from analysis.sources.checkpoint import open_checkpoint
from analysis.store.reader import Store


def recorded(weights, factory, data, directory, **options) -> Store:
    """`weights`: a file with the name of its factory in `networks`, or a module where `factory` is None."""
    checkpoint = (
        open_checkpoint(weights) if factory is None else open_checkpoint(weights, model=f"networks:{factory}")
    )
    settings = {"name": directory.name, "batch": 100, **options}
    return record(checkpoint, data, directory, **settings)


def rows(store: Store, tap: str) -> np.ndarray:
    """All rows of a tap."""
    activations = store.activations(tap)
    return np.asarray(activations.take(np.arange(activations.shape[0])), dtype=np.float64)
