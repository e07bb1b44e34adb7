"""Which expert knows which classes, and where do experts differ? Experts by class, and pairs of experts by class group.

Heads (experts) of a long-tailed recogniser answer the same samples. Classes are drawn from those with many samples to
learn from to those with few. A last line is all experts together (mean probability). Of two experts: share of samples
with a different top class, or KL(first || second) in nats, within the classes of each group.

Null of an accuracy: labels exchanged between samples: the share of answers that name the class. Of disagreement and KL:
answers of the one to other samples of the group (exact mean). Intervals: Wilson, Student's t for KL. Cells count
that leave the null (exact binomial of shares, Student's t of KL, Benjamini-Hochberg at 5 %).

When it lies: an expert that names a class often is right on it often (see the null); what a class is learnt from is
not what it is tested on, and groups by the data here are only as good as these; copies have KL 0, but so have experts
that are all wrong alike; experts that disagree need not complement each other: compare all together with the best.

Cost: O(experts² samples classes).

Reference: Q. Zhao, C. Jiang, W. Hu, F. Zhang & J. Liu (2023), "MDCS: more diverse experts with consistency
self-distillation for long-tailed recognition".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import stdtr

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.outputs.divergences import BY_ROW, exchanged_mean
from analysis.compute.outputs.model_outputs import KINDS, labels_of, model_outputs, refuse_no_label
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import binomial_p, wilson
from analysis.compute.statistics.paired_gain import paired_ends
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.routing.long_tail import GROUPS, Answers, long_tail

CLASSES, BY_GROUP, KL, TOP = (
    "accuracy by class",
    "accuracy by group",
    "KL of two experts",
    "different answers of two",
)
SHOWS, TOGETHER, SMALL, LEVEL = (CLASSES, BY_GROUP, KL, TOP), "all together", 5, 0.05
MEASURE = {KL: "KL", TOP: "different top class"}


@dataclass(frozen=True)
class ExpertAccuracyParams:
    show: str = param(CLASSES, "What a cell is.", choices=SHOWS)
    column: str = param("label", "Sample column with the right class.", column=True)
    counts: str = param(
        "", "Sample column: training samples of the class; empty: thirds by the data.", column=True
    )
    many: int = param(100, "More training samples than this are many.", low=1, high=1_000_000, late=True)
    few: int = param(20, "Fewer training samples than this are few.", low=1, high=1_000_000, late=True)
    outputs: str = param("auto", "Auto takes rows that sum to 1 as probabilities.", choices=KINDS, late=True)
    maximum_samples: int = param(
        20_000, "Most samples; a seeded random part above.", low=20, high=1_000_000, late=True
    )


def expert_accuracy(
    *taps, params: ExpertAccuracyParams = ExpertAccuracyParams(), rng=None, progress=no_progress
) -> Matrix:
    """Accuracy of experts by class, or how two of them differ.

    Parameters
    ----------
    *taps : two or more Activations or arrays (samples, classes)
        Logits or probabilities of each expert on the same samples.

    Returns
    -------
    Matrix
        Experts by classes or groups, or pairs of experts by groups. Estimates: accuracies of the best expert and of all
        together by group, mean KL and disagreement of two.

    Raises
    ------
    InputError, NotFound, NotEnoughData
        Different classes; no such column or no label; fewer than two classes.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    data = model_outputs(
        taps, params.outputs, rng, maximum=params.maximum_samples, minimum=10, progress=progress
    )
    label = labels_of(taps[0], params.column, data.classes, data.position)
    refuse_no_label(label, params.column, taps[0].name)
    known = label[data.sample] >= 0
    of = label[data.sample][known]
    position = data.position[data.sample][known]
    tail = long_tail(taps[0], of, position, len(data.classes), params.counts, (params.many, params.few))
    found = Answers(tuple(log[known] for log in data.logs), of, tail, data.names, tuple(data.classes))
    progress(0.5, params.show)
    if params.show in MEASURE:
        cells = _pairs(found, MEASURE[params.show], rng)
    else:
        cells = _accuracies(found, params.show == BY_GROUP)
    told = _estimates(found, rng)
    progress(1.0, "done")
    left = int((~known).sum())
    said = [f"{left:,} row(s) without a label left out."] if left else []
    return Matrix(
        title=f"{params.show.capitalize()}: {len(taps)} experts", estimates=told, reading=_reading(found, told),
        caveats=(*data.notes, *said, *tail.notes, "Experts that disagree need not complement each other.",
                 "The best expert is the best on these very samples, which flatters it against all together."), **cells,
    )  # fmt: skip


