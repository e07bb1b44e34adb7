"""Would learning a new task disturb an old one? The network's own gradients of both, layer by layer.

    S          the first k principal directions of what a layer is given under the old task, that hold a share of Σ x²
    overlap    |G P_S|² / |G|² of the new task's gradient G = Σ ∂ loss / ∂ W (outputs, inputs)
    cosine     of the gradients of both tasks

Tasks are two groups of classes of the data that the network was recorded on; it is run on both, and its loss (of its
classes, or of the next token) differentiated by the weights of each layer. A step along what lies outside S leaves what
the layer gives on S as it was, exactly. *Free* where the overlap is small; *interference* where it is large and the
gradients point apart; *chance of backward transfer* where it is large and they agree.

Interval: jackknife over groups of samples. Null: a random gradient, k / d; of the cosine 0. Beside it both numbers
where groups of samples change tasks at random: what two tasks that are alike would have. A verdict is told only
where the interval does not reach over the border.

When it lies: after training gradients are small and mostly noise; S and the verdict are of one layer, and a small
overlap in each is not a small one of the network; a network that never saw the new classes has other gradients than one
that has; classes are no tasks where they need the same features; a head with the weights of the embeddings is left out.

Cost: a pass forward and back of each sample; O(d³) for each layer, group and exchange.

References: S. Lin, L. Yang, D. Fan & J. Zhang (2022), "Beyond not-forgetting: continual learning with backward
knowledge transfer"; G. Saha, I. Garg & K. Roy (2021), "Gradient projection memory for continual learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import jackknife_half
from analysis.methods.tokens.gradient_overlap import (
    APART,
    AXES,
    CHANCE,
    COSINE,
    HELPS,
    LAYER,
    OVERLAP,
    VERDICT,
    reading_of,
    verdict,
)
from analysis.methods.tokens.gradient_overlap import HELP as OF_TAPS
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.task_gradients import Layer, TaskGradients, task_gradients_of

OPENING, FEWEST, LISTED, MOST_LAYERS = 6.0, 6, 12, 24
ALIKE, COSINE_ALIKE = "overlap, tasks exchanged", "cosine, tasks exchanged"
HELP = {
    LAYER: "The layer.", VERDICT: OF_TAPS[VERDICT], **{k: v for k, v in OF_TAPS.items() if k not in (LAYER, VERDICT)},
    ALIKE: "The overlap where groups of samples change tasks at random, mean of the draws.",
    COSINE_ALIKE: "The cosine there.",
}  # fmt: skip


@dataclass(frozen=True)
class TaskGradientsParams:
    new: str = param("", "Classes of the new task, with commas; empty: the later half of all in order.")
    column: str = param("label", "Sample column of classes.", column=True)
    energy: float = param(0.95, "Share of Σ x² of the old inputs that S holds.", low=0.01, high=0.9999)
    large: float = param(0.5, "An overlap from here on is large.", low=0.01, high=0.99)
    exchanges: int = param(10, "Exchanges of groups between the tasks.", low=2, high=500, late=True)
    maximum_samples: int = param(
        500, "Most samples; a seeded random part above.", low=6, high=20_000, late=True
    )
    source: str = param(
        AUTOMATIC, "Whose gradients: the network's, or a linear head's on the recorded rows.", choices=SOURCES,
        late=True,
    )  # fmt: skip


def task_gradients(
    activations, params: TaskGradientsParams = TaskGradientsParams(), rng=None, progress=no_progress
) -> Table:
    """Overlap of a new task's gradients with what layers are given under an old one.

    Parameters
    ----------
    activations : Activations with the class column
        Any tap of a network with a known loss that can be run again; otherwise a linear head stands on its rows.

    Returns
    -------
    Table
        A line for each layer (see `help`). Estimates: overlap and cosine of each, up to twelve layers.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData
        No such column or class; fewer than three samples of a task; rows of zeros.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    sample_column(tap, params.column)
    found = task_gradients_of(
        tap, params.column, params.new, params.maximum_samples, MOST_LAYERS, params.source, rng, progress
    )
    lines, told = [], []
    for i, layer in enumerate(found.layers):
        progress(0.75 + 0.25 * i / len(found.layers), layer.name)
        line, estimates = _line(layer, found, params, rng)
        lines.append(line)
        told += estimates if i < LISTED else []
    progress(1.0, "done")
    columns = {name: np.array([line[name] for line in lines]) for name in HELP}
    n = {t: sum(c for (task, _), c in found.sizes.items() if task == t) for t in (0, 1)}
    return Table(
        title=f"Gradients of a new task against an old one's inputs, {found.what}", columns=columns, index=LAYER,
        help=HELP, estimates=tuple(told), reading=reading_of(columns),
        caveats=(*found.notes, f"New task: classes {', '.join(found.names)} ({n[1]} samples; {n[0]} of the old one).",
                 f"Inputs are not centred; S holds {params.energy:.0%} of Σ x².",
                 "A verdict is not told where the interval reaches over the border."),
    )  # fmt: skip


def measured(layer: Layer, old: list, new: list, energy: float) -> tuple[float, float, int]:
    """(overlap, cosine, k) with the (task, group) keys `old` and `new` as the two tasks."""
    values, axes = np.linalg.eigh(sum(layer.moments[k] for k in old))
    held = np.cumsum(np.maximum(values[::-1], 0.0))
    k = min(int(np.searchsorted(held, energy * held[-1] * (1 - 1e-12))) + 1, len(values))
    a, b = (sum(layer.gradients[k] for k in keys) for keys in (old, new))
    inside = float(np.square(b @ axes[:, ::-1][:, :k]).sum() / max(np.square(b).sum(), 1e-300))
    return inside, float((a * b).sum() / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-300)), k


