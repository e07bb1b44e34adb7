"""Do these concepts tell the classes, do few of them, and do their names carry anything?

A sparse head (multinomial regression, l1) reads classes from concept values alone: the class x concept weights are the
matrix. Beside its held-out accuracy stand that of a linear probe on the activations as they are (what the bottleneck
costs), of as many random directions that are active as often (if they do as well, the names carry nothing), and of the
concepts with values exchanged among samples of which the concept's own label is the same. What is lost by that is
*leakage*: the values told more than whether the concept is there. The other picture is one sample's evidence, weight
times value, that adds up to the logits of the head that did not see the sample.

When it lies: as many random directions as units hold all that is linear, so that no names can beat them; a concept read
from a column that is the class itself makes the bottleneck the probe; a concept without a column has its own label
where it is active, and leakage is then relative to that; the l1 penalty picks one of several concepts that go together;
tokens are pooled. A concept switched off is set to 0 and the head is not fitted again.

Cost: 3 paths of nine penalties and 3 (2 + draws) fits, each O(n k classes) times up to 300 steps.

References: A. Semenov et al. (2024), "Sparse concept bottleneck models: Gumbel tricks in contrastive learning"; P. W.
Koh et al. (2020), "Concept bottleneck models"; A. Mahinpei et al. (2021), "Promises and pitfalls of black-box concept
learning models" (leakage).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.dictionaries.bottleneck import (
    FOLDS,
    bottleneck,
    folds_and_shares,
    label_alone,
    own_labels,
    random_concepts,
    switched_off,
)
from analysis.compute.dictionaries.bottleneck_report import (
    bottleneck_caveats,
    bottleneck_estimates,
    bottleneck_reading,
    class_weights,
    off_estimates,
    sample_evidence,
)
from analysis.compute.linear.bayes_probe import held_out_classes
from analysis.compute.machine import machine
from analysis.compute.rows.samples import labelled_matrix, pooled_samples
from analysis.errors import InputError, NotFound
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, SMALLEST = 24, 6
WEIGHTS, EVIDENCE = "class weights", "one sample's evidence"


@dataclass(frozen=True)
class ConceptBottleneckParams:
    column: str = param("label", "The sample column that holds the classes.", column=True)
    shown: str = param(WEIGHTS, "What the matrix shows.", choices=(WEIGHTS, EVIDENCE))
    sample: str = param("", "Id of the sample whose evidence is shown; empty: the first that is named wrong.")
    off: str = param("", "Concepts to switch off, by name, with commas between.", label="switched off")
    penalty: float | None = param(
        None, "l1 penalty as a share of the one that leaves no concept in; automatic: chosen on training samples.",
        low=1e-4, high=1.0,
    )  # fmt: skip
    draws: int = param(5, "Sets of random directions; p cannot be below 1 / (1 + draws).", low=2, high=100)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(1200, "Most samples; a seeded random subset above.", low=50, high=20_000)


def concept_bottleneck(
    activations, params: ConceptBottleneckParams = ConceptBottleneckParams(), rng=None, progress=no_progress
) -> Matrix:
    """Classes by concepts.

    Parameters
    ----------
    activations : Activations with the column
        A tap that a set of concepts encoded, or any other encoded tap; of any other tap its units are the concepts.

    Returns
    -------
    Matrix
        Weights for one deviation of a concept, or the evidence of one sample. Estimates: accuracy of the bottleneck, of
        a probe on the activations, leakage, concepts used, what switching off changes.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column, sample or concept; fewer than two classes of six samples; no concept that varies; over 4 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    made = tap_dictionary(tap)
    data = labelled_matrix(tap, params.column, params.pooling, minimum=SMALLEST, rng=rng, progress=progress,
                           maximum_samples=params.maximum_samples, span=(0.0, 0.1))  # fmt: skip
    x = data.values
    if not made.of_units or params.pooling != "mean":
        x = pooled_samples(made.source, "mean", data.samples, progress, (0.1, 0.2))[0]
    vary = np.flatnonzero(np.ptp(data.values, axis=0) > 0)
    if not len(vary) or len(data.of) < FEWEST:
        raise InputError(
            f"{len(vary)} concept(s) of {tap.name} vary over {len(data.of)} labelled samples",
            f"one or more, over at least {FEWEST}", "Choose another tap, or record more samples",
        )  # fmt: skip
    names = _names(made, tap)[vary]
    codes, classes = data.values[:, vary], len(data.names)
    fold, shares = folds_and_shares(codes, data.of, classes, params.penalty, rng)
    progress(0.4, "fitting the head")
    found = bottleneck(codes, data.of, fold, classes, shares)
    active, random = (codes != 0).mean(axis=0), []
    for draw in range(params.draws):
        progress(0.5 + 0.4 * draw / params.draws, "random directions")
        random.append(bottleneck(random_concepts(x, active, rng), data.of, fold, classes, shares))
    progress(0.9, "values within their own label")
    columns = {c: np.asarray(v)[data.samples] for c, v in tap.samples.items()}
    own, known = own_labels(codes, names, columns)
    alone = bottleneck(label_alone(codes, own, rng), data.of, fold, classes, shares)
    raw = held_out_classes(x - x.mean(axis=0), [data.of], classes, fold)[0]
    off = _off(params.off, names)
    estimates = bottleneck_estimates(found, random, alone, raw, data.of, names, x.shape[1], rng)
    if off.any():
        estimates += off_estimates(found, switched_off(found, codes, fold, off), data.of, int(off.sum()))
    progress(1.0, "done")
    caveats = (*data.notes, *made.notes, *bottleneck_caveats(known, names, x.shape[1], vary, tap.shape[1]))
    ids = np.asarray(tap.samples["id"]).astype(str)[data.samples]
    draw = sample_evidence if params.shown == EVIDENCE else class_weights
    return draw(
        tap.name,
        found,
        codes,
        data,
        fold,
        names,
        ids,
        params,
        bottleneck_reading(estimates),
        caveats,
        estimates,
    )


