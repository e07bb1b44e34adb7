"""Would learning a new task disturb an old one, or help it? Gradients of the new against the old one's inputs.

    S          the first k principal directions of the layer's inputs under the old task, that hold a share of Σ x²
    overlap    Σ |g P_S|² / Σ |g|² of the new task's gradients g, rows of ∂ loss / ∂ W in the space of the inputs
    cosine     of the mean gradients of the old and the new task

A step along what lies outside S leaves what the layer gives on S as it was, exactly. So: *free* where the overlap is
small; *interference* where it is large and the gradients point apart; *chance of backward transfer* where it is large
and they agree.

Taps in threes, one three for each layer: inputs of the layer under the old task, gradients of its weights (or of the
loss by its inputs) under the old task, and under the new one, all as wide as the layer's inputs.

Interval: jackknife over groups of gradient samples. Null: a random gradient, k / d; of the cosine 0, gradients with a
sign of their own, whose squares are 1 / d on average. "Free" and the others hold only where the interval does not
reach the border between them; else it is *not told*.

When it lies: mean gradients of a few samples are mostly noise, and their cosine near 0; inputs that are not centred
have a large first direction that every gradient overlaps with (biases are in it); a small overlap in each layer is not
a small one of the network; gradients at the old task's optimum vanish, and their direction says little.

Cost: O(n d²) for each three.

References: S. Lin, L. Yang, D. Fan & J. Zhang (2022), "Beyond not-forgetting: continual learning with backward
knowledge transfer"; G. Saha, I. Garg & K. Roy (2021), "Gradient projection memory for continual learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.arrays import finite_rows
from analysis.compute.machine import machine
from analysis.compute.rows.random_part import random_part
from analysis.compute.statistics.sample_groups import groups_of, jackknife_half
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import NotEnoughData, ParameterError, ShapeError
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, THREE, LISTED = 10, 3, 12
FREE, APART, HELPS, OPEN = "free", "interference", "chance of backward transfer", "not told"
LAYER, AXES, OVERLAP, CHANCE, COSINE, VERDICT = (
    "layer",
    "directions",
    "overlap",
    "by chance",
    "cosine",
    "verdict",
)
HELP = {
    LAYER: "The tap of the old task's inputs.",
    AXES: "Directions k that hold the share of the inputs.",
    OVERLAP: "Share of the new gradients that lies in them.",
    CHANCE: "That of a random gradient, k / d.",
    "overlap, low": "95 % interval, jackknife.", "overlap, high": "95 % interval, jackknife.",
    COSINE: "Of the mean gradients of both tasks.",
    "cosine, low": "95 % interval, jackknife.", "cosine, high": "95 % interval, jackknife.",
    VERDICT: "What a step for the new task does to the old one.",
}  # fmt: skip


@dataclass(frozen=True)
class GradientOverlapParams:
    energy: float = param(0.95, "Share of Σ x² of the old inputs that S holds.", low=0.01, high=0.9999)
    large: float = param(0.5, "An overlap from here on is large.", low=0.01, high=0.99)
    maximum_rows: int = param(5000, "Most rows of a tap; a seeded random part above.", low=50, high=200_000)


def gradient_overlap(
    *taps, params: GradientOverlapParams = GradientOverlapParams(), rng=None, progress=no_progress
) -> Table:
    """Overlap of new gradients with old inputs, layer by layer.

    Parameters
    ----------
    *taps : three Activations or arrays (rows, units) for each layer, of equally many units
        Inputs under the old task, gradients under the old task, gradients under the new task.

    Returns
    -------
    Table
        A line for each layer (see `help`). Estimates: overlap and cosine of each, up to twelve layers.

    Raises
    ------
    ParameterError, ShapeError, NotEnoughData
        Taps that are not in threes, or not equally wide; fewer than ten finite rows; inputs or gradients of zeros.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    if len(taps) % THREE:
        raise ParameterError(
            f"{len(taps)} taps", "three for each layer: old inputs, old gradients, new gradients"
        )
    lines, told, notes = [], [], []
    for i in range(0, len(taps), THREE):
        progress(i / len(taps), f"reading {taps[i].name}")
        line, estimates, said = _layer(taps[i : i + THREE], params, rng)
        lines.append(line)
        told += estimates if i < THREE * LISTED else []
        notes += said
    progress(1.0, "done")
    columns = {name: np.array([line[name] for line in lines]) for name in HELP}
    return Table(
        title="Gradients of a new task against an old one's inputs", columns=columns, index=LAYER, help=HELP,
        estimates=tuple(told), reading=reading_of(columns),
        caveats=(*dict.fromkeys(notes), f"Inputs are not centred; S holds {params.energy:.0%} of Σ x².",
                 "A verdict is not told where the interval reaches over the border."),
    )  # fmt: skip


