"""Which of two networks is more reliable, and where? The difference of their entropies, or cross-entropies, by place.

At each token (pixel, patch, word) of each sample: entropy of the second's class probabilities less that of the first,
in nats; positive where the first is surer. With a label, the cross-entropy -ln p(label) instead: positive where the
first is more right. Two image grids of different size are brought together by bilinear interpolation of the second's
probabilities. `region` sets every place to the mean of its square region. `show` "direction" draws the sign only, +1
where the first should teach the second and -1 where it is the other way; where both are equal there is no direction and
nothing is drawn. Equal networks have a difference of 0 and no direction anywhere, and swapping them negates the map.

Null: the two peers exchanged in each sample, at random (a sign for each sample): the mean difference is 0 and the share
of places where the first is surer 1/2, exactly; p from 999 such exchanges. Intervals: Student's t over samples.

When it lies: entropy is confidence, not truth: an overconfident network looks reliable (compare calibration); a label
of the whole sample is not the label of each of its places; interpolation smooths, and smoothing raises entropy.

Cost: O(n tokens C).

Reference: J. Zhu, Y. Luo, X. Zheng, H. Wang & L. Wang (2023), "A good student is cooperative and reliable:
CNN-Transformer collaborative learning for semantic segmentation".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.outputs.model_outputs import KINDS, labels_of, refuse_no_label
from analysis.compute.outputs.peer_outputs import Peers, peer_outputs
from analysis.compute.rows.grid_resampling import region_means
from analysis.compute.statistics.nulls import add_one_p
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import ParameterError
from analysis.results import Estimate, TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param

DRAWS = 999
ROUNDING = 1e-12  # of nats: a smaller difference is none


@dataclass(frozen=True)
class ReliabilityParams:
    measure: str = param(
        "entropy",
        "Uncertainty of the answer, or surprise at the right one.",
        choices=("entropy", "cross-entropy"),
    )
    show: str = param(
        "difference", "The difference itself, or only which of the two is more reliable.",
        choices=("difference", "direction"),
    )  # fmt: skip
    region: int = param(
        1, "Side of the square regions of an image grid that are averaged; 1: every place.", low=1, high=64
    )
    label: str = param("", "Sample column with the right class (cross-entropy); empty: 'label'.", column=True)
    outputs: str = param(
        "auto", "Auto takes rows that sum to 1 as probabilities and all others as logits.", choices=KINDS
    )
    maximum_samples: int = param(500, "Most samples; a seeded random subset above.", low=2, high=20_000)


def reliability_difference(
    first, second, params: ReliabilityParams = ReliabilityParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Where each of two networks is more reliable.

    Parameters
    ----------
    first, second : Activations or arrays (rows, classes), outputs at the places of the same samples.

    Returns
    -------
    TokenMap
        `values` (n, tokens), positive where the first is more reliable; of "direction" 1, -1 or NaN where there is
        none; NaN also at places that a shorter sample does not have. Estimates: mean difference, and the share of
        places with a direction at which the first is more reliable.

    Raises
    ------
    InputError, NotEnoughData, NotFound, ParameterError
        Different classes or places; fewer than two samples; no label for the cross-entropy; regions without a grid.
    """
    first, second = as_activations(first), as_activations(second)
    rng = rng or np.random.default_rng(0)
    peers = peer_outputs(first, second, params.outputs, params.maximum_samples, rng, progress)
    progress(0.5, "comparing the two")
    gap = difference(peers, _labels(first, peers, params) if params.measure == "cross-entropy" else None)
    if params.region > 1:
        gap = _by_region(gap, peers, params.region)
    progress(0.7, "exchanging the peers")
    estimates = _estimates(gap, peers, params, rng)
    direction = np.where(gap == 0, np.nan, np.sign(gap))
    return TokenMap(
        title=f"Where {peers.names[0]} is more reliable than {peers.names[1]}",
        reading=_reading(gap, estimates, peers, params), caveats=(*_caveats(gap, peers, params), *peers.notes),
        estimates=estimates, samples=peers.samples, values=direction if params.show == "direction" else gap,
        value_name="direction: 1 the first is more reliable, -1 the second" if params.show == "direction"
        else f"{params.measure} of the second less the first (nats)",
        grid=peers.grid, leading=peers.leading,
    )  # fmt: skip


def difference(peers: Peers, label: np.ndarray | None) -> np.ndarray:
    """(S, T) uncertainty of the second less the first; `label` (S,) makes it the cross-entropy, NaN where it is -1."""
    if label is None:
        scores = [-(np.exp(log) * np.maximum(log, -1e300)).sum(axis=-1) for log in peers.logs]
    else:
        at = np.maximum(label, 0)[:, None, None]
        scores = [
            -np.take_along_axis(log, np.broadcast_to(at, (*log.shape[:2], 1)), axis=2)[..., 0]
            for log in peers.logs
        ]
    gap = scores[1] - scores[0]
    gap = np.where(np.abs(gap) <= ROUNDING, 0.0, gap)
    return gap if label is None else np.where(label[:, None] >= 0, gap, np.nan)


def _labels(first, peers: Peers, params) -> np.ndarray:
    column = params.label or "label"
    label = labels_of(first, column, peers.classes, peers.samples)
    refuse_no_label(label, column, first.name)
    return label


def _by_region(gap: np.ndarray, peers: Peers, side: int) -> np.ndarray:
    if peers.grid is None or gap.shape[1] != peers.leading + peers.grid[0] * peers.grid[1]:
        raise ParameterError(f"region = {side}", "1 where the places lie on no image grid")
    out = gap.copy()
    out[:, peers.leading :] = region_means(gap[:, peers.leading :], peers.grid, side)
    return out


