"""What does each head do? One measure of all heads, layer by head, beside heads that know places only.

    entropy         -sum_j A_ij log A_ij, mean over queries i (nats)
    keys            fewest keys that hold 90 % of a row, mean over queries
    share           the same over how many keys the query may read, median over queries
    distance        (1/N) sum_ij A_ij |p_i - p_j| on the grid of patches, or along the text (non-locality)
    neighbours      mass inside the 3 x 3 patches (three words) around the query
    Gini            of the mass that tokens receive: alike 0, all on one of n 1 - 1/n
    rank            singular values of A above 1 % of the largest
    cosine          mean cosine of two rows: 1 where all queries read the same, whatever the entropy
    isotropic share (E q_i·k_i)² / (d E (q_i·k_j)²), tr(W)² / (d |W|²_F) for white tokens
    of the weights  tr(W)² / (d |W|²_F) of W = W_Q W_K' itself, beside 1/d² of independent weights

Null of a cell: for each sample the mean attention of the other samples at the same places, measured the same way; a
head that goes by places alone equals it. Of the isotropic share: keys of the same place in another sample; independent
weights give 1/d². Cells count where value and null differ (paired t over samples, Benjamini-Hochberg over heads).
Not of distance and neighbours: they are means of A, so that their mean is that of the null whatever a head does; told
is how far single samples lie from it. Beside it: attention
that reads all alike (mean distance 7.281 on 14 x 14 patches).

When it lies: the null is a mean over few samples, between what a head does on one and what it does by place, so that
differences come out small with few samples; patterns are not reasons, a head may look and not matter (see what the
answer loses without it); tokens mix, so that a key is no longer its patch; measures of a row say nothing of values.

Interval: Student's t over samples; of the isotropic share that of its root, Student's t and bootstrap-t together.

Cost: one pass of each sample, then samples x heads x T² once; a block of queries is held at a time, never L x H x T².

References: S. d'Ascoli et al. (2021), "ConViT" (non-locality); H. Ramsauer et al. (2021), "Hopfield networks is all you
need" (keys of 90 % and their share); H. Fu, T. Guo, Y. Bai & S. Mei (2023), "What can a single attention layer learn?"
(isotropic share); J. Tropp et al. (2017) for ranks from one pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.atlas_told import atlas_caveats, atlas_estimates, atlas_reading
from analysis.tokens.attention.heads import HeadReader, heads_of, planted
from analysis.tokens.attention.isotropic import ISOTROPIC, isotropic, share_of_weights
from analysis.tokens.attention.measures import AVERAGES, ENDS, UNITS, gini
from analysis.tokens.attention.position_null import Measured, beyond, measured
from analysis.tokens.attention.weight_shares import OF_WEIGHTS, shares_in_weights
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING = 4.0  # seconds
MEASURES = (*UNITS, ISOTROPIC, OF_WEIGHTS)


@dataclass(frozen=True)
class AttentionAtlasParams:
    measure: str = param(MEASURES[0], "What is said of each head.", choices=MEASURES)
    maximum_samples: int = param(32, "Most samples; a seeded random subset above.", low=2, high=2000)
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def attention_atlas(
    activations, params: AttentionAtlasParams = AttentionAtlasParams(), rng=None, progress=no_progress
) -> Matrix:
    """A measure of all heads of a network.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; other rows are queries and keys of one head.

    Returns
    -------
    Matrix
        Layers by heads: means over samples with intervals, and what places alone would give.

    Raises
    ------
    NotEnoughData, InputError
        Fewer than two samples of two tokens; weights of queries and keys that are asked for and cannot be read.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    reader = heads_of(tap, params.maximum_samples, rng, params.source, progress)

    if params.measure == OF_WEIGHTS:
        found = shares_in_weights(reader)
        progress(1.0, "done")
        return found

    def telling(fraction, doing=""):
        progress(0.4 + 0.6 * fraction, doing)

    found = (
        isotropic(reader, telling, rng)
        if params.measure == ISOTROPIC
        else measured(reader, params.measure, telling)
    )
    progress(1.0, "done")
    return _matrix(reader, found, params.measure, rng)


