"""Where the directions of a dictionary start: inside the space that the activations use.

    P  the leading principal axes that hold 99 % of the variance;   decoder row ← P Pᵀ d / |P Pᵀ d|, encoder likewise

After "Attention layers add into low-dimensional residual subspaces": a direction that starts mostly outside never
becomes active, and a feature that is never active learns nothing. The axes are those of at most 2^17 rows that are
trained on; fewer rows than twice the units are refused, because n rows span at most n - 1 axes whatever the tap uses.
A random direction has a share r / d of its energy in r of d axes.
"""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.moments import Moments
from analysis.errors import NotEnoughData
from analysis.features.architectures.architecture import SparseDictionary
from analysis.features.row_stream import RowStream

SHARE = 0.99  # of the variance
BATCH, MOST_ROWS = 4096, 1 << 17
FEWEST = 2  # rows for each unit


def start_inside(dictionary: SparseDictionary, stream: RowStream) -> dict:
    """Move the first directions of `dictionary`; what is to be said about it. O(rows d² + d³)."""
    import torch

    own, wanted = _moments(dictionary, stream)
    found, parts = {}, []
    for moments in (own, wanted) if dictionary.rebuilds_beside else (own,):
        axes = active_axes(moments.scatter)
        parts.append(torch.from_numpy(axes.astype(np.float32)))
    dictionary.start_inside(parts[0], parts[-1])
    found["active_subspace"] = {
        "axes": parts[-1].shape[1], "units": parts[-1].shape[0], "share": SHARE, "rows": own.n
    }  # fmt: skip
    return found


def active_axes(scatter: np.ndarray, share: float = SHARE) -> np.ndarray:
    """(d, r): the fewest leading principal axes that hold `share` of the variance."""
    sizes, axes = np.linalg.eigh(scatter)
    sizes, axes = np.maximum(sizes[::-1], 0), axes[:, ::-1]
    held = np.cumsum(sizes) / sizes.sum()
    return axes[:, : int(np.searchsorted(held, share * (1 - 1e-12))) + 1]


def _moments(dictionary: SparseDictionary, stream: RowStream) -> tuple[Moments, Moments]:
    """Of what is encoded, and of what is rebuilt."""
    import torch

    d, own, wanted = stream.activations.shape[1], None, None
    for place, z in stream.scaled_rows(BATCH):
        if own is not None and (place.epoch > 0 or own.n >= MOST_ROWS):
            break
        rows = torch.from_numpy(z)
        mine, theirs = (Moments.of(part.numpy()) for part in (dictionary.own(rows), dictionary.wanted(rows)))
        own, wanted = (mine, theirs) if own is None else (own.merge(mine), wanted.merge(theirs))
    widest = max(d, wanted.mean.size)
    if own.n < FEWEST * widest:
        raise NotEnoughData(
            f"{own.n:,} rows of {widest:,} units to find the active subspace by",
            f"at least {FEWEST * widest:,}", "Let the directions start at random",
        )  # fmt: skip
    return own, wanted
