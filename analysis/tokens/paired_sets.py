"""The tokens of the same samples at several taps: what matches, mixes and reads them starts from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.activations import Activations
from analysis.arrays import chosen_samples
from analysis.compute.rows.common_samples import shared_positions
from analysis.compute.streaming import refuse_few
from analysis.errors import InputError, NotFound
from analysis.spec import Progress, no_progress
from analysis.tokens.pooling.token_sets import RUN, TokenSets, token_sets

CELLS = (4, 4)  # of the runs that stand for the tokens of taps without any


def paired_sets(
    taps: Sequence[Activations], maximum: int, rng: np.random.Generator, progress: Progress = no_progress,
    minimum: int = 2, span: tuple[float, float] = (0.0, 0.3), also: int | None = None,
) -> tuple[list[TokenSets], tuple[str, ...]]:  # fmt: skip
    """(one `TokenSets` for each tap, of the same samples in the same order, notes), samples matched by id.

    The sample `also` of the first tap is among them. Taps of one row a sample are read in runs of 16 neighbours, all of
    them or none.

    Raises
    ------
    InputError, NotEnoughData, TooLarge
        Some taps with tokens and some without; fewer than `minimum` samples of two tokens in every tap; over 2 GiB.
    """
    pooled = {t.layout.is_pooled for t in taps}
    if len(pooled) > 1:
        which = ", ".join(f"{t.name} {'one row' if t.layout.is_pooled else 'tokens'}" for t in taps)
        raise InputError(f"taps with tokens and taps without ({which})", "tokens in all", "Record all tokens")
    positions, said = shared_positions(taps, 1)
    if pooled == {True}:
        if any(not np.array_equal(p, positions[0]) for p in positions):
            raise InputError(
                "taps of one row a sample with different samples", "the same samples in the same order",
                "Record the taps together, or record all tokens",
            )  # fmt: skip
        n = taps[0].shape[0] // RUN
        positions = np.tile(np.arange(n), (len(taps), 1))
    refuse_few(taps[0].name, positions.shape[1], minimum, "sample(s) of two tokens or more")
    some = chosen_samples(positions.shape[1], maximum, rng)
    if also is not None:
        some = np.union1d(some, np.flatnonzero(positions[0] == drawn_set(taps[0], also)))
    step, sets = (span[1] - span[0]) / len(taps), []
    for i, (tap, at) in enumerate(zip(taps, positions, strict=True)):
        part = (span[0] + i * step, span[0] + (i + 1) * step)
        sets.append(token_sets(tap, maximum, rng, progress, minimum=minimum, span=part, only=at[some]))
    stay = np.ones(len(some), bool)
    for s, at in zip(sets, positions, strict=True):
        stay &= np.isin(at[some], s.samples)
    refuse_few(taps[0].name, int(stay.sum()), minimum, "sample(s) with two finite tokens in every tap")
    whole = [s.only(stay[np.isin(at[some], s.samples)]) for s, at in zip(sets, positions, strict=True)]
    notes = dict.fromkeys([*said, *(note for s in whole for note in s.notes)])
    return whole, tuple(notes)


def drawn_set(tap: Activations, sample: int) -> int:
    """The number of the set that a sample is in: its own, or that of its run."""
    return sample // RUN if tap.layout.is_pooled else sample


def place_of(sets: TokenSets, tap: Activations, sample: int) -> int:
    """Which of the sets a sample is. Raises NotFound where it is none: not shared by the taps, or not finite."""
    at = np.flatnonzero(sets.samples == drawn_set(tap, sample))
    if not len(at):
        raise NotFound(f"sample {sample} of {tap.name}", "a sample with two finite tokens in every tap")
    return int(at[0])


def cells_of(sets: TokenSets) -> np.ndarray:
    """(T, 2) column and row of each token: on its grid, of runs on one of 4 x 4, else in a line."""
    t = sets.x.shape[1]
    grid = sets.grid or (CELLS if sets.gathered and t == RUN else (1, t))
    row, column = np.divmod(np.arange(t), grid[1])
    return np.stack([column, row], axis=1).astype(np.float64)
