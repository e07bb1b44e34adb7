"""Distances between the covariances of every two taps, each beside what axes turned at random give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.activations import Activations
from analysis.compute.similarity.similarity_grid import Grid, Pair, compared
from analysis.compute.statistics.moments import Moments, is_varying
from analysis.compute.statistics.nulls import add_one_p
from analysis.compute.subspaces.covariance_distances import BURES, Spread, between, prepared, turned_at_random
from analysis.errors import InputError, NotEnoughData
from analysis.spec import Progress

MOST_DRAWS = 200


def varying_units(values: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[str]]:
    """Values (n, d) of each tap of the units that vary in one of the taps at least, and a note on the others."""
    varies = np.any([is_varying(x.var(axis=0), x.mean(axis=0)) for x in values], axis=0)
    still = int((~varies).sum())
    said = [f"{still} unit(s) that are constant everywhere left out."] if still else []
    return [x if varies.all() else x[:, varies] for x in values], said


def refuse_other_widths(taps: Sequence[Activations]) -> None:
    """Raise InputError where taps have different numbers of units: covariances of these cannot be compared."""
    odd = next((t for t in taps if t.shape[1] != taps[0].shape[1]), None)
    if odd is not None:
        raise InputError(
            f"{taps[0].name} has {taps[0].shape[1]:,} units and {odd.name} has {odd.shape[1]:,}",
            "taps with the same units",
            "Choose layers of one width, such as a residual stream's, or one tap of several checkpoints",
        )


def refuse_singular(spreads: Sequence[Spread], names: Sequence[str], n: int, distance: str) -> None:
    """Raise NotEnoughData where a covariance of `n` samples has no full rank, for what takes logarithms."""
    for name, spread in zip(names, spreads, strict=True):
        d = len(spread.values)
        rank = min(spread.rank, n - 1)
        if rank < d:
            raise NotEnoughData(
                f"the covariance of {name} has rank {rank:,} of {d:,} ({n:,} samples): its logarithm is infinite",
                f"full rank for the {distance} distance",
                f"Choose the {BURES} distance, or record more samples; leave out constant units",
            )


def distance_series(
    values: Sequence[np.ndarray],
    spreads: Sequence[Spread],
    distance: str,
    groups: Sequence[np.ndarray],
    progress: Progress,
) -> np.ndarray:
    """(1 + G, k, k) distances on all rows and without each of the `groups` of them; none of these where a covariance
    loses its rank."""
    n, d = values[0].shape
    if distance != BURES and n - max(map(len, groups)) - 1 < d:
        groups = []
    found = [_all(spreads, distance)]
    for i, g in enumerate(groups):
        progress(0.2 + 0.6 * i / len(groups), "leaving samples out")
        found.append(
            _all([Spread.of(Moments.of(np.delete(x, g, axis=0)).covariance) for x in values], distance)
        )
    return np.array(found)


def _all(spreads, distance: str) -> np.ndarray:
    ready = [prepared(distance, s) for s in spreads]
    found = np.zeros((len(ready), len(ready)))
    for i in range(len(ready)):
        for j in range(i):
            found[i, j] = found[j, i] = between(distance, ready[j], ready[i])
    return found


def draws_for(d: int) -> int:
    """Turns of one side: 200, and fewer (at least 5) above 114 units."""
    return int(np.clip(3e8 / d**3, 5, MOST_DRAWS))


def covariance_grid(
    spreads: Sequence[Spread],
    series: np.ndarray,
    distance: str,
    n: int,
    rng: np.random.Generator,
    progress: Progress,
) -> Grid:
    """Every two of the taps, from their `series` (1 + G, k, k)."""
    d = len(spreads[0].values)

    def compare(a: int, b: int) -> Pair:
        drawn = turned_at_random(distance, spreads[a], spreads[b], draws_for(d), rng)
        mean, deviation = float(drawn.mean()), float(drawn.std(ddof=1))
        if len(drawn) < MOST_DRAWS:
            return Pair.with_moments(series[:, a, b], mean, deviation, distance=True)
        return Pair(series[:, a, b], mean, deviation, float(add_one_p(-series[0, a, b], -drawn)))

    every = np.arange(len(spreads))
    return compared(
        every, compare, every, every, n=n, units=[d] * len(every), perfect=0.0, progress=progress, span=(0.8, 1.0)
    )  # fmt: skip
