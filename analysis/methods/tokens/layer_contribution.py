"""How much does each layer add to the residual stream, and does it write something new?

    size    ‖u_l‖ / ‖h_{l-1}‖        cosine    <u_l, h_{l-1}> / (‖u_l‖ ‖h_{l-1}‖)        h_l = h_{l-1} + u_l

u_l is what layer l adds, or its attention, or its MLP (whose h is what stands before it). A negative cosine erases,
0 adds something new, a positive one strengthens. Means over the tokens of a sample, then over samples.

Null: of sizes 1/√l, what updates of one length give that are orthogonal to all before (the stream grows by itself; that
decay is no laziness); of cosines 0. Interval: Student's over samples. The change of level is the place where two levels
describe size x √l (or the cosine) best; its interval is of samples drawn again, its null and p those of the layers in
random order, which is exact only where layers are exchangeable.

When it lies: a small update may decide the answer and a large one may be undone by the next; norms divide by the size
of the stream, so that the same update counts less late; a few tokens with huge states make all updates look small (see
the norm audit); below four layers there is no change to look for, and with a handful its p cannot be small.

Cost: one pass of every sample.

Reference: R. Csordás, C. Manning & C. Potts (2025), "Do language models use their depth efficiently?"
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.networks.depth import FEWEST_LAYERS, change_of_level, fresh, sizes_and_cosines
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Method, no_progress, param
from analysis.tokens.stream import RandomStream, stream
from analysis.tokens.stream_cost import AT_ONCE, SAMPLES_HELP, SOURCE_HELP, passes_cost
from analysis.tokens.subject import AUTOMATIC, SOURCES

SIZE, COSINE = "size", "cosine"
WHOLE, PARTS = "the whole layer", ("attention", "MLP")


@dataclass(frozen=True)
class LayerContributionParams:
    measure: str = param(
        SIZE, "Size of what a layer adds over the stream's, or their cosine.", choices=(SIZE, COSINE)
    )
    maximum_samples: int = param(64, SAMPLES_HELP, low=2, high=100_000)
    source: str = param(AUTOMATIC, SOURCE_HELP, choices=SOURCES, late=True)


def layer_contribution(
    activations, params: LayerContributionParams = LayerContributionParams(), rng=None, progress=no_progress
) -> Curve:
    """What each layer adds.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows go through random blocks.

    Returns
    -------
    Curve
        Over layers: the whole layer, its attention, its MLP. Estimates: second half against the first, the change of
        level.

    Raises
    ------
    InputError, NotEnoughData
        Rows that are all alike; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = stream(
        tap, params.maximum_samples, rng, params.source, lambda f, doing="": progress(0.2 * f, doing)
    )
    found = measured(who, params.measure, lambda f: progress(0.2 + 0.7 * f, "running the network"))
    progress(0.9, "looking for a change of level")
    layers, d = len(who.names), tap.shape[1]
    null = fresh(layers) if params.measure == SIZE else np.zeros(layers)
    told = _estimates(found[WHOLE], params.measure, d, rng)
    ends = {name: [mean_interval(v) for v in values.T] for name, values in found.items()}
    progress(1.0, "done")
    return Curve(
        title=f"What each layer of {who.what} adds to the stream", x=np.arange(1.0, layers + 1), x_name="layer",
        y_name="size over the stream's" if params.measure == SIZE else "cosine with the stream",
        series={name: values.mean(axis=0) for name, values in found.items()},
        low={name: _side(ends[name], values, "low") for name, values in found.items()},
        high={name: _side(ends[name], values, "high") for name, values in found.items()},
        null={WHOLE: null}, x_labels=who.names, estimates=told, reading=_reading(found[WHOLE], params.measure, told),
        caveats=(*notes, *_caveats(who, params.measure, layers)),
    )  # fmt: skip


def _side(ends, values, side: str) -> np.ndarray:
    return np.array([e.get(side, m) for e, m in zip(ends, values.mean(axis=0), strict=True)])


def measured(who, measure: str, progress=lambda f: None) -> dict[str, np.ndarray]:
    """(n, L) by what is looked at."""
    names = (WHOLE,) if who.scans else (WHOLE, *PARTS)  # a scan is all that its layer adds
    parts: dict[str, list] = {name: [] for name in names}
    at = 0 if measure == SIZE else 1
    for part, given in who.batches(AT_ONCE):
        progress(part.start / who.n)
        p = who.passed(given)
        before, behind = p.states[:-1], p.states[1:]
        pairs = ((before, behind), (before, p.between), (p.between, behind))
        for name, pair in zip(parts, pairs[: len(parts)], strict=True):
            parts[name].append(sizes_and_cosines(*pair, p.present)[at])
    return {name: np.concatenate(v) for name, v in parts.items()}