def _accuracies(found: Answers, by_group: bool) -> dict:
    logs, tail = (*found.logs, found.together()), found.tail
    top = np.array([log.argmax(axis=1) for log in logs])
    right = top == found.label
    parts = found.parts() if by_group else {
        f"{found.classes[c]} ({GROUPS[g]}, {n:,.0f})": found.label == c
        for c, g, n in zip(tail.order, tail.group, tail.learnt, strict=True)
    }  # fmt: skip
    shape = (len(logs), len(parts))
    value, null, low, high = (np.zeros(shape) for _ in range(4))
    named = np.array([np.bincount(t, minlength=len(found.classes)) / len(t) for t in top])
    for k, part in enumerate(parts.values()):
        n = int(part.sum())
        value[:, k], null[:, k] = right[:, part].mean(axis=1), named[:, found.label[part]].mean(axis=1)
        low[:, k], high[:, k] = np.array([wilson(float(h), n) for h in right[:, part].sum(axis=1)]).T
    count = np.array([int(p.sum()) for p in parts.values()])
    p = binomial_p(np.round(value * count), np.broadcast_to(count, shape), null)
    sure = benjamini_hochberg(p.ravel()).reshape(shape) < LEVEL
    return {
        "values": value, "null": null, "low": np.minimum(low, value), "high": np.maximum(high, value),
        "significant": sure, "row_names": (*found.names, TOGETHER), "column_names": tuple(parts),
        "value_name": "share told right", "limits": (0.0, 1.0), "few": np.tile(count < SMALL, (shape[0], 1)),
    }  # fmt: skip


def _pairs(found: Answers, measure: str, rng) -> dict:
    parts, pairs = found.parts(), list(combinations(range(len(found.logs)), 2))
    shape = (len(pairs), len(parts))
    value, null, low, high, p = (np.zeros(shape) for _ in range(5))
    for k, part in enumerate(parts.values()):
        for r, (a, b) in enumerate(pairs):
            one, other = found.logs[a][part], found.logs[b][part]
            each = BY_ROW[measure](one, other)
            ends = mean_interval(each, 0.0) if measure == "KL" else share_interval(each)
            value[r, k], low[r, k], high[r, k] = each.mean(), ends["low"], ends["high"]
            null[r, k] = exchanged_mean(measure, one, other, rng)
            p[r, k] = _off(each, null[r, k], measure)
    return {
        "values": value, "null": null, "low": low, "high": high,
        "significant": benjamini_hochberg(p.ravel()).reshape(shape) < LEVEL,
        "row_names": tuple(f"{found.names[a]} and {found.names[b]}" for a, b in pairs), "column_names": tuple(parts),
        "value_name": "KL (nats)" if measure == "KL" else "share of samples",
    }  # fmt: skip


def _off(each: np.ndarray, null: float, measure: str) -> float:
    """p of a mean against its null: binomial of different answers, Student's t of KL."""
    n, gap = len(each), float(each.mean()) - null
    if measure != "KL":
        return float(binomial_p(np.round(each.sum()), n, null))
    error = max(float(each.std(ddof=1)) / np.sqrt(n), 1e-15)
    return 1.0 if abs(gap) <= 1e-12 else float(2 * stdtr(n - 1, -abs(gap) / error))


