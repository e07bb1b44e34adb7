"""How sure is a model where it is right, and where it is wrong? Confidence in two histograms.

Samples are counted by the probability of their top class, right ones and wrong ones apart. A model whose confidence
tells its errors has two histograms that hardly overlap:

    AUROC           chance that a right sample has a higher confidence than a wrong one; 1/2 tells nothing
    sure and wrong  wrong samples with a confidence of at least `sure`, of all wrong ones

Drawn behind the wrong ones: those that a model of these confidences would have if it were calibrated, Σ (1 - c) in each
bin, beside the calibration curve of the method `expected_calibration`.

Interval: DeLong's for the AUROC, Wilson's for shares, Student's t over right and over wrong samples for the mean
difference (Welch). Null: right and wrong exchanged (an AUROC of 1/2, no difference); of wrong ones that are sure those
of a calibrated model.

When it lies: probabilities that were sharpened or flattened keep the AUROC and move both histograms; few wrong samples
make a rough histogram (their number is told); samples that the network was trained on are nearly all right and sure.

Cost: O(n C).

References: A. Shah (2025), "Balanced multi-task attention for satellite image classification"; D. Hendrycks & K. Gimpel
(2017), "A baseline for detecting misclassified examples"; E. DeLong et al. (1988).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.outputs.calibration_cases import top_class
from analysis.compute.outputs.model_outputs import KINDS
from analysis.compute.statistics.auroc import class_auroc, delong_interval, midranks, null_sd, two_sided_p
from analysis.compute.statistics.sample_groups import share_interval
from analysis.errors import NotEnoughData
from analysis.results import Distribution, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 10
RIGHT, WRONG = "right", "wrong"


@dataclass(frozen=True)
class ConfidenceParams:
    column: str = param("label", "Sample column with the right class.", column=True)
    bins: int = param(20, "Number of bins.", low=2, high=100)
    sure: float = param(0.9, "From which confidence on a sample counts as sure.", low=0.05, high=1.0)
    outputs: str = param(
        "auto", "Auto takes rows that sum to 1 as probabilities and all others as logits.", choices=KINDS
    )
    maximum_samples: int = param(50_000, "Most rows; a seeded random subset above.", low=50, high=500_000)


def confidence_histograms(
    activations, params: ConfidenceParams = ConfidenceParams(), rng=None, progress=no_progress
) -> Distribution:
    """Confidence of right and of wrong samples.

    Parameters
    ----------
    activations : Activations (rows, classes) with a column of right classes

    Returns
    -------
    Distribution
        Counts of right and of wrong samples by confidence; null: wrong ones of a calibrated model. Estimates: AUROC,
        mean difference, sure and wrong, accuracy.

    Raises
    ------
    NotFound, InputError
        No such column; labels that name no class; one class.
    NotEnoughData, TooLarge
        Fewer than ten samples with a label; over 8 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    progress(0.05, "reading")
    cases = top_class(
        tap, column=params.column, outputs=params.outputs, maximum=params.maximum_samples, rng=rng
    )
    c, right = cases.confidence, cases.right == 1
    if len(c) < FEWEST:
        raise NotEnoughData(f"{tap.name} has {len(c)} sample(s) with a label", f"at least {FEWEST}")
    progress(0.7, "counting")
    edges = np.linspace(1 / cases.classes, 1.0, params.bins + 1)
    place = np.clip(np.searchsorted(edges, c, side="right") - 1, 0, params.bins - 1)
    counts = {
        name: np.bincount(place[of], minlength=params.bins) for name, of in ((RIGHT, right), (WRONG, ~right))
    }
    told = _estimates(c, right, cases.classes, params.sure)
    progress(1.0, "done")
    few = [] if min(right.sum(), (~right).sum()) >= FEWEST else [
        f"{int(right.sum())} right and {int((~right).sum())} wrong sample(s): the fewer of them make a rough histogram."
    ]  # fmt: skip
    return Distribution(
        title=f"Confidence of {tap.name} where it is right and where it is wrong", edges=edges, counts=counts,
        value_name="probability of the top class", null=np.bincount(place, 1 - c, params.bins),
        markers={"sure": params.sure} if params.sure > edges[0] else {}, estimates=told, reading=_reading(told, params),
        caveats=(*cases.notes, *few, "The null is how many would be wrong in each bin if the model were calibrated."),
    )  # fmt: skip


def _estimates(c: np.ndarray, right: np.ndarray, classes: int, sure: float) -> tuple[Estimate, ...]:
    n, out = len(c), []
    common = {"n": n, "d": classes}
    if right.any() and not right.all():
        out += [_auroc(c, right, common), _difference(c[right], c[~right], common)]
    wrong = ~right
    if wrong.any():
        those = (c[wrong] >= sure).astype(float)
        doubt = 1 - c
        whole = float(doubt.sum())
        out.append(Estimate(
            f"wrong ones that are sure (at least {sure:g})", float(those.mean()), **share_interval(those),
            null=float(doubt[c >= sure].sum() / whole) if whole > 0 else 0.0, n=len(those), d=classes,
            null_method="a calibrated model of these confidences", estimator="share of wrong samples"))  # fmt: skip
    hits = right.astype(float)
    out.append(Estimate("accuracy", float(hits.mean()), **share_interval(hits), null=float(c.mean()),
                        null_method="mean confidence, what a calibrated model would reach",
                        estimator="share of samples", **common))  # fmt: skip
    return tuple(out)


