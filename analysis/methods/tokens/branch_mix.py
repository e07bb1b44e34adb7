"""How much of each of two branches does a network take? The share α of the first in what it passes on.

    y ≈ α a + (1 - α) b        α = <y - b, a - b> / |a - b|²    least squares over samples and units

Taps in threes: the first branch (such as attention over places), the second (over channels), and what is made of them.
α = 1 or 0 is one branch alone. It is read off the activations, however the network writes it down (a number, its
sigmoid, a softmax), and a number of the checkpoint that it agrees with is named where there is one. Three taps: α of
the samples of each class. More threes, such as epochs of one run or seeds: α of each, in the order given. How
far y is such a mix is told: the share of the variance of y that the mix explains, below 0 where it explains nothing.

Interval: jackknife over groups of samples; over three runs or more Student's t over these. Null: branches of other
samples, mean of twenty exchanges: what their means and sizes alone give.

When it lies: branches that are nearly equal tell nothing of α (their distance is told); what is added after the mix
(a shortcut, a norm) is part of y and moves α; one run's α is an anecdote, and the spread over epochs of one run is none
over seeds; a large α is not importance: the branch may be small.

Cost: O(n d) for each three, and for each exchange.

Reference: A. Shah (2025), "Balanced multi-task attention for satellite image classification".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotFound, ShapeError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.branches import DRAWS, mix

FEWEST, NEAR, MOST_CLASSES = 10, 0.01, 60
SHARE, FITS = "share α of the first branch", "explained by the mix"


@dataclass(frozen=True)
class BranchMixParams:
    column: str = param("", "Sample column to part one three of taps by; empty: the label.", column=True)
    runs: bool = param(
        False, "Whether threes are runs of their own (seeds): their spread is then told."
    )  # fmt: skip
    maximum_samples: int = param(
        20_000, "Most samples; a seeded random subset above.", low=10, high=1_000_000
    )


def branch_mix(*taps, params: BranchMixParams = BranchMixParams(), rng=None, progress=no_progress) -> Curve:
    """The share of the first of two branches.

    Parameters
    ----------
    *taps : three, six, … Activations or arrays (rows, units)
        First branch, second branch, what is made of them; again for each checkpoint. As many units in all three.

    Returns
    -------
    Curve
        α over checkpoints, or over the classes of one. Estimates: α, what it explains, how far apart the branches are.

    Raises
    ------
    ParameterError, InputError, NotFound, NotEnoughData
        A number of taps that is no multiple of three; branches that are equal; no such column; under ten samples.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    if len(taps) % 3:
        raise InputError(
            f"{len(taps)} taps", "threes of them: first branch, second branch, what is made of both"
        )
    threes, found, notes = [taps[i : i + 3] for i in range(0, len(taps), 3)], [], []
    for k, three in enumerate(threes):
        span = (0.9 * k / len(threes), 0.9 * (k + 1) / len(threes))
        x, ids, said = _read(three, params, rng, progress, span)
        notes += said
        found.append((x, ids, mix(*x, rng)))
    names = tap_names([t[2].name for t in threes])
    values = [_named_number(t[2], f[2].alpha) for t, f in zip(threes, found, strict=True)]
    notes += [note for note in values if note]
    if len(threes) > 1:
        parts, labels, x_name = [f[2] for f in found], names, "checkpoint, in the order given"
    else:
        parts, labels, x_name = _by_class(threes[0], found[0], params, rng, notes)
    progress(1.0, "done")
    return _curve(taps, [f[2] for f in found], parts, labels, x_name, tuple(dict.fromkeys(notes)), params)


def _read(three, params, rng, progress, span):
    widths = {t.shape[1] for t in three}
    if len(widths) > 1:
        raise ShapeError(", ".join(f"{t.name} has {t.shape[1]} units" for t in three), "as many in all three")
    got = common_samples(
        three, rng, maximum=params.maximum_samples, minimum=FEWEST, progress=progress, span=span
    )
    return got.values, got.ids, list(got.notes)


def _by_class(three, found, params, rng, notes: list[str]):
    """(mixes, names, name of the axis) of the classes of one three; all samples in one where there are none."""
    (values, ids, every), tap = found, three[0]
    column = tap.samples.get(params.column or "label")
    if column is None and params.column:
        raise NotFound(f"column '{params.column}' of {tap.name}", "one of " + ", ".join(sorted(tap.samples)))
    if column is None:
        return [every], ("all samples",), "samples"
    place = {name: i for i, name in enumerate(np.asarray(tap.samples["id"]).astype(str))}
    of = np.asarray(column)[[place[i] for i in ids]].astype(str)
    every_kind = np.unique(of)
    kinds = [k for k in every_kind if (of == k).sum() >= 3][:MOST_CLASSES]
    parts = []
    for kind in kinds:
        try:
            parts.append((mix(*(v[of == kind] for v in values), rng), kind))
        except InputError:  # equal branches of this class
            continue
    if not parts:
        return [every], ("all samples",), "samples"
    if len(parts) < len(every_kind):
        notes.append(f"{len(parts)} of {len(every_kind)} values of '{params.column or 'label'}' are drawn: those of "
                     f"three samples and branches that differ, {MOST_CLASSES} at most.")  # fmt: skip
    return [p[0] for p in parts], tuple(p[1] for p in parts), params.column or "label"


