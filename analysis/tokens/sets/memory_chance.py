"""What places read of a memory by chance, and how far that hangs on single units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.compute.statistics.sample_groups import sample_groups
from analysis.tokens.sets.clips import Clip, Clips
from analysis.tokens.sets.memory import read_frames

OTHERS_READ, EACH = 8, 25  # clips whose places are the null; places of each


def others_read(clips: Clips, own: Clip, held, params, rng) -> np.ndarray:
    """(m, M) mass that places of other clips pay the frames."""
    found = []
    for k in rng.permutation(clips.n)[: OTHERS_READ + 1]:
        if clips.names[k] != own.name and (other := clips.read(int(k))) is not None:
            queries = other.x[other.present]
            some = queries[rng.permutation(len(queries))[:EACH]]
            found.append(read_frames(own, some, held, params).sum(axis=2))
    return np.concatenate(found) if found else np.zeros((0, len(held)))


def without_units(clip: Clip, at: int, place: int, held, params, rng) -> np.ndarray:
    """(G, M) mass on the frames without each group of units; none of fewer than three units."""
    d = clip.x.shape[2]
    if d < 3:
        return np.zeros((0, len(held)))
    keeps = [np.setdiff1d(np.arange(d), g) for g in sample_groups(d, rng)]
    where = np.array([place])
    return np.stack([
        read_frames(replace(clip, x=clip.x[held][:, :, k], present=clip.present[held]), clip.x[at, [place]][:, k],
                    np.arange(len(held)), params, where)[0].sum(axis=1) for k in keeps
    ])  # fmt: skip
