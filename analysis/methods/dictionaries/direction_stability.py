"""Would other samples give the feature the same direction? Refits of directions over the bootstrap, codes held fixed.

Samples are drawn with replacement. From those drawn, and again from those left out (about 37 %), each feature gets the
direction that the data give to its code when all other features have had their part, Cov(x - Σ_{i≠j} e_i d_i, e_j).
The two are made of different samples, so their cosine, averaged over draws, is near 1 for a feature that the data
support and near 0 for one that they do not. Nothing is trained again: encoder and other features stay as they are.

Null: the same with the activations in another order than the codes, single draws of all features together.

When it lies: the encoder was trained on these very samples; a feature that fires in few samples is left out rather than
called unstable; a code that repeats another feature's is stable though it is not needed; copies of a sample in the data
fall on both sides and make everything stable.

Cost: 4 draws O(entries d); memory 8 bytes per drawn row and unit, twice.

References: B. Efron (1983) for samples left out of a bootstrap; "Position: Mechanistic interpretability should
prioritize feature consistency in SAEs" (2025) for why.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.dictionaries.own_part import (
    OwnParts,
    blocks_of,
    cosines,
    moved_directions,
    own_parts,
    weighted_directions,
)
from analysis.compute.dictionaries.sparse_codes import likely_size
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import bootstrap_mean, share_over
from analysis.compute.streaming import Pass, refuse_few
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8  # rows
FIRES = 3  # rows on either side, below which a refit says nothing
STABLE, UNSTABLE, FEW, DEAD = "stable", "not stable", "too few rows", "dead"
HELP = {
    "feature": "The feature's name.",
    "stability": "Mean cosine of its directions from samples drawn and from samples left out.",
    "least": "The least of these cosines over the draws.",
    "by chance": "Mean of the same with activations in another order than codes.",
    "above chance": "Stability less that.",
    "q": "False-discovery rate at which it is beyond chance.",
    "draws": "Draws in which it fired often enough on both sides.",
    "verdict": "stable (beyond chance, and at least as large as asked), not stable, too few rows, dead.",
}


@dataclass(frozen=True)
class DirectionStabilityParams:
    draws: int = param(10, "Bootstrap draws.", low=2, high=200)
    least: float = param(0.7, "Least mean cosine of a feature that is called stable.", low=0.0, high=1.0)
    level: float = param(0.05, "False-discovery rate of features beyond chance.", low=1e-4, high=0.5)
    maximum_rows: int = param(10_000, "Most rows; a seeded random subset above.", low=50, high=200_000)


def direction_stability(
    activations, params: DirectionStabilityParams = DirectionStabilityParams(), rng=None, progress=no_progress
) -> Table:
    """How well each feature's direction is reproduced by other samples.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap that a feature set encoded; of any other the units themselves are the features.

    Returns
    -------
    Table
        A line for each feature, see `HELP`. Estimates: mean stability, the share that is stable.

    Raises
    ------
    NotFound, StoreDamaged, NotEnoughData
        The feature set beside the tap is missing or has changed; fewer than eight finite rows.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    made = tap_dictionary(tap)
    parts = own_parts(
        made.codes, made.source, made.features, params.maximum_rows, rng, seen, progress, (0.0, 0.3)
    )
    refuse_few(tap.name, len(parts.left), FEWEST)
    refits = _refits(parts, params.draws, rng, progress)
    progress(1.0, "done")
    columns, null = _columns(np.array(tap.unit_names), parts, *refits, params)
    known = np.isfinite(columns["stability"])
    yes = int((columns["verdict"] == STABLE).sum())
    notes = [
        "Codes are held fixed: nothing is trained again, so this is not what another training would find."
    ]
    if len(parts.left) < parts.n_rows:
        notes.append(f"A random {len(parts.left):,} of {parts.n_rows:,} rows used.")
    return Table(
        title=f"Directions of {tap.name} from other samples",
        reading=f"{yes:,} of {int(known.sum()):,} features that fire often enough keep their direction when it is "
        f"found again from other samples; by chance the mean cosine is {null.mean() if len(null) else 0:.3f}.",
        caveats=(*seen.notes, *made.notes, *notes), estimates=_estimates(columns, known, null, parts, params, rng),
        columns=columns, index="feature", sort="stability", help=HELP,
    )  # fmt: skip