def _auroc(c: np.ndarray, right: np.ndarray, common: dict) -> Estimate:
    of = right.astype(np.int64)
    counts = np.bincount(of, minlength=2)
    ranks, ties = midranks(c[:, None])
    auc, sd = class_auroc(ranks, of, counts)[1:], null_sd(counts, ties, len(c))[1:]
    value = float(auc[0, 0])
    ends = delong_interval(c, right) if counts.min() > 1 else None
    between = {"interval": "none: one sample of a side"} if ends is None else {
        "low": min(ends[0], value), "high": max(ends[1], value), "interval": "DeLong, logit scale"}  # fmt: skip
    return Estimate(
        "AUROC of confidence for right against wrong", value, **between, null=0.5,
        null_low=float(0.5 - 1.959964 * sd[0, 0]), null_high=float(0.5 + 1.959964 * sd[0, 0]),
        null_method="right and wrong exchanged (Mann-Whitney)",
        p_value=float(two_sided_p(auc, sd, counts[1:], len(c))[0, 0]),
        estimator="area under the ROC curve", **common,
    )  # fmt: skip


def _difference(right: np.ndarray, wrong: np.ndarray, common: dict) -> Estimate:
    value = float(right.mean() - wrong.mean())
    facts = {
        "null": 0.0,
        "null_method": "right and wrong alike",
        "estimator": "difference of means",
        **common,
    }
    if min(len(right), len(wrong)) < 2:
        return Estimate(
            "mean confidence, right less wrong", value, interval="none: one sample of a side", **facts
        )
    parts = [x.var(ddof=1) / len(x) for x in (right, wrong)]
    both = sum(parts)
    free = both**2 / max(sum(p**2 / (len(x) - 1) for p, x in zip(parts, (right, wrong), strict=True)), 1e-300)
    half = float(stdtrit(max(free, 1.0), 0.975) * np.sqrt(both)) if both > 0 else 0.0
    return Estimate("mean confidence, right less wrong", value, value - half, value + half,
                    interval="Welch's t over samples", **facts)  # fmt: skip


def _reading(told, params) -> str:
    by = {e.name.partition(" ")[0]: e for e in told}
    accuracy = by["accuracy"]
    if "AUROC" not in by:
        return f"All samples are {RIGHT if accuracy.value == 1 else WRONG}: there is nothing to tell apart."
    auroc, gap = by["AUROC"], by["mean"]
    sure = by["wrong"]
    tells = "tells" if auroc.p_value < 0.05 and auroc.value > 0.5 else "does not tell"
    return (
        f"Confidence {tells} right from wrong: a right sample is the surer of two with a chance of {auroc.value:.2f}, "
        f"by {gap.value:+.2f} on average. {sure.value:.0%} of the {sure.n:,} wrong ones are sure (at least "
        f"{params.sure:g}; of a calibrated model {sure.null:.0%}). Accuracy {accuracy.value:.1%}."
    )


def _cost(shapes, params: ConfidenceParams) -> Cost:
    (rows, classes), n = shapes[0], min(shapes[0][0], params.maximum_samples)
    return Cost(
        machine().seconds(moved=8.0 * n * (classes * 20 + 40) + rows * 30.0) + 0.01, 8.0 * n * classes * 4.5
    )


def _check() -> tuple[CheckLine, ...]:
    """Right with 0.9 and wrong with 0.6: told apart wholly; a coin decides: not at all; labels drawn from the
    probabilities fill the histogram of wrong ones as the null says."""
    rng = np.random.default_rng(4)

    def found(p, label, **more):
        tap = ArrayActivations(p, "planted", samples={"label": label})
        return confidence_histograms(tap, ConfidenceParams(**more))

    sure = np.where(np.arange(200)[:, None] % 2, [0.9, 0.1], [0.6, 0.4])
    apart = found(sure, 1 - np.arange(200) % 2).estimates
    coin = found(
        np.column_stack([c := 0.5 + 0.5 * rng.random(4000), 1 - c]), rng.integers(2, size=4000)
    ).estimates
    logits = 1.5 * rng.standard_normal((6000, 4))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    fair = found(p, (rng.random(6000)[:, None] > p.cumsum(axis=1)[:, :-1]).sum(axis=1))
    return (
        CheckLine("right with 0.9, wrong with 0.6: AUROC", 1.0, apart[0].value, 1e-12),
        CheckLine("and the difference", 0.3, apart[1].value, 1e-12),
        CheckLine("no wrong one is sure", 0.0, apart[2].value, 1e-12),
        CheckLine("a coin decides: AUROC", 0.5, coin[0].value, 0.03),
        CheckLine("calibrated: wrong ones over the null", 1.0, float(fair.counts[WRONG].sum() / fair.null.sum()), 0.05),
        CheckLine("calibrated: wrong ones that are sure less null", 0.0,
                  fair.estimates[2].value - fair.estimates[2].null, 0.03),
    )  # fmt: skip


METHODS = (
    Method(
        id="confidence_histograms", family="populations", title="Confidence where right and wrong", version=2,
        function=confidence_histograms, params=ConfidenceParams, result=Distribution, check=_check, cost=_cost,
        summary="Histograms of confidence of right and of wrong samples, and whether it tells them apart.",
        minimum_rows=FEWEST,
        invariance="adding a number to all logits of a sample; the order of samples and of classes",
        papers=(
            "Balanced Multi-Task Attention for Satellite Image Classification: A Systematic Approach to Achieving "
            "97.23% Accuracy on EuroSAT Without Pre-Training",
        ),
    ),
)  # fmt: skip
