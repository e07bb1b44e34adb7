"""Which layers can be held at few bits first? Loss against how many are, in the order of two scores and of chance.

    LIM = - mean cos(layer input, layer output) over tokens      -1 where a layer changes nothing
    ZD  = share of the layer's weights with z-score above 1       0.1587 of Gaussian ones

A layer that changes little (low LIM), or has many weights above one deviation (high ZD), is said to matter little, and
goes to b bits first; the others stay at the higher number. Weights are rounded row by row (one output each) to whole
multiples of their largest over 2^(b-1) - 1, put into the network, and the network is run on the samples of the store.
Mean bits: Σ b_l n_l / Σ n_l.

Without a network, parts of the tap's units stand for layers, their numbers are rounded instead of weights, and the loss
is the squared error of the rows over their size.

Interval: Student's over samples. Null: layers in random order, with the band in which another random order would lie
(Student's t of these orders): it is off by something too, and samples however many do not change that.

When it lies: a score that was found for language models of dozens of layers says little of four; where nothing is lost
at b bits all orders are alike, and where all is lost too; rounding to the nearest is the plainest of quantisers;
embeddings and the readout are left as they are; random orders are few.

Cost: a pass of all samples for each set of layers, each set once.

References: R.-G. Dumitru et al. (2024), "Layer-wise quantization: a pragmatic and effective method for quantizing LLMs
beyond integer bit-levels".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.cache.layer_scores import GAUSSIAN_ZD, first_dropped, lim, mean_bits, zd
from analysis.tokens.cache.rounded_layers import layers_of
from analysis.tokens.subject import AUTOMATIC, SOURCES, subject
from analysis.tokens.tap_dump import RUN

OPENING, MOST_STEPS, LISTED = 6.0, 8, 24
BY_LIM, BY_ZD, REVERSE, RANDOM = "LIM order", "ZD order", "reverse LIM order", "random order"


@dataclass(frozen=True)
class LayerBitsParams:
    bits: int = param(3, "Bits of the weights of a layer that is rounded.", low=1, high=8)
    high: int = param(8, "Bits of the weights of the others.", low=2, high=16)
    draws: int = param(5, "Random orders.", low=2, high=50)
    maximum_samples: int = param(64, "Most samples; a seeded random subset above.", low=2, high=100_000)
    source: str = param(
        AUTOMATIC, "Whose layers: the network's, or parts of the recorded rows.", choices=SOURCES, late=True
    )


def layer_bits(
    activations, params: LayerBitsParams = LayerBitsParams(), rng=None, progress=no_progress
) -> Curve:
    """Loss with ever more layers at few bits.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise parts of its units stand for layers.

    Returns
    -------
    Curve
        x = layers at few bits, a line for each order, with bands. Estimates: loss saved against random orders, paired
        by sample, and the scores of each layer.

    Raises
    ------
    InputError, NotEnoughData
        No loss (no labels and no next tokens); fewer than two layers or samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = subject(
        tap, params.maximum_samples, rng, params.source, lambda f, doing="": progress(0.1 * f, doing)
    )
    layers = layers_of(who, tap.name)
    progress(0.15, "scores of layers")
    lims, zds = layers.lims(lim), np.array([zd(w) for w in layers.numbers()])
    order = first_dropped(lims.mean(axis=0))
    orders = {BY_LIM: order, BY_ZD: first_dropped(-zds), REVERSE: order[::-1]}
    chance = [rng.permutation(layers.count) for _ in range(params.draws)]
    counts = np.unique(np.round(np.linspace(0, layers.count, min(layers.count, MOST_STEPS) + 1)).astype(int))
    known: dict[frozenset, np.ndarray] = {}
    total = (len(orders) + params.draws) * len(counts)

    def losses(order, count: int, done: int) -> np.ndarray:
        which = frozenset(order[:count].tolist())
        if which not in known:
            progress(0.2 + 0.8 * done / total, "running the network with rounded layers")
            known[which] = layers.loss(which, params.bits, params.high)
        return known[which]

    every = [*orders.values(), *chance]
    found = [[losses(o, c, i * len(counts) + j) for j, c in enumerate(counts)] for i, o in enumerate(every)]
    each = {name: np.array(f) for name, f in zip(orders, found, strict=False)}
    drawn = np.array(found[len(orders) :])  # (draws, counts, n)
    progress(1.0, "done")
    told = (*_gains(each, drawn, tap.shape[1]), *_scores(lims, zds, layers, tap.shape[1]))
    return _curve(who, layers, each, drawn, counts, order, told, params, notes)


