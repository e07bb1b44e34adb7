"""Can an attribute be changed through the dictionary: a few features exchanged, and the network answers otherwise?

Rows of class a get, in at most m features, the mean values that those features have in rows of class b
(`features.edits`); the supervised edit adds the difference of the class means, which no dictionary's edit needs to beat
and which stands beside it, as do principal components (all of them to choose from) and a random dictionary with as many
exchanges, and random directions as long as the dictionary's edit, another one for each of 64 parts of the samples.
Features are chosen on one half of the samples, the other half is edited.

    success        share of samples (answered a before) that are answered b afterwards
    side effects   share answered neither a nor b; share whose other attributes (sample columns of classes), read by
                   held-out linear probes at the tap, change
    edit size      mean |x' - x| over the length of the supervised edit

Answers are the network's where its classes are the attribute and it can be run; otherwise those of a held-out linear
probe of the attribute at the tap. All ordered pairs of the most frequent classes are tried.

When it lies: a probe answers to anything linear, the network may not: its success is an upper bound of sorts; success
with a long edit says little, read the size; every token of a sample is edited; other attributes that go along with the
attribute in these data must change with it; m features of a dictionary and m principal components are not equally
expensive to find by hand.

Cost: 5 edits (C - 1) times over the samples of C classes.

References: A. Makelov, G. Lange & N. Nanda (2024), "Towards principled evaluations of sparse autoencoders for
interpretability and control".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.dictionaries.sparse_codes import likely_size
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import share_interval
from analysis.compute.streaming import Pass
from analysis.errors import NotEnoughData
from analysis.features.edit_trial import Trial, trial
from analysis.features.edits import NOISE, SUPERVISED
from analysis.features.readers import AUTOMATIC, OPENING, READERS
from analysis.features.rivals import OWN, PRINCIPAL, RANDOM, rivals, row_classes
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 16  # rows
NAMES = (OWN, SUPERVISED, PRINCIPAL, RANDOM, NOISE)
OVER = "95 % interval: Wilson, samples as draws."
HELP = {
    "edited by": "Through which dictionary; class means: the supervised edit, which adds their difference.",
    "features": "Features exchanged, on average over pairs of classes.",
    "success": "Share of samples that are answered as the class they were edited to.",
    "low": OVER,
    "high": OVER,
    "another class": "Share answered neither as what they were nor as what they should become: a side effect.",
    "other attributes": "Share of samples whose other attributes change, by held-out linear probes: a side effect.",
    "other low": OVER,
    "other high": OVER,
    "edit size": "Mean length of the edit of a row, over that of the supervised edit.",
}


@dataclass(frozen=True)
class EditSuccessParams:
    column: str = param("label", "The attribute to change: a sample column of classes.", column=True)
    features: int = param(
        4, "Most features to exchange, of each dictionary.", label="features to exchange", low=1, high=64
    )
    classes: int = param(
        4, "How many of the most frequent classes are changed into each other.", low=2, high=12
    )
    reader: str = param(AUTOMATIC, "Who answers.", choices=READERS)
    maximum_samples: int = param(500, "Most samples.", low=16, high=100_000)


def edit_success(
    activations, params: EditSuccessParams = EditSuccessParams(), rng=None, progress=no_progress
) -> Table:
    """Success and side effects of changing an attribute by exchanging a few features.

    Parameters
    ----------
    activations : Activations with the column
        A tap that a feature set encoded; of any other the units themselves are the features.

    Returns
    -------
    Table
        A line for each way to edit, see `HELP`.

    Raises
    ------
    NotFound, NotEnoughData, InputError
        No such column; fewer than two classes of eight samples that are answered rightly; nothing varies.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    sample_column(tap, params.column)
    made = tap_dictionary(tap)
    classes = row_classes(made.source, params.column)
    if classes is None:
        raise NotEnoughData(
            f"'{params.column}' of {tap.name} has fewer than two classes of two samples",
            "classes to change into each other",
            "Choose another column",
        )
    known = rivals(made, classes, 2000, rng, seen, progress, (0.0, 0.1))
    found = trial(made.source, known, classes, NAMES, params, rng, progress, (0.1, 1.0))
    columns = _columns(found)
    progress(1.0, "done")
    return Table(
        title=f"Changing '{params.column}' through the features of {tap.name}",
        reading=_reading(columns, found, made.features.name, params),
        caveats=(*seen.notes, *found.notes, *made.notes, *classes.notes,
                 "Features were chosen on one half of the samples; the other half was edited."),
        estimates=_estimates(columns, found, tap.shape[1]), columns=columns, index="edited by",
        help={k: v for k, v in HELP.items() if k in columns},
    )  # fmt: skip


