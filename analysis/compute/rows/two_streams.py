"""One line per common sample of two taps that may also be constant, as gates without a context are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.common_samples import shared_positions
from analysis.compute.rows.random_part import random_part
from analysis.compute.rows.samples import pooled_samples
from analysis.errors import NotEnoughData
from analysis.spec import Progress


@dataclass(frozen=True)
class TwoStreams:
    """`first` (n, d1) and `second` (n, d2), means over the tokens of samples at `position` (n,) of the first tap."""

    first: np.ndarray
    second: np.ndarray
    position: np.ndarray
    notes: tuple[str, ...]


def two_streams(
    taps: Sequence[Activations], maximum: int, minimum: int, rng: np.random.Generator, progress: Progress
) -> TwoStreams:
    """Raises NotEnoughData, and as `shared_positions` does for ids."""
    at, said = shared_positions(taps, minimum)
    chosen, more = random_part(at.shape[1], maximum, rng)
    at, said, values, good = at[:, chosen], [*said, *more], [], np.ones(len(chosen), bool)
    for i, (tap, positions) in enumerate(zip(taps, at, strict=True)):
        x, kept, notes = pooled_samples(tap, "mean", positions, progress, (0.15 * i, 0.15 * (i + 1)))
        whole = np.full((len(kept), tap.shape[1]), np.nan)
        whole[kept] = x
        values.append(whole)
        said += notes
        good &= kept
    if good.sum() < minimum:
        raise NotEnoughData(
            f"{int(good.sum())} common sample(s) are finite", f"at least {minimum}", "Record more"
        )
    return TwoStreams(values[0][good], values[1][good], at[0][good], tuple(dict.fromkeys(said)))
