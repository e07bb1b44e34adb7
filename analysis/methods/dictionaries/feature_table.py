"""Every feature of a dictionary on one line: how often and how strongly it fires, and which other feature is most like
it.

Nearest is the feature with the largest cosine of directions, among those that fire. q says how often random directions
would have a neighbour so near, after correction over all features (Benjamini-Hochberg): of k - 1 random directions in d
dimensions all have a cosine below t with probability F(t)^(k - 1). Two features that are near and fire together are
doubles. Two that are near and avoid each other are suspects: of a split (one concept in two features) where they fire
about as often, of absorption (the general one is silent where the specific one fires) where one fires at least twice as
often as the other (`compute.dictionaries.firing.pair_verdicts`).

When it lies: a suspect is no proof, which takes examples or a probe; only the nearest neighbour is looked at, so a
concept in several parts shows as pairs; a TopK rule makes all features avoid each other a little; activations that lie
in few dimensions have near directions without any relation, for the chance is that of all directions; rare features
have too few rows to tell.

Cost: two passes over the codes, O(entries), and O(k² d) for neighbours.

References: D. Chanin et al. (2024), "A is for absorption"; "OrtSAE: Orthogonal sparse autoencoders uncover atomic
features" (2025).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.dictionaries.coherence import nearest, nearest_by_chance, nearest_p
from analysis.compute.dictionaries.firing import (
    ABSORBED,
    ABSORBS,
    DEAD,
    DOUBLE,
    NEAR,
    SILENT_P,
    SPLIT,
    Firing,
    firing,
    pair_counts,
    pair_verdicts,
)
from analysis.compute.dictionaries.sparse_codes import likely_size
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import bootstrap_mean, wilson
from analysis.compute.streaming import Pass, refuse_few
from analysis.features import rules
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8  # rows
HELP = {
    "feature": "The feature's name.",
    "firing rate": "Share of rows in which it is not 0.",
    "low": "95 % interval of the rate (Wilson), with samples, not tokens, as independent.",
    "high": "95 % interval of the rate (Wilson), with samples, not tokens, as independent.",
    "mean": "Mean of its values that are not 0.",
    "largest": "Largest |value|.",
    "length": "Length of its direction.",
    "nearest": "The other firing feature with the largest cosine of directions.",
    "cosine": "Cosine of its direction with that of the nearest.",
    "cosine by chance": "Median cosine of the nearest of as many random directions.",
    "q": "False-discovery rate at which it is nearer than random directions are.",
    "together": "Share of the rarer one's rows in which both fire.",
    "together by chance": "The same if they fired independently: the rate of the more frequent one.",
    "verdict": "dead; alone (no nearer than chance); double (both fire together); may be split, may absorb, may be "
    "absorbed (they avoid each other); near; too few rows to tell.",
}


@dataclass(frozen=True)
class FeatureTableParams:
    level: float = param(0.05, "False-discovery rate of neighbours nearer than chance.", low=1e-4, high=0.5)


def feature_table(
    activations, params: FeatureTableParams = FeatureTableParams(), rng=None, progress=no_progress
) -> Table:
    """Firing, size and nearest neighbour of every feature of a dictionary.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap that a feature set encoded; of any other the units themselves are the features.

    Returns
    -------
    Table
        A line for each feature, see `HELP`.

    Raises
    ------
    NotFound, StoreDamaged, NotEnoughData
        The feature set beside the tap is missing or has changed; fewer than eight finite rows.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    made = tap_dictionary(tap)
    found = firing(tap, seen, progress, (0.0, 0.4))
    refuse_few(tap.name, found.n, FEWEST)
    progress(0.4, "comparing directions")
    alive = found.count > 0
    k, d = max(int(alive.sum()), 1), made.features.n_units
    near = nearest(made.features.directions, made.features.rule != rules.LINEAR, alive)
    p = np.where(near.of >= 0, nearest_p(near.cosine, k, d), 1.0)
    q = np.ones(len(p))
    q[alive] = benjamini_hochberg(p[alive])
    others = np.maximum(near.of, 0)
    both = pair_counts(tap, np.arange(len(p)), others, progress, (0.6, 1.0))
    both[near.of < 0] = 0
    verdict = pair_verdicts(found, near.of, both, q <= params.level)
    names = np.array(tap.unit_names)
    rare, often = (f(found.count, found.count[others]) for f in (np.minimum, np.maximum))
    bounds = np.array([wilson(c * seen.independent / found.n, seen.independent) for c in found.count])
    columns = {
        "feature": names, "firing rate": found.count / found.n, "low": bounds[:, 0], "high": bounds[:, 1],
        "mean": found.mean, "largest": found.largest, "length": made.features.lengths.astype(float),
        "nearest": np.where(near.of >= 0, names[others], ""), "cosine": near.cosine,
        "cosine by chance": np.full(len(p), nearest_by_chance(k, d)), "q": q,
        "together": both / np.maximum(rare, 1), "together by chance": np.where(near.of >= 0, often / found.n, 0.0),
        "verdict": verdict,
    }  # fmt: skip
    return Table(
        title=f"The {len(p):,} features of {tap.name}", reading=_reading(found, verdict, columns),
        caveats=(*seen.notes, *made.notes, *_caveats(made.features.rule, found, verdict)),
        estimates=_estimates(columns, alive, k, d, rng, params), columns=columns, index="feature",
        sort="firing rate", help=HELP,
    )  # fmt: skip


