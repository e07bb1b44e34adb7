"""The cooperative game of a sample's units, with absent units as they are elsewhere or as the present ones tell.

    interventional   v(S) = mean over the background rows b of target(x on S, b elsewhere)
    conditional      v(S) = mean over b of target(x on S, x̃ elsewhere), x̃ a draw given x on S, made of b

The two are the same where units are independent. Where they are not, the first asks the network about rows that it may
never see, and the second lets a unit that the network does not read share what its neighbours do.
"""

from __future__ import annotations

import numpy as np

from analysis.attribution.backgrounds import Background
from analysis.attribution.players import Coordinates
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.targets import Target
from analysis.compute.games.game import Game
from analysis.compute.games.gaussian_conditional import GaussianConditional

NUMBERS, ROWS = 1 << 20, 4096  # at the site, and rows, in the network at once


def unit_game(
    run: SampleRun, players: Coordinates, background: Background, target: Target,
    conditional: GaussianConditional | None = None, **books,
) -> Game:  # fmt: skip
    """The game of one sample; `players` own units, (1, units). `conditional`: None for interventional values; `books`:
    `budget`, `progress`, `remember` of `Game`."""
    import torch

    x, base = run.clean.double().numpy(), background.rows.double().numpy()
    dtype, owner = run.clean.dtype, players.owner[0]
    rows = int(np.clip(NUMBERS // x.size, 1, ROWS))

    def asked(mixed: np.ndarray) -> np.ndarray:
        parts = torch.as_tensor(mixed).to(dtype).split(rows)
        return np.concatenate([run.values(part, target).double().numpy() for part in parts])

    def value(coalitions: np.ndarray) -> np.ndarray:
        present = coalitions[:, owner]
        if conditional is not None:
            mixed = np.concatenate([conditional.filled(here, x, base) for here in present])
        else:
            mixed = np.broadcast_to(base, (len(present), *base.shape)).copy()
            np.copyto(mixed, x, where=present[:, None, None])
            mixed = mixed.reshape(-1, *x.shape)
        return asked(mixed).reshape(len(coalitions), len(base)).mean(axis=1)

    many = max(1, 4 * NUMBERS // (x.size * len(base)))
    return Game(value, len(players.names), batch=many, background=len(base), **books)