def _estimates(values: np.ndarray, measure: str, d: int, rng) -> tuple[Estimate, ...]:
    (n, layers), sizes = values.shape, measure == SIZE
    levels = values * np.sqrt(np.arange(1, layers + 1)) if sizes else values
    what, half = ("size x √l" if sizes else "cosine"), layers // 2
    known = {"n": n, "d": d}
    mean = values.mean(axis=1)
    out = [Estimate(
        f"mean {measure} over layers", float(mean.mean()), **mean_interval(mean),
        null=float(fresh(layers).mean()) if sizes else 0.0,
        null_method="equal orthogonal updates", estimator="mean over tokens, layers and samples", **known,
    )]  # fmt: skip
    if layers >= 2:
        less = levels[:, -half:].mean(axis=1) - levels[:, :half].mean(axis=1)
        out.append(Estimate(
            f"{what}, second half - first half", float(less.mean()), **mean_interval(less), null=0.0,
            null_method="equal orthogonal updates", estimator="difference of means, paired by sample", **known,
        ))  # fmt: skip
    if layers >= FEWEST_LAYERS and n >= 2:
        c = change_of_level(levels, rng)
        out.append(Estimate(
            f"layers before the change of {what}", c.at, c.low, c.high, interval="bootstrap over samples",
            null=layers / 2, null_low=c.null_low, null_high=c.null_high, null_method="layers in random order",
            p_value=c.p, estimator=f"two levels; they explain {c.share:.0%} of the squares", **known,
        ))  # fmt: skip
    return tuple(out)


def _reading(values: np.ndarray, measure: str, told) -> str:
    mean = values.mean(axis=0)
    if measure == SIZE:
        text = (
            f"A layer adds {mean[0]:.2g} of the stream's length at first and {mean[-1]:.2g} at last; equal new updates "
            f"would add 1 and {fresh(len(mean))[-1]:.2g}."
        )
    else:
        text = (
            f"The cosine of what a layer adds with the stream goes from {mean[0]:+.2f} to {mean[-1]:+.2f}; 0 is new, "
            "below it erases."
        )
    change = next((e for e in told if e.name.startswith("layers before")), None)
    if change is None:
        return text
    sure = "more" if change.p_value < 0.05 else "no more"
    return (
        f"{text} The level changes behind layer {change.value:.0f} of {len(mean)}, {sure} than layers in random order "
        f"would show (p = {change.p_value:.2g})."
    )


def _caveats(who, measure: str, layers: int) -> list[str]:
    said = [
        f"{who.n:,} samples.",
        "What a layer adds may be undone by a later one: skip it to see its effect.",
    ]
    if who.scans:
        said.append("A layer is a scan: there is no attention and no MLP of its own.")
    elif measure == SIZE:
        said.append("The null is of the whole layer; attention and MLP alone add less each.")
    if layers < FEWEST_LAYERS:
        said.append(f"{layers} layers: a change of level is looked for from {FEWEST_LAYERS} on.")
    return said


def _check() -> tuple[CheckLine, ...]:
    """Orthogonal updates of one length: 1/√l and cosine 0. A layer that repeats half of the stream: 1/2 and cosine 1.
    A planted change behind layer 5 of 8 is found there."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    states = [axes[:, : i + 1].sum(axis=1)[None, None] for i in range(9)]
    size, cosine = sizes_and_cosines(states[:-1], states[1:], np.ones((1, 1), bool))
    twice = sizes_and_cosines(states[:1], [1.5 * states[0]], np.ones((1, 1), bool))
    step = np.repeat([[1.0] * 5 + [0.4] * 3], 20, axis=0) + 0.02 * rng.standard_normal((20, 8))
    mute = RandomStream(rng.standard_normal((4, 6, 8)), np.ones((4, 6), bool), rng, 3, mute=(1,))
    return (
        CheckLine("orthogonal updates: distance from 1/√l", 0.0, float(np.abs(size[0] - fresh(8)).max()), 1e-12),
        CheckLine("their cosine", 0.0, float(np.abs(cosine).max()), 1e-12),
        CheckLine("half of the stream again: size", 0.5, float(twice[0][0, 0]), 1e-12),
        CheckLine("half of the stream again: cosine", 1.0, float(twice[1][0, 0]), 1e-12),
        CheckLine("planted change", 5, change_of_level(step, rng).at, 0.0),
        CheckLine("a layer that adds nothing", 0.0, float(measured(mute, SIZE)[WHOLE][:, 1].max()), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="layer_contribution", family="tokens", network="blocks",
        title="What each layer adds", version=2, function=layer_contribution,
        summary="Size of every layer's update over the stream's, or their cosine, and where it changes.",
        params=LayerContributionParams, result=Curve, check=_check, minimum_rows=2,
        cost=lambda shapes, params: passes_cost(shapes, params, 1),
        invariance="rotations of the stream; one scale for it and all updates; the order of samples",
        papers=("Do Language Models Use Their Depth Efficiently?",), libraries=("torch", "transformers"),
    ),
)  # fmt: skip
