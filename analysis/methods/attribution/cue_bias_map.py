"""How predictive and how easy to read must a shortcut be before a reader leans on it? Bias over both.

A shortcut is planted beside the units of a tap: it says the label of a share of the samples (predictivity, down) and
stands out of its noise by so many deviations (availability, across). In each cell a reader of the label is fitted to
other samples, and the cell is the share of conflicts in which it follows the shortcut, less that of the optimal reader
of both cues (`cue_reliance`). Readers: a linear probe, or a network of one hidden layer, which is said to lean on what
is easily read more than it deserves.

Null: 0, the optimal reader itself. Intervals are Newcombe's of paired shares, over the conflicts of a cell; cells with
fewer than 30 conflicts are hatched and have no value. Benjamini-Hochberg at 5 % of the signs of changes (McNemar).

When it lies: it tells of readers of this tap and not of the network; the optimal reader is linear in what linear probes
read, so that a hidden layer that is better can have a bias that is no fault; conflicts of one cell are few and a small
network depends on its seed; planted noise is Gaussian.

Cost: for each cell 10 or 15 fits of O(n d classes) a step; memory O(n d).

References: K. Hermann et al. (2024), "On the foundations of shortcut learning"; R. Newcombe (1998); Q. McNemar (1947).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.groups.cue_conflict import (
    CORE,
    FEWEST_CONFLICTS,
    SHORTCUT,
    TwoCues,
    held_out_scores,
    optimal_labels,
    planted_cue,
    two_cues,
)
from analysis.compute.linear.small_network import fit_network
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.paired_gain import gain_p, paired_interval
from analysis.compute.subspaces.attribute_data import sample_values
from analysis.compute.subspaces.cue_lines import FEWEST, PLANTED
from analysis.errors import NotEnoughData
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

LINEAR, HIDDEN = "a linear probe", "one hidden layer"
LEVEL, STEPS, DECAY = 0.05, 30, 1.0
AGREEMENTS = (0.6, 0.75, 0.9)


@dataclass(frozen=True)
class CueBiasMapParams:
    label: str = param("label", "Sample column that readers name.", column=True)
    reader: str = param(LINEAR, "What reads the tap and the planted cue.", choices=(LINEAR, HIDDEN))
    units: int = param(16, "Units of the hidden layer.", low=1, high=512)
    strengths: int = param(
        3, "Columns: deviations that the cue stands out by, doubling from 1.", low=2, high=6
    )
    maximum_samples: int = param(1000, "Most samples; a seeded random subset above.", low=100, high=20_000)


def cue_bias_map(
    activations, params: CueBiasMapParams = CueBiasMapParams(), rng=None, progress=no_progress
) -> Matrix:
    """Shortcut bias over predictivity and availability of a planted cue.

    Parameters
    ----------
    activations : Activations with the label column

    Returns
    -------
    Matrix
        `values` (predictivities, strengths) bias, with `low`, `high`, `significant` and `few`. Estimates: each cell.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column; fewer than 60 samples, ten of a class, or 30 conflicts in every cell; no unit that varies.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    column = sample_column(tap, params.label)
    found = sample_values(
        tap, rng, pooling="mean", maximum=params.maximum_samples, minimum=FEWEST, progress=progress
    )
    label, strengths = column[found.samples], 2.0 ** np.arange(params.strengths)
    cells = np.zeros((len(AGREEMENTS), len(strengths), 5))  # bias, low, high, p, conflicts
    for i, agreement in enumerate(AGREEMENTS):
        for j, strength in enumerate(strengths):
            progress(0.2 + 0.8 * (i * len(strengths) + j) / cells[..., 0].size, "fitting readers")
            cells[i, j] = _cell(found.values, label, agreement, float(strength), params, rng)
    few = cells[..., 4] < FEWEST_CONFLICTS
    if few.all():
        raise NotEnoughData(
            f"at most {int(cells[..., 4].max())} conflicts in a cell",
            f"at least {FEWEST_CONFLICTS}",
            "Record more",
        )
    significant = np.zeros(few.shape, bool)
    significant[~few] = benjamini_hochberg(cells[..., 3][~few]) < LEVEL
    progress(1.0, "done")
    names = tuple(f"{a:.0%} of labels" for a in AGREEMENTS), tuple(f"{s:g} deviations" for s in strengths)
    return Matrix(
        title=f"Bias of {params.reader} of {tap.name} towards a planted shortcut",
        reading=_reading(cells[..., 0], few, significant, names, params.reader),
        caveats=(*found.notes, *_caveats(few)), estimates=_estimates(cells, few, names, tap.shape[1], params.reader),
        values=cells[..., 0], row_names=names[0], column_names=names[1], value_name="shortcut bias",
        limits=(-1.0, 1.0), diverging=True, null=np.zeros(few.shape), low=cells[..., 1], high=cells[..., 2],
        significant=significant, few=few, few_means=f"fewer than {FEWEST_CONFLICTS} conflicts",
    )  # fmt: skip


