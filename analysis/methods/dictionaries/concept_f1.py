"""Is there a feature for each class, and does it take one or many?

For each class the feature and threshold of the best F1 are chosen on one half of the samples and judged on the other,
both ways, so that a search over thousands of features does not flatter itself. F1 is never 0 by itself: saying yes to
every sample has 2 s / (1 + s) for a class of share s, which stands beside it, as does what the same search reaches when
labels are exchanged between samples. Over-splitting: how many features together, one yes being enough, reach an F1 of
0.9 (at most eight, greedily, chosen and judged in the same way). A feature that is the best of several classes is
named: one of them may be hidden by the other (occlusion), or the feature means what they share.

When it lies: a feature may stand for what goes along with a class; tokens are pooled, so that a feature fires for a
sample where it fires anywhere; a class in two features that are both needed at once (and, not or) is not found; small
classes have wide intervals; F1 of classes of different shares cannot be compared without their baselines.

Cost: O(k n (log n + C)) for each half and each exchange.

References: A. Makelov, G. Lange & N. Nanda (2024), "Towards principled evaluations of sparse autoencoders for
interpretability and control".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.dictionaries.concept_scores import (
    ENOUGH,
    enough,
    f1,
    f1_parts,
    halves,
    judged,
    prevalence_f1,
)
from analysis.compute.machine import machine
from analysis.compute.rows.samples import labelled_matrix
from analysis.compute.statistics.nulls import against, share_over
from analysis.compute.statistics.ratios import ratio_interval
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, SLACK = 8, 0.05  # samples; of the F1 of a union, chosen on other samples than it is judged on
HELP = {
    "class": "The value of the column.",
    "samples": "Samples of the class.",
    "feature": "The feature of the best F1 on one half of the samples, and on the other where that is another.",
    "F1": "Judged on the half that the feature was not chosen on, both halves together.",
    "low": "95 % interval: bootstrap over samples.",
    "high": "95 % interval: bootstrap over samples.",
    "says yes always": "F1 of saying yes to every sample.",
    "by chance": "Mean F1 of the same search with labels exchanged between samples.",
    "beyond chance": "Whether F1 is above that of every exchange, and above saying yes always.",
    "features together": f"How many features, any of them, reach F1 {ENOUGH} on the half they are chosen on (mean of "
    "both halves), or as many as help.",
    "F1 together": "F1 of these, judged on the other half.",
    "over-split": "It takes two or more features to reach it, and they do; where saying yes always has more than 0.8, "
    "half way from there to 1.",
    "same feature as": "Other classes that have the same best feature.",
}


@dataclass(frozen=True)
class ConceptF1Params:
    column: str = param("label", "The sample column that holds the classes.", column=True)
    pooling: str = param("max", "How the tokens of a sample become one value.", choices=("max", "mean"))
    draws: int = param(9, "Exchanges of labels.", low=4, high=199)
    maximum_samples: int = param(2_000, "Most samples; a seeded random subset above.", low=50, high=50_000)


def concept_f1(
    activations, params: ConceptF1Params = ConceptF1Params(), rng=None, progress=no_progress
) -> Table:
    """The best feature of each class by F1, chosen and judged on different samples.

    Parameters
    ----------
    activations : Activations with the column
        A tap that a feature set encoded, or any other: its units are features too.

    Returns
    -------
    Table
        A line for each class, see `HELP`. Estimates: mean F1, share of classes beyond chance, over-split share.

    Raises
    ------
    NotFound, NotEnoughData, TooLarge
        No such column; fewer than two classes of four samples or more.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = labelled_matrix(tap, params.column, params.pooling, minimum=4, maximum_samples=params.maximum_samples,
                           rng=rng, progress=progress, span=(0.0, 0.2))  # fmt: skip
    fires = np.flatnonzero((data.values != data.values[0]).any(axis=0))  # others tell nothing
    values = data.values[:, fires if len(fires) else [0]]
    units = np.array(tap.unit_names)[fires if len(fires) else [0]]
    hot = data.of[:, None] == np.arange(len(data.names))
    choices, single, several = judged(values, hot, halves(data.of, rng))
    null = []
    for draw in range(params.draws):
        progress(0.3 + 0.7 * draw / params.draws, "exchanging labels")
        of = rng.permutation(data.of)
        own = of[:, None] == np.arange(len(data.names))
        null.append(f1(judged(values, own, halves(of, rng), unions=False)[1], own))
    progress(1.0, "done")
    columns = _columns(data, units, choices, single, several, hot, np.array(null), rng)
    return Table(
        title=f"Features of {tap.name} for '{params.column}'", reading=_reading(columns, params),
        caveats=(*data.notes, "Features were searched on one half of the samples and judged on the other."),
        estimates=_estimates(columns, np.array(null), single, hot, rng, len(values), tap.shape[1]), columns=columns,
        index="class", sort="F1", help=HELP,
    )  # fmt: skip


