"""The dictionary court: what a dictionary approximates, what the network does with it, and what a person can read off
it, beside what costs nothing, on the same rows and without a single ranking.

    approximation       explained variance about the mean
    function            loss recovered (sufficiency) and loss lost without its part (necessity), on the scale of the
                        mean ablation; edits of the class that succeed by exchanging a few features
    interpretability    F1 of the best feature for each class, mean over classes, chosen and judged on different samples

Lines: the dictionary; principal components, as many as it has active features (for edits and classes all of them may
be chosen from, in either sign for classes); a random dictionary of its size; the class means, a supervised dictionary
that is told the class (hatched where that makes the answer true by construction). `loss_recovered`, `edit_success`,
`concept_f1` and `dictionary_report` say more of each.

Null of each cell: the mean ablation (0) for variance and loss; random directions as long as the dictionary's edit; the
search of features with labels exchanged. Every cell has its interval.

When it lies: axes are not comparable with each other; a row of five numbers invites an average, which means nothing;
components and means were fitted on these rows; without a network that can be run a linear probe of the labels stands in
for it, which is said; without labels two axes are empty (hatched).

Cost: those of `loss_recovered` and `edit_success`, and a search of features for each of three dictionaries.

References: A. Makelov, G. Lange & N. Nanda (2024), "Towards principled evaluations of sparse autoencoders for
interpretability and control".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.dictionaries.sparse_codes import likely_size
from analysis.compute.machine import machine
from analysis.compute.rows.cluster_columns import label_column
from analysis.compute.statistics.sample_groups import share_interval
from analysis.compute.streaming import Pass
from analysis.errors import NotEnoughData
from analysis.features.court import classes_told
from analysis.features.edit_trial import Asked, trial
from analysis.features.edits import NOISE
from analysis.features.readers import AUTOMATIC, OPENING, READERS, reader_of
from analysis.features.recovery import LACKING, ratio, recovery
from analysis.features.rivals import (
    CLASSES,
    MEAN,
    OWN,
    PRINCIPAL,
    RANDOM,
    explained,
    rivals,
    row_classes,
    some_rows,
)
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 16  # rows
VARIANCE, KEPT, LOST, EDITS, TOLD = (
    "explained variance", "loss recovered", "loss lost without it", "edits that succeed", "classes told (F1)",
)  # fmt: skip
AXES = (VARIANCE, KEPT, LOST, EDITS, TOLD)
HOW = {
    VARIANCE: ("bootstrap over samples", "the mean row"), KEPT: ("bootstrap over samples", "mean ablation"),
    LOST: ("bootstrap over samples", "nothing taken out"), EDITS: ("Wilson, samples as draws", "random directions"),
    TOLD: ("bootstrap over samples", "labels exchanged between samples"),
}  # fmt: skip


@dataclass(frozen=True)
class DictionaryCourtParams:
    column: str | None = param(
        None, "Classes to change and to tell; automatic: 'label' where there is one.", column=True
    )
    reader: str = param(AUTOMATIC, "What the tap is for.", choices=READERS)
    features: int = param(4, "Features exchanged in an edit.", label="features to exchange", low=1, high=64)
    classes: int = param(
        3, "How many of the most frequent classes are changed into each other.", low=2, high=12
    )
    draws: int = param(4, "Exchanges of labels.", low=2, high=99)
    maximum_samples: int = param(300, "Most samples; a seeded random subset above.", low=16, high=100_000)


def dictionary_court(
    activations, params: DictionaryCourtParams = DictionaryCourtParams(), rng=None, progress=no_progress
) -> Matrix:
    """Approximation, function and interpretability of a dictionary beside its rivals.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap that a feature set encoded; of any other the units themselves are the features.

    Returns
    -------
    Matrix
        A line for each dictionary, a column for each axis, with intervals and nulls; estimates of the dictionary.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        As `loss_recovered`.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    made, column = tap_dictionary(tap), label_column(tap, params.column)
    source, classes = made.source, row_classes(made.source, column)
    known = rivals(made, classes, 2000, rng, seen, progress, (0.0, 0.1))
    reader, notes = reader_of(
        source, params.reader, params.column, params.maximum_samples, rng, progress, (0.1, 0.15)
    )
    rebuilt, cells = known.rebuilt(), {}
    parts = {LACKING + name: known.without(f) for name, f in rebuilt.items()}
    found = recovery(reader.read({**rebuilt, **parts, **known.ablations()}, progress, (0.15, 0.6)))
    spread = explained(source, rebuilt, known.mean, some_rows(source.shape[0], 10_000, rng))
    for name, (left, total) in spread.items():
        value, low, high = ratio(left, total, rng)
        cells[name, VARIANCE] = (1 - value, 1 - high, 1 - low, 0.0)
        cells[name, KEPT] = (*found.recovered(name, MEAN, rng), 0.0)
        cells[name, LOST] = (*found.needed(name, rng), 0.0)
    judged, said = _labelled(source, known, column, params, rng, progress)
    cells |= judged
    progress(1.0, "done")
    lines = _lines(known)
    arrays = _arrays(cells, list(lines))
    return Matrix(
        title=f"The court on {made.features.name} at {source.name}",
        reading=_reading(arrays, list(lines), reader.what, made.features.name),
        caveats=(*seen.notes, *notes, *found.notes, *made.notes, *made.fitted_note, *said,
                 f"Of {made.features.n_features:,} features {known.active} are active in a row: so many has the random "
                 "dictionary, and there are as many principal components for variance and loss, all of them to choose "
                 "from for edits and classes. Class means are told the class of every row.",
                 "Axes are not comparable with each other, and their mean means nothing: there is no ranking.",
                 "Components, means and the random dictionary's factor were fitted on these rows."),
        estimates=_estimates(cells, found.n, tap.shape[1]), row_names=tuple(lines.values()), column_names=AXES,
        value_name="share", limits=(0.0, 1.0), few_means="not measured, or told and so true by construction", **arrays,
    )  # fmt: skip


