"""Which samples does each expert get? Samples grouped by the expert that has most of their tokens, the surest first.

    q_e = share of a sample's choices that fall on expert e,   group: the e with the largest q_e (of equal ones the one
    with the larger mean gate),   sorted by q_e, then by the mean gate of e over the sample's tokens

One group for each expert, prompt or adapter that leads anywhere. Told: how undecided the router is, the entropy of a
token's gates in nats; and whether a group holds samples that are alike, the share of pairs of samples in one group that
have one label.

Interval: of the entropy Student's t over samples, of the pairs a jackknife over groups of samples. Null: even gates,
ln E, which is the largest entropy there is; of the pairs two samples whichever, exact.

When it lies: a handful of samples at the top of a group says little of the rest of it; a sample whose tokens go to many
experts stands in one group all the same; what samples of a group have in common may be length or ground as well as what
they show; a large gate is not a large effect.

Cost: one pass, O(n E).

References: "Mixture of prompt learning for vision language models"; H. Nguyen, P. Akbarian, F. Yan & N. Ho (2024),
"Statistical perspective of top-K sparse softmax gating mixture of experts".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.samples import known_labels
from analysis.compute.statistics.sample_groups import groups_of, jackknife_half, mean_interval
from analysis.results import Estimate, Gallery
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.routing.choices import by_sample
from analysis.tokens.routing.classes import shares_of_samples
from analysis.tokens.routing.gates import entropy, gates
from analysis.tokens.routing.routed import AUTOMATIC, SOURCES, routed

OPENING = 2.0  # seconds
ALONE = {"interval": "none: too few samples"}


@dataclass(frozen=True)
class ExpertSamplesParams:
    number: int = param(12, "Most samples that are shown of each expert.", low=1, high=200)
    experts_per_token: int | None = param(
        None, "Experts that a token goes to; empty: what the network says, else 1.", low=1, high=64
    )
    column: str = param("", "Sample column by which samples of a group are alike; empty: label.", column=True)
    source: str = param(AUTOMATIC, "Where gates come from.", choices=SOURCES, late=True)
    maximum_samples: int = param(
        500, "Most samples; a seeded random part above.", low=8, high=50_000, late=True
    )


def expert_samples(
    activations, params: ExpertSamplesParams = ExpertSamplesParams(), rng=None, progress=no_progress
) -> Gallery:
    """Samples by expert.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Router logits, or gates between 0 and 1; or any tap of a network with a router.

    Returns
    -------
    Gallery
        First rows of samples, with the mean gate of the expert, of each expert that leads for some sample.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than eight tokens; one expert; a network without a router; over 2 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = routed(tap, params.maximum_samples, params.source, rng, progress)
    k, said = found.choices(params.experts_per_token)
    progress(0.6, "grouping samples")
    samples, q = shares_of_samples(found, k)
    p = gates(found.logits)
    mean = by_sample(p, found.samples) if len(samples) > 1 else p.mean(axis=0, keepdims=True)
    of = leading(q, mean)
    groups = {int(e): ranked(q, mean, of, e)[: params.number] for e in np.unique(of)}
    progress(1.0, "done")
    told = _estimates(found, p, of, tap, samples, params.column or "label", rng)
    rows = tap.layout.offsets[samples]
    names = {e: f"{found.names[e]} ({int((of == e).sum())} samples)" for e in groups}
    return Gallery(
        title=f"Samples by expert, {found.what}", value_name="mean gate", of="samples", estimates=tuple(told),
        groups={names[e]: rows[at] for e, at in groups.items()},
        values={names[e]: mean[at, e] for e, at in groups.items()},
        reading=_reading(of, found, told),
        caveats=(*dict.fromkeys((*found.notes, *said)), f"At most {params.number} samples of an expert are shown."),
    )  # fmt: skip


