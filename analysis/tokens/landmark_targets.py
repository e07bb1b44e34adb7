"""What heat maps should be: two-dimensional Gaussians about landmarks that sample columns or a second tap name.

Three forms of a target: columns with x and y of each landmark; a tap of one row a sample with two units for each
landmark; a tap of target maps over the same places. Without any the map's own Gaussian stands for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.arrays import chosen_samples
from analysis.compute.rows.common_samples import shared_positions
from analysis.errors import InputError, ParameterError
from analysis.spec import Progress
from analysis.tokens.gaussian_maps import bells, fits, told_flat
from analysis.tokens.paired_sets import cells_of, drawn_set, paired_sets
from analysis.tokens.pooling.token_sets import TokenSets, token_sets

IN_TURN, XS_FIRST = "x y of each landmark", "all x, then all y"
MIDDLE, EDGE = "the middle of the first cell", "its edge"
OWN = "each map's own Gaussian"


@dataclass(frozen=True)
class Targets:
    """`sets` of heat maps; `maps` (n, T, L) what they should be and `centre` (n, L, 2) in cells, where `known` (n, L);
    `named` what the targets are of, OWN where none are given; `notes`."""

    sets: TokenSets
    maps: np.ndarray
    centre: np.ndarray
    known: np.ndarray
    named: str
    notes: tuple[str, ...] = ()


def targets_of(taps: Sequence[Activations], params, rng, progress: Progress, fewest: int) -> Targets:
    """Of heat maps, and what is given of them beside. `params`: sample, columns, order, cell_size, zero, width and
    maximum_samples.

    Raises
    ------
    NotFound, ParameterError, InputError, NotEnoughData
        No such column; columns that are not two for each landmark; a second tap that is neither two units for each
        landmark of one row a sample nor maps of the same places; fewer than `fewest` samples.
    """
    names = [part.strip() for part in params.columns.split(",") if part.strip()]
    maps = len(taps) == 2 and (not taps[1].layout.is_pooled or taps[0].layout.is_pooled)
    if maps:
        return _of_maps(taps, params, rng, progress, fewest)
    columns, at, said = _coordinates(taps, names)
    some = chosen_samples(len(at), params.maximum_samples, rng)
    some = np.union1d(some, np.flatnonzero(at == drawn_set(taps[0], params.sample)))
    sets = token_sets(taps[0], params.maximum_samples, rng, progress, minimum=fewest, only=at[some])
    if columns is None:
        return Targets(sets, np.zeros(sets.x.shape), *_nothing(sets), OWN, (*sets.notes, *said))
    if sets.gathered:
        raise InputError(
            f"{taps[0].name} holds one row of each sample", "heat maps with a row for each place", "Record all tokens"
        )  # fmt: skip
    xy = columns[np.isin(at, sets.samples)]
    landmarks = sets.x.shape[2]
    if xy.shape[1] != 2 * landmarks:
        raise ParameterError(f"{xy.shape[1]} coordinates for {landmarks} heat map(s)", "x and y of each")
    pairs = xy.reshape(len(xy), landmarks, 2) if params.order == IN_TURN else \
        np.stack([xy[:, :landmarks], xy[:, landmarks:]], axis=2)  # fmt: skip
    centre = pairs / params.cell_size - (0.5 if params.zero == EDGE else 0.0)
    known = np.isfinite(centre).all(axis=2)
    cells = cells_of(sets)
    low, high = cells.min(axis=0) - 0.5, cells.max(axis=0) + 0.5
    beyond = known & ((centre < low) | (centre > high)).any(axis=2)
    notes = _left_out(known, beyond, named="coordinates")
    known &= ~beyond
    centre = np.where(known[:, :, None], centre, 0.0)
    flat = bells(centre.reshape(-1, 2), params.width, cells).reshape(len(sets.x), landmarks, -1)
    what = f"Gaussians of {params.width:g} cells about the landmarks"
    return Targets(sets, flat.transpose(0, 2, 1), centre, known, what, (*sets.notes, *said, *notes))


def _coordinates(taps, names):
    """((n, 2 L) or None, (n,) samples of the first tap, notes)."""
    every = np.arange(taps[0].shape[0] // 16 if taps[0].layout.is_pooled else taps[0].layout.n_samples)
    if len(taps) == 2:
        positions, said = shared_positions(taps, 1)
        return np.asarray(taps[1].take(positions[1]), np.float64), positions[0], said
    if not names:
        return None, every, []
    found = [sample_column(taps[0], name) for name in names]
    for name, column in zip(names, found, strict=True):
        if column.dtype.kind not in "fiub":
            raise InputError(f"column '{name}' holds no numbers", "x and y of each landmark in turn")
    if taps[0].layout.is_pooled:
        return np.zeros((len(every), len(names))), every, []  # refused once the sets are read
    return np.stack([np.asarray(c, np.float64) for c in found], axis=1), every, []


def _nothing(sets: TokenSets):
    shape = (len(sets.x), sets.x.shape[2])
    return np.zeros((*shape, 2)), np.zeros(shape, bool)


def _of_maps(taps, params, rng, progress, fewest: int) -> Targets:
    """Target maps of a second tap, at whose own Gaussians landmarks are."""
    (sets, other), notes = paired_sets(
        taps, params.maximum_samples, rng, progress, minimum=fewest, also=params.sample
    )
    if other.x.shape != sets.x.shape:
        raise InputError(
            f"{taps[1].name} has {other.x.shape[1]} places of {other.x.shape[2]} maps",
            f"{sets.x.shape[1]} places of {sets.x.shape[2]}, as {taps[0].name} has",
        )
    flat, there = _by_map(other.x), np.repeat(sets.present & other.present, other.x.shape[2], axis=0)
    good = ~told_flat(flat, there)
    centre = np.zeros((len(flat), 2))
    centre[good] = fits(flat[good], there[good], cells_of(sets)).centre
    known = good.reshape(len(sets.x), -1)
    said = _left_out(known, np.zeros_like(known), named="a peak")
    return Targets(
        sets, other.x, centre.reshape(*known.shape, 2), known, f"the maps of {taps[1].name}", (*notes, *said)
    )


def _by_map(x: np.ndarray) -> np.ndarray:
    """(n L, T) of (n, T, L)."""
    return x.transpose(0, 2, 1).reshape(-1, x.shape[1])


def _left_out(known: np.ndarray, beyond: np.ndarray, named: str) -> list[str]:
    said = []
    if not known.all():
        said.append(f"{int((~known).sum()):,} target(s) without {named} are left out.")
    if beyond.any():
        said.append(f"{int(beyond.sum()):,} landmark(s) outside the map are left out.")
    return said