def _labelled(source, known, column: str | None, params, rng, progress):
    """Cells of the two axes that need classes, and why some are empty."""
    if column is None or known.classes is None:
        return {}, ("There are no classes, so edits and classes told are not measured.",)
    cells, said = {}, []
    asked = Asked(column, params.features, params.classes, params.reader, params.maximum_samples)
    names = (OWN, CLASSES, PRINCIPAL, RANDOM, NOISE)
    try:
        found = trial(source, known, known.classes, names, asked, rng, progress, (0.6, 0.85))
        for name in names[:-1]:
            bounds = share_interval(found.success[name])
            value = float(found.success[name].mean())
            cells[name, EDITS] = (value, bounds["low"], bounds["high"], float(found.success[NOISE].mean()))
        said.append(f"Edits exchange {params.features} features at most and are answered by {found.what}.")
    except NotEnoughData as few:
        said.append(f"Edits are not measured: {few.found}.")
    progress(0.85, "searching features for classes")
    told, _ = classes_told(source, known, known.classes, params.maximum_samples, params.draws, rng)
    cells |= {(name, TOLD): (t.value, t.low, t.high, t.chance) for name, t in told.items()}
    return cells, tuple(said)


def _lines(known) -> dict[str, str]:
    """Names short enough for the side of a picture."""
    lines = {OWN: known.made.features.name, PRINCIPAL: f"PCA ({known.active})", RANDOM: "random"}
    if known.classes is not None:
        lines[known.classes.what] = known.classes.what
    return lines


def _arrays(cells, names: list[str]) -> dict[str, np.ndarray]:
    """Values, bounds and nulls (lines, axes), NaN and `few` where a cell is empty."""
    shape = (len(names), len(AXES))
    out = {key: np.full(shape, np.nan) for key in ("values", "low", "high", "null")}
    few = np.ones(shape, bool)
    for (name, axis), numbers in cells.items():
        if name in names and np.isfinite(numbers).all():
            at = names.index(name), AXES.index(axis)
            few[at] = False
            for key, number in zip(("values", "low", "high", "null"), numbers, strict=True):
                out[key][at] = number
    if CLASSES in names and any(axis == TOLD for _, axis in cells):
        for key in ("values", "low", "high"):
            out[key][names.index(CLASSES), AXES.index(TOLD)] = 1.0  # it is told the class
    return {**out, "few": few}


def _estimates(cells, n: int, d: int) -> tuple[Estimate, ...]:
    return tuple(
        Estimate(axis, float(v), float(low), float(high), interval=HOW[axis][0], null=float(null),
                 null_method=HOW[axis][1], n=n, d=d, estimator="of the dictionary")
        for axis in AXES if (OWN, axis) in cells
        for v, low, high, null in (cells[OWN, axis],) if np.isfinite(v)
    )  # fmt: skip


def _reading(arrays, names: list[str], what: str, name: str) -> str:
    value, few, said = arrays["values"], arrays["few"], []
    own, rest = names.index(OWN), [i for i, n in enumerate(names) if n != OWN]
    for j, axis in enumerate(AXES):
        if few[own, j]:
            continue
        others = ", ".join(f"{names[i]} {value[i, j]:.2f}" for i in rest if not few[i, j])
        said.append(f"{axis} {value[own, j]:.2f} ({others})" if others else f"{axis} {value[own, j]:.2f}")
    return f"{name}, judged by {what}: " + "; ".join(said) + "."


def _cost(shapes, params: DictionaryCourtParams) -> Cost:
    (n, k), m = shapes[0], machine()
    (d, _), some = likely_size(k), min(n, params.maximum_samples)
    flops = 2.0 * n * d * d + (60.0 + 6 * params.classes) * some * k * d
    seconds = m.seconds(flops64=flops, moved=300.0 * n * d + 2.0 * (params.draws + 1) * 3 * k * some * 900.0)
    return Cost(seconds + OPENING, 8.0 * d * (min(n, 4096) * 4 + min(n, 10_000) * 3) + 8.0 * d * d * 4 + 1e6)


def _check() -> tuple[CheckLine, ...]:
    """Units as features: all of the variance and of the loss, and all lost without them. A unit fires for one of
    the two classes; for the other nothing is better than saying yes always, 2/3."""
    rng = np.random.default_rng(0)
    of = np.arange(240) % 2
    x = rng.standard_normal((240, 5))
    x[:, 0] += 5 * of
    found = dictionary_court(ArrayActivations(x, "planted", {"label": of}), DictionaryCourtParams(features=1))
    own = dict(zip(AXES, found.values[0], strict=True))
    return (
        CheckLine("units: variance", 1.0, own[VARIANCE], 1e-12),
        CheckLine("units: loss recovered", 1.0, own[KEPT], 1e-12),
        CheckLine("units: lost without them", 1.0, own[LOST], 1e-9),
        CheckLine("units: edits", 1.0, own[EDITS], 0.05),
        CheckLine("units: one class told, of the other yes always", 5 / 6, own[TOLD], 0.05),
    )


METHODS = (
    Method(
        id="dictionary_court", family="dictionaries", title="The dictionary court", version=4,
        function=dictionary_court,
        summary="Approximation, function and interpretability of a dictionary beside PCA, random and supervised ones.",
        params=DictionaryCourtParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering features; scaling a direction up and its codes down",
        papers=("Towards Principled Evaluations of Sparse Autoencoders for Interpretability and Control",
                "Towards Principled Evaluations of Sparse Autoencoders"),
    ),
)  # fmt: skip