def _matrix(reader: HeadReader, found: Measured, measure: str, rng) -> Matrix:
    n, value, null = reader.n, found.value.mean(axis=2), found.null.mean(axis=2)
    if measure == ISOTROPIC:  # pseudo-values may fall below
        value, null = np.maximum(value, 0), np.maximum(null, 0)
    half = stdtrit(n - 1, 0.975) * found.value.std(axis=2, ddof=1) / np.sqrt(n)
    low, high = (value - half, value + half) if found.ends is None else (
        np.minimum(found.ends[0], value), np.maximum(found.ends[1], value))  # fmt: skip
    more = None if measure in AVERAGES else beyond(found)
    least, most = ENDS.get(measure, (0.0, 1.0))
    unit = UNITS.get(measure, "")
    return Matrix(
        title=f"{measure[0].upper()}{measure[1:]}, head by head, of {reader.what}",
        reading=atlas_reading(reader, found, measure, value, null, more),
        caveats=(*reader.notes, *atlas_caveats(reader, measure)),
        estimates=atlas_estimates(reader, found, measure, more, rng),
        values=value, null=null, low=np.maximum(low, least), high=np.minimum(high, most),
        significant=more,
        row_names=tuple(f"layer {i + 1}" for i in range(reader.layers)),
        column_names=tuple(f"head {h + 1}" for h in range(reader.heads)),
        value_name=f"{measure} ({unit})" if unit else measure,
    )  # fmt: skip


def _cost(shapes, params: AttentionAtlasParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 1), params.maximum_samples)
    rows = samples * (RUN + 1)
    held = 8.0 * rows * (5.0 * d + 8.0 * RUN)
    passes = min(n, params.maximum_samples)
    flops = 2.0 * rows * RUN * d * 4
    return Cost(
        OPENING + m.seconds(flops64=flops, moved=held, calls=100.0 * samples) + 2e-3 * passes, held, passes
    )


def _check() -> tuple[CheckLine, ...]:
    """Even attention on 14 x 14 and 7 x 7 patches; a head that reads itself; one that goes by places; W = I."""
    from analysis.tokens.attention.measures import COSINE, DISTANCE, ENTROPY, KEYS, NEIGHBOURS, RANK, SHARE

    rng = np.random.default_rng(0)

    def of(reader, what):
        return measured(reader, what).value[0, 0, 0]

    large, flat = (planted(*np.zeros((2, 2, side**2, 1)), (side, side)) for side in (14, 7))
    self_ = np.broadcast_to(np.eye(49), (2, 49, 49))
    own = planted(self_, self_, (7, 7), scale=200.0)
    place = np.broadcast_to(rng.standard_normal((9, 4)), (5, 9, 4))
    by_place = measured(planted(place, place), ENTROPY)
    free = measured(planted(*rng.standard_normal((2, 12, 9, 4))), ENTROPY)
    two = measured(planted(*rng.standard_normal((2, 2, 9, 4))), ENTROPY)
    same = isotropic(planted(*[rng.standard_normal((40, 60, 4))] * 2), no_progress, rng)
    alike = {ENTROPY: np.log(49), KEYS: 45.0, SHARE: 45 / 49, NEIGHBOURS: 361 / 2401}
    return (
        CheckLine("even attention, 14 x 14: mean distance", 7.281, of(large, DISTANCE), 5e-4),
        CheckLine("7 x 7", 3.609, of(flat, DISTANCE), 5e-4),
        CheckLine("reads itself: mean distance", 0.0, of(own, DISTANCE), 1e-9),
        CheckLine("reads itself: cosine of rows", 0.0, of(own, COSINE), 1e-9),
        CheckLine("reads itself: rank of 49", 49.0, of(own, RANK), 0.0),
        CheckLine("all on one of 49: Gini", 48 / 49, float(gini(np.eye(49)[0])), 1e-12),
        CheckLine("goes by places: apart from its null", 0.0, np.abs(by_place.value - by_place.null).max(), 1e-9),
        CheckLine("goes by content: beyond its null", 1.0, float(beyond(free).sum()), 0.0),
        CheckLine("W = I, white tokens: isotropic share", 1.0, float(same.value.mean()), 0.1),
        CheckLine("and with keys of another sample", 0.0, float(same.null.mean()), 0.05),
        CheckLine("of two samples one is the other's null", two.value[0, 0, 0], two.null[0, 0, 1], 1e-12),
        *(CheckLine(f"even attention: {what}", known, of(flat, what), 1e-9) for what, known in alike.items()),
        CheckLine("W = I", 1.0, share_of_weights(np.eye(5)), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="attention_atlas", family="tokens", network="attention",
        title="What each head does", version=6, function=attention_atlas,
        summary="Layers by heads: how sharp, how far and how concentrated, beside heads that know places only.",
        params=AttentionAtlasParams, result=Matrix, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of samples; one constant added to all scores of a query",
        papers=(
            "ConViT: Improving Vision Transformers with Soft Convolutional Inductive Biases",
            "Hopfield Networks is All You Need",
            "What can a Single Attention Layer Learn? A Study Through the Random Features Lens",
            "Bridging the Gap Between Vision Transformers and Convolutional Neural Networks on Small Datasets",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
