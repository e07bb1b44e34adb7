"""Maps that look at no weights: a way that does no better than these has told nothing about the network."""

from __future__ import annotations

import numpy as np

from analysis.attribution.saliency.way import Question, SaliencyMap, Way


def random_map(question: Question) -> SaliencyMap:
    return SaliencyMap(question.rng.standard_normal(question.run.shape[0]) ** 2, 0)


def edges(question: Question) -> SaliencyMap:
    """How much what stands at the site differs from what stands beside it: on a grid the length of Sobel's two
    slopes over all units (leading tokens 0), else of the step from the token before."""
    x, grid = question.run.clean.double().numpy(), question.run.grid
    if grid is None:
        return SaliencyMap(np.linalg.norm(np.diff(x, axis=0, prepend=x[:1]), axis=1), 0)
    from scipy.ndimage import sobel

    leading = question.run.leading
    image, values = x[leading:].reshape(*grid, -1), np.zeros(len(x))
    both = [sobel(image, axis=a, mode="nearest") for a in (0, 1)]
    values[leading:] = np.sqrt(sum((b**2).sum(axis=2) for b in both)).ravel()
    return SaliencyMap(values, 0)


WAYS = (
    Way("random", "Chance.", random_map, lambda *_: 0, signed=False, control=True),
    Way("edges", "Where neighbours differ, without the network.", edges, lambda *_: 0, False, control=True),
)