def _named_number(tap, alpha: float) -> str:
    """A sentence on a number of the checkpoint that is α, or whose sigmoid is; "" where there is none."""
    from analysis.sources.weights import weights_of

    try:
        network = weights_of(tap)
        single = [name for name, shape in network.shapes.items() if int(np.prod(shape)) == 1]
        values = {
            name: float(np.asarray(network.tensor(name), np.float64).ravel()[0]) for name in single[:200]
        }
    except (InputError, NotFound):
        return ""
    for name, v in values.items():
        for said, number in (("is", v), ("has the sigmoid", 1 / (1 + np.exp(-np.clip(v, -500, 500))))):
            for way, share in (("", number), ("1 less ", 1 - number)):
                if abs(share - alpha) <= NEAR:
                    tried = f" (of {len(values)} single numbers that it holds)" if len(values) > 1 else ""
                    return (f"{tap.name}: the number '{name}' of the checkpoint {said} {number:.3f}, within {NEAR} of "
                            f"{way}α{tried}: perhaps it is that.")  # fmt: skip
    return ""


def _curve(taps, mixes, parts, labels, x_name, notes, params) -> Curve:
    alpha, null = np.array([p.alpha for p in parts]), np.array([p.null for p in parts])
    half = np.array([p.half for p in parts])
    one, d = mixes[-1], taps[0].shape[1]
    facts = {"n": one.n, "d": d}
    ends = {} if not np.isfinite(one.half) else {
        "low": one.alpha - one.half, "high": one.alpha + one.half,
        "interval": "jackknife over groups of samples"}  # fmt: skip
    last = "" if len(mixes) == 1 else f", {labels[-1]}"
    told = [
        Estimate(f"{SHARE}{last}", one.alpha, **ends, null=one.null,
                 null_method=f"branches of other samples, {DRAWS} draws",
                 estimator="least squares", **facts),
        Estimate(f"{FITS}{last}", one.fits, interval="none: of the same samples", null=one.fits_null,
                 null_method=f"branches of other samples, {DRAWS} draws",
                 estimator="1 - |residual|² / |y - mean|²", **facts),
        Estimate(f"branches apart{last}", one.apart, interval="none: a size", null=0.0, null_method="equal branches",
                 estimator="|a - b|² / (|a|² + |b|²)", **facts),
    ]  # fmt: skip
    if params.runs and len(mixes) > 1:
        each = np.array([m.alpha for m in mixes])
        told.insert(0, Estimate(f"{SHARE}, mean of runs", float(each.mean()), n=len(each), d=d, null=0.5,
                                **{**mean_interval(each), "interval": "Student's t over runs"},
                                null_method="both branches alike", estimator="mean over runs"))  # fmt: skip
    caveats = [*notes, "α says how branches are mixed, not which of them the answer needs."]
    if one.fits < 0.9:
        caveats.append(
            f"α explains {one.fits:.0%} only: what was given is not a plain mix of these two branches."
        )
    if len(mixes) == 1:
        caveats.append("One run's α is an anecdote: give the taps of other seeds as well.")
    many = (
        f"over {len(mixes)} checkpoints from {alpha.min():.3f} to {alpha.max():.3f}; "
        if len(mixes) > 1
        else ""
    )
    return Curve(
        title=f"How two branches are mixed in {taps[2].name}", x=np.arange(1.0, len(parts) + 1), x_name=x_name,
        y_name=SHARE, series={SHARE: alpha}, low={SHARE: alpha - half}, high={SHARE: alpha + half}, null={SHARE: null},
        x_labels=tuple(labels), estimates=tuple(told), caveats=tuple(caveats),
        reading=(f"The first branch has a share of {one.alpha:.3f}{last} (branches of other samples {one.null:.3f}); "
                 f"{many}a mix of the two explains {one.fits:.0%} of what is passed on."),
    )  # fmt: skip


def _cost(shapes, params: BranchMixParams) -> Cost:
    d = shapes[0][1]
    n = min(min(rows for rows, _ in shapes), params.maximum_samples)
    held = 8.0 * n * d * 7.0
    moved = sum(8.0 * rows * d for rows, _ in shapes) + held * DRAWS * len(shapes) / 3
    return Cost(0.05 + machine().seconds(moved=moved), held)


def _check() -> tuple[CheckLine, ...]:
    """A mix of 0.57 is found, one branch alone is 1 or 0; α of a mix of noise is that of chance."""
    rng = np.random.default_rng(0)
    a, b, other = rng.standard_normal((3, 200, 6))
    mixed = 0.57 * a + 0.43 * b

    def found(*x):
        return branch_mix(*(ArrayActivations(v, name) for v, name in zip(x, "abyabyaby", strict=False)))

    two = found(a, b, mixed, a, b, b)
    return (
        CheckLine("a mix of 0.57", 0.57, found(a, b, mixed).estimates[0].value, 1e-12),
        CheckLine("it explains all", 1.0, found(a, b, mixed).estimates[1].value, 1e-12),
        CheckLine("the first branch alone", 1.0, found(a, b, a).estimates[0].value, 1e-12),
        CheckLine("the second branch alone, second checkpoint", 0.0, float(two.series[SHARE][1]), 1e-12),
        CheckLine("what has nothing of either", 0.5, found(a, b, other).estimates[0].value, 0.1),
    )


METHODS = (
    Method(
        id="branch_mix", family="tokens", title="How two branches are mixed", version=2, function=branch_mix,
        summary="The share of each of two attention branches in what is passed on, by class, epoch or seed.",
        params=BranchMixParams, result=Curve, check=_check, cost=_cost, inputs=3, more_inputs=True, same_units=True,
        most_inputs=60, minimum_rows=FEWEST, roles=("first branch", "second branch", "what is made of both"),
        invariance="the order of samples; one rotation, scale and shift of all taps",
        papers=(
            "Balanced Multi-Task Attention for Satellite Image Classification: A Systematic Approach to Achieving "
            "97.23% Accuracy on EuroSAT Without Pre-Training",
        ),
    ),
)  # fmt: skip
