"""Which attributes have a feature, which are hidden by a louder one, and which are spread over several features?

For every value of every attribute (sample columns of classes): the F1 of the best feature and of the best union, chosen
on one half of the samples and judged on the other; how many features reach 0.9 by themselves (copies) and how many it
takes together (parts); what a linear probe of the tap itself reaches, likewise held out; and how strong the value is in
the tap (`compute.dictionaries.coverage`). Occluded: the probe reads it, no feature does, and a stronger value that goes
along with it in some samples has a feature. Over-split: n copies, or n parts. Of an attribute of two values the one
that features tell better is listed, since the other one is its absence.

Null: the same search with labels exchanged between samples, beside the F1 of saying yes always.

When it lies: an attribute that nobody wrote down may be what hides one; a probe in many units reads what no single
direction should be blamed for; copies are counted by F1 alone, so that two features of attributes that always go along
are copies here; tokens are pooled, so that a feature fires for a sample where it fires anywhere; occlusion is a
suspicion until the louder attribute is removed.

Cost: O(k n (log n + V)) for each half and each exchange.

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
from analysis.compute.dictionaries.coverage import (
    OCCLUDED,
    ONE,
    SPLIT,
    Value,
    every_f1,
    pieces,
    strengths,
    verdicts,
)
from analysis.compute.machine import machine
from analysis.compute.statistics.nulls import against, wilson
from analysis.compute.statistics.ratios import ratio_interval
from analysis.features.attribute_values import AttributeParams, AttributeValues, attribute_values
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 20  # samples
HELP = {
    "value": "Attribute and value.",
    "verdict": "one feature; over-split (in that many pieces); occluded (by a stronger value); weak feature (beyond "
    "chance, F1 below 0.9); no feature; not linear in the tap.",
    "pieces": "Over how many features it is spread; 0 where none covers it.",
    "occluded by": "The stronger value that goes along with it and has a feature.",
    "feature": "The feature that tells it best.",
    "F1": "Of that feature, judged on samples it was not chosen on.",
    "low": "95 % interval: bootstrap over samples.",
    "high": "95 % interval: bootstrap over samples.",
    "says yes always": "F1 of saying yes to every sample.",
    "by chance": "Largest F1 of the same search with labels exchanged.",
    "probe F1": "Of a held-out linear probe of the tap itself.",
    "strength": "Length of its effect on the tap, other attributes held fixed, over the deviation of the rows.",
    "samples": "Samples that have it.",
    "copies": f"Features that reach F1 {ENOUGH} by themselves, or half way from saying yes always to 1 where that is "
    "more.",
    "together": "Features of the best union.",
    "F1 together": "F1 of the union.",
}


@dataclass(frozen=True)
class AttributeCoverageParams(AttributeParams):
    pooling: str = param("max", "How the tokens of a sample become one value.", choices=("max", "mean"))


def attribute_coverage(
    activations, params: AttributeCoverageParams = AttributeCoverageParams(), rng=None, progress=no_progress
) -> Table:
    """The features of every attribute value: none, one, or several.

    Parameters
    ----------
    activations : Activations with columns of classes
        A tap that a feature set encoded; of any other the units themselves are the features.

    Returns
    -------
    Table
        A line for each value, see `HELP`. Estimates: mean F1, shares of values occluded and over-split.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No column of classes; fewer than 20 finite samples; nothing varies.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = attribute_values(tap, params, params.pooling, rng, progress, (0.0, 0.2))
    first, hot, codes = halves(data.keys, rng), data.hot, data.codes
    choices, single, several = judged(codes, hot, first)
    each, null = every_f1(codes, hot, first), []
    for draw in range(params.draws):
        progress(0.3 + 0.7 * draw / params.draws, "exchanging labels")
        mixed = hot[rng.permutation(len(hot))]
        null.append(f1(judged(codes, mixed, first, unions=False)[1], mixed))
    progress(1.0, "done")
    probe = f1(data.probe_says(first), hot)
    values = _values(data, choices, single, several, each, np.array(null), probe)
    said, by = verdicts(values, hot.astype(float).T @ hot)
    columns = _columns(data, values, said, by, choices, single, np.array(null), rng)
    kept = columns["value"]
    return Table(
        title=f"Features of {tap.name} for attributes", reading=_reading(columns),
        caveats=(*data.notes, "Features were searched on one half of the samples and judged on the other.",
                 "Occlusion is a suspicion: only attributes that are written down can be named."),
        estimates=_estimates(columns, np.array(null)[:, data.listed(values)], len(hot), tap.shape[1], rng),
        columns=columns, index="value", sort="strength" if len(kept) else "", help=HELP,
    )  # fmt: skip


def _values(data: AttributeValues, choices, single, several, each, null, probe) -> list[Value]:
    hot, size = data.hot, strengths(data.x, data.hot, data.factor)
    own, union, always = f1(single, hot), f1(several, hot), prevalence_f1(hot.mean(axis=0))
    parts = np.mean([[len(f) for f, _ in c.unions] for c in choices], axis=0)
    return [
        Value(float(own[v]), float(union[v]), float(probe[v]), float(always[v]), float(null[:, v].max()),
              int((each[:, v] >= enough(always[v])).sum()), float(parts[v]), float(size[v]))
        for v in range(hot.shape[1])
    ]  # fmt: skip


