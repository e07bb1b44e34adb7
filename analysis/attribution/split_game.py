"""The cooperative game of the players at a site.

    v(S) = mean over the background rows b of target(x_S) ,   x_S = b + Σ_{k in S} part_k

v of everybody is the target of the sample as it is, v of nobody the mean target of the background.
"""

from __future__ import annotations

import numpy as np

from analysis.attribution.backgrounds import Background
from analysis.attribution.players import Players
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.targets import Target
from analysis.compute.games.game import Game

ROWS = 256  # of the network at once


def split_game(
    run: SampleRun, players: Players, background: Background, target: Target, *, rows: int = ROWS, **books
) -> Game:
    """The game of one sample; `rows`: most samples in the network at once; `books`: `budget`, `progress` of `Game`."""
    import torch

    x, size = run.clean, background.size

    def value(coalitions: np.ndarray) -> np.ndarray:
        asked, total = torch.as_tensor(coalitions), np.zeros(len(coalitions))
        for base in background.rows:
            mixed = players.mixed(asked, x, base)
            found = [run.values(part, target).double() for part in mixed.split(rows)]
            total += torch.cat(found).numpy()
        return total / size

    return Game(value, len(players.names), batch=rows, background=size, **books)