def _line(layer: Layer, found: TaskGradients, params, rng) -> tuple[dict, list[Estimate]]:
    keys = sorted(layer.gradients)
    old, new = ([k for k in keys if k[0] == task] for task in (0, 1))
    inside, angle, k = measured(layer, old, new, params.energy)
    value, count = np.array([inside, angle]), min(len(old), len(new))
    without = np.array([
        measured(layer, [k for k in old if k[1] % count != g], [k for k in new if k[1] % count != g], params.energy)[:2]
        for g in range(count)
    ]) if count > 1 else np.empty((0, 2))  # fmt: skip
    half = jackknife_half(without)
    half = np.full(2, np.nan) if half is None else half
    low, high = np.maximum(value - half, [0.0, -1.0]), np.minimum(value + half, 1.0)
    swapped = np.mean([
        measured(layer, mixed[: len(old)], mixed[len(old) :], params.energy)[:2]
        for mixed in ([keys[i] for i in rng.permutation(len(keys))] for _ in range(params.exchanges))
    ], axis=0)  # fmt: skip
    line = {LAYER: layer.name, AXES: k, OVERLAP: value[0], CHANCE: k / layer.d, "overlap, low": low[0],
            "overlap, high": high[0], COSINE: value[1], "cosine, low": low[1], "cosine, high": high[1],
            VERDICT: verdict(low, high, params.large), ALIKE: swapped[0], COSINE_ALIKE: swapped[1]}  # fmt: skip
    n, told = sum(found.sizes.values()), []
    for i, (name, null, how) in enumerate(((OVERLAP, k / layer.d, "a random gradient, k / d"),
                                           (COSINE, 0.0, "gradients of unrelated directions"))):  # fmt: skip
        ends = {"interval": "none: too few samples"} if not np.isfinite(half[i]) else {
            "low": float(low[i]), "high": float(high[i]), "interval": "jackknife over groups of samples"}  # fmt: skip
        told.append(Estimate(f"{name}, {layer.name}", float(value[i]), **ends, null=null, null_method=how, n=n,
                             d=layer.d, estimator=f"S of {k} directions"))  # fmt: skip
    return line, told


def _cost(shapes, params: TaskGradientsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    some = min(n, params.maximum_samples)
    seconds = m.seconds(
        flops64=(params.exchanges + 12.0) * 10.0 * d**3 + 4.0 * some * d * d, moved=8.0 * n * d
    )
    held = (
        8.0 * (22.0 * d * d + 4.0 * some * d) + 1e5
    )  # of a network its own memory and up to 2 GiB come on top
    return Cost(OPENING + seconds, held, 2 * some)


def _check() -> tuple[CheckLine, ...]:
    """Two tasks with the same inputs: the gradient lies inside; inputs at right angles: outside. The same task twice
    has cosine 1; a head of zeros has the gradient Σ (p - y) x."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((24, 24)))[0]
    label = np.arange(80) % 4

    def told(x, **more):
        tap = ArrayActivations(x, "rows", {"label": label})
        return task_gradients(tap, TaskGradientsParams(energy=0.9999, exchanges=2, **more))

    old, new = (rng.standard_normal((80, 8)) @ turn[a : a + 8] for a in (0, 8))
    same, apart = told(old), told(np.where((label >= 2)[:, None], new, old))
    one = Layer("twice", 8)
    for task in (0, 1):
        one.add((task, 0), np.eye(8), np.arange(8.0)[None])
    x = np.array([1.0, 2.0])
    slope = (np.full(2, 0.5) - np.array([1.0, 0.0]))[:, None] * x
    eps = 1e-6
    ahead = -np.log(1 / (1 + np.exp(-eps * x[1])))  # the loss with W[0, 1] a step from 0
    return (
        CheckLine("the same inputs: overlap", 1.0, float(same.columns[OVERLAP][0]), 1e-9),
        CheckLine("directions of the inputs", 8.0, float(same.columns[AXES][0]), 0.0),
        CheckLine("inputs at right angles: overlap", 0.0, float(apart.columns[OVERLAP][0]), 1e-9),
        CheckLine("and it is free", 1.0, float(apart.columns[VERDICT][0] == "free"), 0.0),
        CheckLine("the same task twice: cosine", 1.0, measured(one, [(0, 0)], [(1, 0)], 0.9)[1], 1e-12),
        CheckLine("a head of zeros: its slope", float(slope[0, 1]), float((ahead - np.log(2)) / eps), 1e-5),
        CheckLine("verdicts of clear cases", 1.0, float(
            verdict(np.array([0.8, 0.1]), np.ones(2), 0.5) == HELPS
            and verdict(np.array([0.8, -0.9]), np.array([1.0, -0.1]), 0.5) == APART), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="task_gradients", family="tokens", title="A new task's gradients, layer by layer", version=2,
        function=task_gradients,
        summary="The network's own gradients of two groups of classes: interference, free, or a chance to help.",
        params=TaskGradientsParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="the order of samples; one factor of all losses of a task",
        papers=("Beyond Not-Forgetting: Continual Learning with Backward Knowledge Transfer",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
