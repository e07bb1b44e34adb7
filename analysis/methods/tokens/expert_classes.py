"""Do experts stand for classes? Share of each class's choices that fall on each expert.

    q_ec = mean over samples of class c of the share of the sample's choices that fall on expert e
    I = Σ_ec p_ec ln(p_ec / (p_e p_c)),   p_ec = (1 / S) Σ_{samples of c} q_e(sample)

A sample counts once, however many tokens it has. I is 0 where the choice tells nothing of the class, and at most the
smaller of the entropies of the two.

Null: labels exchanged between samples; I is biased upwards, and the draws are as well. A cell stands out where it
differs from its draws (Student's t of them, two-sided) after Benjamini-Hochberg at 5 % over all cells. Intervals:
Student's t over the samples of the class; of I a jackknife over groups of samples.

When it lies: what goes with the class (background, length, colour) goes to the expert just as well; an expert that no
class prefers may sort by something else; with few tokens a sample its shares are coarse.

Cost: one pass, O(S E C) for each exchange.

References: H. Nguyen et al. (2024), "Statistical perspective of top-K sparse softmax gating mixture of experts"; Y.
Benjamini & Y. Hochberg (1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations, sample_column
from analysis.compute.machine import machine
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import against, student_p
from analysis.compute.statistics.sample_groups import groups_of, jackknife_half
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.routing.classes import information, shares_of_classes, shares_of_samples
from analysis.tokens.routing.routed import AUTOMATIC, SOURCES, routed

OPENING, SMALLEST, LEVEL = 4.0, 5, 0.05
RANDOM = 12  # routings in the check


@dataclass(frozen=True)
class ExpertClassesParams:
    column: str = param("label", "Sample column with classes.", column=True)
    experts_per_token: int | None = param(
        None, "Experts that a token goes to; empty: what the network says, else 1.", low=1, high=64
    )
    shown: int = param(40, "Most experts drawn, those that differ most between classes.", low=2, high=500)
    source: str = param(AUTOMATIC, "Where gates come from.", choices=SOURCES, late=True)
    exchanges: int = param(200, "Exchanges of labels between samples.", low=50, high=5000, late=True)
    maximum_samples: int = param(
        500, "Most samples; a seeded random part above.", low=20, high=50_000, late=True
    )


def expert_classes(
    activations, params: ExpertClassesParams = ExpertClassesParams(), rng=None, progress=no_progress
) -> Matrix:
    """Experts by classes.

    Parameters
    ----------
    activations : Activations with the class column
        Router logits, or gates between 0 and 1; or any tap of a network with a router.

    Returns
    -------
    Matrix
        `values` (experts, classes), each column over all experts of sum 1; `null` by exchanged labels, `low`, `high`,
        `significant`. Estimates: mutual information, and the share of experts that prefer or avoid a class.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column; fewer than two classes of five samples; a network without a router; over 2 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    column = sample_column(tap, params.column)
    found = routed(tap, params.maximum_samples, params.source, rng, progress)
    k, said = found.choices(params.experts_per_token)
    samples, q = shares_of_samples(found, k)
    codes = class_codes(column[samples], params.column, SMALLEST)
    q, hot = q[codes.stay], codes.one_hot()
    values, half = shares_of_classes(q, codes)
    moved, chance = [], []
    for i in range(params.exchanges):
        progress(0.5 + 0.5 * i / params.exchanges, "exchanging labels")
        other = hot[rng.permutation(len(hot))]
        moved.append(q.T @ other / codes.counts)
        chance.append(information(q, other))
    progress(1.0, "done")
    mean, drawn = np.mean(moved, axis=0), np.array(moved)
    p = 2 * np.minimum(student_p(values, drawn), student_p(-values, -drawn))
    sure = benjamini_hochberg(np.minimum(p, 1.0).ravel()).reshape(p.shape) < LEVEL
    estimates = _estimates(q, codes, np.array(chance), sure, rng)
    order = np.sort(np.argsort(-values.std(axis=1), kind="stable")[: params.shown])
    few = (
        [f"{len(order)} of {found.experts} experts are drawn: those that differ most."]
        if len(order) < found.experts
        else []
    )
    return Matrix(
        title=f"Experts and classes ({params.column}), {found.what}",
        reading=_reading(values, sure, estimates, codes, found), estimates=estimates,
        caveats=(*dict.fromkeys((*found.notes, *said, *codes.notes)), *few,
                 "What goes with a class goes to its expert, too."),
        values=values[order], row_names=tuple(found.names[e] for e in order), column_names=codes.names,
        value_name="share of the class's choices", limits=(0.0, 1.0), null=mean[order], significant=sure[order],
        low=np.maximum(values - half, 0)[order], high=np.minimum(values + half, 1)[order],
    )  # fmt: skip


