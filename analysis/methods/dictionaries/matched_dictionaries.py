"""Do two dictionaries arrange their features alike? SVCCA and RSA of the directions of matched features, in all and by
class.

Features of the first tap are matched with those of every other tap by correlation on one half of the samples, and pairs
no better than the best of as many unrelated partners are dropped; the other half gives the correlation that is told.
Then the *directions* of the pairs are compared, which took no part in the matching: SVCCA (mean canonical correlation)
and RSA, Spearman's correlation of their cosines. Neither depends on the order of features or on the basis of either
network. A pair belongs to the class in whose samples its first feature is strongest, on average.

Nulls: the same pairs joined at random, 199 draws, for every line; and, as estimates, both scores after matching on
exchanged samples. p of lines is after Benjamini-Hochberg over scores and lines.

When it lies: few pairs for many directions make any CCA large (at most a quarter as many directions as pairs are kept);
dictionaries of one network share its basis, and a shared basis is an arrangement; features that are units have
orthogonal directions and nothing to compare; tokens are pooled by sample; a class of few pairs has little power.

Cost: for each other tap 22 matchings, O(n p q) each (one to one also cubic), and O(k² d) for 199 pairings of k pairs.

References: M. Lan et al. (2024), "Sparse autoencoders reveal universal feature spaces across large language models"; M.
Raghu et al. (2017), "SVCCA"; N. Kriegeskorte et al. (2008).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.matching.matched_rows import FEWEST, paired_rows, random_pairings, without_groups
from analysis.compute.matching.row_matching import EXCHANGES, chance_matching, halves_of, match
from analysis.compute.matching.weight_rows import least_beyond_chance
from analysis.compute.networks.matched_report import geometry_estimates
from analysis.compute.rows.cluster_columns import label_column
from analysis.compute.rows.columns_by_id import column_by_id
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.samples import known_labels
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import add_one_p
from analysis.compute.statistics.sample_groups import sample_groups
from analysis.errors import NotEnoughData
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

DRAWS, ALL, MOST_CLASSES, FEWEST_SAMPLES, LEVEL = 199, "all", 20, 16, 0.05
HELP = {
    "features": "Which pairs: all, or those whose first feature is strongest in a class.",
    "of": "The other tap.",
    "pairs": "Matched pairs.",
    "held-out r": "Their mean correlation on samples that did not match them.",
    "SVCCA": "Mean canonical correlation of their directions.",
    "SVCCA by chance": "The same with pairs joined at random: mean of 199.",
    "RSA": "Spearman's correlation of the cosines between directions.",
    "RSA by chance": "The same with pairs joined at random: its 95 % level.",
    "alike": "Which of the two scores are beyond random joining, false-discovery rate 5 %.",
}


@dataclass(frozen=True)
class MatchedDictionariesParams:
    matching: str = param("one to one", "Each partner serves one feature, or any number of them.",
                          choices=("one to one", "many to one"))  # fmt: skip
    column: str | None = param(
        None, "Sample column whose classes sort pairs; automatic: 'label'.", column=True
    )
    variance: float = param(
        0.99, "Share of each side's variance that SVCCA directions hold.", low=0.1, high=1.0
    )
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_features: int = param(1000, "Most features of a tap, by total activation.", low=8, high=8000)
    maximum_samples: int = param(5000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def matched_dictionaries(
    *taps, params: MatchedDictionariesParams = MatchedDictionariesParams(), rng=None, progress=no_progress
) -> Table:
    """Directions of features matched between the first tap and every other.

    Parameters
    ----------
    *taps : two or more Activations, best taps that feature sets encoded, of whatever networks, with common samples.

    Returns
    -------
    Table
        A line for each other tap and class, see `HELP`. Estimates: SVCCA, RSA and held-out correlation with each.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than sixteen common samples, or than five pairs beyond chance, or than two taps; over 4 GiB.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    data = common_samples(taps, rng, maximum=params.maximum_samples, minimum=FEWEST_SAMPLES, pooling=params.pooling,
                          progress=progress, span=(0.0, 0.2))  # fmt: skip
    sets, names = [tap_dictionary(t) for t in taps], tap_names([t.name for t in taps])
    rows = [s.features.directions.astype(np.float64) for s in sets]
    best, classes = _strongest_class(taps[0], data, params.column)
    lines, estimates, notes = [], [], []
    for i in range(1, len(taps)):
        progress(0.2 + 0.8 * (i - 1) / (len(taps) - 1), f"matching with {names[i]}")
        pair = (data.values[0], data.values[i]), (rows[0], rows[i]), (names[0], names[i])
        found, u, v, numbers, said = _compared(*pair, params, rng)
        estimates += [replace(e, name=f"{e.name}, {names[i]}") if len(taps) > 2 else e for e in numbers]
        notes += said
        which = best[found.first]
        groups = [(ALL, np.ones(len(which), bool)), *((c, which == j) for j, c in enumerate(classes))]
        lines += [_line(c, names[i], found, u, v, at, params, rng) for c, at in groups if at.sum() >= FEWEST]
    progress(1.0, "done")
    columns = _columns(lines)
    for s, name in zip(sets, names, strict=True):
        if s.of_units:
            notes.append(
                f"The features of {name} are its units: their directions are orthogonal, not arranged."
            )
    return Table(
        title=f"Directions of features matched with {names[0]}", reading=_reading(columns, estimates),
        caveats=(*data.notes, *notes, "Matched by activations, judged by directions, which took no part in it."),
        estimates=tuple(estimates), columns=columns, index="features", help=HELP,
    )  # fmt: skip