def _estimates(columns, alive: np.ndarray, k: int, d: int, rng, params) -> tuple[Estimate, ...]:
    if not alive.any() or k < 2:
        return ()
    cosine, close = columns["cosine"][alive], columns["q"][alive] <= params.level
    low, high = bootstrap_mean(cosine, rng)
    share_low, share_high = wilson(close.sum(), len(close))
    n = len(cosine)
    return (
        Estimate("mean cosine of the nearest feature", float(cosine.mean()), float(min(low, cosine.mean())),
                 float(max(high, cosine.mean())), interval="bootstrap over features", null=nearest_by_chance(k, d),
                 null_method="median of as many random directions", n=n, d=d, estimator="mean over firing features"),
        Estimate("share with a neighbour nearer than chance", float(close.mean()), share_low, share_high,
                 interval="Wilson over features", null=0.0, null_method=f"false-discovery rate {params.level:g}", n=n,
                 d=d, estimator="Benjamini-Hochberg"),
    )  # fmt: skip


def _reading(found: Firing, verdict: np.ndarray, columns) -> str:
    count = lambda v: int((verdict == v).sum())  # noqa: E731
    rates = columns["firing rate"][found.count > 0]
    often = f"; the others fire in {np.median(rates):.2%} of rows (median)" if len(rates) else ""
    return (
        f"{count(DEAD):,} of {len(verdict):,} features fired in none of {found.n:,} rows{often}. "
        f"{count(DOUBLE):,} have a double, {count(SPLIT):,} may be split, {count(ABSORBED):,} may be absorbed by a "
        f"more specific one and {count(ABSORBS):,} may absorb a more general one."
    )


def _caveats(rule: str, found: Firing, verdict: np.ndarray) -> tuple[str, ...]:
    said = ["Suspects of splitting and absorption are pairs to look at, not proofs."]
    tried = int(np.isin(verdict, (SPLIT, ABSORBED, ABSORBS, NEAR)).sum())
    if tried:
        said.append(
            f"Of {tried:,} features looked at, about {SILENT_P * tried:.0f} would be suspects by chance, more where "
            "tokens of a sample go together."
        )
    if rule == rules.LINEAR:
        said.append("Codes of this dictionary may be negative, so neighbours are by |cosine|.")
    if rule == rules.TOPK:
        said.append("Only k features can fire in a row, so all avoid each other a little.")
    if found.n and (found.count == found.n).mean() > 0.9:
        said.append(
            "Nearly all features are active in every row: rates and verdicts say nothing for this tap."
        )
    return tuple(said)


def _cost(shapes, params: FeatureTableParams) -> Cost:
    (n, k), m = shapes[0], machine()
    (d, active), chunk = likely_size(k), min(n, 4096)
    seconds = (
        m.seconds(flops32=2.0 * k * k * d, moved=n * active * 150.0 + 8.0 * k * k, calls=40.0 * k) + 0.02
    )
    return Cost(seconds, chunk * active * 75.0 + 16.0 * k * k + 1000.0 * k)


def _check() -> tuple[CheckLine, ...]:
    """Units: orthogonal, one dead, rates as planted."""
    rng = np.random.default_rng(0)
    x = np.where(rng.random((500, 6)) < 0.2, 2.0, 0.0)
    x[:, 5] = 0
    x[:100, 0], x[100:, 0] = 3, 0
    c = feature_table(ArrayActivations(x)).columns
    return (
        CheckLine("firing rate", 0.2, c["firing rate"][0], 1e-12),
        CheckLine("mean", 3.0, c["mean"][0], 1e-12),
        CheckLine("dead", 1.0, float((c["verdict"] == DEAD).sum()), 0.0),
        CheckLine("orthogonal", 0.0, float(np.abs(c["cosine"]).max()), 1e-6),
    )


METHODS = (
    Method(
        id="feature_table", family="dictionaries", title="Feature table", version=1, function=feature_table,
        summary="Firing, size, nearest neighbour, and suspects of splitting and absorption, one line per feature.",
        params=FeatureTableParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering rows; scaling a direction up and its codes down changes lengths and sizes only",
        papers=("OrtSAE: Orthogonal Sparse Autoencoders Uncover Atomic Features",),
    ),
)  # fmt: skip
