"""Which element of a set does each channel take? The softmax weights of attentive aggregation, element by channel, and
what they become as the set grows.

    w_ic = exp(s_ic) / Σ_j exp(s_jc),      f_c = Σ_i w_ic x_ic

over the elements (views, tokens) i of one sample, for every channel c by itself; a column sums to 1. Scores of a
trained network are s = x W; here they are β times the channel in standard deviations. Equal scores (β = 0) give every
element 1 / T and the mean, one element is returned as it is, and the order of elements changes the order of lines only.
Ask for fewer elements than there are and watch what the next one changes.

Told: elements in effect of a channel, exp(entropy of its weights), over their number; the share of channels that the
element in front leads; how far the pooled vector with the elements asked for lies from that of all, in spreads of the
elements; its cosine with mean, maximum and generalised mean (p = 3, each channel shifted to be positive), each less its
mean over samples.

Interval: Student's t over samples. Null: of elements in effect Gaussian scores with each sample's own spread in each
channel; of leading channels shuffled over the elements of their sample; of growing the mean of as many elements at
random, the root of its exact mean square; of cosines the other pooling of another sample.

When it lies: scores are not trained, so large values lead by construction; leading a channel is not mattering to the
answer; elements that are copies share a weight and none of them leads.

Cost: O(n T d).

Reference: B. Yang, S. Wang, A. Markham & N. Trigoni (2020), "Robust attentional aggregation of deep feature sets for
multi-view 3D reconstruction".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotFound
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.pooling.attentive_sets import attentive, set_weights, standard_scores
from analysis.tokens.pooling.drawn_sample import place_in, sets_with
from analysis.tokens.pooling.effective import effective
from analysis.tokens.pooling.set_numbers import (
    cosines,
    evenness,
    front,
    gaussian_like,
    grown,
    leaders,
    pooled,
)
from analysis.tokens.pooling.token_sets import RUN, TokenSets


@dataclass(frozen=True)
class SetWeightMapParams:
    sample: int = param(
        0, "The set that is drawn: a sample, its place in the store, from 0.", low=0, high=1_000_000_000
    )
    elements: int | None = param(
        None,
        "How many of its elements are there yet, from the first on; automatic: all.",
        low=1,
        high=100_000,
    )
    sharpness: float = param(1.0, "β: scores in standard deviations of a channel.", low=0.0, high=100.0)
    channels: int = param(
        64, "Channels that are drawn: those whose weights are least even.", low=2, high=1024
    )
    maximum_samples: int = param(
        100, "Samples that numbers are of, the drawn one among them.", low=2, high=5000
    )


def set_weight_map(
    activations, params: SetWeightMapParams = SetWeightMapParams(), rng=None, progress=no_progress
) -> Matrix:
    """Weights of elements in every channel.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        With tokens; of a tap of one row a sample, runs of 16 neighbours stand for the elements of a set.

    Returns
    -------
    Matrix
        (elements, channels) weights of one sample, columns in the order of who leads them; null 1 / T. Estimates over
        samples: elements in effect, channels led by the front element, distance from all elements, cosines.

    Raises
    ------
    NotFound, NotEnoughData
        No such sample; more elements than it has; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    sets = sets_with(tap, params.sample, params.maximum_samples, rng, progress)
    at, notes = place_in(sets, params.sample)
    here = np.flatnonzero(sets.present[at])
    count = len(here) if params.elements is None else params.elements
    if count > len(here):
        raise NotFound(f"{count} elements", f"1 to {len(here)}, those that sample {sets.samples[at]} has")
    progress(0.4, "weights")
    scores = standard_scores(sets.x, sets.present, params.sharpness)
    weight = set_weights(scores[at, here[:count]])
    progress(0.6, "other poolings")
    told = _estimates(sets, scores, count / len(here), params, tap.shape[1], rng)
    progress(1.0, "done")
    shown, order, drawn = _ordered(weight, params.channels)
    notes = (
        *sets.notes,
        *notes,
        "Scores are not trained: β times each channel in standard deviations.",
        *drawn,
    )
    return _matrix(
        tap, sets.samples[at], here[:count], len(here), weight[:, shown], shown, order, told, notes
    )


def _ordered(weight: np.ndarray, most: int):
    """(channels drawn (c,), their order by leading element, what to say)."""
    t = len(weight)
    uneven = np.argsort(effective(weight.T), kind="stable")
    shown = np.sort(uneven[:most]) if t > 1 else np.arange(min(most, weight.shape[1]))
    lead, by = weight[:, shown].argmax(axis=0), -weight[:, shown].max(axis=0)
    said = [f"Drawn are the {len(shown)} of {weight.shape[1]} channels whose weights are least even."]
    return shown, np.lexsort((by, lead)), said if len(shown) < weight.shape[1] else []