def _cell(values, label, agreement: float, strength: float, params, rng) -> tuple:
    cue, units = planted_cue(label, agreement, strength, rng)
    called = {CORE: params.label, SHORTCUT: PLANTED}
    try:
        cues = two_cues(label, {CORE: label, SHORTCUT: cue}, called, params.label, rng)
    except NotEnoughData:
        return 0.0, 0.0, 0.0, 1.0, 0.0
    x = np.hstack([values, units])[cues.stay]
    size = x.std(axis=0)
    z = (x - x.mean(axis=0)) / np.where(size > 1e-9 * max(float(size.max()), 1e-300), size, 1.0)
    apart, says = cues.conflict, cues.says[SHORTCUT]
    core, shortcut = (
        held_out_scores(z, of, cues.fold, steps=STEPS) for of in (cues.label, cues.of[SHORTCUT])
    )
    named = core.argmax(axis=1) if params.reader == LINEAR else _named(z, cues, params, rng)
    follows, would = ((v == says)[apart] for v in (named, optimal_labels([core, shortcut], cues)))
    low, high = paired_interval(would, follows)
    change = follows.astype(float) - would
    p = min(1.0, 2 * min(gain_p(change, rng), gain_p(-change, rng)))
    return float(change.mean()), low, high, p, float(apart.sum())


def _named(z: np.ndarray, cues: TwoCues, params, rng) -> np.ndarray:
    out, classes = np.empty(len(z), np.int64), len(cues.names)
    for f in range(int(cues.fold.max()) + 1):
        train, test = cues.fold != f, cues.fold == f
        net = fit_network(z[train], cues.label[train], None, classes, params.units, DECAY, STEPS, rng)
        out[test] = net(z[test]).argmax(axis=1)
    return out


def _estimates(cells, few, names, d: int, reader: str) -> tuple[Estimate, ...]:
    return tuple(
        Estimate(f"bias at {names[0][i]}, {names[1][j]}", bias, min(low, bias), max(high, bias),
                 interval="Newcombe's of paired shares, over conflicts", null=0.0, null_method="the optimal reader",
                 p_value=p, n=int(n), d=d, estimator=f"share of conflicts that {reader} decides by the shortcut, less "
                 "the optimal reader's")
        for i, row in enumerate(cells.tolist()) for j, (bias, low, high, p, n) in enumerate(row) if not few[i, j]
    )  # fmt: skip


def _reading(bias, few, significant, names, reader: str) -> str:
    shown = np.where(few, -np.inf, bias)
    i, j = np.unravel_index(int(shown.argmax()), shown.shape)
    more, less = int((significant & (bias > 0)).sum()), int((significant & (bias < 0)).sum())
    return (
        f"{reader[0].upper()}{reader[1:]} leans on the shortcut more than the optimal reader in {more} of "
        f"{int((~few).sum())} cells and less in {less}; most at {names[0][i]} and {names[1][j]} ({bias[i, j]:+.0%})."
    )


def _caveats(few) -> list[str]:
    said = [
        "The shortcut is planted: what is told is what such a reader would do, not what the network does."
    ]
    if few.any():
        said.append(f"{int(few.sum())} of {few.size} cells have fewer than {FEWEST_CONFLICTS} conflicts.")
    return said


def _cost(shapes, params: CueBiasMapParams) -> Cost:
    m, n, d = machine(), min(shapes[0][0], params.maximum_samples), shapes[0][1] + 4
    fits = len(AGREEMENTS) * params.strengths * 15
    return Cost(m.seconds(flops64=fits * 100 * 20.0 * n * d) + 0.1, 8.0 * n * d * 6 + 500.0 * n)


def _check() -> tuple[CheckLine, ...]:
    """A linear reader of a Gaussian core cue has next to no bias anywhere; few conflicts are hatched."""
    rng = np.random.default_rng(1)
    y = np.arange(200) % 2
    x = np.column_stack([2.0 * y + rng.standard_normal(200), rng.standard_normal(200)])
    found = cue_bias_map(ArrayActivations(x, samples={"label": y}), CueBiasMapParams(strengths=2))
    return (
        CheckLine("bias of a linear reader", 0.0, float(np.abs(found.values[~found.few]).max()), 0.1),
        CheckLine("cells beyond chance", 0.0, float(found.significant.sum()), 0.0),
        CheckLine("cells with 20 conflicts are hatched", 1.0, float(found.few[2].all()), 0.0),
    )


METHODS = (
    Method(
        id="cue_bias_map", family="attribution", title="Shortcut bias by predictivity and availability", version=1,
        function=cue_bias_map,
        summary="When a reader of a tap leans on a planted shortcut more than the optimal reader of both cues.",
        params=CueBiasMapParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="shifting or scaling units; naming the labels otherwise",
        papers=("On the Foundations of Shortcut Learning",),
    ),
)  # fmt: skip
