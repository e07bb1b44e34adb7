"""The same few changes of a sample for every mask: shifts, flips, brightness and noise, drawn once from a seed.

They act on a site (tokens, units): on its pictures where it has a grid; of words and columns only noise is left, in the
size of each unit's spread over samples. The first is always the sample as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Augmentations:
    """`shifts` (n, 2) rows and columns, `flips` (n,) bool, `factors` (n,), `noise` (n, tokens, units); of `grid`,
    or None."""

    shifts: np.ndarray
    flips: np.ndarray
    factors: np.ndarray
    noise: np.ndarray
    grid: tuple[int, int] | None

    def __len__(self) -> int:
        return len(self.factors)

    def of(self, x):
        """(n, tokens, units) tensor of x (tokens, units): the place that a shift leaves takes its nearest neighbour."""
        import torch

        at = [self._places(k) for k in range(len(self))]
        moved = torch.stack([x[torch.as_tensor(p)] for p in at])
        factors = torch.as_tensor(self.factors, dtype=x.dtype)[:, None, None]
        return moved * factors + torch.as_tensor(self.noise, dtype=x.dtype)

    def _places(self, k: int) -> np.ndarray:
        """(tokens,) which token each one is taken from."""
        tokens = np.arange(self.noise.shape[1])
        if self.grid is None:
            return tokens
        (high, wide), (down, along) = self.grid, self.shifts[k]
        row, column = np.divmod(tokens, wide)
        row, column = np.clip(row - down, 0, high - 1), np.clip(column - along, 0, wide - 1)
        return row * wide + (wide - 1 - column if self.flips[k] else column)


def augmentations(
    count: int, shape: tuple[int, int], grid: tuple[int, int] | None, rng: np.random.Generator, *, shift: int,
    flips: bool, brightness: float, noise: float, spread: np.ndarray,
) -> Augmentations:  # fmt: skip
    """`count` of them for samples of `shape` (tokens, units): shifts up to so many cells, mirrored half of the time on
    request, brightness as a share, noise as a share of each unit's `spread` (units,)."""
    shifts = rng.integers(-shift, shift + 1, size=(count, 2))
    mirrored = (rng.random(count) < 0.5) & flips
    factors = 1 + (brightness if grid is not None else 0.0) * rng.uniform(-1, 1, count)
    grain = noise * spread * rng.standard_normal((count, *shape))
    shifts[0], mirrored[0], factors[0], grain[0] = 0, False, 1.0, 0.0
    return Augmentations(shifts, mirrored, factors, grain, grid)


def blurred(x, grid: tuple[int, int] | None, width: int):
    """(tokens, units): the mean over a square of `width` cells around each, or over neighbours in a row; the edge goes
    on beyond itself."""
    import torch

    high, wide = grid or (1, len(x))
    reach = width // 2
    picture = x.T.reshape(1, -1, high, wide)
    sides = (reach, reach, reach if high > 1 else 0, reach if high > 1 else 0)
    padded = torch.nn.functional.pad(picture, sides, mode="replicate")
    window = (2 * reach + 1 if high > 1 else 1, 2 * reach + 1)
    return torch.nn.functional.avg_pool2d(padded, window, stride=1)[0].flatten(1).T
