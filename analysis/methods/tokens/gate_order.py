"""Does it matter whether a channel gate and a spatial gate act beside each other or one after the other?

    parallel     y_tc = (g_c + s_t) x_tc          sequential     y_tc = g_c s_t x_tc

of gates between 0 and 1 of each sample. As what follows can take up a factor, the difference is what no factor mends:

    1 - (Σ (g_c + s_t) g_c s_t x²)² / (Σ (g_c + s_t)² x² · Σ (g_c s_t)² x²)

over positions and channels, 0 where both outputs point the same way, 1 where nothing is left in sequence. Told too is
how much of the input is left: all gates at one half leave half of it in parallel (of the mean of both), a quarter in
sequence. Taps: the channel gate, a row of channels for each sample (tokens are averaged); the spatial gate, a number
for each position (units are averaged; of one row a sample its units are the positions); and, if there is one, what they
gate. Values beyond 0 to 1 are taken for what goes into the sigmoid, before anything is averaged.

Interval: Student's t over samples. Null: gates drawn evenly from 0 to 1, exactly 1/7; of what the pairing adds, the
spatial gates of other samples with as many positions.

When it lies: in sequence the second gate is made of what the first one left, and these are the gates that the recorded
network made in its own order; without the third tap all positions and channels count alike; networks trained in either
order answer alike more than their gates do.

Cost: one pass of each tap, O(positions channels) for each sample.

Reference: H. Liu, F. Liu, X. Fan & D. Huang (2021), "Polarized self-attention: towards high-quality pixel-wise
regression".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import shared_positions
from analysis.compute.rows.random_part import random_part
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import refuse_few
from analysis.errors import NotEnoughData, ShapeError
from analysis.results import Distribution, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.routing.open_gates import SQUASHED, open_gates

FEWEST, BINS, EVEN = 8, 30, 1 / 7
OWN = "samples"


@dataclass(frozen=True)
class GateOrderParams:
    maximum_samples: int = param(2000, "Most samples; a seeded random part above.", low=8, high=50_000)


def gate_order(
    *taps, params: GateOrderParams = GateOrderParams(), rng=None, progress=no_progress
) -> Distribution:
    """Difference of parallel and sequential gates, sample by sample.

    Parameters
    ----------
    *taps : two or three Activations or arrays
        Channel gate, spatial gate, and what they gate (positions as rows, channels as units), of the same samples.

    Returns
    -------
    Distribution
        Differences of the samples, and with the spatial gates of other samples as null. Estimates: their mean, what the
        pairing adds, and what each order leaves of the input.

    Raises
    ------
    ShapeError, InputError, NotEnoughData
        What is gated has other positions or channels than its gates; fewer than eight samples in common.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    progress(0.0, "reading gates")
    positions, said = shared_positions(taps, FEWEST)
    chosen, more = random_part(positions.shape[1], params.maximum_samples, rng)
    at = positions[:, chosen]
    rows = [[_rows(tap, i) for i in own] for tap, own in zip(taps, at, strict=True)]
    progress(0.4, "comparing orders")
    good = np.array([_usable(one) for one in zip(*rows, strict=True)])
    refuse_few(taps[0].name, int(good.sum()), FEWEST, "finite sample(s) with an input that is not 0")
    rows = [[x for x, keep in zip(one, good, strict=True) if keep] for one in rows]
    (channel, kind), (spatial, other) = _opened(rows[0]), _opened(rows[1])
    channel = [g.mean(axis=0) for g in channel]
    spatial = [s[0] if taps[1].layout.is_pooled else s.mean(axis=1) for s in spatial]
    weights = None if len(taps) < 3 else [np.square(x) for x in rows[2]]
    _refuse_other(channel, spatial, weights, taps)
    own = np.array([_compared(g, s, w) for g, s, w in _each(channel, spatial, weights)])
    progress(0.8, "exchanging samples")
    free = _exchanged(channel, spatial, weights, rng)
    alone = int(np.isnan(free).sum())
    if alone > len(own) - FEWEST:
        raise NotEnoughData(
            f"{len(own) - alone} sample(s) of {taps[1].name} with as many positions as another", f"{FEWEST}",
            "Choose samples of one length",
        )  # fmt: skip
    progress(1.0, "done")
    notes = [*said, *more]
    if not good.all():
        notes.append(f"{int((~good).sum())} sample(s) with NaN, infinity or nothing but 0 to gate left out.")
    if alone:
        notes.append(f"{alone} sample(s) that none has as many positions as are in no number of the pairing.")
    for tap, how in zip(taps, (kind, other), strict=False):
        notes += [f"A sigmoid is taken of {tap.name}: it leaves 0 to 1."] if how == SQUASHED else []
    if weights is None:
        notes.append("What is gated is not given: all positions and channels count alike.")
    return _distribution(taps, own, free, len(channel[0]), notes)