def _refits(parts: OwnParts, draws: int, rng, progress) -> tuple[np.ndarray, np.ndarray]:
    """(draws, k) cosines and the same by chance; NaN where a side has too few rows."""
    k, d, m = parts.lengths.shape[1], parts.left.shape[1], len(parts.sample)
    own, chance = np.full((draws, k), np.nan), np.full((draws, k), np.nan)
    for draw in range(draws):
        progress(0.3 + 0.7 * draw / draws, "finding directions again")
        picked = np.bincount(rng.integers(parts.n, size=parts.n), minlength=parts.n).astype(np.float64)
        inside, outside = picked[parts.sample], (picked == 0)[parts.sample].astype(np.float64)
        if not outside.any():
            continue
        order = rng.permutation(m)
        for block in blocks_of(k, d):
            (a, in_fires), (b, out_fires) = (weighted_directions(parts, w, block) for w in (inside, outside))
            good = (in_fires >= FIRES) & (out_fires >= FIRES)
            own[draw, block] = np.where(good, cosines(a, b), np.nan)
            a, b = (moved_directions(parts, w, block, order)[0] for w in (inside, outside))
            chance[draw, block] = np.where(good, cosines(a, b), np.nan)
    return own, chance


def _columns(names, parts: OwnParts, own, chance, params) -> tuple[dict, np.ndarray]:
    drawn = np.isfinite(own).sum(axis=0)
    enough = drawn * 2 > len(own)
    value, least, by_chance = (np.full(len(names), np.nan) for _ in range(3))
    value[enough] = np.nanmean(own[:, enough], axis=0)
    least[enough] = np.nanmin(own[:, enough], axis=0)
    by_chance[enough] = np.nanmean(chance[:, enough], axis=0)
    null, single = by_chance[enough], chance[:, enough]
    single = np.sort(
        single[np.isfinite(single)]
    )  # of one draw, which varies more than a mean of draws: strict
    p = np.full(len(names), np.nan)
    p[enough] = (1 + len(single) - np.searchsorted(single, value[enough], side="left")) / (1 + len(single))
    q = benjamini_hochberg(p)
    dead = np.bincount(parts.lengths.indices, minlength=len(names)) == 0
    good = (q <= params.level) & (value >= params.least)
    columns = {
        "feature": names, "stability": value, "least": least,
        "by chance": np.where(enough, null.mean() if len(null) else np.nan, np.nan),
        "above chance": value - (null.mean() if len(null) else 0.0), "q": q, "draws": drawn,
        "verdict": np.select([dead, ~enough, good], [DEAD, FEW, STABLE], UNSTABLE),
    }  # fmt: skip
    return columns, null


def _estimates(columns, known, null, parts: OwnParts, params, rng) -> tuple[Estimate, ...]:
    if not known.any():
        return ()
    own, d = columns["stability"][known], parts.left.shape[1]
    low, high = (float(v) for v in bootstrap_mean(own, rng, draws=500))
    ends = np.quantile(null, [0.025, 0.975])
    method = "activations in another order than codes"
    stable = share_over(columns["verdict"][known] == STABLE, "features that fire often enough")
    return (
        Estimate("mean stability", float(own.mean()), min(low, float(own.mean())), max(high, float(own.mean())),
                 interval="bootstrap over features", null=float(null.mean()), null_low=float(ends[0]),
                 null_high=float(ends[1]), null_method=method, n=parts.n, d=d,
                 estimator=f"{params.draws} bootstrap draws against what they leave out, codes fixed"),
        Estimate("share that is stable", **stable, null=0.0, null_method=f"false-discovery rate {params.level:g}",
                 n=parts.n, d=d, estimator="Benjamini-Hochberg"),
    )  # fmt: skip


def _cost(shapes, params: DirectionStabilityParams) -> Cost:
    (n, k), m = shapes[0], machine()
    (d, active), some = likely_size(k), min(n, params.maximum_rows)
    flops = params.draws * 8.0 * some * active * d
    seconds = m.seconds(flops64=flops, moved=60.0 * n * active + params.draws * 200.0 * some * active) + 0.02
    return Cost(seconds, some * (24.0 * d + 110.0 * active) + 40.0 * k * d + 16.0 * params.draws * k)


def _check() -> tuple[CheckLine, ...]:
    """A unit is its own direction in every sample. Codes that have nothing to do with the activations have none."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 6))
    c = direction_stability(ArrayActivations(x)).columns
    from scipy.sparse import csr_array

    parts = OwnParts(csr_array(np.abs(rng.standard_normal((400, 8)))), rng.standard_normal((400, 40)),
                     np.zeros((8, 40)), np.arange(400), 400, 40.0)  # fmt: skip
    own, _ = _refits(parts, 10, rng, no_progress)
    return (
        CheckLine("units: stability", 1.0, float(c["stability"].min()), 1e-9),
        CheckLine("codes without relation", 0.0, float(np.abs(own.mean())), 0.1),
    )


METHODS = (
    Method(
        id="direction_stability", family="dictionaries", title="Stability over samples", version=2,
        function=direction_stability,
        summary="Whether other samples give each feature the same direction: bootstrap refits with codes held fixed.",
        params=DirectionStabilityParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating or scaling the activations with the directions; reordering features",
        papers=("Position: Mechanistic Interpretability Should Prioritize Feature Consistency in SAEs",),
    ),
)  # fmt: skip
