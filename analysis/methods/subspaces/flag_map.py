"""A map of layers or checkpoints: taps as points, as far apart as their covariances are, and what the plane gets wrong.

Distances are those of 'Distances between flags': between covariances divided by their trace, with no dimension to
choose. Classical scaling (`compute.maps.classical_scaling`) puts each tap where the distances in the plane are nearest
to them; lines join the taps in the order given. How far the plane is from the distances is the stress,

    sqrt(Σ (δ - d)² / Σ δ²),    δ the distance of two taps, d that of their points

0 where the plane shows all of it (as it does for any three taps), of the whole and of each tap.

Null: the same distances between other pairs of taps: what a plane makes of distances without any order. Intervals:
samples left out in groups.

When it lies: two near points may be far apart in what the plane does not show (see the stress of each tap); axes have
no names, and turning the map over changes nothing; sampling moves all taps apart, near ones most; two networks have no
units in common, so that distances between them mean nothing; a smooth way bends in any such plane (the arch).

Cost: O(n d²) for each tap and O(d³) for each pair, each eleven times; memory O(n d) for each tap.

References: B. Buet & X. Pennec (2023), "Flagfolds"; W. Torgerson (1952); J. Kruskal (1964).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.maps.classical_scaling import Scaled, classical_scaling, exchanged_stress, stress
from analysis.compute.rows.common_rows import MOST_HELP, TOKENS_HELP
from analysis.compute.rows.some_samples import MEAN, TOKENS
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.covariance_grid import (
    distance_series,
    refuse_other_widths,
    refuse_singular,
    varying_units,
)
from analysis.compute.statistics.moments import Moments
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.compute.subspaces.covariance_distances import BURES, NAMES, Spread
from analysis.compute.subspaces.tap_subspaces import FEWEST, UNITS, shared_rows
from analysis.errors import InputError, TooLarge
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

WIDEST, DRAWS = 4096, 100
EXCHANGED = f"the same distances between other pairs of taps, {DRAWS} exchanges"


@dataclass(frozen=True)
class FlagMapParams:
    distance: str = param(
        BURES, "Bures-Wasserstein works for any rank; the other two take logarithms and need full rank.", choices=NAMES
    )  # fmt: skip
    tokens: str = param(MEAN, TOKENS_HELP, choices=TOKENS)
    maximum_samples: int = param(10_000, MOST_HELP, low=50, high=200_000)


def flag_map(*taps, params: FlagMapParams = FlagMapParams(), rng=None, progress=no_progress) -> Scatter:
    """Three or more taps in a plane.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id) and units.

    Returns
    -------
    Scatter
        A point for each tap, in the units of the distance; `edges` in the order given. Columns: "tap", "network",
        "place", "stress" and "distance to the next". Estimates: stress, share of the squared distances in the plane.

    Raises
    ------
    InputError, NotEnoughData, ParameterError, TooLarge
        Different numbers of units; all covariances equal; fewer than eight common samples; no full rank where
        logarithms are taken; over 4,096 units.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    refuse_other_widths(taps)
    data = shared_rows(taps, UNITS, params.tokens, rng, params.maximum_samples, progress)
    values, notes = varying_units(data.values)
    n, d = data.n_samples, values[0].shape[1]
    if d > WIDEST:
        raise TooLarge(f"{d:,} units", f"at most {WIDEST:,}", "Choose narrower taps")
    names = tap_names([t.name for t in taps])
    spreads = [Spread.of(Moments.of(x).covariance) for x in values]
    if params.distance != BURES:
        refuse_singular(spreads, names, len(values[0]), params.distance)
    series = distance_series(values, spreads, params.distance, data.groups(rng), progress)
    if series[0].max() <= 1e-7:
        raise InputError(
            "all taps have the same covariance up to a factor", "taps that differ", "Choose other taps"
        )
    progress(0.9, "placing taps")
    scaled = classical_scaling(series[0])
    whole, each = stress(series[0], scaled.positions)
    found = _estimates(series, scaled, whole, exchanged_stress(series[0], DRAWS, rng), n, d)
    progress(1.0, "done")
    k, step = len(taps), np.append(np.diagonal(series[0], 1), np.nan)
    return Scatter(
        title=f"{k} taps by the {params.distance} distance of their covariances",
        reading=_reading(found, series[0], scaled, each, names),
        caveats=(*data.notes, *notes, *_caveats(n, d, scaled)), estimates=found, positions=scaled.positions,
        rows=np.arange(k), of="taps", axes=tuple(f"axis {i + 1} ({s:.0%})" for i, s in enumerate(scaled.shares)),
        columns={
            "tap": np.array(names), "network": np.array([t.name.partition(":")[0] for t in taps]),
            "place": np.arange(k), "stress": each, "distance to the next": step,
        },
        colour="tap" if k <= 12 else "place",
        edges=np.column_stack([np.arange(k - 1), np.arange(1, k)]).astype(np.int32),
        edge_values=step[:-1], edge_name="distance to the next",
    )  # fmt: skip