def _names(made, tap) -> np.ndarray:
    """Names of the concepts: those of the set, else of the tap."""
    told = made.features.feature_names
    return np.array(told if len(told) == tap.shape[1] else tap.unit_names, dtype=str)


def _off(asked: str, names: np.ndarray) -> np.ndarray:
    wanted = [name.strip() for name in asked.split(",") if name.strip()]
    for name in wanted:
        if name not in names:
            shown = ", ".join(names[:8]) + (" …" if len(names) > 8 else "")
            raise NotFound(f"no concept {name!r} that varies", f"one of {shown}")
    return np.isin(names, wanted)


def _cost(shapes, params: ConceptBottleneckParams) -> Cost:
    (rows, k), m, c = shapes[0], machine(), 10
    n = min(rows, params.maximum_samples)
    steps = FOLDS * (9 * 60 + (2 + params.draws) * 120)
    flops = steps * 4.0 * n * k * c + FOLDS * 8.0 * n * k * min(n, k)
    held = 8.0 * n * k * 6.0 + 8.0 * n * c * 6 + 8.0 * min(n, k) ** 2
    return Cost(m.seconds(flops64=flops, moved=24.0 * rows * k + steps * 60.0 * n * c) + 0.1, held)


def _check() -> tuple[CheckLine, ...]:
    """Two of eight concepts make four classes: they tell them, random directions do not as well, and the concepts that
    no weight falls on can be switched off. Values that hold the class beside their label leak."""
    rng = np.random.default_rng(0)
    on = (rng.random((120, 8)) < 0.5).astype(float)
    of, params = (2 * on[:, 0] + on[:, 1]).astype(int), ConceptBottleneckParams(draws=2, penalty=0.1)
    clean = concept_bottleneck(ArrayActivations(on + 2.0 * (on > 0), "planted", {"label": of}), params)
    graded = (on * (1 + 2 * (of[:, None] % 2)))[:, 2:]
    leaking = concept_bottleneck(ArrayActivations(graded, "leaking", {"label": of % 2}), params)
    kept, (told, _, none, _) = set(clean.column_names), clean.estimates
    off = ConceptBottleneckParams(draws=2, penalty=0.1, off=",".join(sorted(set("01234567") - kept)))
    same = concept_bottleneck(ArrayActivations(on + 2.0 * (on > 0), "planted", {"label": of}), off)
    return (
        CheckLine("two concepts tell four classes", 1.0, told.value, 0.01),
        CheckLine("they are the ones with weights", 2.0, float(len(kept & {"0", "1"})), 0.0),
        CheckLine("values that are their label do not leak", 0.0, none.value, 1e-12),
        CheckLine("values that hold the class do", 0.2, leaking.estimates[2].value, 0.0, "at least"),
        CheckLine("a concept without a weight is switched off", 0.0, same.estimates[4].value, 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="concept_bottleneck", family="dictionaries", title="Concept bottleneck", version=1,
        function=concept_bottleneck,
        summary="Classes from named concepts by a sparse head: weights, leakage, and whether random directions do it.",
        params=ConceptBottleneckParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="reordering concepts; scaling a concept by a positive number",
        papers=("Sparse Concept Bottleneck Models: Gumbel Tricks in Contrastive Learning",),
    ),
)  # fmt: skip
