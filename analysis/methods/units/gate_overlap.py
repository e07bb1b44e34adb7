"""Which classes are singled out by the same units: the overlap of their gates, classes x classes.

The gate of a class: the units whose mean over the class differs from their mean over all other samples by at least a
given number of deviations (Hedges' g) and beyond chance (Welch's t; Benjamini-Hochberg at 5 % over units x classes).
Overlap of two gates: Jaccard's J = |A ∩ B| / |A ∪ B|, 0 where both are empty. Chance: random gates of the same sizes,
whose shared number is hypergeometric. A cell is faded unless the two share more than that.

How the units are used is said beside it: how many are in no gate (more than by chance, where the gates crowd onto the
same units: a collapse), how many serve one class only, and how many gates use the busiest unit.

When it lies: a gate does not know a unit's sign, so that two classes may share a unit which rises for one and falls
for the other; with few classes, one that stands far out moves "all others" so that the rest seem to stand out as well,
and two classes have the same gate by construction; a unit with much signal is in many gates, which random gates know
nothing of; units that repeat each other count each.

Cost: O(n d C) for the gates and for each shuffle of the labels, O(C² d) for each draw of random gates. Memory O(n d).

References: J. Wu et al. (2024), "Rethinking Positive Pairs in Contrastive Learning"; P. Jaccard (1901); L. Hedges &
I. Olkin (1985); Y. Benjamini & Y. Hochberg (1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.arrays import upper
from analysis.compute.correlation.correlations import clustered
from analysis.compute.groups.class_gates import (
    Gates,
    class_gates,
    mean_interval,
    random_gates,
    shares_more,
    usage,
)
from analysis.compute.machine import machine
from analysis.compute.rows.samples import LabelledMatrix, labelled_matrix
from analysis.compute.statistics.nulls import against, bootstrap_mean, wilson
from analysis.compute.statistics.set_overlap import jaccard, jaccard_by_chance
from analysis.compute.streaming import refuse_few
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

DRAWS = 199  # of random gates
FEW = 5  # classes, of which one can move the mean of the others


@dataclass(frozen=True)
class GateOverlapParams:
    column: str = param("label", "The sample column that holds the classes.", column=True)
    difference: float = param(
        0.8, "Least difference from all other samples that puts a unit into a gate, in standard deviations.",
        low=0.0, high=10.0,
    )  # fmt: skip
    maximum_classes: int = param(30, "Most classes, the most frequent first.", low=2, high=200)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    shuffles: int = param(19, "Shuffles of the labels for the null of the gates' size.", low=9, high=2000)
    maximum_samples: int = param(
        20_000, "Most samples; a seeded random subset above.", low=50, high=1_000_000
    )


def gate_overlap(
    activations, params: GateOverlapParams = GateOverlapParams(), rng=None, progress=no_progress
) -> Matrix:
    """Overlap of the classes' gates.

    Parameters
    ----------
    activations : Activations with the sample column `params.column`

    Returns
    -------
    Matrix
        `values` (C, C) Jaccard overlaps in clustered order, the size of each gate in its row's name; `significant`
        where two gates share more units than random ones of their sizes (Benjamini-Hochberg over pairs);
        `null_band`, where 95 % of the overlaps of such gates lie. Estimates: mean overlap, units in no gate, units in
        one gate only, gates on the busiest unit, mean size of a gate.

    Raises
    ------
    NotFound, NotEnoughData, TooLarge
        No such column; fewer than two classes with five samples, or no unit that varies; over 4 GiB.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    data = labelled_matrix(
        activations, params.column, params.pooling, maximum_samples=params.maximum_samples, rng=rng,
        progress=progress, span=(0.0, 0.4),
    )  # fmt: skip
    progress(0.4, "choosing the gates")
    chosen = np.sort(np.argsort(-data.counts, kind="stable")[: params.maximum_classes])
    gates = class_gates(data.values, data.of, chosen, params.difference)
    refuse_few(activations.name, int(gates.varies.sum()), 1, "unit(s) that vary")
    shuffled = _shuffled_sizes(data, chosen, params, rng, progress)
    progress(0.9, "drawing random gates")
    overlap, random = jaccard(gates.sets), random_gates(gates, DRAWS, rng)
    names = [data.names[c] for c in chosen]
    order, tree = clustered(overlap, absolute=False)
    estimates = _estimates(gates, overlap, random, shuffled, len(data.of), rng)
    sure, off = shares_more(gates), upper(overlap)
    return Matrix(
        title=f"Units shared by classes of {activations.name} ({params.column})",
        reading=_reading(gates, overlap, int(upper(sure).sum()), names, estimates),
        caveats=_caveats(gates, data, params),
        estimates=estimates, values=overlap, column_names=tuple(names),
        row_names=tuple(f"{name} ({k})" for name, k in zip(names, gates.sets.sum(axis=1), strict=True)),
        value_name="Jaccard overlap of gates", row_order=order, column_order=order, linkage=tree,
        null_band=tuple(float(v) for v in np.percentile(random["overlaps"], [2.5, 97.5])),
        significant=sure, limits=(0.0, float(off.max()) or 1.0),
    )  # fmt: skip


