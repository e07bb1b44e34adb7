"""Whether a score over the frames of clips finds the moments of a query.

    AUROC = share of pairs (a frame inside, one outside, of one clip) in which the inside one scores higher, ties half

mean over clips that have both. Frames of a video resemble their neighbours, so the null turns the frames of each clip
in a circle: scores and moments keep their lengths and lose only where they are.
"""

from __future__ import annotations

import numpy as np


def auroc(scores: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(…,) of scores (…, F) for frames `inside` (F,) bool against the others; both have to be there."""
    a, b = scores[..., inside], scores[..., ~inside]
    higher = (a[..., :, None] > b[..., None, :]).mean(axis=(-2, -1))
    return higher + 0.5 * (a[..., :, None] == b[..., None, :]).mean(axis=(-2, -1))


def turned(scores: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(F, …) AUROC at every turn of the moments, the first of them none."""
    return np.stack([auroc(scores, np.roll(inside, s)) for s in range(len(inside))])


def chance_means(turns: list[np.ndarray], by: list[np.ndarray]) -> np.ndarray:
    """(draws, …) mean over clips of a turn of each; `turns` [(F_c, …)], `by` [(draws,)] how far each is turned. All
    queries of a clip have to be turned together: where one is found in place of another they are not independent."""
    return np.mean([t[s] for t, s in zip(turns, by, strict=True)], axis=0)