def _compared(values, rows, names, params, rng):
    """The matching, the pairs' directions, estimates and notes."""
    usable = [np.isfinite(r).all(axis=1) & (r != 0).any(axis=1) for r in rows]
    halves = halves_of(values, usable, params.maximum_features, names, rng)
    least, once = (
        least_beyond_chance(halves.n_matching, halves.sides[1].d),
        params.matching == "one to one",
    )
    found = match(halves, once, least)
    if len(found.first) < FEWEST:
        raise NotEnoughData(
            f"{len(found.first)} feature(s) of {names[0]} correlate at least {least:.2f} with one of {names[1]}",
            f"{FEWEST} pairs or more", "Record more samples, or choose taps that share features",
        )  # fmt: skip
    u, v = rows[0][found.first], rows[1][found.second]
    pairs = paired_rows(u, v, params.variance)
    drawn = random_pairings(pairs, DRAWS, rng)
    left = without_groups(u, v, params.variance, sample_groups(len(u), rng))
    lucky = chance_matching(halves, rows, once, len(u), params.variance, rng)
    said = [
        f"{found.n_dropped} feature(s) of {names[0]} have no partner in {names[1]} beyond r = {least:.2f}."
    ]
    return found, u, v, geometry_estimates(found, pairs, drawn, left, lucky, halves), [*said, *halves.notes]


def _strongest_class(tap, data, asked: str | None):
    """(features,) number of the class in whose samples each is largest on average, and names."""
    column = label_column(tap, asked)
    if column is None:
        return np.full(tap.shape[1], -1), ()
    labels = column_by_id(tap, data.ids, column)
    known = known_labels(labels)
    classes, of = np.unique(labels[known], return_inverse=True)
    if not 2 <= len(classes) <= MOST_CLASSES:
        return np.full(tap.shape[1], -1), ()
    x = np.asarray(data.values[0], np.float64)[known]
    means = np.array([x[of.reshape(-1) == c].mean(axis=0) for c in range(len(classes))])
    return means.argmax(axis=0), tuple(str(c) for c in classes)


def _line(name: str, other: str, found, u, v, at, params, rng) -> dict:
    pairs = paired_rows(u[at], v[at], params.variance)
    svcca, rsa = random_pairings(pairs, DRAWS, rng)
    return {
        "features": name, "of": other, "pairs": int(at.sum()), "held-out r": float(found.held_out[at].mean()),
        "SVCCA": pairs.svcca(), "SVCCA by chance": float(svcca.mean()), "RSA": pairs.rsa(),
        "RSA by chance": float(np.percentile(rsa, 95)),
        "p": (float(add_one_p(pairs.svcca(), svcca)), float(add_one_p(pairs.rsa(), rsa))),
    }  # fmt: skip