def _rows(tap, sample: int) -> np.ndarray:
    """(tokens, units) of a sample."""
    a, b = tap.layout.offsets[sample], tap.layout.offsets[sample + 1]
    return np.asarray(tap.take(np.arange(a, b)), np.float64)


def _usable(rows) -> bool:
    return all(np.isfinite(x).all() for x in rows) and bool(len(rows) < 3 or rows[2].any())


def _opened(values: list[np.ndarray]) -> tuple[list[np.ndarray], str]:
    """(gates of each sample's rows, what those were taken for)."""
    found, kind = open_gates(np.concatenate(values))
    return np.split(found, np.cumsum([len(v) for v in values])[:-1]), kind


def _refuse_other(channel, spatial, weights, taps) -> None:
    for g, s, w in _each(channel, spatial, weights):
        if w is not None and w.shape != (len(s), len(g)):
            raise ShapeError(
                f"{taps[2].name} has {w.shape[0]} positions of {w.shape[1]} channels",
                f"{len(s)} of {len(g)}, as its gates have",
                "Choose the tap that both gates act on",
            )


def _each(channel, spatial, weights):
    return zip(channel, spatial, weights or [None] * len(channel), strict=True)


def _compared(g: np.ndarray, s: np.ndarray, w: np.ndarray | None) -> tuple[float, float, float]:
    """(difference, left in parallel, left in sequence) of gates g (C,), s (T,) and squared inputs w (T, C)."""
    if w is None:
        w = np.ones((len(s), len(g)))
    both = s[:, None] + g[None], s[:, None] * g[None]
    beside, after, across = ((a * b * w).sum() for a, b in ((both[0],) * 2, (both[1],) * 2, both))
    left = float(np.sqrt(beside / w.sum())) / 2, float(np.sqrt(after / w.sum()))
    if not beside > 0:  # nothing is left either way
        return 0.0, *left
    return (max(1 - float(across / after) * float(across / beside), 0.0) if after > 0 else 1.0), *left


def _exchanged(channel, spatial, weights, rng) -> np.ndarray:
    """(n,) differences with the spatial gate of another sample that has as many positions, NaN where none has."""
    length, out = np.array([len(s) for s in spatial]), np.full(len(channel), np.nan)
    other = np.arange(len(channel))
    for t in np.unique(length):
        order = rng.permutation(np.flatnonzero(length == t))
        other[order] = np.roll(order, 1)
    for i, (g, _, w) in enumerate(_each(channel, spatial, weights)):
        if other[i] != i:
            out[i] = _compared(g, spatial[other[i]], w)[0]
    return out


def _distribution(taps, own: np.ndarray, free: np.ndarray, channels: int, notes) -> Distribution:
    difference, beside, after = own.T
    pairing, free = (difference - free)[np.isfinite(free)], free[np.isfinite(free)]
    top = max(float(difference.max()), float(free.max()), EVEN) * 1.05
    edges = np.linspace(0.0, top, BINS + 1)
    facts = {"n": len(own), "d": channels}
    made = [
        Estimate("difference that no factor mends", float(difference.mean()), **mean_interval(difference, 0.0, 1.0),
                 null=EVEN, null_method="gates drawn evenly from 0 to 1, exactly 1/7", **facts, unit="share",
                 estimator="1 - squared cosine of both outputs, mean over samples"),
        Estimate("what the pairing of gates adds", float(pairing.mean()), **mean_interval(pairing), null=0.0,
                 null_method="spatial gates of other samples", **facts | {"n": len(pairing)}, unit="share",
                 estimator="paired by sample"),
        Estimate("left of the input, parallel", float(beside.mean()), **mean_interval(beside, 0.0), null=0.5,
                 null_method="all gates at one half", **facts, estimator="root mean square of (g + s) / 2"),
        Estimate("left of the input, sequential", float(after.mean()), **mean_interval(after, 0.0), null=0.25,
                 null_method="all gates at one half", **facts, estimator="root mean square of g s"),
    ]  # fmt: skip
    return Distribution(
        title=f"Parallel against sequential: {taps[0].name} and {taps[1].name}", edges=edges,
        counts={OWN: np.histogram(difference, edges)[0]}, null=np.histogram(free, edges)[0].astype(np.float64),
        value_name="difference that no factor mends", markers={"even gates": EVEN}, estimates=tuple(made),
        reading=_reading(made), caveats=tuple(notes),
    )  # fmt: skip