def _estimates(found: Answers, rng) -> tuple[Estimate, ...]:
    common = {"n": len(found.label), "d": len(found.classes)}
    out, tops = [], [log.argmax(axis=1) for log in found.logs]
    best = int(np.argmax([(t == found.label).mean() for t in tops]))
    whole = found.together().argmax(axis=1)
    for what, part in found.parts().items():
        right, alone = (
            (whole == found.label)[part].astype(float),
            (tops[best] == found.label)[part].astype(float),
        )
        chance = np.bincount(whole, minlength=len(found.classes))[found.label[part]].mean() / len(whole)
        out.append(Estimate(f"all together, {what}", float(right.mean()), **share_interval(right), null=float(chance),
                            null_method="labels exchanged, exact mean", estimator="share told right",
                            **common))  # fmt: skip
        out.append(Estimate(f"all together less {found.names[best]}, {what}", float((right - alone).mean()),
                            **paired_ends(alone, right), null=0.0, null_method="equal experts",
                            estimator="paired over samples", **common))  # fmt: skip
    pairs = list(combinations(range(len(found.logs)), 2))
    for measure, least in (("KL", 0.0), ("different top class", 0.0)):
        each = np.mean([BY_ROW[measure](found.logs[a], found.logs[b]) for a, b in pairs], axis=0)
        null = np.mean([exchanged_mean(measure, found.logs[a], found.logs[b], rng) for a, b in pairs])
        told = len(pairs) == 1 and measure != "KL"  # of one pair yes or no
        ends = share_interval(each) if told else mean_interval(each, least)
        out.append(Estimate(f"{measure} of two experts", float(each.mean()), **ends,
                            null=float(null), null_method="answers to other samples, exact mean",
                            estimator="mean over pairs", **common))  # fmt: skip
    return tuple(out)


def _reading(found: Answers, told) -> str:
    by = {e.name: e for e in told}
    gain = next(e for e in told if e.name.endswith(", all") and " less " in e.name)
    best = gain.name.removeprefix("all together less ").removesuffix(", all")
    kl = by["KL of two experts"]
    return (
        f"All experts together are right on {by['all together, all'].value:.1%}, {gain.value:+.1%} against {best} "
        f"alone ({gain.low:+.1%} to {gain.high:+.1%}). Two experts are {kl.value:.3g} nats apart, on exchanged samples "
        f"{kl.null:.3g}."
    )


def _cost(shapes, params: ExpertAccuracyParams) -> Cost:
    n, c = shapes[0]
    some, k = min(n, params.maximum_samples), len(shapes)
    return Cost(
        0.05 + machine().seconds(moved=some * c * 60.0 * k * k), 8.0 * some * (c * (k + 5) + 10) + 5e4
    )


def _check() -> tuple[CheckLine, ...]:
    """Copies have KL 0 and agree; an expert that knows two of three classes, and one that knows the third."""
    of = np.repeat(np.arange(3), (30, 20, 10))
    sure = 9.0 * np.eye(3)[of]
    weak = np.where(of[:, None] == 2, np.array([9.0, 0, 0]), sure)
    taps = [
        ArrayActivations(x, name, {"label": of})
        for name, x in (("weak", weak), ("sure", sure), ("again", sure))
    ]
    found = expert_accuracy(*taps[:2])
    copies = expert_accuracy(*taps[1:], params=ExpertAccuracyParams(show=KL))
    apart = expert_accuracy(*taps[:2], params=ExpertAccuracyParams(show=TOP))
    return (
        CheckLine("copies: KL", 0.0, float(np.abs(copies.values).max()), 0.0),
        CheckLine("the class that one does not know", 0.0, float(found.values[0, 2]), 0.0),
        CheckLine("its null: how often it is named", 20 / 60, float(found.null[0, 1]), 1e-12),
        CheckLine("different answers in the smallest class alone", 1.0, float(apart.values[0, -1]), 0.0),
        CheckLine("and in all", 10 / 60, float(apart.values[0, 0]), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="expert_accuracy", family="tokens", title="Experts by class, many to few", version=4,
        function=expert_accuracy,
        summary="Accuracy of each expert on classes with many, medium and few samples, and where two experts differ.",
        params=ExpertAccuracyParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True,
        same_units=True, minimum_rows=10,
        invariance="one number added to all logits of a sample, the order of samples",
        papers=("MDCS: More Diverse Experts with Consistency Self-distillation for Long-tailed Recognition",),
    ),
)  # fmt: skip