def _columns(data, units, choices, single, several, hot, null, rng) -> dict[str, np.ndarray]:
    above, below = f1_parts(single, hot)
    value, base = f1(single, hot), prevalence_f1(hot.mean(axis=0))
    bounds = np.array([ratio_interval(a, b, rng, draws=300) for a, b in zip(above.T, below.T, strict=True)])
    picked = np.stack([units[c.feature] for c in choices])
    together = np.mean([[len(f) for f, _ in c.unions] for c in choices], axis=0)
    union = f1(several, hot)
    names = np.array(data.names)
    same = [
        ", ".join(names[(picked[0] == f) & (picked[1] == g) & (np.arange(len(names)) != i)])
        for i, (f, g) in enumerate(picked.T)
    ]
    return {
        "class": names, "samples": data.counts.astype(np.int64),
        "feature": np.array([f if f == g else f"{f} or {g}" for f, g in picked.T]), "F1": value,
        "low": bounds[:, 0], "high": bounds[:, 1], "says yes always": base, "by chance": null.mean(axis=0),
        "beyond chance": np.where((value > null.max(axis=0)) & (value > base), "yes", "no"),
        "features together": together, "F1 together": union,
        "over-split": np.where((together >= 2) & (union >= enough(base) - SLACK), "yes", "no"),
        "same feature as": np.array(same, dtype=str),
    }  # fmt: skip


def _estimates(c, null, single, hot, rng, n: int, d: int) -> tuple[Estimate, ...]:
    above, below = f1_parts(single, hot)
    drawn = []
    for _ in range(200):
        at = rng.integers(n, size=n)
        drawn.append((above[at].sum(axis=0) / np.maximum(below[at].sum(axis=0), 1)).mean())
    low, high = np.percentile(drawn, [2.5, 97.5])
    value = float(c["F1"].mean())
    common = {"n": n, "d": d}
    return (
        Estimate("mean F1 of classes", value, min(float(low), value), max(float(high), value),
                 interval="bootstrap over samples", null_method=f"labels exchanged, {len(null)} times",
                 estimator="chosen on one half, judged on the other", **against(value, null.mean(axis=1)), **common),
        Estimate("share of classes beyond chance", **share_over(c["beyond chance"] == "yes", "classes"),
                 null=1 / (1 + len(null)), null_method="above every exchange of labels",
                 estimator="exchange", **common),
        Estimate("share of classes over-split", **share_over(c["over-split"] == "yes", "classes"),
                 estimator=f"two features or more for F1 {ENOUGH}", **common),
    )  # fmt: skip


def _reading(c, params) -> str:
    yes, split = int((c["beyond chance"] == "yes").sum()), c["class"][c["over-split"] == "yes"]
    best = int(c["F1"].argmax())
    said = (
        f"{yes} of {len(c['class'])} classes have a feature that tells them beyond chance; the best is feature "
        f"{c['feature'][best]} for {c['class'][best]} (F1 {c['F1'][best]:.3f}, {c['says yes always'][best]:.3f} for "
        f"saying yes always)."
    )
    return said + (f" Over several features are spread: {', '.join(split[:8])}." if len(split) else "")


def _cost(shapes, params: ConceptF1Params) -> Cost:
    (n, k), m, c = shapes[0], machine(), 10  # ten classes are usual
    some = min(n, params.maximum_samples)
    seconds = m.seconds(moved=8.0 * n * k + 2.0 * (params.draws + 1) * k * some * (24.0 * c + 700))
    return Cost(seconds + 0.05, some * k * 8.0 * 2.6 + 300.0 * k * c / 10)


def _check() -> tuple[CheckLine, ...]:
    """One class in one feature, one in three features, two in none; saying yes always has 2 s / (1 + s)."""
    rng = np.random.default_rng(0)
    of = np.arange(240) % 4
    x = np.zeros((240, 7))
    x[:, 0] = of == 0
    part = np.arange(240) // 4 % 3
    x[np.flatnonzero(of == 1), 1 + part[of == 1]] = 1
    x[:, 5:] = rng.random((240, 2))
    c = concept_f1(ArrayActivations(x, "planted", {"label": of}), ConceptF1Params(draws=4)).columns
    return (
        CheckLine("one feature: F1", 1.0, c["F1"][0], 1e-12),
        CheckLine("says yes always", 0.4, c["says yes always"][0], 1e-12),
        CheckLine("split in three", 3.0, c["features together"][1], 0.0),
        CheckLine("split in three: F1 together", 1.0, c["F1 together"][1], 1e-12),
        CheckLine("no feature: near saying yes always", 0.4, c["F1"][2], 0.15),
    )


METHODS = (
    Method(
        id="concept_f1", family="dictionaries", title="A feature for each class", version=3, function=concept_f1,
        summary="Best F1 of a feature for each class, chosen and judged on different samples; over-splitting.",
        params=ConceptF1Params, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering features; any rising map of a feature's values",
        papers=("Towards Principled Evaluations of Sparse Autoencoders for Interpretability and Control",),
    ),
)  # fmt: skip