def _columns(found: Trial) -> dict[str, np.ndarray]:
    rows = []
    for name in NAMES:
        success, away, other = found.success[name], found.another[name], found.other.get(name)
        bounds = share_interval(success)
        line = [name, found.exchanged[name], success.mean(), bounds["low"], bounds["high"], away.mean()]
        if other is not None:
            more = share_interval(other)
            line += [other.mean(), more["low"], more["high"]]
        rows.append([*line, found.size[name]])
    keys = [k for k in HELP if found.other or k not in ("other attributes", "other low", "other high")]
    columns = dict(zip(keys, zip(*rows, strict=True), strict=True))
    return {k: np.array(v, dtype=str if k == "edited by" else np.float64) for k, v in columns.items()}


def _estimates(c, found: Trial, d: int) -> tuple[Estimate, ...]:
    own, chance = NAMES.index(OWN), NAMES.index(NOISE)
    out, common = [], {"n": found.n, "d": d, "null_method": "a random direction, as long as the edit",
                       "interval": "Wilson, samples as draws", "estimator": "mean share of samples"}  # fmt: skip
    for said, column, low, high in (
        ("edits that succeed", "success", "low", "high"),
        ("edits that change other attributes", "other attributes", "other low", "other high"),
    ):
        if column in c:
            out.append(Estimate(said, float(c[column][own]), float(c[low][own]), float(c[high][own]),
                                null=float(c[column][chance]), null_low=float(c[low][chance]),
                                null_high=float(c[high][chance]), **common))  # fmt: skip
    return tuple(out)


def _reading(c, found: Trial, name: str, params: EditSuccessParams) -> str:
    at = {n: i for i, n in enumerate(NAMES)}
    said = (
        f"Exchanging {c['features'][at[OWN]]:.1f} features of {name} changes the answer of {found.what} to the wanted "
        f"class in {c['success'][at[OWN]]:.0%} of {found.n:,} samples ({len(found.names)} classes); the supervised "
        f"edit in {c['success'][at[SUPERVISED]]:.0%}, principal components in {c['success'][at[PRINCIPAL]]:.0%}, a "
        f"random dictionary in {c['success'][at[RANDOM]]:.0%}, a random direction of the same length in "
        f"{c['success'][at[NOISE]]:.0%}. The edit is {c['edit size'][at[OWN]]:.2g} times as long as the supervised one."
    )
    if found.other:
        said += f" Other attributes change in {c['other attributes'][at[OWN]]:.0%}."
    return said


def _cost(shapes, params: EditSuccessParams) -> Cost:
    (n, k), m = shapes[0], machine()
    (d, _), some = likely_size(k), min(n, params.maximum_samples)
    work = 6.0 * params.classes * some * k * d
    seconds = m.seconds(flops64=2.0 * n * d * d + work, moved=200.0 * n * d + 300.0 * some * d)
    return Cost(seconds + OPENING, 8.0 * d * (min(n, 4096) * 4 + some * 6) + 8.0 * d * d * 4 + 1e6)


def _check() -> tuple[CheckLine, ...]:
    """Orthogonal attributes, one unit each: exchanging one unit is the supervised edit and nothing else changes. A
    random direction of that length reaches the other class where its cosine is above 1/2: 5 / 32 in five units."""
    rng = np.random.default_rng(0)
    of, other = np.arange(240) % 2, np.arange(240) // 2 % 2
    x = 0.1 * rng.standard_normal((240, 5))
    x[:, 1] += 4 * of
    x[:, 3] += 4 * other
    tap = ArrayActivations(x, "planted", {"label": of, "colour": other})
    found = edit_success(tap, EditSuccessParams(features=1, classes=2))
    c, at = found.columns, {n: i for i, n in enumerate(NAMES)}
    return (
        CheckLine("one unit: success", 1.0, c["success"][at[OWN]], 0.0),
        CheckLine("one unit: other attributes changed", 0.0, c["other attributes"][at[OWN]], 0.0),
        CheckLine("supervised: success", 1.0, c["success"][at[SUPERVISED]], 0.0),
        CheckLine("one unit: size of the edit", 1.0, c["edit size"][at[OWN]], 0.05),
        CheckLine("random directions: success", 5 / 32, c["success"][at[NOISE]], 0.14),
    )


METHODS = (
    Method(
        id="edit_success", family="dictionaries", title="Edit success and side effects", version=3,
        function=edit_success,
        summary="Changing an attribute by exchanging a few features: success, side effects and size of the edit.",
        params=EditSuccessParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering features; scaling a direction up and its codes down",
        papers=("Towards Principled Evaluations of Sparse Autoencoders for Interpretability and Control",
                "Towards Principled Evaluations of Sparse Autoencoders"),
    ),
)  # fmt: skip
