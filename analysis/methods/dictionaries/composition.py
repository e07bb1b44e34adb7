"""Is a feature an atom, or made of a few other features?

Each firing feature's direction is rebuilt from at most `parts` other firing features by orthogonal matching pursuit;
the share of its square that they rebuild stands beside that of 2,000 Gaussian directions in sets as large of the same
second moment (so that they fill the same dimensions), which is far above 0 in a large dictionary. q: how often random
directions are rebuilt so well, after correction over all features (Benjamini-Hochberg). The composition rate is the
share of features beyond chance.

When it lies: with so many random directions a rate below 1 % at a false-discovery rate of 5 % cannot be told from none;
a direction near one other is rebuilt by it alone (a double, see the feature table) and counts here too;
features of one small subspace rebuild each other without any being made of others, which the second moment alone does
not tell; directions say nothing of when features fire; only features that fired are looked at.

Cost: O((features looked at + 2,000) x parts x k d).

References: "OrtSAE: Orthogonal sparse autoencoders uncover atomic features" (2025); P. Leask et al. (2025), "Sparse
autoencoders do not find canonical units of analysis"; Y. Pati et al. (1993).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.dictionaries.composition import rebuilt_by_chance, rebuilt_by_others
from analysis.compute.dictionaries.firing import firing
from analysis.compute.dictionaries.sparse_codes import likely_size
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import add_one_p, bootstrap_mean, wilson
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import InputError
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, DRAWN = 8, 2_000  # rows; random directions
HELP = {
    "feature": "The feature's name.",
    "rebuilt": "Share of the square of its direction that a few other features rebuild.",
    "by chance": "Median of the same share of random directions with the same second moment.",
    "q": "False-discovery rate at which it is rebuilt better than random directions are.",
    "firing rate": "Share of rows in which it is not 0.",
    "parts": "The features that rebuild it, the largest product first.",
    "verdict": "composed (better than chance), or an atom as far as this can tell.",
}


@dataclass(frozen=True)
class CompositionParams:
    parts: int = param(3, "Most other features that may rebuild one.", low=1, high=16)
    level: float = param(0.05, "False-discovery rate of composed features.", low=1e-4, high=0.5)
    maximum_features: int = param(2_000, "Most features; a seeded random part above.", low=50, high=100_000)


def composition(
    activations, params: CompositionParams = CompositionParams(), rng=None, progress=no_progress
) -> Table:
    """How well a few other features rebuild each feature's direction.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap that a feature set encoded; of any other the units themselves are the features.

    Returns
    -------
    Table
        A line for each feature, see `HELP`. Estimates: composition rate, mean share rebuilt.

    Raises
    ------
    NotFound, StoreDamaged, NotEnoughData, InputError
        No feature set beside the tap; fewer than eight finite rows; fewer than three features fire.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    made = tap_dictionary(tap)
    found = firing(tap, seen, progress, (0.0, 0.3))
    refuse_few(tap.name, found.n, FEWEST)
    alive = np.flatnonzero(found.count > 0)
    if len(alive) < 3:
        raise InputError(f"{len(alive)} feature(s) of {tap.name} fire", "at least three")
    progress(0.3, "rebuilding directions from others")
    some = np.arange(len(alive))
    if len(some) > params.maximum_features:
        some = np.sort(rng.choice(some, size=params.maximum_features, replace=False))
    share, parts = rebuilt_by_others(made.features.directions[alive], some, params.parts)
    progress(0.8, "rebuilding random directions")
    null = rebuilt_by_chance(made.features.directions[alive], params.parts, DRAWN, rng)
    q = benjamini_hochberg(add_one_p(share, null[:, None]))
    names, own = np.array(tap.unit_names), alive[some]
    composed = (q <= params.level) & (share > 1e-9)
    columns = {
        "feature": names[own], "rebuilt": share, "by chance": np.full(len(own), float(np.median(null))), "q": q,
        "firing rate": found.count[own] / found.n,
        "parts": np.array([", ".join(names[alive[p[p >= 0]]]) for p in parts], dtype=str),
        "verdict": np.where(composed, "composed", "atom"),
    }  # fmt: skip
    estimates = _estimates(share, composed, null, params, made.features.n_units, rng)
    progress(1.0, "done")
    said = (
        f"{int(composed.sum()):,} of {len(own):,} features are rebuilt by {params.parts} others better than random "
        f"directions are; on average {share.mean():.2f} of a direction is rebuilt, of a random one {null.mean():.2f}."
    )
    part = () if len(own) == len(alive) else (f"A random {len(own):,} of {len(alive):,} firing features.",)
    fewest = int(np.ceil(len(own) / ((1 + len(null)) * params.level)))
    if fewest > 1 and not composed.any():
        part += (f"Fewer than {fewest:,} composed features could not be told from chance.",)
    return Table(
        title=f"Are the features of {tap.name} atoms?", reading=said,
        caveats=(*seen.notes, *made.notes, *part,
                 "Directions alone: which features are active together is not looked at."),
        estimates=estimates, columns=columns, index="feature", sort="rebuilt", help=HELP,
    )  # fmt: skip


