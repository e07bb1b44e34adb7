"""What places read of a memory by chance, and how far that hangs on single units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.compute.statistics.sample_groups import sample_groups
from analysis.tokens.sets.clips import Clip, Clips
from analysis.tokens.sets.memory import read_frames

OTHERS_READ, FRAMES, EACH = 8, 4, 25  # clips whose places are the null; frames of each, places of a frame


def others_read(clips: Clips, own: Clip, held, params, rng) -> list[np.ndarray]:
    """For each of some frames of other clips (m, M) mass that its places pay the frames held, inside the same window
    where both have the same places."""
    found = []
    for k in rng.permutation(clips.n)[: OTHERS_READ + 1]:
        if clips.names[k] != own.name and (other := clips.read(int(k))) is not None:
            for f in rng.permutation(other.n)[:FRAMES]:
                places = rng.permutation(np.flatnonzero(other.present[f]))[:EACH]
                where = places if other.patches == own.patches else None
                paid = read_frames(own, other.x[f, places], held, params, where).sum(axis=2)
                if (paid := paid[paid.sum(axis=1) > 0]).size:
                    found.append(paid)
    return found


def largest(frames: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """((q,) the most that one place pays any frame, (q,) what all places of its frame pay the one that it pays most):
    what the frame that one place reads most gets by chance, as it is the largest of many."""
    return (np.concatenate([paid.max(axis=1) for paid in frames]),
            np.concatenate([paid.mean(axis=0)[paid.argmax(axis=1)] for paid in frames]))  # fmt: skip


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