def _curve(who, layers, each, drawn, counts, order, told, params, notes) -> Curve:
    lines = {**each, RANDOM: drawn.mean(axis=0)}
    ends = {w: [mean_interval(v[j]) for j in range(len(counts))] for w, v in lines.items()}
    null = lines[RANDOM].mean(axis=1)
    whole = layers.loss(frozenset(), params.bits, None)
    sizes = layers.sizes
    half = counts[len(counts) // 2]
    bits = np.where(np.isin(np.arange(layers.count), order[:half]), params.bits, params.high)
    said = [
        f"Nothing rounded, the loss is {whole.mean():.4g}; the first {half} of {layers.count} layers of the {BY_LIM} "
        f"rounded mean {mean_bits(bits, sizes):.2f} bits of a weight in the layers.",
        f"{params.draws} random orders.",
        "LIM: how far a layer turns its tokens, minus the cosine of what goes in and comes out (-1: not at all). "
        "ZD: the share of its weights more than a deviation above their mean (Gaussian: 0.16). A low LIM and a high "
        "ZD are said to mean that a layer matters little.",
    ]
    if layers.count < 8:
        said.append(f"{layers.count} layers leave few orders to tell apart.")
    return Curve(
        title=f"Layers of {who.what} at {params.bits} bits", x=counts.astype(float),
        x_name=f"layers at {params.bits} bits (the others at {params.high})", y_name=layers.loss_name,
        series={w: v.mean(axis=1) for w, v in lines.items()}, null={w: null for w in each}, controls=(RANDOM,),
        low={w: np.array([e["low"] for e in v]) for w, v in ends.items()},
        high={w: np.array([e["high"] for e in v]) for w, v in ends.items()},
        estimates=told, reading=_reading(told), caveats=(*notes, *layers.notes, *said),
    )  # fmt: skip


def _gains(each, drawn, d: int) -> list[Estimate]:
    """Mean loss of random orders less that of an order, over all numbers of layers but none and all."""
    inner = slice(1, -1) if drawn.shape[1] > 2 else slice(None)
    orders = drawn[:, inner].mean(axis=1)  # (draws, n)
    chance, draws = orders.mean(axis=0), len(orders)
    apart = stdtrit(draws - 1, 0.975) * orders.mean(axis=1).std(ddof=1) * np.sqrt(1 + 1 / draws)
    found = []
    for name, x in each.items():
        gain = chance - x[inner].mean(axis=0)
        found.append(Estimate(
            f"loss saved by {name}", float(gain.mean()), **mean_interval(gain), null=0.0,
            null_low=-float(apart), null_high=float(apart),
            null_method=f"{draws} random orders; band: another one, Student's t", n=len(gain), d=d,
            estimator="mean over numbers of layers, paired by sample", unit="loss",
        ))  # fmt: skip
    return found


def _scores(lims, zds, layers, d: int) -> list[Estimate]:
    found = []
    for i in range(min(layers.count, LISTED)):
        found.append(Estimate(f"LIM, {layers.names[i]}", float(lims[:, i].mean()),
                              **mean_interval(lims[:, i], -1.0, 1.0),
                              null=-1.0, null_method="a layer that changes nothing", n=len(lims), d=d))  # fmt: skip
        found.append(Estimate(f"ZD, {layers.names[i]}", float(zds[i]), null=GAUSSIAN_ZD, null_method="Gaussian weights",
                              interval="none: all weights are counted", n=int(layers.sizes[i]), d=d))  # fmt: skip
    return found


def _reading(told) -> str:
    parts = []
    for e in told[:3]:
        sure = e.low is not None and (e.low > e.null_high or e.high < e.null_low)
        verdict = (
            f"{'saves' if e.value > 0 else 'costs'} {abs(e.value):.3g} of loss"
            if sure
            else "is not told apart from them"
        )
        parts.append(f"{e.name.removeprefix('loss saved by ')} {verdict}")
    return f"Against random orders, on average over how many layers are rounded: {', '.join(parts)}."


def _cost(shapes, params: LayerBitsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = max(min(n // RUN, params.maximum_samples), 1)
    held = 8.0 * samples * (RUN + 1) * (9.0 * d + 2 * RUN) + 1e5
    sets = (3 + params.draws) * MOST_STEPS
    return Cost(
        OPENING + m.seconds(flops64=40.0 * sets * samples * RUN * d, moved=8.0 * n * d),
        held,
        sets * min(n, params.maximum_samples),
    )


def _check() -> tuple[CheckLine, ...]:
    """A layer that changes nothing has LIM -1, Gaussian weights ZD 0.1587. Of four parts of units the first two are
    tiny: rounding them first costs nothing, and LIM finds them."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((192, 16)) * np.repeat([0.01, 0.02, 1.0, 3.0], 4)
    tap = ArrayActivations(x, name="planted", layout=Layout(np.arange(0, 193, 24)))
    found = layer_bits(tap, LayerBitsParams(bits=2))
    line, back = found.series[BY_LIM], found.series[REVERSE]
    return (
        CheckLine("LIM of a layer that changes nothing", -1.0, float(lim(x, x).mean()), 1e-12),
        CheckLine("ZD of Gaussian weights", GAUSSIAN_ZD, zd(rng.standard_normal(200_000)), 0.003),
        CheckLine("mean bits of 2 and 8", 5.0, mean_bits(np.array([2, 8]), np.array([10, 10])), 1e-12),
        CheckLine("tiny parts first: more loss than none", 0.0, float(line[2] - line[0]), 1e-3),
        CheckLine("tiny parts last: loss at once", 0.02, float(back[1] - back[0]), 0.0, "at least"),
    )


METHODS = (
    Method(
        id="layer_bits", family="tokens", network="attention",
        title="Layers at few bits", version=3, function=layer_bits,
        summary="Weights of ever more layers at few bits, in the order of two scores: what the network loses.",
        params=LayerBitsParams, result=Curve, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="a factor of a layer's weights, of ZD; the scale of tokens, of LIM",
        papers=(
            "Layer-Wise Quantization: A Pragmatic and Effective Method for Quantizing LLMs Beyond Integer Bit-Levels",
        ),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