def _estimates(share, composed, null, params: CompositionParams, d: int, rng) -> tuple[Estimate, ...]:
    n = len(share)
    low, high = wilson(int(composed.sum()), n)
    a, b = bootstrap_mean(share, rng)
    value = float(share.mean())
    return (
        Estimate("composition rate", float(composed.mean()), low, high, interval="Wilson over features", null=0.0,
                 null_method=f"Gaussian directions, false-discovery rate {params.level:g}", n=n, d=d,
                 estimator=f"matching pursuit of {params.parts} others"),
        Estimate("mean share of a direction rebuilt by others", value, min(float(a), value), max(float(b), value),
                 interval="bootstrap over features", null=float(null.mean()),
                 null_low=float(np.percentile(null, 2.5)), null_high=float(np.percentile(null, 97.5)),
                 null_method="single Gaussian directions of the same second moment", n=n, d=d,
                 estimator="1 - squared residual"),
    )  # fmt: skip


def _cost(shapes, params: CompositionParams) -> Cost:
    (n, k), m = shapes[0], machine()
    d, active = likely_size(k)
    some = min(k, params.maximum_features)
    seconds = m.seconds(flops32=2.0 * (some + DRAWN) * params.parts * k * d, moved=n * active * 80.0,
                        calls=30.0 * params.parts * (some + DRAWN)) + 0.02  # fmt: skip
    return Cost(seconds, min(n, 4096) * active * 50.0 + 24.0 * k * d + 64 * k * 12.0)


def _check() -> tuple[CheckLine, ...]:
    """A direction that is the sum of two others among orthogonal ones is rebuilt whole by these, and each of these by
    the other two; the rest by nothing."""
    u = np.eye(20)
    u[19] = (u[0] + u[1]) / np.sqrt(2)
    share, parts = rebuilt_by_others(u, np.arange(20), 2)
    units = composition(np.random.default_rng(0).standard_normal((60, 12))).columns
    return (
        CheckLine("the sum is rebuilt", 1.0, float(share[19]), 1e-9),
        CheckLine("by its two parts", 1.0, float(sorted(parts[19].tolist()) == [0, 1]), 0.0),
        CheckLine("a part, by the sum and the other", 1.0, float(share[0]), 1e-9),
        CheckLine("orthogonal ones are not", 0.0, float(share[2:19].max()), 1e-9),
        CheckLine("units are atoms", 0.0, float((units["verdict"] == "composed").mean()), 0.0),
    )


METHODS = (
    Method(
        id="composition", family="dictionaries", title="Atoms or compositions", version=2, function=composition,
        summary="How well a few other features rebuild each feature's direction, beside random directions.",
        params=CompositionParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering features and rows; scaling directions; rotating the tap with them",
        papers=("OrtSAE: Orthogonal Sparse Autoencoders Uncover Atomic Features",),
    ),
)  # fmt: skip