def _estimates(q, codes, chance: np.ndarray, sure: np.ndarray, rng) -> tuple[Estimate, ...]:
    hot, groups = codes.one_hot(), groups_of(len(q), rng)
    value = information(q, hot)
    without = np.array([information(q[groups != g], hot[groups != g]) for g in range(groups.max() + 1)])
    half = float(jackknife_half(without))
    told = sure.any(axis=1)
    common = {"n": len(q), "d": q.shape[1]}
    by = f"labels exchanged {len(chance)} times"
    return (
        Estimate("mutual information of expert and class", value, max(value - half, 0.0), value + half,
                 interval="jackknife over groups of samples", **against(value, chance), null_method=by, unit="nats",
                 estimator="plug-in, biased upwards as its null is", **common),
        Estimate("the same less its null", value - float(chance.mean()), value - half - float(chance.mean()),
                 value + half - float(chance.mean()), interval="jackknife over groups of samples", null=0.0,
                 null_method=by, unit="nats", estimator="plug-in less mean of exchanges", **common),
        Estimate("experts that prefer or avoid a class", float(told.mean()),
                 interval="none: a decision at 5 % false discoveries", null=0.0,
                 null_method="exchanged labels, after Benjamini-Hochberg", estimator="share of experts", **common),
    )  # fmt: skip


def _reading(values, sure, estimates, codes, found) -> str:
    told, info = int(sure.any(axis=1).sum()), estimates[0]
    if not told:
        return (
            f"No expert of {found.experts} prefers a class, as far as {info.n:,} samples can tell (mutual information "
            f"{info.value:.3f} nats, {info.null:.3f} with exchanged labels)."
        )
    e, c = np.unravel_index(np.argmax(np.where(sure, values, -1)), values.shape)
    return (
        f"{told} of {found.experts} experts prefer or avoid a class; {found.names[e]} takes {values[e, c]:.0%} of the "
        f"choices of class {codes.names[c]}. Expert and class share {info.value:.3f} nats, {info.null:.3f} with "
        "exchanged labels."
    )


def _cost(shapes, params: ExpertClassesParams) -> Cost:
    (n, e), m = shapes[0], machine()
    some = min(n, params.maximum_samples)
    seconds = m.seconds(moved=n * e * 200.0 + params.exchanges * some * e * 60.0)
    held = n * e * 8.0 * 2 + some * e * 8.0 * 4 + params.exchanges * e * 10 * 8.0
    return Cost(OPENING + seconds, held + 1e5, some)


def _check() -> tuple[CheckLine, ...]:
    """An expert for each of three classes shares ln 3 nats; random routings share none beyond their null."""
    of, layout = np.repeat(np.arange(3), 30), Layout(np.arange(91) * 2)
    own = ArrayActivations(9.0 * np.eye(3)[np.repeat(of, 2)], "planted", {"label": of}, layout)
    few = ExpertClassesParams(exchanges=50)
    told, none = expert_classes(own, few), []
    for seed in range(RANDOM):
        rng = np.random.default_rng(seed)
        noise = ArrayActivations(rng.standard_normal((180, 3)), "random", {"label": of}, layout)
        none.append(expert_classes(noise, few, rng))
    return (  # of 12 at 5 % more than 3 have such a cell once in 450 runs
        CheckLine("an expert each: mutual information", float(np.log(3)), told.estimates[0].value, 1e-12),
        CheckLine("an expert each: all of its class", 1.0, float(np.diag(told.values).min()), 1e-12),
        CheckLine("an expert each: cells that stand out", 9.0, float(told.significant.sum()), 0.0),
        CheckLine("random routing: mean less its null", 0.0,
                  float(np.mean([one.estimates[1].value for one in none])), 0.01),
        CheckLine(f"{RANDOM} random routings: those with a cell that stands out", 3.0,
                  float(sum(one.significant.any() for one in none)), 0.0, "at most"),
    )  # fmt: skip


METHODS = (
    Method(
        id="expert_classes", family="tokens", network="experts",
        title="Experts and classes", version=3, function=expert_classes,
        summary="Which experts take the tokens of which classes, and how much the choice tells of the class.",
        params=ExpertClassesParams, result=Matrix, check=_check, cost=_cost, minimum_rows=20,
        invariance="one number added to all logits of a token, factors of all logits, the order of experts",
        papers=("Statistical Perspective of Top-K Sparse Softmax Gating Mixture of Experts",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
