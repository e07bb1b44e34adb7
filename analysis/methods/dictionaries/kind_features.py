"""Is there a feature for brackets, indentation, strings, a word?

The other way round from the names of features: for every kind of row (a kind of character, a token, a word, what
follows one, a class, a place in an image, and kinds of your own) the feature and level of the best F1 are chosen on the
samples of one half and judged on the other. Beside it stand what saying yes to every row has, 2 s / (1 + s) for a kind
of share s, what the same search reaches with each sample given another one's activations (tokens turned by a random
number), and where the feature is strongest.

When it lies: as concept_f1; kinds overlap (the commonest token of a kind is a kind too), so one feature may be the best
of several; F1 of kinds of different shares cannot be compared without their baselines.

Cost: one product of features by kinds over active rows, for every exchange.

References: A. Makelov, G. Lange & N. Nanda (2024), "Towards principled evaluations of sparse autoencoders for
interpretability and control" (F1 of a feature for an attribute).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.dictionaries.detection import LEVEL_WORDS, Z95
from analysis.compute.dictionaries.held_out_names import (
    FEWEST_SAMPLES,
    NamingParams,
    best_detector,
    observed,
    strongest_texts,
)
from analysis.compute.dictionaries.planted_names import planted_texts
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against, bootstrap_mean, share_over
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress

HELP = {
    "kind": "What the rows have in common.",
    "sort": "class, column, character, token, word, end of a word, after, place, own.",
    "rows": "Rows of the kind, of all that were read.",
    "feature": "The feature of the best F1 on one half of the samples.",
    "level": "At which it counts as active: not 0, above the median or among the upper tenth of its values.",
    "F1": "On the other half.",
    "low": "95 % interval over samples.",
    "high": "95 % interval over samples.",
    "precision": "On the other half: share of the feature's rows that are of the kind.",
    "recall": "On the other half: share of the kind's rows where the feature is active.",
    "says yes always": "F1 of saying yes to every row.",
    "by chance": "Mean F1 of the same search with each sample given another one's activations.",
    "beyond chance": "Whether the interval of F1 is above saying yes always, and F1 above that of every exchange.",
    "strongest": "Up to the ⟦token⟧ where the feature is strongest, in different samples.",
}


@dataclass(frozen=True)
class KindFeaturesParams(NamingParams):
    """As every view of words and features."""


def kind_features(
    activations, params: KindFeaturesParams = KindFeaturesParams(), rng=None, progress=no_progress
) -> Table:
    """The best feature of every kind of row, chosen and judged on different samples.

    Parameters
    ----------
    activations : Activations
        A tap that a feature set encoded, or any other, with labels, text columns or token texts.

    Returns
    -------
    Table
        A line for each kind, see `HELP`. Estimates: mean F1, share of kinds beyond chance.

    Raises
    ------
    NotEnoughData, ParameterError
        Fewer than eight samples; nothing that rows share; kinds that cannot be read.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    seen = observed(tap, params, rng, progress)
    detector, _, scored = seen.choose_and_judge(seen.attributes.hot, best_detector)
    null = [j.f1 for j in seen.by_chance(best_detector, params.draws, rng, progress, (0.3, 0.8))]
    columns = _columns(tap, seen, detector, scored, np.array(null), progress)
    progress(1.0, "done")
    caveats = ["The feature was searched on one half of the samples and judged on the other.", seen.note]
    return Table(
        title=f"Features of {tap.name} for kinds of rows", reading=_reading(columns),
        caveats=tuple(filter(None, caveats)), estimates=_estimates(columns, np.array(null), len(seen.rows), tap, rng),
        columns=columns, index="kind", sort="F1", help=HELP,
    )  # fmt: skip