# ---------------------------------------------------------------------------- numbers and words
def _shuffled_sizes(data: LabelledMatrix, chosen, params: GateOverlapParams, rng, progress) -> np.ndarray:
    """Mean share of the units in a gate (shuffles,) when the labels mean nothing."""
    found = []
    for i in range(params.shuffles):
        progress(0.4 + 0.5 * i / params.shuffles, "shuffling labels")
        found.append(
            class_gates(data.values, rng.permutation(data.of), chosen, params.difference).sets.mean()
        )
    return np.array(found)


def _estimates(gates: Gates, overlap, random, shuffled, n: int, rng) -> tuple[Estimate, ...]:
    (classes, d), sizes = gates.sets.shape, gates.sets.sum(axis=1)
    common = {"n": n, "d": d, "estimator": f"gates of {classes} classes"}
    by = f"random gates of the same sizes, {DRAWS} draws"
    mean, ends = float(upper(overlap).mean()), mean_interval(overlap)
    expected = float(upper(jaccard_by_chance(sizes, int(gates.varies.sum()))).mean())
    found = [
        Estimate(
            "mean overlap of two gates", mean, *ends, interval="" if ends[0] is None else "jackknife over classes",
            **{**against(mean, random["mean"]), "null": expected}, null_method=by + "; mean hypergeometric", **common,
        )
    ]  # fmt: skip
    names = ("share of units in no gate", "share of units in one gate only", "gates on the busiest unit")
    for i, (name, value) in enumerate(zip(names, usage(gates.sets), strict=True)):
        low, high = wilson(value * d, d) if i < 2 else (None, None)
        found.append(
            Estimate(name, value, low, high, interval="Wilson, units as draws" if i < 2 else "",
                     **against(value, random["uses"][:, i]), null_method=by, **common)
        )  # fmt: skip
    share = sizes / d
    low, high = (min(float(share.mean()), float(v)) if i == 0 else max(float(share.mean()), float(v))
                 for i, v in enumerate(bootstrap_mean(share, rng)))  # fmt: skip
    size = Estimate("mean share of units in a gate", float(share.mean()), low, high, interval="bootstrap over classes",
                    **against(float(share.mean()), shuffled), null_method=f"labels shuffled {len(shuffled)} times",
                    **common)  # fmt: skip
    return (*found, size)


def _reading(gates: Gates, overlap, pairs: int, names, estimates) -> str:
    mean, unused, _, busiest, size = estimates
    c, d = gates.sets.shape
    above = overlap - jaccard_by_chance(gates.sets.sum(axis=1), int(gates.varies.sum()))
    i, j = np.unravel_index(np.where(np.triu(np.ones((c, c)), 1), above, -2.0).argmax(), above.shape)
    if not gates.sets.any():
        return f"No unit singles out any of the {c} classes: all gates are empty."
    crowded = unused.value > unused.null_high
    return (
        f"A class is singled out by {size.value * d:.1f} of {d} units on average ({size.null * d:.1f} with shuffled "
        f"labels; in brackets for each class). Two gates overlap by {mean.value:.2f}, random ones of their sizes by "
        f"{mean.null:.2f}; {pairs} of {c * (c - 1) // 2} pairs share more than that (q < 0.05). Furthest above "
        f"chance are {names[i]} and {names[j]} ({overlap[i, j]:.2f}, by chance {overlap[i, j] - above[i, j]:.2f}). "
        f"{round(unused.value * d)} units "
        f"are in no gate ({unused.null * d:.1f} by chance{': the gates crowd onto the same units' if crowded else ''}) "
        f"and the busiest serves {busiest.value:.0f} of {c} classes."
    )