def _estimates(series, scaled: Scaled, whole: float, null, n: int, d: int) -> tuple[Estimate, ...]:
    without = [classical_scaling(s) for s in series[1:]]
    how = {"n": n, "d": d}

    def ends(value: float, each, most: float) -> dict:
        half = jackknife_half(np.array(each))
        return {} if half is None else {
            "low": max(value - float(half), 0.0), "high": max(min(value + float(half), most), value),
            "interval": "jackknife over groups of samples, t",
        }  # fmt: skip

    lost = [stress(s, w.positions)[0] for s, w in zip(series[1:], without, strict=True)]
    share = float(scaled.shares.sum())
    return (
        Estimate("stress of the map", whole, **ends(whole, lost, np.inf), **{**against(whole, null), "p_value": None},
                 null_method=EXCHANGED, estimator="sqrt(Σ (δ - d)² / Σ δ²)", **how),
        Estimate("share of the squared distances in the plane", share,
                 **ends(share, [float(w.shares.sum()) for w in without], 1.0), estimator="(λ1 + λ2) / Σ |λ|", **how),
        Estimate("length of the way through all taps", float(np.diagonal(series[0], 1).sum()),
                 **ends(float(np.diagonal(series[0], 1).sum()), [np.diagonal(s, 1).sum() for s in series[1:]], np.inf),
                 estimator="Σ distance to the next", **how),
    )  # fmt: skip


def _reading(found, distances, scaled: Scaled, each, names) -> str:
    whole, share, _ = found
    drawn = np.linalg.norm(scaled.positions[:, None] - scaled.positions, axis=2)
    i, j = np.unravel_index(np.abs(distances - drawn).argmax(), distances.shape)
    said = (
        f"The plane shows {share.value:.0%} of the squared distances; its stress is {whole.value:.3f}, where distances "
        f"without order have {whole.null:.3f}."
    )
    if whole.value < 1e-6:
        return said + " Nothing is lost."
    return said + (
        f" It distorts {names[int(each.argmax())]} most; {names[i]} and {names[j]} are {distances[i, j]:.2f} apart and "
        f"drawn at {drawn[i, j]:.2f}."
    )


def _caveats(n: int, d: int, scaled: Scaled) -> list[str]:
    notes = [
        "Only distances mean something: the map may be turned or mirrored, and its axes have no names.",
        "Each covariance is divided by its trace: overall size is ignored.",
    ]
    below = -np.minimum(scaled.values, 0.0).sum() / np.abs(scaled.values).sum()
    if below > 0.02:
        notes.append(
            f"{below:.0%} of the squared distances fit no flat space of any dimension: the map bends them."
        )
    if len(scaled.positions) == 3:
        notes.append("Three taps lie in a plane whatever their distances: no stress is no finding.")
    if n <= d:
        notes.append(f"{n:,} samples span fewer directions than there are units ({d:,}).")
    return notes


def _cost(shapes, params: FlagMapParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    d, k = max(units for _, units in shapes), len(shapes)
    flops = 11.0 * k * (2.0 * n * d * d + 14.0 * d**3) + k * k / 2 * 11 * 18.0 * d**3
    held = 8.0 * (n * d * (k + 2.5) + d * d * (4 * k + 8))
    return Cost(m.seconds(flops64=flops, moved=8.0 * n * d * k * 40) + 0.03 + 1e-4 * DRAWS, held)


def _check() -> tuple[CheckLine, ...]:
    """Corners of a square come back as one. Taps with the same axes whose √λ lie on a line: a line of their steps."""
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    distances = np.linalg.norm(square[:, None] - square, axis=2)
    back = classical_scaling(distances)
    rng = np.random.default_rng(1)
    white = rng.standard_normal((200, 5))
    white = np.linalg.qr(white - white.mean(axis=0))[0]
    angle = np.array([0.1, 0.2, 0.4, 0.7])  # √λ on a circle of radius 1, all in one plane
    taps = [ArrayActivations(white * np.array([np.cos(a), np.sin(a), 0, 0, 0])) for a in angle]
    found = flag_map(*taps)
    chord = 2 * np.sin(np.abs(angle[:, None] - angle) / 2)
    drawn = np.linalg.norm(found.positions[:, None] - found.positions, axis=2)
    simplex = classical_scaling(1.0 - np.eye(6))
    return (
        CheckLine("a square: distances kept", 0.0, stress(distances, back.positions)[0], 1e-12),
        CheckLine("same axes: distances of √λ", 0.0, float(np.abs(drawn - chord).max()), 1e-7),
        CheckLine("and no stress", 0.0, found.estimates[0].value, 1e-7),
        CheckLine("six points all alike: two of five equal axes", 0.4, float(simplex.shares.sum()), 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="flag_map", family="subspaces", title="Map of taps by their covariances", version=1, function=flag_map,
        summary="Layers or checkpoints as points of a plane, as far apart as their covariances, with what it distorts.",
        params=FlagMapParams, result=Scatter, check=_check, cost=_cost, inputs=3, same_units=True, more_inputs=True,
        minimum_rows=FEWEST, invariance="rotating all taps alike, shifting or scaling any of them",
        papers=("Flagfolds",),
    ),
)  # fmt: skip
