"""Have the classes collapsed to single points at equal angles, as a network's last layer does late in training?

    NC1  within-class variation against the spread of class means: tr(Σ_W Σ_B⁺) / C (Papyan et al.) and tr Σ_W / tr Σ_B
    NC2  class means μ_c - μ of equal length (sd / mean of lengths) at equal angles (sd of cosines, and their mean
         distance from -1 / (C - 1)): 0 for a simplex
    NC3  class means along the classifier's rows: |A / |A| - W / |W||², 0 alike, 2 unrelated
    NC4  the nearest class mean gives the network's own answer

Each class counts once, whatever its size. A class mean of n_c samples holds noise, and noise alone makes means of equal
length at equal angles wherever there are many units: NC2 must be compared with exchanged classes, and is shown again
without what sampling adds (`compute.subspaces.neural_collapse`). NC1 without any classes is n_c (C - 1) / (d - C) for
d > C equal units.

NC3 needs the checkpoint and a layer with a row for each class that reads this tap; that it does is tested by its
answers, W x + b, against those recorded. NC4 holds out a tenth of the samples at a time and compares with the column of
the network's answers, and with the classes themselves.

When it lies: two classes have cosine -1 always; the mean cosine is -1 / (C - 1) for any equally long means, so only its
spread says something; on training samples classes collapse further than on others: say which were recorded; the head
may read another token than the tap pooled; tr(Σ_W Σ_B⁺) weights the closest classes most, tr Σ_W / tr Σ_B the farthest.

Cost: O(n d C) for each of 21 fits and each exchange; memory O(n d).

Reference: V. Papyan, X. Han & D. Donoho (2020), "Prevalence of neural collapse during the terminal phase of deep
learning training".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.samples import LabelledMatrix, labelled_matrix
from analysis.compute.subspaces.collapse_report import (
    FEWEST,
    Collapse,
    agreement_estimate,
    collapse_estimates,
    duality_estimate,
    measured,
)
from analysis.compute.subspaces.collapse_table import HELP, class_columns, collapse_caveats
from analysis.compute.subspaces.neural_collapse import class_means
from analysis.errors import LoupeError
from analysis.results import Estimate, Table
from analysis.sources.classifier_head import head_of
from analysis.spec import CheckLine, Cost, Method, no_progress, param

SAME = 0.99  # share of recorded answers that the head must give for it to read this tap


@dataclass(frozen=True)
class NeuralCollapseParams:
    column: str = param("label", "The sample column that holds the classes.", column=True)
    answers: str = param("predicted", "The column with the network's answers, for NC4.", column=True)
    head: str = param(
        "", "The classifier in the checkpoint, for NC3; empty: found by its shape; none: leave it out."
    )
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    permutations: int = param(39, "Exchanges of the classes for the null.", low=19, high=2000)
    maximum_samples: int = param(20_000, "Most samples; a seeded random subset above.", low=50, high=500_000)


def neural_collapse(
    activations, params: NeuralCollapseParams = NeuralCollapseParams(), rng=None, progress=no_progress
) -> Table:
    """Neural collapse of a tap's classes.

    Parameters
    ----------
    activations : Activations with the sample column `params.column`

    Returns
    -------
    Table
        A line for each class, see `HELP`. Estimates: the numbers of NC1 and NC2 with exchanged classes, the same
        without what sampling adds, NC3 and NC4 where there is a head and a column of answers.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column; fewer than two classes with four samples; class means that are equal; over 4 GiB.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    data = labelled_matrix(
        activations, params.column, params.pooling, minimum=FEWEST, maximum_samples=params.maximum_samples, rng=rng,
        progress=progress, span=(0.0, 0.2),
    )  # fmt: skip
    classes = len(data.names)
    found = measured(
        data.values, data.of, classes, params.permutations, rng, activations.name, progress, (0.2, 0.95)
    )
    means = class_means(data.values - data.values.mean(axis=0), data.of, classes)
    progress(0.95, "reading the head")
    answers = _answers(activations, params.answers, data)
    duality, cosines, said = _third(activations, data, answers, params, rng)
    fourth, more = _fourth(found, data, answers, params)
    columns = class_columns(data, means, found, cosines)
    return Table(
        title=f"Neural collapse of {activations.name} ({params.column})", columns=columns, index="class",
        sort="spread over length", help={k: v for k, v in HELP.items() if k in columns},
        reading=_reading(found, duality, fourth, data), estimates=(*collapse_estimates(found), *duality, *fourth),
        caveats=(*collapse_caveats(found, data), *said, *more, *data.notes),
    )  # fmt: skip


def _answers(activations, column: str, data: LabelledMatrix) -> np.ndarray | None:
    if column not in activations.samples:
        return None
    given = np.asarray(activations.samples[column])[data.samples].astype(str)
    return given if np.isin(given, data.names).any() else None


def _third(activations, data: LabelledMatrix, answers, params, rng):
    """NC3: estimates, a cosine for each class, notes. None of them where no head fits."""
    if params.head == "none":
        return [], None, []
    try:
        head = head_of(activations, data.names, params.head)
    except LoupeError as why:
        if params.head:
            raise
        return [], None, [f"NC3 is left out: {why.found}."]
    made, cosines = duality_estimate(data.values, data.of, head.weight, rng)
    note = f"NC3 takes '{head.name}' for the layer that reads this tap"
    if answers is None:
        return [made], cosines, [f"{note}; there is no column of answers to test that with."]
    own = np.array(data.names)[(data.values @ head.weight.T + head.bias).argmax(axis=1)]
    name = "answers of the head on this tap, as recorded"
    same = agreement_estimate(name, own, answers, made.d, "W x + b")
    why = " It does not read this tap as it was pooled: mistrust NC3." if same.value < SAME else ""
    return (
        [made, same],
        cosines,
        [f"{note}: its answers are those recorded for {same.value:.1%} of samples.{why}"],
    )


