"""Occlusion: how far the answer falls when a window is covered with the background.

    φ_u = mean over windows W with u in W of ( y(x) - mean over b of y(x, with b in W) )

In units of the explained number: of windows of one token what covering that token takes away. Windows of several tokens
say it of all of them together, so that a wide one smears and sums do not add up. Windows go through the network many at
a time.

Cost: windows x background rows.

Reference: M. Zeiler & R. Fergus (2014), "Visualizing and understanding convolutional networks".
"""

from __future__ import annotations

import numpy as np

from analysis.attribution.saliency.way import Question, SaliencyMap, Settings, Way
from analysis.attribution.saliency.windows import MOST, most_windows, window_blocks
from analysis.attribution.sample_run import fitting_rows


def occlusion(question: Question, rows: int | None = None) -> SaliencyMap:
    """`rows` of the network at once; automatic: as many as fit."""
    import torch

    rows = rows or fitting_rows(question.run)
    run, x, target = question.run, question.run.clean, question.target
    full = float(run.values(x[None], target).double()[0])
    total, times, many = np.zeros(len(x)), np.zeros(len(x)), 0
    for covered in window_blocks(run, question.settings.window, question.settings.stride):
        left, hidden = np.zeros(len(covered)), torch.as_tensor(covered)[:, :, None]
        for base in question.background.rows:
            for first in range(0, len(covered), rows):
                some = torch.where(hidden[first : first + rows], base, x)
                left[first : first + rows] += run.values(some, target).double().numpy()
        falls = full - left / question.background.size
        for first in range(0, len(covered), rows):  # a product would make numbers of all of them at once
            total += falls[first : first + rows] @ covered[first : first + rows]
        times += covered.sum(axis=0)
        many += len(covered)
    return SaliencyMap(total / times, 1 + many * question.background.size)


def _passes(tokens: int, rows: int, settings: Settings) -> int:
    return 1 + rows * most_windows(tokens, settings.stride)


def _held(tokens: int, settings: Settings) -> float:
    return 3.0 * min(MOST, tokens * most_windows(tokens, settings.stride))


WAYS = (
    Way(
        "occlusion",
        "How far the answer falls when a window is covered.",
        occlusion,
        _passes,
        signed=True,
        held=_held,
    ),
)
