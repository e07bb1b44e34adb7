"""Who needs whom? Each layer is left out in turn: how much every later layer's update, and the answer, change.

    cell (s, l) = ‖u'_l - u_l‖ / ‖u_l‖          u_l what layer l adds, u'_l the same with layer s left out

mean over the tokens of a sample, or the largest, then mean over samples; the last column is the relative change of the
outputs (their mean over classes taken off). Layers before s do not notice and are hatched. A layer that adds nothing
leaves a row of zeros.

Null, cell by cell: layer s stays and a random direction as long as what it adds is added behind it: what any change of
that size does. Interval: Student's over samples.

When it lies: a stream without one layer is one that the network never saw, and others may make up for it; relative
change is large where an update is small; the largest token may be one of a few with huge states; a change of the
answer's size is not yet another answer.

Cost: (1 + 2 layers) passes of every sample.

Reference: R. Csordás, C. Manning & C. Potts (2025), "Do language models use their depth efficiently?"
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.networks.depth import changed_updates, lengths
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Method, no_progress, param
from analysis.tokens.stream import BLOCKS, RandomStream, stream
from analysis.tokens.stream_cost import AT_ONCE, SAMPLES_HELP, SOURCE_HELP, passes_cost
from analysis.tokens.subject import AUTOMATIC, SOURCES

MEAN, LARGEST = "mean over tokens", "largest token"
OUTPUT = "the answer"


@dataclass(frozen=True)
class LayerSkippingParams:
    over: str = param(MEAN, "What is told of the tokens of a sample.", choices=(MEAN, LARGEST))
    maximum_samples: int = param(32, SAMPLES_HELP, low=2, high=100_000)
    source: str = param(AUTOMATIC, SOURCE_HELP, choices=SOURCES, late=True)


def layer_skipping(
    activations, params: LayerSkippingParams = LayerSkippingParams(), rng=None, progress=no_progress
) -> Matrix:
    """What leaving out each layer changes.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows go through random blocks.

    Returns
    -------
    Matrix
        Layers left out (rows) by later layers and the answer (columns).

    Raises
    ------
    InputError, NotEnoughData
        Rows that are all alike; fewer than two samples of two tokens; one layer only.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    who, notes = stream(
        tap, params.maximum_samples, rng, params.source, lambda f, doing="": progress(0.2 * f, doing)
    )
    layers = len(who.names)
    if layers < 2:
        raise InputError(f"a network of {layers} layer", "two or more, of which one can notice another")
    found, null = skipped(
        who, params.over == LARGEST, rng, lambda f: progress(0.2 + 0.75 * f, "leaving layers out")
    )
    progress(1.0, "done")
    later = np.hstack([np.triu(np.ones((layers, layers), bool), 1), np.ones((layers, 1), bool)])
    mean, chance = (np.where(later, x.mean(axis=0), 0.0) for x in (found, null))
    half = np.array([[_half(found[:, s, c]) for c in range(layers + 1)] for s in range(layers)])
    told = _estimates(found, null, tap.shape[1])
    return Matrix(
        title=f"What {who.what} changes where a layer is left out", values=mean, value_name="relative change",
        row_names=tuple(f"without {name}" for name in who.names), column_names=(*who.names, OUTPUT), null=chance,
        low=np.where(later, np.maximum(mean - half, 0), 0.0), high=np.where(later, mean + half, 0.0), few=~later,
        few_means="not behind the layer that is left out", estimates=told, reading=_reading(mean, who.names, told),
        caveats=(*notes, f"{who.n:,} samples; {params.over}.",
                 "What is measured is the effect of an absence, and others may make up for it."),
    )  # fmt: skip


def _half(values: np.ndarray) -> float:
    found = mean_interval(values)
    return found["high"] - float(values.mean()) if found else 0.0


def skipped(who, largest: bool, rng, progress=lambda f: None) -> tuple[np.ndarray, np.ndarray]:
    """(n, L, L + 1) changes of later updates and of the answer, and the same for random updates."""
    layers, found = len(who.names), ([], [])
    for part, given in who.batches(AT_ONCE):
        plain = who.passed(given)
        rows = ([], [])
        for s in range(layers):
            progress((part.start + (part.stop - part.start) * s / layers) / who.n)
            for side, change in zip(rows, (None, _random_beside(rng)), strict=True):
                other = who.passed(given, {s: change})
                updates = changed_updates(plain.states, other.states, plain.present, largest)
                updates[:, : s + 1] = 0.0
                side.append(np.hstack([updates, _moved(plain.answer, other.answer, who.classifies)[:, None]]))
        for whole, side in zip(found, rows, strict=True):
            whole.append(np.stack(side, axis=1))
    return np.concatenate(found[0]), np.concatenate(found[1])