def _fourth(found: Collapse, data: LabelledMatrix, answers, params) -> tuple[list[Estimate], list[str]]:
    names = np.array(data.names)
    nearest = names[found.nearest]
    made = [agreement_estimate("nearest class mean gives the class", nearest, names[data.of], found.d)]
    if answers is None:
        return made, [f"NC4 is left out: no column '{params.answers}' with answers among these classes."]
    return [agreement_estimate("NC4, nearest class mean gives the network's answer", nearest, answers, found.d),
            *made], []  # fmt: skip


def _reading(found: Collapse, duality, fourth, data: LabelledMatrix) -> str:
    v, null = found.values, found.null.mean(axis=0)
    row = int(found.resolved)
    text = (
        f"Within classes the variance is {v[row, 1]:.3g} times that between them (exchanged classes: {null[1]:.3g}). "
        f"The lengths of the {found.classes} class means spread by {v[row, 3]:.0%}, and their cosines lie "
        f"{v[row, 5]:.2f} from {-1 / (found.classes - 1):.2f}, the simplex"
    )
    text += (
        ", both without what sampling adds."
        if row
        else f" (exchanged classes: {null[3]:.0%} and {null[5]:.2f})."
    )
    if duality:
        reads = len(duality) < 2 or duality[1].value >= SAME
        text += f" From the classifier's rows they are {duality[0].value:.2f} apart (0 alike, 2 unrelated)"
        text += "." if reads else ", but the classifier does not read this tap as it is pooled."
    return (
        text
        + f" {fourth[0].name[0].upper()}{fourth[0].name[1:]} for {fourth[0].value:.0%} of samples held out."
    )


def _cost(shapes, params: NeuralCollapseParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    fits = params.permutations + 22
    return Cost(
        m.seconds(flops64=fits * 40.0 * n * d, moved=fits * n * d * 40.0) + 0.02, n * d * 8 * 4.5 + 1e5
    )


def _check() -> tuple[CheckLine, ...]:
    """A simplex of 5 classes with noise σ in 20 units, lengths 1: tr Σ_W / tr Σ_B = 20 σ², equal lengths and angles;
    its share between classes; noise alone: NC1 = n_c (C - 1) / (d - C); lengths 1 … 2 spread as they do."""
    rng = np.random.default_rng(3)
    of = np.arange(1000) % 5
    simplex = np.linalg.qr(rng.standard_normal((20, 20)))[0][:5] * np.sqrt(5 / 4)
    simplex = simplex - simplex.mean(axis=0)
    noise = 0.1 * rng.standard_normal((1000, 20))

    def shown(x, draws=19) -> dict[str, float]:
        tap = ArrayActivations(x + 7.0, samples={"label": of[: len(x)]})
        result = neural_collapse(tap, NeuralCollapseParams(permutations=draws), np.random.default_rng(0))
        return {e.name: e.value for e in result.estimates}

    planted = shown(simplex[of] + noise)
    stretched = shown((simplex * np.linspace(1, 2, 5)[:, None])[of] + noise)
    alone = shown(np.random.default_rng(4).standard_normal((1000, 105)))
    free = ", without what sampling adds"
    centred = simplex * np.linspace(1, 2, 5)[:, None]
    lengths = np.linalg.norm(centred - centred.mean(axis=0), axis=1)
    return (
        CheckLine("simplex: tr Σ_W / tr Σ_B = 20 σ²", 0.2, planted.get("NC1, tr Σ_W / tr Σ_B" + free, 0.0), 0.01),
        CheckLine("simplex: tr(Σ_W Σ_B⁺) / C = (C - 1) σ² (C - 1) / C",
                  0.01 * 16 / 5, planted["NC1, tr(Σ_W Σ_B⁺) / C"], 0.002),
        CheckLine("simplex: spread of lengths", 0.0, planted["NC2, spread of the lengths of the class means"], 0.03),
        CheckLine("simplex: cosines from -1/4", 0.0,
                  planted["NC2, mean distance of their cosines from -1 / (C - 1)"], 0.03),
        CheckLine("lengths from 1 to 2: their spread", float(lengths.std() / lengths.mean()),
                  stretched["NC2, spread of the lengths of the class means"], 0.03),
        CheckLine("simplex: nearest mean gives the class", 1.0, planted["nearest class mean gives the class"], 0.0),
        CheckLine("noise alone: NC1 = n_c (C - 1) / (d - C)", 8.0, alone["NC1, tr(Σ_W Σ_B⁺) / C"], 1.6),
        CheckLine("noise alone: share between classes", 0.0,
                  alone.get("share of the variance between classes" + free, 1.0), 0.0015),
        CheckLine("noise alone: nearest mean gives the class", 0.2, alone["nearest class mean gives the class"], 0.06),
    )  # fmt: skip


METHODS = (
    Method(
        id="neural_collapse", family="subspaces", title="Neural collapse", version=1, function=neural_collapse,
        summary="Whether classes have become points at equal angles that the classifier's rows point to.",
        params=NeuralCollapseParams, result=Table, check=_check, cost=_cost, minimum_rows=8,
        invariance="rotating, shifting or scaling all activations together; not the scale of single units",
        papers=("FedLoGe: Joint Local and Generic Federated Learning under Long-tailed Data",
            "Mamba-FSCIL: Dynamic Adaptation with Selective State Space Model for Few-Shot Class-Incremental "
            "Learning",),
    ),
)  # fmt: skip
