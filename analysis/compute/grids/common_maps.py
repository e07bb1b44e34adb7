"""Maps of several taps on one grid, of the samples that all of them have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.grids.grid_alignment import Grid, MapRows, common_grid
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.similarity.hsic import FEWEST
from analysis.errors import ParameterError
from analysis.spec import Progress, no_progress

WHOLE, DC, AC = "whole", "DC", "AC"
PARTS = (WHOLE, DC, AC)


ROUNDING = 1e-12  # of the largest value: no difference between positions


@dataclass(frozen=True)
class CommonMaps:
    """`values`, one (n, positions, d_i) array per tap, positions of `grid` line by line; `ids` (n,); `notes`."""

    values: tuple[np.ndarray, ...]
    grid: Grid
    ids: np.ndarray
    notes: tuple[str, ...]

    def part(self, part: str) -> list[np.ndarray]:
        """The maps, their means over space (n, 1, d), or what remains (mean-centred over space)."""
        if part == WHOLE:
            return list(self.values)
        means = [x.mean(axis=1, keepdims=True) for x in self.values]
        return means if part == DC else [_rest(x, m) for x, m in zip(self.values, means, strict=True)]


def common_maps(
    taps: Sequence[Activations],
    rng: np.random.Generator,
    *,
    side: int,
    maximum: int,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.3),
) -> CommonMaps:
    """Maps averaged to the finest grid that all taps allow, at most `side` high and wide; samples matched by id, at
    most `maximum` of them (a seeded random subset).

    Raises
    ------
    ParameterError
        Fewer than two taps.
    InputError
        Samples with different numbers of tokens; a grid in one tap and tokens without one in another; and as
        `common_samples`.
    NotEnoughData, TooLarge
        As `common_samples`.
    """
    if len(taps) < 2:
        raise ParameterError(f"{len(taps)} tap(s)", "two or more")
    grid, notes = common_grid(taps, side)
    rows = [MapRows(t, grid) for t in taps]
    data = common_samples(rows, rng, maximum=maximum, minimum=FEWEST, progress=progress, span=span)
    values = tuple(x.reshape(len(x), grid[0] * grid[1], -1) for x in data.values)
    return CommonMaps(values, grid, data.ids, (*notes, *data.notes))


def _rest(maps: np.ndarray, means: np.ndarray) -> np.ndarray:
    rest = maps - means
    return rest if np.abs(rest).max() > ROUNDING * np.abs(maps).max() else np.zeros(maps.shape)