def _random_beside(rng):
    def change(before: np.ndarray, behind: np.ndarray) -> np.ndarray:
        noise = rng.standard_normal(before.shape)
        length = np.maximum(lengths(noise), 1e-300)[..., None]
        return behind + noise / length * lengths(behind - before)[..., None]

    return change


def _moved(z: np.ndarray, other: np.ndarray, classifies: bool) -> np.ndarray:
    """(n,) relative change of outputs; a softmax does not see a constant."""
    if classifies:
        z, other = (x - x.mean(axis=1, keepdims=True) for x in (z, other))
    size = lengths(z)
    return np.where(size > 0, lengths(other - z) / np.where(size > 0, size, 1.0), 0.0)


def _estimates(found: np.ndarray, null: np.ndarray, d: int) -> tuple[Estimate, ...]:
    n, layers = found.shape[:2]
    later = [found[:, s, s + 1 : layers].mean(axis=1) for s in range(layers - 1)]
    chance = [null[:, s, s + 1 : layers].mean() for s in range(layers - 1)]
    half = layers // 2

    def told(name, values, chance):
        return Estimate(name, float(values.mean()), **mean_interval(values, 0.0), null=float(chance), n=n, d=d,
                        null_method="a random update as long is added", estimator="mean over samples")  # fmt: skip

    sides = {"first": slice(0, half), "second": slice(half, None)}
    out = [told(f"change of later updates, {name} half left out", np.mean(later[at], axis=0), np.mean(chance[at]))
           for name, at in sides.items() if later[at]]  # fmt: skip
    out += [told(f"change of the answer, {name} half left out", found[:, at, -1].mean(axis=1), null[:, at, -1].mean())
            for name, at in sides.items()]  # fmt: skip
    return tuple(out)


def _reading(mean: np.ndarray, names, told) -> str:
    most, least = int(mean[:, -1].argmax()), int(mean[:, -1].argmin())
    early, late = told[-2], told[-1]
    return (
        f"The answer changes most without {names[most]} ({mean[most, -1]:.2f} of its size) and least without "
        f"{names[least]} ({mean[least, -1]:.2f}); layers of the first half change it by {early.value:.2f}, of the "
        f"second by {late.value:.2f} on average, one at a time."
    )


def _check() -> tuple[CheckLine, ...]:
    """Leaving out a layer that adds nothing changes nothing; another changes all behind it and nothing before."""
    rng = np.random.default_rng(0)
    who = RandomStream(rng.standard_normal((5, 6, 8)), np.ones((5, 6), bool), rng, 4, mute=(1,))
    found, null = skipped(who, False, rng)
    mean, states = found.mean(axis=0), who.passed(slice(0, 5))
    without = who.passed(slice(0, 5), {2: None})
    by_hand = lengths((without.states[4] - without.states[3]) - (states.states[4] - states.states[3]))
    by_hand = (by_hand / lengths(states.states[4] - states.states[3])).mean()
    return (
        CheckLine("a layer that adds nothing: largest change", 0.0, float(np.abs(found[:, 1]).max()), 0.0),
        CheckLine("and with a random update as long", 0.0, float(np.abs(null[:, 1]).max()), 0.0),
        CheckLine("without layer 1 the answer changes", 0.01, float(mean[0, -1]), 0.0, "at least"),
        CheckLine("layers before do not", 0.0, float(np.abs(mean[2, :2]).max()), 0.0),
        CheckLine("layer 4 without layer 3", float(by_hand), float(mean[2, 3]), 1e-12),
    )


METHODS = (
    Method(
        id="layer_skipping", family="tokens", network="blocks",
        title="Layers left out", version=2, function=layer_skipping,
        summary="Each layer is left out in turn: what every later layer and the answer notice of it.",
        params=LayerSkippingParams, result=Matrix, check=_check,
        cost=lambda shapes, params: passes_cost(shapes, params, 1 + 2 * BLOCKS),
        minimum_rows=2, invariance="rotations of the stream; the order of samples; a constant added to all logits",
        papers=("Do Language Models Use Their Depth Efficiently?",), libraries=("torch", "transformers"),
    ),
)  # fmt: skip