def _columns(tap, seen, detector, scored, null, progress) -> dict[str, np.ndarray]:
    features = detector % seen.found.n_features
    share = scored.a / max((~seen.first).sum(), 1)
    always, low = 2 * share / (1 + share), scored.f1 - Z95 * scored.f1_error
    texts = {}
    for i, j in enumerate(np.unique(features)):
        progress(0.8 + 0.2 * i / len(features), "reading examples")
        texts[j] = strongest_texts(tap, int(j))
    return {
        "kind": seen.attributes.names, "sort": seen.attributes.sorts,
        "rows": np.asarray(seen.attributes.hot.sum(axis=0)).ravel().astype(np.int64),
        "feature": features.astype(np.int64),
        "level": np.array(LEVEL_WORDS)[detector // seen.found.n_features], "F1": scored.f1,
        "low": np.clip(low, 0, 1), "high": np.clip(scored.f1 + Z95 * scored.f1_error, 0, 1),
        "precision": scored.t / np.maximum(scored.p, 1), "recall": scored.t / np.maximum(scored.a, 1),
        "says yes always": always, "by chance": null.mean(axis=0),
        "beyond chance": np.where((low > always) & (scored.f1 > null.max(axis=0)), "yes", "no"),
        "strongest": np.array([texts[j] for j in features], dtype=str),
    }  # fmt: skip


def _estimates(c, null, rows: int, tap, rng) -> tuple[Estimate, ...]:
    value, common = float(c["F1"].mean()), {"n": rows, "d": tap.shape[1]}
    low, high = bootstrap_mean(c["F1"], rng)
    return (
        Estimate("mean F1 of kinds", value, float(low), float(high), interval="bootstrap over kinds",
                 null_method=f"texts exchanged between samples, {len(null)} times",
                 estimator="chosen on one half of the samples, judged on the other",
                 **against(value, null.mean(axis=1)), **common),
        Estimate("share of kinds beyond chance", **share_over(c["beyond chance"] == "yes", "kinds"),
                 null=1 / (1 + len(null)), null_method="above every exchange of texts", estimator="exchange", **common),
    )  # fmt: skip


def _reading(c) -> str:
    named = c["beyond chance"] == "yes"
    said = f"{int(named.sum()):,} of {len(named):,} kinds have a feature that tells them beyond chance."
    best = [i for i in np.argsort(-(c["F1"] - c["says yes always"]), kind="stable") if named[i]][:3]
    if best:
        said += " Best: " + "; ".join(
            f"{c['kind'][i]} by feature {c['feature'][i]} (F1 {c['F1'][i]:.2f}, {c['says yes always'][i]:.2f} for "
            "saying yes always)" for i in best
        )  # fmt: skip
        said += "."
    return said


def _cost(shapes, params: KindFeaturesParams) -> Cost:
    (n, k), m = shapes[0], machine()
    rows, kinds = min(n, params.maximum_rows), 150
    active = rows * min(k, 64)
    seconds = m.seconds(moved=active * 200.0 + (params.draws + 2) * (active * 60.0 + 24.0 * k * kinds))
    return Cost(seconds + 0.5, active * 48.0 + 24.0 * k * kinds)


def _check() -> tuple[CheckLine, ...]:
    """Kinds with a planted feature of their own, half of one, and none."""
    tap, _ = planted_texts(np.random.default_rng(0))
    c = kind_features(tap, KindFeaturesParams(kinds="naming: self", draws=4)).columns
    at = {kind: i for i, kind in enumerate(c["kind"])}
    return (
        CheckLine("opening bracket: feature", 0.0, float(c["feature"][at["opening bracket"]]), 0.0),
        CheckLine("opening bracket: F1", 1.0, c["F1"][at["opening bracket"]], 1e-12),
        CheckLine("a kind of one's own: feature", 1.0, float(c["feature"][at["naming"]]), 0.0),
        CheckLine("digit: recall of half", 0.5, c["recall"][at["digit"]], 0.12),
        CheckLine(
            "word 'count': beyond chance", 0.0, float(c["beyond chance"][at["word 'count'"]] == "yes"), 0.0
        ),
    )


METHODS = (
    Method(
        id="kind_features", family="dictionaries", title="A feature for each kind of token", version=3,
        function=kind_features, summary="Best F1 of a feature for brackets, indentation, words, classes, places.",
        params=KindFeaturesParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST_SAMPLES,
        invariance="any rising map of a feature's values; the order of features",
        papers=("Towards Principled Evaluations of Sparse Autoencoders for Interpretability and Control",),
    ),
)  # fmt: skip
