"""Whether a score over the frames of clips finds the moments of a query.

    AUROC = share of pairs (a frame inside, one outside, of one clip) in which the inside one scores higher, ties half

mean over clips that have both. Frames of a video resemble their neighbours, so the null turns the frames of each clip
in a circle: scores and moments keep their lengths and lose only where they are. A query that is made of the frames of
other clips is made again of theirs as they were turned: with the query held, two clips that are alike by chance would
each tell for the other, and more than 5 % of nothing would count.
"""

from __future__ import annotations

import numpy as np

PAIRS = 2e6  # of frames that are compared at once


def auroc(scores: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(…,) of scores (…, F) for frames `inside` (F,) bool against the others; both have to be there."""
    a, b = scores[..., inside], scores[..., ~inside]
    higher = (a[..., :, None] > b[..., None, :]).mean(axis=(-2, -1))
    return higher + 0.5 * (a[..., :, None] == b[..., None, :]).mean(axis=(-2, -1))


def turned(scores: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(F, …) AUROC at every turn of the moments, the first of them none."""
    return np.stack([auroc(scores, np.roll(inside, s)) for s in range(len(inside))])


def chance_of_means(
    x: list[np.ndarray], inside: list[np.ndarray], by: list[np.ndarray], which: list[int]
) -> np.ndarray:
    """(draws,) mean AUROC over the clips `which` when every clip's moments are turned and the query of a clip is the
    mean of its frames in the other clips; `x` by clip (F, d) frames, less the mean of all. Only the order of scores
    inside a clip counts, so that lengths of queries do not matter."""
    turned = [np.stack([np.roll(i, s) for s in shift], axis=1) for i, shift in zip(inside, by, strict=True)]
    own = [z.T @ t for z, t in zip(x, turned, strict=True)]  # (d, draws)
    whole, out = np.sum(own, axis=0), np.zeros(len(by[0]))
    for c in which:
        query, lengths = whole - own[c], np.linalg.norm(x[c], axis=1, keepdims=True)
        size = np.linalg.norm(query, axis=0)
        scores = np.round(
            (x[c] / np.where(lengths > 0, lengths, 1.0)) @ (query / np.where(size > 0, size, 1.0)), 9
        )
        within, beyond = turned[c].astype(np.float64), 1.0 - turned[c]
        step = max(int(PAIRS / len(scores) ** 2), 1)
        for s in range(0, len(out), step):
            part = np.s_[:, s : s + step]
            higher = np.sign(scores[:, None][:, :, s : s + step] - scores[None][:, :, s : s + step]) / 2 + 0.5
            pairs = within[part].sum(axis=0) * beyond[part].sum(axis=0)
            out[s : s + step] += np.einsum("ijs,is,js->s", higher, within[part], beyond[part]) / pairs
    return out / len(which)


def chance_means(turns: list[np.ndarray], by: list[np.ndarray]) -> np.ndarray:
    """(draws, …) mean over clips of a turn of each; `turns` [(F_c, …)], `by` [(draws,)] how far each is turned. All
    queries of a clip have to be turned together: where one is found in place of another they are not independent."""
    return np.mean([t[s] for t, s in zip(turns, by, strict=True)], axis=0)