def _layer(taps, params, rng) -> tuple[dict, list[Estimate], list[str]]:
    if len({t.shape[1] for t in taps}) > 1:
        raise ShapeError(
            f"taps of {', '.join(str(t.shape[1]) for t in taps)} units", "one width: the layer's inputs"
        )
    (x, _), (old, of_old), (new, of_new) = (_rows(t, params.maximum_rows, rng, notes := []) for t in taps)
    axes = basis(x, params.energy)
    d, k = axes.shape
    value = np.array([overlap(new, axes), cosine(old, new)])
    a, b = groups_of(len(np.unique(of_old)), rng), groups_of(len(np.unique(of_new)), rng)
    count = min(a.max(), b.max()) + 1
    without = np.array([
        [overlap(new[stay := b[of_new] % count != g], axes), cosine(old[a[of_old] % count != g], new[stay])]
        for g in range(count)
    ])  # fmt: skip
    half = jackknife_half(without)
    half = np.full(2, np.nan) if half is None else half
    low, high = np.maximum(value - half, [0.0, -1.0]), np.minimum(value + half, 1.0)
    line = {LAYER: taps[0].name, AXES: k, OVERLAP: value[0], CHANCE: k / d, "overlap, low": low[0],
            "overlap, high": high[0], COSINE: value[1], "cosine, low": low[1], "cosine, high": high[1],
            VERDICT: verdict(low, high, params.large)}  # fmt: skip
    ends = {"interval": "none: too few samples"}
    told = []
    for i, (name, null, how) in enumerate(((OVERLAP, k / d, "a random gradient, k / d"),
                                           (COSINE, 0.0, "gradients with signs of their own"))):  # fmt: skip
        if np.isfinite(half[i]):
            ends = {
                "low": float(low[i]),
                "high": float(high[i]),
                "interval": "jackknife over groups of samples",
            }
        told.append(Estimate(f"{name}, {taps[0].name}", float(value[i]), **ends, null=null, null_method=how,
                             n=len(np.unique(of_new)), d=d, estimator=f"S of {k} directions"))  # fmt: skip
    return line, told, notes


def basis(x: np.ndarray, energy: float) -> np.ndarray:
    """(d, k) orthonormal directions that hold this share of Σ x² of rows x (n, d)."""
    values, axes = np.linalg.eigh(x.T @ x)
    held = np.cumsum(np.maximum(values[::-1], 0.0))
    k = int(np.searchsorted(held, energy * held[-1] * (1 - 1e-12))) + 1
    return axes[:, ::-1][:, :k]