def _columns(data, values, said, by, choices, single, null, rng) -> dict[str, np.ndarray]:
    above, below = f1_parts(single, data.hot)
    bounds = [ratio_interval(a, b, rng, draws=300) for a, b in zip(above.T, below.T, strict=True)]
    names = [data.feature_names[[c.feature[v] for c in choices]] for v in range(len(values))]
    lines = [
        (data.names[v], said[v], pieces(w, said[v]), data.names[by[v]] if by[v] >= 0 else "",
         a if a == b else f"{a} or {b}", w.f1, *bounds[v], w.always, null[:, v].max(), w.probe, w.strength,
         int(data.hot[:, v].sum()), w.copies, w.parts, w.together)
        for v, (w, (a, b)) in enumerate(zip(values, names, strict=True))
        if v in set(data.listed(values))
    ]  # fmt: skip
    text = ("value", "feature", "verdict", "occluded by")
    whole = ("samples", "copies", "pieces")
    return {
        key: np.array(column, dtype=str if key in text else np.int64 if key in whole else np.float64)
        for key, column in zip(HELP, zip(*lines, strict=True), strict=True)
    }


def _estimates(c, null: np.ndarray, n: int, d: int, rng) -> tuple[Estimate, ...]:
    value, count = float(c["F1"].mean()), len(c["F1"])
    low, high = (
        float(c[side].mean()) for side in ("low", "high")
    )  # of a mean no wider than the mean of the widths
    out = [
        Estimate("mean F1 of attribute values", value, min(low, value), max(high, value),
                 interval="mean of the bootstrap bounds of each value", null_method="labels exchanged between samples",
                 estimator="chosen on one half, judged on the other", n=n, d=d, **against(value, null.mean(axis=1)))
    ]  # fmt: skip
    for said in (OCCLUDED, SPLIT):
        hits = int((c["verdict"] == said).sum())
        low, high = wilson(hits, count)
        out.append(Estimate(
            f"share of values {said}", hits / count, low, high, interval="Wilson over values", null=0.0,
            null_method="labels exchanged: no probe reads them", n=n, d=d, estimator="verdict"))  # fmt: skip
    return tuple(out)


def _reading(c) -> str:
    split, hidden = c["verdict"] == SPLIT, c["verdict"] == OCCLUDED
    said = (
        f"{int((c['verdict'] == ONE).sum())} of {len(split)} values have one feature, {int(split.sum())} are "
        f"over-split, {int(hidden.sum())} are occluded."
    )
    for value, n in [*zip(c["value"][split], c["pieces"][split], strict=True)][:4]:
        said += f" {value} is spread over {n} features."
    for value, other, best in [
        *zip(c["value"][hidden], c["occluded by"][hidden], c["F1"][hidden], strict=True)
    ][:4]:
        said += f" {value} may be hidden by {other} (best F1 {best:.2f})."
    return said


def _cost(shapes, params: AttributeCoverageParams) -> Cost:
    (n, k), m, c = shapes[0], machine(), 10  # ten values are usual
    some = min(n, params.maximum_samples)
    seconds = m.seconds(moved=8.0 * n * k + 2.0 * (params.draws + 2) * k * some * (24.0 * c + 700))
    return Cost(seconds + 0.1, some * k * 8.0 * 4.5 + 300.0 * k * c / 10)


def _check() -> tuple[CheckLine, ...]:
    """One unit three times: over-split in three. A value that no unit has alone, a tenth of a louder one: occluded."""
    rng = np.random.default_rng(0)
    a, b, c = (rng.random((3, 300)) < 0.5) * 1
    x = 0.01 * rng.standard_normal((300, 5))
    x[:, :3] += c[:, None]
    x[:, 3] += 10 * a + b
    x[:, 4] += 10 * a - 1.0 * b
    found = attribute_coverage(ArrayActivations(x, "planted", {"a": a, "b": b, "c": c})).columns
    at = {name.split(" = ")[0]: i for i, name in enumerate(found["value"])}
    return (
        CheckLine("three copies", 3, int(found["pieces"][at["c"]]), 0),
        CheckLine("hidden by the louder", 1.0, float(found["verdict"][at["b"]] == OCCLUDED), 0.0),
        CheckLine("the louder is covered", 1.0, float(found["F1"][at["a"]]), 1e-12),
        CheckLine("the louder is ten times as strong", 10.0,
                  float(found["strength"][at["a"]] / found["strength"][at["b"]]), 1.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="attribute_coverage", family="dictionaries", title="Occluded and over-split attributes", version=2,
        function=attribute_coverage,
        summary="For every attribute value: one feature, several copies or parts, or none since a louder one hides it.",
        params=AttributeCoverageParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering features; any rising map of a feature's values",
        papers=("Towards Principled Evaluations of Sparse Autoencoders for Interpretability and Control",
                "Towards Principled Evaluations of Sparse Autoencoders"),
    ),
)  # fmt: skip
