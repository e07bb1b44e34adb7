"""Does a dictionary rebuild its tap with few features, and better than what costs nothing to make?

Explained variance is 1 - Σ |x - x'|² / Σ |x - mean|², total and mean from centred moments merged over chunks
(`compute.dictionaries.reconstruction`). Beside it, on the same rows and the same axis: principal components, as many as
the dictionary has active features per row; a random dictionary of the same size with the same number of active features
and one least-squares factor (of a dictionary without a sparse rule: as many random projections); where there are
labels, the class means, a supervised dictionary with one active feature. L0 counts what is not 0. Dead are features
that fired in none of the rows looked at, whose number is said. Coherence is the largest |cosine| of two directions,
overall and of features that were active together in five rows, beside the bound that no dictionary of this size can
go below (Welch).

When it lies: components and class means were fitted on these very rows, a dictionary to most of them, or to others;
variance says nothing of what the network uses, so that a dictionary with less of it can lose less of the network's
output; a few loud units rule it; principal components of L0 dimensions are the same for all rows, the features of a
sparse code are not; a feature that is dead in few rows may fire in more.

Cost: two passes, O(n d² + n L0 d), O(k² d) for the directions, O(rows k d) for the random dictionary.

References: L. Gao et al. (2024), "Scaling and evaluating sparse autoencoders"; A. Makelov, G. Lange & N. Nanda (2024);
L. Welch (1974).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.dictionaries.reconstruction import FEWEST, reconstruction_sums, yardsticks
from analysis.compute.dictionaries.report_lines import (
    HELP,
    report_caveats,
    report_columns,
    report_estimates,
    report_reading,
)
from analysis.compute.dictionaries.sparse_codes import likely_size
from analysis.compute.machine import machine
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.rows.cluster_columns import label_column
from analysis.compute.streaming import Pass
from analysis.errors import NotEnoughData
from analysis.features import rules
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class DictionaryReportParams:
    column: str | None = param(
        None, "Labels for the supervised dictionary; automatic: 'label' where there is one.", column=True
    )
    maximum_rows: int = param(
        20_000, "Most rows for the random dictionary and for features active together; drawn at random.",
        low=100, high=1_000_000,
    )  # fmt: skip


def dictionary_report(
    activations, params: DictionaryReportParams = DictionaryReportParams(), rng=None, progress=no_progress
) -> Table:
    """A tap that a feature set encoded, judged against principal components, a random and a supervised dictionary.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        An encoded tap; of any other the units themselves are the features.

    Returns
    -------
    Table
        A line for each of the dictionaries on one axis, see `HELP`; estimates of the first.

    Raises
    ------
    NotFound, StoreDamaged
        No such column; the feature set beside the tap is missing or has changed.
    NotEnoughData, InputError
        Fewer than eight finite rows; nothing varies.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    made, seen, notes = tap_dictionary(tap), Pass(), []
    codes, classes = _classes(tap, label_column(tap, params.column), notes)
    known = yardsticks(made.source, codes, classes, seen, progress, (0.0, 0.3))
    active, linear = made.typical_active, made.features.rule == rules.LINEAR
    found = reconstruction_sums(
        made.codes, made.source, made.features.decode_beside, known, seen, active=active,
        linear=linear, maximum_rows=params.maximum_rows, rng=rng, progress=progress,
        span=(0.3, 0.8),
    )  # fmt: skip
    progress(0.8, "comparing directions")
    columns = report_columns(made.features.directions, known, found, active, linear, rng)
    progress(1.0, "done")
    estimates = report_estimates(columns, found, seen)
    notes = (*seen.notes, *notes, *made.notes, *made.fitted_note, *report_caveats(found, seen))
    return Table(
        title=f"{made.features.name} on {made.source.name}, beside what costs nothing",
        reading=report_reading(columns, seen), caveats=notes, estimates=estimates, columns=columns, index="dictionary",
        help=HELP,
    )  # fmt: skip


def _classes(tap, column: str | None, notes: list[str]) -> tuple[np.ndarray | None, int]:
    """Class of each sample, -1 for none, and how many; None where there is no column or only one class."""
    if column is None:
        notes.append("There are no labels, so no supervised dictionary to compare with.")
        return None, 0
    try:
        found = class_codes(np.asarray(tap.samples[column]), column, 2)
    except NotEnoughData as few:
        notes.append(f"No supervised dictionary: {few.found}.")
        return None, 0
    codes = np.full(len(found.stay), -1)
    codes[found.stay] = found.codes
    notes.extend(found.notes)
    return codes, len(found.names)


def _cost(shapes, params: DictionaryReportParams) -> Cost:
    (n, k), m = shapes[0], machine()
    (d, active), some, chunk = likely_size(k), min(n, params.maximum_rows), min(n, 4096)
    seconds = m.seconds(
        flops64=2.0 * n * d * d + 6.0 * d**3, flops32=8.0 * some * k * d + 4.0 * k * k * d,
        moved=100.0 * n * active + 30.0 * some * k,
    ) + 0.1  # fmt: skip
    held = chunk * (d * 8.0 * 5 + k * 16.0) + some * active * 16.0 + 4.0 * k * k + 36.0 * d * k
    return Cost(seconds, held + 64.0 * n + 4e5 * min(n, 2000) / 1000)


def _check() -> tuple[CheckLine, ...]:
    """Units as features rebuild everything; ten of forty are dead; unit directions are orthogonal."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 40)) * np.repeat([1.0, 0.0], [30, 10])
    x[:, :30] *= rng.random((400, 30)) < 0.5
    c = dictionary_report(x).columns
    return (
        CheckLine("explained variance", 1.0, float(c["explained variance"][0]), 1e-9),
        CheckLine("active per row", float((x != 0).sum() / 400), float(c["active per row"][0]), 1e-9),
        CheckLine("dead share", 0.25, float(c["dead"][0]), 0.0),
        CheckLine("coherence", 0.0, float(c["coherence"][0]), 1e-6),
    )


METHODS = (
    Method(
        id="dictionary_report", family="dictionaries", title="Dictionary report", version=2,
        function=dictionary_report,
        summary="Explained variance, active and dead features and coherence, beside PCA, random and class means.",
        params=DictionaryReportParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering features and rows; rotating the source with the directions",
        papers=("Towards Principled Evaluations of Sparse Autoencoders for Interpretability and Control",
                "Online Unsupervised Feature Learning for Visual Tracking"),
    ),
)  # fmt: skip
