"""How often, and how far, do models disagree about the same samples? Models x models; and does that tell their error?

A cell is the share of samples with a different top class, or the mean KL(row || column) or Jensen-Shannon divergence
of the class probabilities in nats (`compute.outputs.divergences`). Taps are outputs: logits, or probabilities that sum
to 1. A further line can hold the ensemble, the mean of the probabilities: of all models, or of all but the first (a
student against its teachers).

Null of a cell: the same answers to exchanged samples, its mean exact (top class, KL) or of 20 seeded exchanges (JS).
Intervals: samples; each counts once, by the mean over its tokens.

*Disagreement as an error estimate*: the mean disagreement of two models equals their mean error where the label is like
one more vote (`compute.outputs.ensemble`). With labels this is put to the test: disagreement less error, and the
calibration error of the votes (CACE), which bounds that difference, each against the label exchanged with a random
vote; and the calibration error (ECE) of the mean prediction, against answers that are right with their own confidence.

When it lies: models that are not independent (copies, checkpoints of one run, points of one path) disagree less than
they err — copies not at all; so does any ensemble off the distribution it is calibrated on; a disagreement of 0 on few
samples is no proof of equality (see the interval); KL is ruled by classes that one model calls almost impossible.

Cost: O(k² n C); memory O(k n C).

References: Y. Jiang et al. (2022), "Assessing generalization of SGD via disagreement"; Y. Jiang, C. Baek & J. Z. Kolter
(2023), "On the joint interaction of models, data, and features"; J. Lin (1991) for the JS divergence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.outputs.disagreement_report import (
    Trial,
    calibration_estimates,
    disagreement_caveats,
    disagreement_reading,
    trial_of,
)
from analysis.compute.outputs.divergences import BY_ROW, LN2, MEASURES, UNIT, exchanged_mean
from analysis.compute.outputs.model_outputs import KINDS, Outputs, labels_of, model_outputs, refuse_no_label
from analysis.compute.populations.planted_models import planted_predictions
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

ENSEMBLES = ("none", "mean of all", "mean of all but the first")
UNSURE = 0.1


@dataclass(frozen=True)
class OutputDisagreementParams:
    measure: str = param("different top class", "What a cell measures.", choices=MEASURES)
    outputs: str = param(
        "auto", "Auto takes rows that sum to 1 as probabilities and all others as logits.", choices=KINDS
    )
    ensemble: str = param(
        "none", "A further line for the mean of the models' probabilities.", choices=ENSEMBLES
    )
    label: str = param(
        "", "Sample column with the right class; empty: 'label' where there is one that fits.", column=True
    )
    maximum_samples: int = param(10_000, "Most rows; a seeded random subset above.", low=50, high=200_000)


def output_disagreement(
    *taps, params: OutputDisagreementParams = OutputDisagreementParams(), rng=None, progress=no_progress
) -> Matrix:
    """Disagreement of two or more models.

    Parameters
    ----------
    *taps : Activations or arrays (rows, classes), outputs of the models on the same samples.

    Returns
    -------
    Matrix
        `values` (k, k), 0 on the diagonal, with `null`, `low`, `high`. Estimates: the mean disagreement; with labels
        the error, their difference and both calibration errors.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge, NotFound
        Fewer than two taps; different or single classes; no probabilities; different tokens; fewer than four common
        samples; no such column, or none with a class.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    data = model_outputs(taps, params.outputs, rng, maximum=params.maximum_samples, progress=progress)
    label = labels_of(taps[0], params.label, data.classes, data.position)
    if params.label:
        refuse_no_label(label, params.label, taps[0].name)
    logs, names = _with_ensemble(data, params.ensemble)
    values, low, high, null = _cells(data, logs, params.measure, rng, progress)
    progress(0.9, "disagreement and error")
    trial = trial_of(data, label)
    estimates = (
        *_estimates(data, values, null, params.measure, trial),
        *calibration_estimates(data, trial, rng),
    )
    shares = params.measure == "different top class"
    limits = {"different top class": (0.0, 1.0), "JS": (0.0, LN2)}.get(params.measure)
    return Matrix(
        title="Disagreement of " + (" and ".join(names) if len(names) == 2 else f"{len(names)} models"),
        reading=disagreement_reading(estimates, data, trial),
        caveats=(*disagreement_caveats(data, trial, label), *data.notes), estimates=estimates, values=values,
        row_names=names, column_names=names, limits=limits, null=null, low=low, high=high,
        value_name="share with a different top class" if shares else f"mean {params.measure} (nats), row to column",
        few=(high - low) / 2 > UNSURE if shares else None,
    )  # fmt: skip


def _with_ensemble(data: Outputs, which: str) -> tuple[list[np.ndarray], tuple[str, ...]]:
    logs = list(data.logs)
    if which == "none":
        return logs, data.names
    chosen = logs if which == "mean of all" else logs[1:]
    mean = np.logaddexp.reduce(chosen, axis=0) - np.log(len(chosen))
    return [*logs, mean], (*data.names, which)


