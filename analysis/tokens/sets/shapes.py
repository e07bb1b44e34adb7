"""Tokens of samples with what other taps say of the same tokens: where they lie, and which part they belong to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.common_samples import shared_positions
from analysis.errors import InputError, NotFound
from analysis.spec import Progress
from analysis.tokens.pooling.token_sets import RUN, TokenSets, token_sets

GRID, LINE, OWN = "the grid", "their order", "their own units"


@dataclass(frozen=True)
class Shapes:
    """Of n samples: `sets` with their tokens, and for each the `rows` (t,) of the tap, and `places` (t, 1 to 3), which
    are those of `placed`: a tap's name, the grid, the tokens' own units, or their order."""

    sets: TokenSets
    rows: list[np.ndarray]
    places: list[np.ndarray]
    placed: str

    @property
    def n(self) -> int:
        return len(self.rows)

    def tokens(self, i: int) -> np.ndarray:
        """(t, d) that are finite."""
        return self.sets.x[i][self.sets.present[i]]


def read_shapes(
    tap: Activations, coordinates: Activations | None, maximum: int, rng, progress: Progress, only=None
) -> Shapes:
    """Raises NotFound, InputError, NotEnoughData."""
    sets = token_sets(tap, maximum, rng, progress, only=only)
    rows = [_rows(tap, sets, i) for i in range(sets.n)]
    if coordinates is not None:
        found = of_tokens(tap, coordinates, rows)
        if found[0].shape[1] < 2 or not all(np.isfinite(f).all() for f in found):
            raise InputError(f"coordinates of {coordinates.shape[1]} unit(s)",
                             "two or three finite numbers for each token")  # fmt: skip
        return Shapes(sets, rows, [f[:, :3] for f in found], coordinates.name)
    there = [np.flatnonzero(p) for p in sets.present]
    if sets.grid is not None:
        return Shapes(sets, rows, [_cells(t, sets.grid[1]) for t in there], GRID)
    if tap.shape[1] in (2, 3):
        return Shapes(sets, rows, [sets.x[i][t] for i, t in enumerate(there)], OWN)
    return Shapes(sets, rows, [t[:, None].astype(float) for t in there], LINE)


def of_tokens(tap: Activations, other: Activations, rows: list[np.ndarray]) -> list[np.ndarray]:
    """What `other` has for the same tokens of the same samples as these rows of `tap`: (t, units) each. Raises
    NotFound where it lacks one, InputError where its samples have other numbers of tokens."""
    mine, its = shared_positions((tap, other), 1)[0]
    place = np.full(tap.layout.n_samples, -1)
    place[mine] = its
    found = []
    for some in rows:
        of = tap.layout.sample_of(some)
        at = place[of]
        if (at < 0).any():
            raise NotFound(f"sample {int(of[at < 0][0])} of {other.name}", f"the samples of {tap.name}")
        lead = np.array([0 if t.layout.is_pooled else t.layout.leading for t in (tap, other)])
        first, last = other.layout.offsets[at] + lead[1], other.layout.offsets[at + 1]
        have = np.diff(tap.layout.offsets)[of] - lead[0]
        if (last - first != have).any():
            raise InputError(f"{int((last - first)[0])} tokens of a sample of {other.name}",
                             f"{int(have[0])}, as {tap.name} has")  # fmt: skip
        found.append(np.asarray(other.take(first + tap.layout.token_of(some) - lead[0]), np.float64))
    return found


def _rows(tap: Activations, sets: TokenSets, i: int) -> np.ndarray:
    """(t,) rows of the tokens of the i-th set that are present."""
    start = (
        RUN * int(sets.samples[i]) if sets.gathered else tap.layout.offsets[sets.samples[i]] + sets.leading
    )
    return start + np.flatnonzero(sets.present[i])


def _cells(at: np.ndarray, across: int) -> np.ndarray:
    row, column = np.divmod(at, across)
    return np.stack([column, -row], axis=1).astype(float)