def _columns(lines: list[dict]) -> dict[str, np.ndarray]:
    sure = benjamini_hochberg(np.array([line["p"] for line in lines])) < LEVEL
    columns = {key: np.array([line[key] for line in lines]) for key in lines[0] if key != "p"}
    words = {(True, True): "both", (True, False): "SVCCA", (False, True): "RSA", (False, False): "neither"}
    return columns | {"alike": np.array([words[bool(a), bool(b)] for a, b in sure])}


def _reading(c, estimates) -> str:
    whole = np.flatnonzero(c["features"] == ALL)
    said = [
        f"{c['pairs'][i]} features matched with {c['of'][i]} (held-out r {c['held-out r'][i]:.2f}): SVCCA "
        f"{c['SVCCA'][i]:.2f} ({c['SVCCA by chance'][i]:.2f} for random pairs), RSA {c['RSA'][i]:.2f}; beyond chance: "
        f"{c['alike'][i]}"
        for i in whole[:4]
    ]  # fmt: skip
    return "; ".join(said) + "."


def _cost(shapes, params: MatchedDictionariesParams) -> Cost:
    m, n = machine(), min(min(s[0] for s in shapes), params.maximum_samples)
    wide = [min(s[1], params.maximum_features) for s in shapes]
    p, q = wide[0], max(wide[1:])
    k = min(p, q)
    flops = (len(shapes) - 1) * ((EXCHANGES + 2.0) * n * p * q + 80.0 * k * k * k)
    moved = (len(shapes) - 1) * (2 * DRAWS + EXCHANGES * 4.0 + 60) * 48 * k * k
    held = (
        8.0 * n * (sum(s[1] for s in shapes) + 2.5 * (p + q))
        + 60.0 * p * q
        + 12.0 * sum(s[1] ** 2 for s in shapes)
    )
    return Cost(m.seconds(flops64=flops, moved=moved) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """The same features in another order: all found once, in the order of the pairs. Unrelated ones: refused."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((300, 30))
    found = matched_dictionaries(
        ArrayActivations(x, "x"), ArrayActivations(2 * x[:, rng.permutation(30)], "y")
    )
    u = rng.standard_normal((30, 8))
    pairs = paired_rows(u, u @ np.linalg.qr(rng.standard_normal((8, 8)))[0], 0.99)
    try:
        matched_dictionaries(ArrayActivations(x, "x"), ArrayActivations(rng.standard_normal((300, 30)), "z"))
        refused = 0.0
    except NotEnoughData:
        refused = 1.0
    return (
        CheckLine("every feature has its partner", 30.0, float(found.columns["pairs"][0]), 0.0),
        CheckLine("held-out correlation", 1.0, float(found.columns["held-out r"][0]), 1e-9),
        CheckLine("rotated directions: SVCCA", 1.0, pairs.svcca(), 1e-9),
        CheckLine("rotated directions: RSA", 1.0, pairs.rsa(), 1e-9),
        CheckLine("unrelated dictionaries are refused", 1.0, refused, 0.0),
    )


METHODS = (
    Method(
        id="matched_dictionaries", family="dictionaries", title="Matched dictionaries", version=1,
        function=matched_dictionaries,
        summary="Whether features matched by what they do also point alike: SVCCA and RSA of directions, by class.",
        params=MatchedDictionariesParams, result=Table, check=_check, cost=_cost, inputs=2, more_inputs=True,
        others="dictionaries",
        minimum_rows=FEWEST_SAMPLES,
        invariance="reordering features of any tap; rotating or scaling any network's units with its directions",
        papers=("SAEs Reveal Universal Feature Spaces Across LLMs",),
    ),
)  # fmt: skip