def _estimates(gap: np.ndarray, peers: Peers, params, rng) -> tuple[Estimate, ...]:
    known = np.isfinite(gap)
    has = known.any(axis=1)
    mean = np.nansum(gap[has], axis=1) / known[has].sum(axis=1)
    turns = rng.integers(0, 2, size=(DRAWS, len(mean))) * 2 - 1
    common = {
        "n": len(mean),
        "d": len(peers.classes),
        "null_method": f"peers exchanged in each sample, {DRAWS} draws",
    }
    out = [_signed("mean difference", mean, 0.0, turns, params.measure, common, unit="nats")]
    decided = (gap != 0) & known
    some = decided.any(axis=1)
    if some.any():
        share = ((gap > 0) & decided)[some].sum(axis=1) / decided[some].sum(axis=1)
        common["n"] = int(some.sum())
        name = "share of places where the first is more reliable"
        out.append(
            _signed(
                name, share, 0.5, turns[:, : len(share)], "sign of the difference, mean over samples", common
            )
        )
    return tuple(out)


def _signed(
    name: str, values: np.ndarray, middle: float, turns, estimator: str, common: dict, unit=""
) -> Estimate:
    drawn = middle + turns @ (values - middle) / len(values)
    low, high = np.percentile(drawn, [2.5, 97.5])
    value, bounds = float(values.mean()), (0.0, 1.0) if middle else (-np.inf, np.inf)
    p = add_one_p(abs(value - middle) - 1e-15, np.abs(drawn - middle))
    return Estimate(name, value, **mean_interval(values, *bounds), null=middle, null_low=float(low),
                    null_high=float(high), p_value=float(p), estimator=estimator, unit=unit, **common)  # fmt: skip


def _reading(gap: np.ndarray, estimates, peers: Peers, params) -> str:
    if not np.nan_to_num(gap).any():
        return "Both are equally reliable at every place: the difference is 0 and there is no direction."
    mean, share = estimates
    word = "surer" if params.measure == "entropy" else "more right"
    who = peers.names[0] if mean.value > 0 else peers.names[1]
    verdict = (
        f"{who} is {word} on average" if mean.p_value < 0.05 else f"neither is shown to be {word} on average"
    )
    return (
        f"The first, {peers.names[0]}, is {word} at {share.value:.0%} of the places where the two differ "
        f"(half by chance, "
        f"p = {share.p_value:.2g}). The mean difference is {mean.value:.3g} nats (p = {mean.p_value:.2g}): {verdict}."
    )


def _caveats(gap: np.ndarray, peers: Peers, params) -> list[str]:
    notes = []
    equal = float((gap == 0)[np.isfinite(gap)].mean()) if np.isfinite(gap).any() else 1.0
    if equal:
        notes.append(
            f"At {equal:.1%} of the places both are equally reliable: they have no direction and are left blank."
        )
    if params.measure == "entropy":
        notes.append("Entropy is confidence, not truth: an overconfident network looks reliable.")
    elif gap.shape[1] > 1:
        notes.append("The label is that of the whole sample and may not hold at each of its places.")
    if not np.isfinite(gap).all():
        notes.append("Places that a sample does not have, or whose sample has no label, are left blank.")
    return notes


def _cost(shapes, params: ReliabilityParams) -> Cost:
    n, classes = min(rows for rows, _ in shapes), max(units for _, units in shapes)
    samples = min(n, params.maximum_samples)  # shapes do not say how many tokens a sample has: one is assumed
    seconds = machine().seconds(
        moved=8.0 * samples * classes * 100 + 8.0 * n * 20 + 8.0 * DRAWS * samples * 6
    )
    return Cost(seconds + 0.02, 8.0 * samples * classes * 7.0 + 8.0 * DRAWS * samples * 3)


def _check() -> tuple[CheckLine, ...]:
    """A sure and an unsure network: ln 10 nats. Swapped: the negative. One network twice: 0, and no direction. A region
    is the mean of its places."""
    rng = np.random.default_rng(20)
    layout = Layout(np.arange(31) * 16, grid=(4, 4))
    answers = np.eye(10)[rng.integers(10, size=480)]
    sure, unsure = (ArrayActivations(scale * answers, layout=layout) for scale in (200.0, 1e-9))
    a, b = (ArrayActivations(rng.standard_normal((480, 10)), layout=layout) for _ in range(2))
    values = lambda *taps, **more: reliability_difference(*taps, ReliabilityParams(**more)).values  # noqa: E731
    one, region = values(a, b), values(a, b, region=2)
    by_hand = one[0].reshape(4, 4)[:2, 2:].mean()
    return (
        CheckLine("sure against unsure: ln 10", float(np.log(10)), float(values(sure, unsure).mean()), 1e-6),
        CheckLine("swapped: sum of both maps", 0.0, float(np.abs(one + values(b, a)).max()), 1e-12),
        CheckLine("one network twice: largest difference", 0.0, float(np.abs(values(a, a)).max()), 0.0),
        CheckLine("one network twice: places with a direction", 0,
                  float(np.isfinite(values(a, a, show="direction")).sum()), 0),
        CheckLine("a region is the mean of its places", float(by_hand), float(region[0, 2]), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="reliability_difference", family="populations", title="Which of two is more reliable", version=1,
        function=reliability_difference,
        summary="At which places of which samples one network is surer, or more right, than another.",
        params=ReliabilityParams, result=TokenMap, check=_check, cost=_cost, inputs=2, minimum_rows=2,
        invariance="adding a number to all logits of a place; the order of classes; swapping the two negates it",
        papers=(
            "A Good Student is Cooperative and Reliable: CNN-Transformer Collaborative Learning for "
            "Semantic Segmentation",
        ),
    ),
)  # fmt: skip
