"""Which classes does a model take for which? The confusion matrix, beside answers that know nothing of the class.

    cell (a, b) = share of the samples of class a that are answered b      a row sums to 1
    κ = (p_o - p_e) / (1 - p_e),  p_o the share that is right, p_e = Σ_a P(class a) P(answer a)

of the top class of a model's outputs. Of k classes with as many samples and answers each κ is (p_o - 1/k) / (1 - 1/k).

Interval: of cells Wilson's; of the accuracy Wilson's, of κ a jackknife over groups of samples. Null: answers exchanged
between samples, so that every row is the share of that answer, exactly; κ is then 0. Cells count after Benjamini-
Hochberg at 5 % over exact binomial tests.

When it lies: a rare class is a row of few samples (hatched below five); classes that overlap by their labels confuse no
less than a weak model does; on the data of the training nothing is confused.

Cost: O(n C).

References: J. Cohen (1960), "A coefficient of agreement for nominal scales"; A. Shah (2025), "Balanced multi-task
attention for satellite image classification".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.outputs.calibration_cases import answers
from analysis.compute.outputs.model_outputs import KINDS
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import binomial_p, wilson
from analysis.compute.statistics.sample_groups import groups_of, jackknife_half, share_interval
from analysis.errors import NotEnoughData
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, FEW, LEVEL = 10, 5, 0.05


@dataclass(frozen=True)
class ClassConfusionParams:
    column: str = param("label", "Sample column with the right class.", column=True)
    outputs: str = param(
        "auto", "Auto takes rows that sum to 1 as probabilities and all others as logits.", choices=KINDS
    )
    maximum_samples: int = param(50_000, "Most rows; a seeded random subset above.", low=50, high=500_000)


def class_confusion(
    activations, params: ClassConfusionParams = ClassConfusionParams(), rng=None, progress=no_progress
) -> Matrix:
    """Right classes by answers.

    Parameters
    ----------
    activations : Activations (rows, classes) with a column of right classes

    Returns
    -------
    Matrix
        Shares of each class's samples by answer. Estimates: accuracy, κ, the largest confusion.

    Raises
    ------
    NotFound, InputError
        No such column; labels that name no class; one class.
    NotEnoughData, TooLarge
        Fewer than ten samples with a label; over 8 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    progress(0.05, "reading")
    said, right, notes = answers(
        tap, column=params.column, outputs=params.outputs, maximum=params.maximum_samples, rng=rng
    )
    if len(said) < FEWEST:
        raise NotEnoughData(f"{tap.name} has {len(said)} sample(s) with a label", f"at least {FEWEST}")
    progress(0.7, "counting")
    counts = counted(right, said, tap.shape[1])
    there = np.flatnonzero(counts.sum(axis=1))
    told = _estimates(counts, right, said, tap.shape[1], tuple(map(str, tap.unit_names)), rng)
    progress(1.0, "done")
    return _matrix(tap, counts, there, told, notes)


def counted(right: np.ndarray, said: np.ndarray, classes: int) -> np.ndarray:
    """(C, C) samples by right class and answer."""
    return np.bincount(right * classes + said, minlength=classes * classes).reshape(classes, classes)


def kappa(counts: np.ndarray) -> float:
    """Cohen's; 0 where answers and classes are all one."""
    n = counts.sum()
    agree, chance = counts.trace() / n, float(counts.sum(axis=1) @ counts.sum(axis=0)) / n**2
    return float((agree - chance) / (1 - chance)) if chance < 1 else 0.0


def _estimates(counts, right, said, classes: int, names, rng) -> tuple[Estimate, ...]:
    n, hits = len(right), (right == said).astype(float)
    common = {"n": n, "d": classes}
    groups = groups_of(n, rng)
    value = kappa(counts)
    half = jackknife_half(np.array([
        kappa(counted(right[groups != g], said[groups != g], classes)) for g in range(groups.max() + 1)
    ]))  # fmt: skip
    ends = {"interval": "none: too few samples"} if half is None else {
        "low": max(value - float(half), -1.0), "high": min(value + float(half), 1.0),
        "interval": "jackknife over groups of samples"}  # fmt: skip
    share = counts.sum(axis=0) / n
    out = [
        Estimate("accuracy", float(hits.mean()), **share_interval(hits), null=float(share @ counts.sum(axis=1) / n),
                 null_method="answers exchanged between samples, exact mean", estimator="share of samples", **common),
        Estimate("agreement beyond chance (κ)", value, **ends, null=0.0, estimator="Cohen's κ",
                 null_method="answers exchanged between samples", **common),
    ]  # fmt: skip
    off = np.where(np.eye(classes, dtype=bool) | (counts.sum(axis=1) < FEW)[:, None], 0, counts).astype(float)
    off /= np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if off.any():
        a, b = np.unravel_index(off.argmax(), off.shape)
        whole = int(counts[a].sum())
        low, high = wilson(int(counts[a, b]), whole)
        out.append(Estimate(f"{names[a]} taken for {names[b]}, most of all", float(off[a, b]), low, high,
                            interval="Wilson, of a pair that was chosen for being the largest", null=float(share[b]),
                            null_method="the share of this answer", n=whole, d=classes,
                            estimator="share of the class"))  # fmt: skip
    return tuple(out)