def _cells(data: Outputs, logs, measure: str, rng, progress):
    """Mean (k, k), its interval, and its null."""
    k, of = len(logs), BY_ROW[measure]
    values, low, high, null = (np.zeros((k, k)) for _ in range(4))
    most = {"different top class": 1.0, "JS": LN2}.get(measure, np.inf)
    for a in range(k):
        progress(0.3 + 0.6 * a / k, "comparing answers")
        for b in range(k):
            if b < a and measure != "KL":
                for m in (values, low, high, null):
                    m[a, b] = m[b, a]
                continue
            null[a, b] = exchanged_mean(measure, logs[a], logs[b], rng)
            if a == b:
                continue
            each = data.per_sample(of(logs[a], logs[b]))
            ends = _interval(each, measure, most)
            values[a, b], low[a, b], high[a, b] = each.mean(), ends["low"], ends["high"]
    return values, low, high, null


def _interval(each: np.ndarray, measure: str, most: float = np.inf) -> dict:
    return share_interval(each) if measure == "different top class" else mean_interval(each, 0.0, most)


def _estimates(data: Outputs, values, null, measure: str, trial: Trial) -> tuple[Estimate, ...]:
    k = len(data.names)
    off = ~np.eye(k, dtype=bool)
    common = {"n": data.n_samples, "d": len(data.classes)}
    pairs = "the two models" if k == 2 else "two models"
    first = Estimate(
        f"disagreement of {pairs} (label-free error estimate)", float(trial.disagreement.mean()),
        **share_interval(trial.disagreement), null=trial.by_chance, null_method="samples exchanged, exact mean",
        estimator="share of samples with a different top class", unit=UNIT["different top class"], **common,
    )  # fmt: skip
    if measure == "different top class":
        return (first,)
    of, logs = BY_ROW[measure], data.logs
    each = np.mean([of(logs[a], logs[b]) for a in range(k) for b in range(k) if a != b], axis=0)
    return first, Estimate(
        f"mean {measure} of {pairs}", float(values[:k, :k][off].mean()), **_interval(data.per_sample(each), measure),
        null=float(null[:k, :k][off].mean()), estimator=f"mean {measure}, both directions", unit=UNIT[measure],
        null_method="samples exchanged, " + ("exact mean" if measure == "KL" else "mean of 20 draws"), **common,
    )  # fmt: skip


def _cost(shapes, params: OutputDisagreementParams) -> Cost:
    n, k = (
        min(min(rows for rows, _ in shapes), params.maximum_samples),
        len(shapes) + (params.ensemble != "none"),
    )
    classes = max(units for _, units in shapes)
    passes = {"different top class": 6.0, "KL": 30.0, "JS": 90.0 * 12}[params.measure]
    seconds = machine().seconds(moved=8.0 * n * classes * (k * k * passes + 60.0 * k + 400.0))
    return Cost(seconds + 0.02, 8.0 * n * classes * (2.0 * k + 5.0))


def _check() -> tuple[CheckLine, ...]:
    """Labels and models drawn from one p(x): disagreement is the error. One model twice: 0 everywhere. Confident models
    that agree on nothing: 1, and JS = ln 2. A model that says p against one that says q: KL by its sum."""
    rng = np.random.default_rng(17)
    _, label, top = planted_predictions(rng, 5000, 10, 4)
    sure = [ArrayActivations(30.0 * np.eye(10)[t], samples={"label": label}) for t in top]
    found = {e.name: e for e in output_disagreement(*sure).estimates}
    gap, bound = found["disagreement less error"], found["calibration error of the votes (CACE)"]
    twice = output_disagreement(sure[0], sure[0])
    classes = rng.integers(10, size=300)
    apart = [60.0 * np.eye(10)[c] for c in (classes, (classes + 1) % 10)]
    js = output_disagreement(*apart, params=OutputDisagreementParams(measure="JS")).values[0, 1]
    p, q = rng.dirichlet(np.ones(4), size=50), rng.dirichlet(np.ones(4), size=50)
    kl = output_disagreement(p, q, params=OutputDisagreementParams(measure="KL")).values
    return (
        CheckLine("calibrated models: disagreement less error", 0.0, gap.value, 0.025),
        CheckLine("calibrated models: CACE less its null", 0.0, bound.value - bound.null, 0.025),
        CheckLine("one model twice: disagreement", 0.0, float(twice.values.max()), 0.0),
        CheckLine("agreeing on nothing: disagreement", 1.0, output_disagreement(*apart).values[0, 1], 0.0),
        CheckLine("agreeing on nothing: JS is ln 2", float(np.log(2)), js, 1e-9),
        CheckLine("KL of two distributions", float((p * np.log(p / q)).sum(axis=1).mean()), kl[0, 1], 1e-9),
        CheckLine("KL the other way", float((q * np.log(q / p)).sum(axis=1).mean()), kl[1, 0], 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="output_disagreement", family="populations", title="Disagreement of models", version=1,
        function=output_disagreement,
        summary="How often models answer differently, and whether that tells how often they are wrong.",
        params=OutputDisagreementParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=4, invariance="adding a number to all logits of a sample; the order of samples and of classes",
        papers=(
            "On the Joint Interaction of Models, Data, and Features",
            "HARD: Hard Augmentations for Robust Distillation",
            "Traversing Between Modes in Function Space for Fast Ensembling",
            "MEAL V2: Boosting Vanilla ResNet-50 to 80%+ Top-1 Accuracy on ImageNet without Tricks",
        ),
    ),
)  # fmt: skip