def _reading(made) -> str:
    gap, pairing, beside, after = made
    text = (
        f"Beside each other and one after the other the gates give outputs that differ by {gap.value:.1%} beyond a "
        f"factor (gates drawn evenly: {EVEN:.1%}); {beside.value:.2f} of the input is left in parallel, "
        f"{after.value:.2f} in sequence."
    )
    if pairing.low is not None and pairing.low <= 0 <= pairing.high:
        return f"{text} With spatial gates of other samples they would differ as much."
    return f"{text} With spatial gates of other samples they would differ {'less' if pairing.value > 0 else 'more'}."


def _cost(shapes, params: GateOrderParams) -> Cost:
    m, read = machine(), float(sum(n * d for n, d in shapes))
    (n, c), t = shapes[0], shapes[1][1]
    some = min(n, params.maximum_samples)
    return Cost(0.05 + m.seconds(moved=30.0 * read + 200.0 * some * c * t), 17.0 * read + 24.0 * c * t + 3e5)


def _check() -> tuple[CheckLine, ...]:
    """Constant gates differ by a factor only; all at one half leave ½ and ¼; gates drawn evenly differ by 1/7."""
    rng = np.random.default_rng(0)

    def told(g, s, *more):
        n, t = s.shape
        spatial = ArrayActivations(s.reshape(-1, 1), "s", layout=Layout(np.arange(n + 1) * t))
        return gate_order(ArrayActivations(g, "g"), spatial, *more).estimates

    half = told(np.full((10, 6), 0.5), np.full((10, 9), 0.5))
    free = told(rng.random((60, 400)), rng.random((60, 300)))
    one = told(np.full((10, 6), 0.7), rng.random((10, 1)) * np.ones((1, 9)))
    sharp = np.zeros((10, 9))
    sharp[:, 0] = 1.0  # one position is let through, and all channels: in sequence nothing else is left
    spike = told(np.ones((10, 4)), sharp)
    shut = told(np.zeros((10, 4)), sharp)
    return (
        CheckLine("all at one half: no difference", 0.0, half[0].value, 1e-12),
        CheckLine("left in parallel", 0.5, half[2].value, 1e-12),
        CheckLine("left in sequence", 0.25, half[3].value, 1e-12),
        CheckLine("gates drawn evenly", 1 / 7, free[0].value, 0.002),
        CheckLine("gates that do not vary in a sample", 0.0, one[0].value, 1e-12),
        CheckLine("one position of nine let through", 1 - 4 / (4 + 8), spike[0].value, 1e-12),
        CheckLine("all channels shut: nothing is left in sequence", 1.0, shut[0].value, 0.0),
        CheckLine("and in parallel a sixth", 1 / 6, shut[2].value, 1e-12),
    )


METHODS = (
    Method(
        id="gate_order", family="tokens", title="Channel and spatial gates: parallel or sequential", version=2,
        function=gate_order,
        summary="How much outputs differ when a channel gate and a spatial gate act beside or after each other.",
        params=GateOrderParams, result=Distribution, check=_check, cost=_cost, inputs=2, more_inputs=True,
        most_inputs=3, roles=("channel gate", "spatial gate"), matches="samples", minimum_rows=FEWEST,
        invariance="the order of samples, channels and positions; a factor of what is gated",
        papers=("Polarized Self-Attention: Towards High-quality Pixel-wise Regression",),
    ),
)  # fmt: skip