def _estimates(sets: TokenSets, scores, share: float, params, d: int, rng) -> tuple[Estimate, ...]:
    x, here, facts = sets.x, sets.present, {"n": sets.n, "d": d}
    noise = gaussian_like(scores, here, rng)
    mixed = scores.copy()
    for i, row in enumerate(here):
        mixed[i, row] = rng.permuted(scores[i, row], axis=0)
    away, exact = grown(sets, scores, share, rng)
    out = [
        ("elements in effect of a channel", evenness(set_weights(scores, here), here),
         evenness(set_weights(noise, here), here), "Gaussian scores of the same spread",
         "exp of the entropy over their number", 0.0, 1.0),
        ("channels led by the element in front", front(scores, here), front(mixed, here),
         "channels shuffled over the elements of a sample", "share of channels", 0.0, 1.0),
        (f"distance from all elements with {share:.0%} of them", away, exact,
         "the mean of as many, root of its exact mean square", "in spreads of the elements", 0.0, np.inf),
    ]  # fmt: skip
    own, order = attentive(x, scores, here), rng.permutation(sets.n)
    partner = order[np.argsort(np.roll(order, 1))]  # no sample is its own
    for name, other in pooled(x, here).items():
        out.append((f"cosine with the {name}", cosines(own, other), cosines(own, other[partner]),
                    "the other pooling of another sample", "each less its mean over samples", -1.0, 1.0))  # fmt: skip
    return tuple(
        Estimate(name, float(v.mean()), **mean_interval(v, low, high), null=float(null.mean()), null_method=how,
                 estimator=f"{what}, mean over samples", **facts)
        for name, v, null, how, what, low, high in out
    )  # fmt: skip


def _matrix(tap, sample, here, every, weight, shown, order, told, notes) -> Matrix:
    t, names = len(weight), getattr(tap, "unit_names", ()) or ()
    lead = np.bincount(leaders(weight)[leaders(weight) >= 0], minlength=t)
    best = int(lead.argmax())
    ahead = (
        f"element {here[best]} leads most channels that are drawn, {lead[best]} of {len(shown)}"
        if lead[best]
        else "no element leads a channel that is drawn"
    )
    some = f"{t} of {every}" if t < every else f"all {t}"
    return Matrix(
        title=f"Weights of the elements of sample {sample} in every channel", values=weight,
        row_names=tuple(f"element {i}" for i in here),
        column_names=tuple(str(names[c]) if len(names) > c else f"channel {c}" for c in shown),
        value_name="weight (columns sum to 1)", column_order=order, null=np.full(weight.shape, 1 / t),
        limits=(0.0, float(weight.max())), estimates=told, caveats=notes,
        reading=(
            f"With {some} elements, {ahead}. Over samples {told[0].value:.0%} of the elements count in effect in a "
            f"channel (Gaussian scores {told[0].null:.0%}), and the element in front leads {told[1].value:.0%} of the "
            f"channels (shuffled {told[1].null:.0%})."
        ),
    )  # fmt: skip


def _cost(shapes, params: SetWeightMapParams) -> Cost:
    (n, d), m = shapes[0], machine()
    rows = min(n, params.maximum_samples * RUN * 16)
    held = 8.0 * rows * d * 9.0
    return Cost(0.02 + m.seconds(moved=held * 8 + 8.0 * n * d, calls=60.0), held)


def _check() -> tuple[CheckLine, ...]:
    """Scores 1 and -1 at β = 1: weights e² : 1. β = 0: 1 / T and the mean. One element: weight 1. The order changes
    nothing but the order of lines. Equal elements: all count."""
    two = np.tile([[1.0, -1.0], [-1.0, 1.0]], (3, 1, 1)).reshape(6, 2)

    def found(x, t, **more):
        return set_weight_map(ArrayActivations(x, layout=Layout(np.arange(len(x) // t + 1) * t)),
                              SetWeightMapParams(**more))  # fmt: skip

    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 6, 4))
    plain, turned = (found(v.reshape(-1, 4), 6) for v in (x, x[:, ::-1].copy()))
    none = found(x.reshape(-1, 4), 6, sharpness=0.0)
    by = {e.name: e.value for e in none.estimates}
    return (
        CheckLine("scores 1 and -1: weight", 1 / (1 + np.exp(-2)), float(found(two, 2).values[0, 0]), 1e-12),
        CheckLine("equal scores: 1 / T", 1 / 6, float(none.values.max()), 1e-12),
        CheckLine("equal scores: the mean", 1.0, by["cosine with the mean"], 1e-12),
        CheckLine("equal scores: none leads", 0.0, by["channels led by the element in front"], 0.0),
        CheckLine("one element: all of it", 1.0, float(found(x.reshape(-1, 4), 6, elements=1).values.min()), 0.0),
        CheckLine("another order: other lines", 0.0, float(np.abs(plain.values - turned.values[::-1]).max()), 1e-12),
        CheckLine("another order: same numbers", plain.estimates[3].value, turned.estimates[3].value, 1e-12),
        CheckLine("all elements: no distance", 0.0, plain.estimates[2].value, 1e-12),
        CheckLine("columns sum to 1", 4.0, float(plain.values.sum()), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="set_weight_map", family="tokens", title="Weights of elements by channel", version=2,
        function=set_weight_map,
        summary="Attentive aggregation of a set: the softmax weight of every element in every channel, as it grows.",
        params=SetWeightMapParams, result=Matrix, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="one positive scale and a constant for each unit; the order of samples",
        papers=("Robust Attentional Aggregation of Deep Feature Sets for Multi-view 3D Reconstruction",),
    ),
)  # fmt: skip