def overlap(g: np.ndarray, axes: np.ndarray) -> float:
    """Share of Σ |g|² of rows g (n, d) inside the span of `axes` (d, k)."""
    return float(np.square(g @ axes).sum() / max(np.square(g).sum(), 1e-300))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of the mean rows."""
    a, b = a.mean(axis=0), b.mean(axis=0)
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-300))


def verdict(low: np.ndarray, high: np.ndarray, large: float) -> str:
    """Of the intervals of (overlap, cosine)."""
    if high[0] < large:
        return FREE
    if low[0] >= large and high[1] < 0:
        return APART
    return HELPS if low[0] >= large and low[1] > 0 else OPEN


def _rows(tap, maximum: int, rng, notes: list) -> tuple[np.ndarray, np.ndarray]:
    rows, said = random_part(tap.shape[0], maximum, rng, "rows")
    x, seen = np.asarray(tap.take(rows), np.float64), Pass(n_rows=len(rows))
    good = finite_rows(x)
    seen.n_nonfinite = int((~good).sum())
    refuse_few(tap.name, int(good.sum()), FEWEST, "finite row(s)")
    if not x[good].any():
        raise NotEnoughData(f"{tap.name} is zero everywhere", "rows that are not all 0", "Choose another tap")
    notes += [*said, *seen.notes]
    owner = np.unique(tap.layout.sample_of(rows[good]), return_inverse=True)[1]
    return x[good], owner if owner.max() > 0 else np.arange(len(owner))


def reading_of(columns) -> str:
    kinds, counts = np.unique(columns[VERDICT], return_counts=True)
    said = ", ".join(f"{kind} in {count}" for kind, count in zip(kinds, counts, strict=True))
    most = int(np.argmax(columns[OVERLAP] - columns[CHANCE]))
    return (
        f"Of {len(columns[LAYER])} layer(s): {said}. Most beyond chance lies in {columns[LAYER][most]}: "
        f"{columns[OVERLAP][most]:.0%} of the new gradients (a random one {columns[CHANCE][most]:.0%}), cosine "
        f"{columns[COSINE][most]:+.2f}."
    )


def _cost(shapes, params: GradientOverlapParams) -> Cost:
    m, rows = machine(), [(min(n, params.maximum_rows), d) for n, d in shapes]
    return Cost(0.02 + sum(m.seconds(flops64=6.0 * n * d * d + 10.0 * d**3, moved=8.0 * 30 * n * d) for n, d in rows),
                sum(8.0 * n * d * 2.2 + 30.0 * d * d for n, d in rows[:THREE]))  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Inputs in 8 of 64 dimensions: a random gradient overlaps by 8 / 64, one inside by 1 and one outside by 0, which
    leaves what the layer gives on old inputs as it was."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((64, 64)))[0]
    x = rng.standard_normal((200, 8)) @ turn[:8]
    free, shift = rng.standard_normal((20_000, 64)), turn[0]
    inside, outside = (
        shift + 0.1 * rng.standard_normal((200, 8)) @ turn[:8],
        rng.standard_normal((200, 56)) @ turn[8:],
    )
    axes, full = basis(x, 0.95), basis(x, 0.9999)
    planted = gradient_overlap(*(ArrayActivations(v) for v in (x, inside, -inside)))
    helps = gradient_overlap(*(ArrayActivations(v) for v in (x, inside, inside)))
    w = rng.standard_normal((5, 64))
    moved = w - 0.1 * outside[:5]
    return (
        CheckLine("random gradient, over k / d", 1.0, overlap(free, axes) * 64 / axes.shape[1], 0.05),
        CheckLine("directions of the inputs", 8.0, float(full.shape[1]), 0.0),
        CheckLine("inside: overlap", 1.0, overlap(inside, full), 1e-9),
        CheckLine(
            "outside: change of what the layer gives", 0.0, float(np.abs(x @ (moved - w).T).max()), 1e-9
        ),
        CheckLine("turned round: interference", 1.0, float(planted.columns[VERDICT][0] == APART), 0.0),
        CheckLine(
            "the same: chance of backward transfer", 1.0, float(helps.columns[VERDICT][0] == HELPS), 0.0
        ),
    )


METHODS = (
    Method(
        id="gradient_overlap", family="tokens", title="New gradients against old inputs", version=1,
        function=gradient_overlap,
        summary="Whether learning a new task would disturb an old one: gradients against the span of its inputs.",
        params=GradientOverlapParams, result=Table, check=_check, cost=_cost, inputs=3, more_inputs=True,
        most_inputs=96, matches="nothing", same_units=False,
        roles=("old inputs", "old gradients", "new gradients"), minimum_rows=FEWEST,
        invariance="one rotation of inputs and gradients; one factor of each",
        papers=("Beyond Not-Forgetting: Continual Learning with Backward Knowledge Transfer",),
    ),
)  # fmt: skip