def _caveats(gates: Gates, data: LabelledMatrix, params: GateOverlapParams) -> tuple[str, ...]:
    notes, c, constant = list(data.notes), len(gates.chosen), int((~gates.varies).sum())
    if c < len(data.names):
        notes.append(
            f"The {c} most frequent of {len(data.names)} classes shown; the others count among the rest."
        )
    empty = int((~gates.sets.any(axis=1)).sum())
    if empty:
        notes.append(f"{empty} class(es) have an empty gate, which overlaps with none.")
    if constant:
        notes.append(f"{constant} constant unit(s) are in no gate.")
    if len(data.names) == 2:
        notes.append(
            "With two classes each is all that the other is not: both gates are the same by construction."
        )
    elif len(data.names) <= FEW:
        notes.append(
            f"With {len(data.names)} classes, one that stands far out on a unit moves 'all others' there: the other "
            "gates may hold that unit for no more than this."
        )
    return (
        *notes,
        f"In a gate: at least {params.difference:g} deviations from all other samples, up or down, q < 5 %.",
    )


def _cost(shapes, params: GateOverlapParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, classes = min(rows, params.maximum_samples), min(10, params.maximum_classes)
    again = 1 + params.shuffles
    seconds = m.seconds(flops64=again * 4.0 * n * d * classes, moved=n * d * (100.0 + again * 90.0))
    return Cost(seconds + DRAWS * classes * d * 2e-8 + 0.06, n * d * 8 * 3.5 + 4e5)


def _check() -> tuple[CheckLine, ...]:
    """Eight classes with planted gates {0..5}, {3..8}, {12..17} and none of 40 units: J = 3 / 9 and 0; 25 units unused.
    Random sets of one and one out of two things have E J = 1 / 2."""
    rng = np.random.default_rng(6)
    of = np.repeat(np.arange(8), 150)
    x = rng.standard_normal((1200, 40))
    for c, units in enumerate((range(6), range(3, 9), range(12, 18))):
        x[np.ix_(of == c, units)] += (2.0, -2.0, 2.0)[c]
    found = gate_overlap(ArrayActivations(x, samples={"label": of}), rng=np.random.default_rng(0))
    known = {e.name: e for e in found.estimates}
    return (
        CheckLine("two planted gates: overlap", 1 / 3, float(found.values[0, 1]), 1e-12),
        CheckLine("disjoint gates: overlap", 0.0, float(found.values[0, 2]), 1e-12),
        CheckLine("units in no gate", 25 / 40, known["share of units in no gate"].value, 1e-12),
        CheckLine("gates on the busiest unit", 2.0, known["gates on the busiest unit"].value, 0.0),
        CheckLine("shuffled labels: units in a gate", 0.0, known["mean share of units in a gate"].null, 0.001),
        CheckLine("one of two and one of two: expected overlap", 0.5, float(jaccard_by_chance([1, 1], 2)[0, 1]), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="gate_overlap", family="units", title="Units that classes share", version=1, function=gate_overlap,
        summary="How far the units that single out one class also single out another, and which units none uses.",
        params=GateOverlapParams, result=Matrix, check=_check, cost=_cost, minimum_rows=10,
        invariance="shifting or rescaling a unit, or permuting the units, changes no overlap; nor does the order of "
        "the classes, but for the drawing order",
        papers=(
            "Rethinking Positive Pairs in Contrastive Learning",
            "Rethinking Positive Pairs in Contrastive Learning (Hydra)",
        ),
    ),
)  # fmt: skip