def _matrix(tap, counts, there, told, notes) -> Matrix:
    names, n = tuple(map(str, tap.unit_names)), counts.sum()
    rows = counts[there]
    whole = rows.sum(axis=1, keepdims=True)
    value, null = rows / whole, np.broadcast_to(counts.sum(axis=0) / n, rows.shape)
    ends = np.array([[wilson(int(c), int(w)) for c in row] for row, w in zip(rows, whole[:, 0], strict=True)])
    p = binomial_p(rows, np.broadcast_to(whole, rows.shape), null)
    most = told[2].name.partition(", most")[0] if len(told) > 2 else "none"
    lost = (
        [f"{len(names) - len(there)} of {len(names)} classes have no sample."]
        if len(there) < len(names)
        else []
    )
    return Matrix(
        title=f"What {tap.name} takes each class for", values=value, null=null.copy(), low=ends[:, :, 0],
        high=ends[:, :, 1], row_names=tuple(names[a] for a in there), column_names=names,
        value_name="share of the class", limits=(0.0, 1.0), significant=benjamini_hochberg(p) <= LEVEL,
        few=np.broadcast_to(whole < FEW, rows.shape).copy(), estimates=told,
        reading=f"{told[0].value:.1%} of {int(n):,} samples are right, κ = {told[1].value:.3f}. The largest confusion: "
                f"{most}" + (f" ({told[2].value:.0%} of the class)." if len(told) > 2 else "."),
        caveats=(*notes, *lost, "Rows are right classes, columns answers; a row sums to 1."),
    )  # fmt: skip


def _cost(shapes, params: ClassConfusionParams) -> Cost:
    (rows, classes), n = shapes[0], min(shapes[0][0], params.maximum_samples)
    return Cost(
        machine().seconds(moved=8.0 * n * classes * 20 + rows * 30.0 + 400.0 * classes**2, calls=20.0 * classes**2)
        + 0.01,
        8.0 * n * classes * 4.5 + 24.0 * classes**2,
    )  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """A planted confusion is found; 97.23 % of ten classes alike is κ = 0.9692; answers of chance are κ = 0."""
    right = np.arange(1000) % 10
    said = right.copy()
    said[(right == 3) & (np.arange(1000) < 400)] = 8

    def found(said, right):
        return class_confusion(ArrayActivations(np.eye(10)[said], "planted", samples={"label": right}))

    planted = found(said, right)
    even = np.full((10, 10), 277 / 9) + np.eye(10) * (9723 - 277 / 9)
    chance = found(np.random.default_rng(0).permutation(right), right)
    return (
        CheckLine("40 of 100 threes taken for eights", 0.4, float(planted.values[3, 8]), 1e-12),
        CheckLine("which is the largest confusion", 0.4, planted.estimates[2].value, 1e-12),
        CheckLine("97.23 % of ten classes alike: κ", (0.9723 - 0.1) / 0.9, kappa(even), 1e-9),
        CheckLine("answers exchanged: κ", 0.0, chance.estimates[1].value, 0.05),
        CheckLine("all right: κ", 1.0, found(right, right).estimates[1].value, 1e-12),
    )


METHODS = (
    Method(
        id="class_confusion", family="populations", title="Classes taken for others", version=2,
        function=class_confusion, params=ClassConfusionParams, result=Matrix, check=_check, cost=_cost,
        summary="The confusion matrix of a model's answers, accuracy and κ, beside answers that know no class.",
        minimum_rows=FEWEST,
        invariance="adding a number to all logits of a sample; the order of samples",
        papers=(
            "Balanced Multi-Task Attention for Satellite Image Classification: A Systematic Approach to Achieving "
            "97.23% Accuracy on EuroSAT Without Pre-Training",
        ),
    ),
)  # fmt: skip