def leading(q: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """(S,) the expert of each sample: the largest share (S, E), of equal ones the larger mean gate."""
    return np.where(q == q.max(axis=1, keepdims=True), mean, -1.0).argmax(axis=1)


def ranked(q: np.ndarray, mean: np.ndarray, of: np.ndarray, expert: int) -> np.ndarray:
    """Samples of one expert, the surest first."""
    mine = np.flatnonzero(of == expert)
    return mine[np.lexsort((-mean[mine, expert], -q[mine, expert]))]


def alike(of: np.ndarray, label: np.ndarray) -> float:
    """Share of pairs of samples in one group that have one label; NaN without pairs."""
    pairs = same = 0.0
    for e in np.unique(of):
        counts = np.unique(label[of == e], return_counts=True)[1]
        pairs += counts.sum() * (counts.sum() - 1.0)
        same += (counts * (counts - 1.0)).sum()
    return same / pairs if pairs else float("nan")


def _estimates(found, p, of, tap, samples, column: str, rng) -> list[Estimate]:
    nats = entropy(p)
    each = by_sample(nats[:, None], found.samples)[:, 0]
    out = [Estimate("entropy of a token's gates", float(each.mean()),
                    **(mean_interval(each, 0.0, np.log(found.experts)) or ALONE), null=float(np.log(found.experts)),
                    null_method="even gates: the most there is", n=len(each), d=found.experts, unit="nats",
                    estimator="mean over tokens, then samples")]  # fmt: skip
    if column not in tap.samples:
        return out
    labels = np.asarray(tap.samples[column])[samples]
    known = known_labels(labels)
    labels, groups = np.unique(labels[known], return_inverse=True)[1], of[known]
    if np.isfinite(value := alike(groups, labels)):
        part = groups_of(len(groups), rng)
        without = np.array([alike(groups[part != g], labels[part != g]) for g in range(part.max() + 1)])
        half = jackknife_half(without) if np.isfinite(without).all() else None
        ends = ALONE if half is None else {"low": max(value - float(half), 0.0), "high": min(value + float(half), 1.0),
                                           "interval": "jackknife over groups of samples"}  # fmt: skip
        out.append(Estimate(f"pairs of one expert's samples with one {column}", value, **ends,
                            null=alike(np.zeros_like(groups), labels), null_method="two samples whichever, exact",
                            n=len(groups), d=found.experts, estimator="share of pairs"))  # fmt: skip
    return out


def _reading(of, found, told) -> str:
    counts = np.bincount(of, minlength=found.experts)
    most = int(counts.argmax())
    text = (
        f"{int((counts > 0).sum())} of {found.experts} experts lead for some sample; {found.names[most]} for most "
        f"({counts[most]} of {len(of)}). A token's gates have {told[0].value:.2f} nats (even gates: {told[0].null:.2f})"
    )
    if len(told) > 1:
        text += f". Of the {told[1].name} there are {told[1].value:.0%} (two samples whichever: {told[1].null:.0%})"
    return text + "."


def _cost(shapes, params: ExpertSamplesParams) -> Cost:
    (n, e), m = shapes[0], machine()
    some = min(n, params.maximum_samples)
    return Cost(OPENING + m.seconds(moved=n * e * 200.0), some * e * 8.0 * 7 + 1e5, some)


def _check() -> tuple[CheckLine, ...]:
    """An expert for each of three classes: each group is one class; ordered by the gate. Even gates have ln E nats."""
    of = np.repeat(np.arange(3), 20)
    strength = np.tile(np.linspace(1, 9, 20), 3)
    x = np.repeat(np.eye(3)[of] * strength[:, None], 2, axis=0)
    tap = ArrayActivations(x, "planted", {"label": of}, Layout(np.arange(61) * 2))
    found = expert_samples(tap, ExpertSamplesParams(number=20))
    first = next(iter(found.groups.values()))
    even = expert_samples(np.tile([0.25, 0.25, 0.25, 0.25], (40, 1)))
    return (
        CheckLine("groups", 3.0, float(len(found.groups)), 0.0),
        CheckLine("pairs of a group with one label", 1.0, found.estimates[1].value, 0.0),
        CheckLine("two samples whichever", 19 / 59, found.estimates[1].null, 1e-12),
        CheckLine("the surest comes first", 19.0 * 2, float(first[0]), 0.0),
        CheckLine("even gates: nats", float(np.log(4)), even.estimates[0].value, 1e-9),
    )


METHODS = (
    Method(
        id="expert_samples", family="tokens", network="experts", title="Samples of each expert", version=3,
        function=expert_samples, summary="Samples grouped by the expert with most of their tokens, the surest first.",
        params=ExpertSamplesParams, result=Gallery, check=_check, cost=_cost, minimum_rows=8,
        invariance="one number added to all logits of a token; the order of experts and of tokens in a sample",
        papers=("Mixture of Prompt Learning for Vision Language Models",
                "Statistical Perspective of Top-K Sparse Softmax Gating Mixture of Experts"),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
