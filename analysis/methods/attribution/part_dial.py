"""What does the answer do when a head, a layer or another part is turned down, up or held?

    turned   x_c -> m_c + alpha (x_c - m_c)      alpha 0: its mean over samples (ablation), 1: as it is, 2: twice what
                                                 tells samples apart, -1: reversed
    held     x_c -> alpha m_c                    the same for all samples, at alpha times its mean; 0: nothing

x_c is what part c writes on all tokens, m_c its mean over samples. Every part is dialled alone. Told is the mean over
samples of y(alpha) - y, a line for each of the parts that move it most at the ends of the dial.

Null: at the ends of the dial a change as large at every token of the same site in a random direction, one for all
samples of a draw; of the part that moves most, the largest of all parts. Interval: Student's t over samples.

Verdict: the far end of the dial, of the part that moves the answer most, is split into what is connected to the answer
and what is not, and checked for dormancy and for values off the natural range
(`analysis.interventions.move_verdict`).

When it lies: beyond 1 and below 0 the part says what it never said, so that what breaks the network need not be what
the part does; parts that stand in for each other look as if none were needed, as they are dialled one at a time; a
layer norm behind the part bends every line.

Cost: samples x (parts x (points + 2 x draws) + 10) rows through the network, many in one forward pass.

References: C. Olsson et al. (2022), "In-context learning and induction heads"; A. Turner et al. (2023), "Steering
language models with activation engineering".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.features.readers import PROBE
from analysis.interventions.ablation import changes, random_twins
from analysis.interventions.bench import (
    CHOICES,
    FEATURES,
    FEWEST,
    OPENING,
    UNITS,
    Bench,
    BenchParams,
    open_bench,
    refuse_unmoved,
)
from analysis.interventions.bench_verdict import ROWS, verdict_bytes, verdict_on
from analysis.interventions.components import HEADS, Component
from analysis.interventions.dials import HELD, TURNED, WAYS, dialled
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

PARTS = 24  # of a small network, for the estimate


@dataclass(frozen=True)
class PartDialParams(BenchParams):
    parts: str = param(HEADS, "What is dialled, one at a time.", choices=CHOICES)
    way: str = param(
        TURNED,
        "Turned: what a part writes beyond its mean, times the dial. Held: its mean, times the dial, whatever the "
        "sample.",
        label="on the dial",
        choices=WAYS,
    )
    lowest: float = param(-1.0, "Low end of the dial.", low=-100.0, high=0.0)
    highest: float = param(3.0, "High end of the dial.", low=1.5, high=100.0)
    points: int = param(9, "Places of the dial.", low=3, high=51)
    shown: int = param(5, "Parts that are drawn, those that move the answer most.", low=1, high=20)
    draws: int = param(
        9, "Random changes of the same size for each part.", label="random changes", low=2, high=200
    )
    most: int = param(
        24, "Most units or features; those that vary most.", label="most units", low=1, high=1024
    )


def part_dial(
    activations, params: PartDialParams = PartDialParams(), rng=None, progress=no_progress
) -> Curve:
    """The answer over a dial on what a part writes.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a network that can be run again; of a probe its units are the parts.

    Returns
    -------
    Curve
        Of the parts that move the answer most, with bands over samples. Estimates: the largest move at an end of the
        dial beside its null, and the slope of that part where the network is as it is.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; fewer than eight samples; no such parts or output; an answer that
        hangs on none of them.
    """
    rng = rng or np.random.default_rng(0)
    bench = open_bench(activations, params, rng, progress, (0.0, 0.1), at_the_tap=params.parts == FEATURES)
    parts = bench.components(params.parts, params.most)
    dial = np.linspace(params.lowest, params.highest, params.points)
    progress(0.1, "dialling")
    cells = dialled(bench, parts, params.way, dial)
    moved = changes(bench, cells, progress, (0.1, 0.5)).reshape(len(parts), len(dial), -1)
    refuse_unmoved(moved, bench)
    ends = [
        [c for k in range(len(parts)) for c in (own[k * len(dial)], own[(k + 1) * len(dial) - 1])]
        for own in cells
    ]
    twins = random_twins(bench, ends, params.draws, rng)
    chance = changes(bench, twins, progress, (0.5, 0.95)).reshape(len(parts), 2, params.draws, -1)
    size = np.abs(moved[:, [0, -1]]).mean(axis=2)
    best, end = np.unravel_index(int(size.argmax()), size.shape)
    at = best * len(dial) + (0, len(dial) - 1)[end]
    claim = (f"{parts[best].name} {params.way} at {dial[[0, -1][end]]:g}", [own[at] for own in cells])
    verdict = verdict_on(bench, [claim], rng, progress, (0.95, 1.0), sized=True)
    progress(1.0, "done")
    return _curve(bench, params, parts, dial, moved, chance, (int(best), int(end)), verdict)


def _curve(bench: Bench, params, parts: list[Component], dial, moved, chance, far, verdict) -> Curve:
    best, end = far
    order = np.argsort(-np.abs(moved[:, [0, -1]]).mean(axis=2).max(axis=1), kind="stable")[: params.shown]
    spans = {parts[k].name: [mean_interval(v) for v in moved[k]] for k in order}
    estimates = _estimates(bench, params, parts, dial, moved, chance, far)
    left = f" Of {len(parts):,} parts {len(order):,} are drawn." if len(order) < len(parts) else ""
    far_out = dial[(dial < 0) | (dial > 1)]
    return Curve(
        title=f"The answer of {bench.what} with parts {params.way}",
        reading=f"With {parts[best].name} {params.way} at {dial[[0, -1][end]]:g} the {bench.targets[0].kind} moves "
        f"most, by {moved[best, [0, -1][end]].mean():+.3g} on average; changes as large in random directions move it "
        "by "
        f"{estimates[0].null:.3g} (the largest of all parts), without sign.{left} {verdict.sentence}",
        caveats=(*bench.notes, *bench.made.notes,
                 "One part at a time, on all tokens. A mean is taken token by token where all samples have as many "
                 "tokens, else over all.",
                 "Only from 0 to 1 is a part between its mean and itself; elsewhere it says what it never said.",
                 f"{bench.passes:,} rows went through {bench.what}.", *verdict.caveats),
        estimates=(*estimates, *verdict.estimates), x=dial, x_name=f"dial ({params.way})",
        y_name=f"change of the {bench.targets[0].kind}",
        series={parts[k].name: moved[k].mean(axis=1) for k in order},
        low={name: np.array([s["low"] for s in span]) for name, span in spans.items()},
        high={name: np.array([s["high"] for s in span]) for name, span in spans.items()},
        marks={parts[k].name: far_out for k in order} if params.way == TURNED else {},
        mark_name="beyond what the part ever wrote",
    )  # fmt: skip


def _estimates(bench: Bench, params, parts, dial, moved, chance, far) -> tuple[Estimate, ...]:
    best, end = far
    n, d = moved.shape[2], bench.made.source.shape[1]
    size = np.abs(moved[best, [0, -1][end]])
    draws = np.abs(chance).mean(axis=3).max(axis=(0, 1))  # the largest of all parts and both ends, too
    found = [
        Estimate(f"largest move, {parts[best].name} at {dial[[0, -1][end]]:g}", float(size.mean()),
                 **mean_interval(size, 0.0), null=float(draws.mean()), null_low=float(draws.min()),
                 null_high=float(draws.max()), null_method="changes as large in random directions, the largest of all "
                 "parts and both ends", n=n, d=d, estimator="mean |y at the end of the dial - y|, the largest of all")
    ]  # fmt: skip
    if params.way == TURNED:
        i = int(np.clip(np.searchsorted(dial, 1.0), 1, len(dial) - 1))
        slope = (moved[best, i] - moved[best, i - 1]) / (dial[i] - dial[i - 1])
        found.append(
            Estimate(f"slope of {parts[best].name} where it is as it is", float(slope.mean()), **mean_interval(slope),
                     null=0.0, null_method="a part that the answer does not hang on, exact", n=n, d=d,
                     estimator=f"change from {dial[i - 1]:.3g} to {dial[i]:.3g} of the dial, for one of it")
        )  # fmt: skip
    return tuple(found)


def _cost(shapes, params: PartDialParams) -> Cost:
    (n, k), m = shapes[0], machine()
    samples = min(n, params.maximum_samples)
    parts = min(k, params.most) if params.parts in (UNITS, FEATURES) else PARTS
    rows = samples * (parts * (params.points + 2 * params.draws) + ROWS)
    held = (
        40.0 * n * k + 16.0 * samples * parts * (params.points + 2 * params.draws) + verdict_bytes(samples, k)
    )
    return Cost(OPENING + m.seconds(flops64=2.0e6 * rows, moved=8.0 * n * k) + 1e-4 * rows, held, int(rows))


def _check() -> tuple[CheckLine, ...]:
    """A linear probe: every line is straight, 0 at 1, at 0 that of mean ablation, which is 0 on average."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    x = np.column_stack([label * 4.0 + rng.standard_normal(40), np.zeros(40), rng.standard_normal(40)])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    params = PartDialParams(parts=UNITS, reader=PROBE, number="logit", answer=1, points=5, draws=2)
    turned = part_dial(tap, params).series
    held = part_dial(tap, PartDialParams(**{**vars(params), "way": HELD})).series["unit 0"]
    return (
        CheckLine("as it is, no change", 0.0, float(turned["unit 0"][2]), 1e-9),
        CheckLine("a constant unit changes nothing", 0.0, float(np.abs(turned["unit 1"]).max()), 1e-9),
        CheckLine("held at its mean: that of turned to 0", float(turned["unit 0"][1]), float(held[2]), 1e-9),
        CheckLine("held: a straight line", 0.0, float(np.abs(np.diff(held, 2)).max()), 1e-9),
    )


METHODS = (
    Method(
        id="part_dial",
        family="attribution",
        title="Parts turned up, down or held",
        summary="Turns what a head, layer, MLP, unit or feature writes down, up or to a fixed value.",
        version=1,
        function=part_dial,
        params=PartDialParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="a constant added to all logits, where a difference or log probability is looked at",
        papers=("Does Circuit Analysis Interpretability Scale? (Chinchilla multiple choice)",),
        libraries=("torch",),
    ),
)
