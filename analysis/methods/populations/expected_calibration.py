"""Is a model right as often as it is confident? The calibration curve, against a perfectly calibrated model.

Samples are put into bins by the probability of their top class; drawn is the share that is right in each bin over the
mean confidence there, with Wilson's interval. On the dashed diagonal confidence and accuracy are the same. ECE is the
mean distance from it, weighted by samples (`compute.outputs.calibration`).

With `output`, one unit is judged by itself: the sigmoid of its logit (or the value, where all lie in [0, 1]) against a
column of 0 and 1, or of shares, as for a question that a further head answers. Its AUC is given, too.

Null: a perfectly calibrated model, each sample right with its own confidence. Its ECE is above 0 (200 draws). The mean
of confidence less accuracy is 0 for it, with variance Σ c (1 - c) / n² exactly. An AUC is 1/2 when targets are
exchanged (Mann-Whitney).

When it lies: ECE depends on the bins; a model can be calibrated on average and wrong about every group; it holds for
these samples, and calibration is lost on shifted data first; a model that always says the base rate is perfectly
calibrated and useless.

Cost: O(n C + draws n).

References: C. Guo et al. (2017), "On calibration of modern neural networks"; J. Bröcker & L. Smith (2007), "Increasing
the reliability of reliability diagrams"; E. DeLong et al. (1988) for the interval of the AUC.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.outputs.calibration import BINNING, DRAWS, Bins, bins_of, ece_by_chance
from analysis.compute.outputs.calibration_cases import Cases, one_output, top_class
from analysis.compute.outputs.model_outputs import KINDS
from analysis.compute.statistics.auroc import class_auroc, delong_interval, midranks, null_sd, two_sided_p
from analysis.compute.statistics.nulls import against, wilson
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.errors import NotEnoughData
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 10


@dataclass(frozen=True)
class CalibrationParams:
    column: str = param(
        "label", "Sample column with the right class, or with the target of `output`.", column=True
    )
    output: str = param("", "One unit to judge by itself against a column of 0 and 1; empty: the top class.")
    bins: int = param(10, "Number of bins.", low=2, high=100)
    binning: str = param(
        "equal count", "Bins with as many samples each, or as wide as each other.", choices=BINNING
    )
    outputs: str = param(
        "auto", "Auto takes rows that sum to 1 as probabilities and all others as logits.", choices=KINDS
    )
    maximum_samples: int = param(50_000, "Most rows; a seeded random subset above.", low=50, high=500_000)


def expected_calibration(
    activations, params: CalibrationParams = CalibrationParams(), rng=None, progress=no_progress
) -> Curve:
    """Calibration of a model's outputs.

    Parameters
    ----------
    activations : Activations (rows, classes) with a column of right classes, or of targets

    Returns
    -------
    Curve
        x = mean confidence of a bin, the series "share right" with Wilson's band; null: the diagonal. Estimates: ECE,
        confidence less accuracy, accuracy; of one output the AUC.

    Raises
    ------
    NotFound, InputError
        No such column or unit; labels that name no class; targets outside [0, 1]; one class.
    NotEnoughData, TooLarge
        Fewer than ten samples with a label; over 8 GiB.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    progress(0.05, "reading")
    read = dict(column=params.column, outputs=params.outputs, maximum=params.maximum_samples, rng=rng)
    cases = (
        one_output(activations, params.output, **read) if params.output else top_class(activations, **read)
    )
    n = len(cases.right)
    if n < FEWEST:
        raise NotEnoughData(f"{activations.name} has {n} sample(s) with a label", f"at least {FEWEST}")
    progress(0.5, "a perfectly calibrated model")
    bins = bins_of(cases.confidence, cases.right, params.bins, params.binning)
    estimates = _estimates(bins, cases, params, rng)
    ends = np.array([wilson(r * c, int(c)) for r, c in zip(bins.right, bins.count, strict=True)])
    name = "share right" if not params.output else "share of targets"
    return Curve(
        title=f"Calibration of {activations.name}" + (f", output {params.output}" if params.output else ""),
        reading=_reading(estimates, params), caveats=(*_caveats(bins, cases, params), *cases.notes),
        estimates=estimates,
        x=bins.confidence, x_name="mean confidence", y_name=name, series={name: bins.right},
        low={name: np.minimum(ends[:, 0], bins.right)}, high={name: np.maximum(ends[:, 1], bins.right)},
        null={name: bins.confidence},
    )  # fmt: skip


def _estimates(bins: Bins, cases: Cases, params, rng) -> tuple[Estimate, ...]:
    c, right, n = cases.confidence, cases.right, len(cases.right)
    common = {"n": n, "d": cases.classes}
    spread = float(np.sqrt((c * (1 - c)).sum())) / n
    gap = c - right
    z = abs(gap.mean()) / spread if spread > 0 else (0.0 if abs(gap.mean()) < 1e-12 else np.inf)
    out = [
        Estimate("expected calibration error (ECE)", bins.ece, **against(bins.ece, ece_by_chance(bins, c, rng)),
                 null_method=f"a perfectly calibrated model, {DRAWS} draws",
                 estimator=f"{len(bins.count)} bins of {params.binning}", **common),
        Estimate("confidence less accuracy" if not params.output else "mean probability less mean target",
                 float(gap.mean()), **mean_interval(gap, -1.0, 1.0), null=0.0, null_low=-1.959964 * spread,
                 null_high=1.959964 * spread, null_method="a perfectly calibrated model, exact variance",
                 p_value=float(min(2 * ndtr(-z), 1.0)), estimator="mean over samples", **common),
    ]  # fmt: skip
    if params.output:
        return (*out, *_auc(cases, common))
    return (*out, Estimate("accuracy", float(right.mean()), **share_interval(right), null=float(c.mean()),
                           null_method="mean confidence, what a calibrated model would reach",
                           estimator="share of samples", **common))  # fmt: skip


def _auc(cases: Cases, common: dict) -> tuple[Estimate, ...]:
    """The AUC of one output where its targets are 0 or 1 and both occur."""
    of, n = cases.right.astype(np.int64), len(cases.right)
    counts = np.bincount(of, minlength=2)
    if not np.isin(cases.right, (0, 1)).all() or counts.min() < 2:
        return ()
    ranks, ties = midranks(cases.confidence[:, None])
    auc, sd = class_auroc(ranks, of, counts)[1:], null_sd(counts, ties, n)[1:]
    low, high = delong_interval(cases.confidence, of == 1)
    return (Estimate(
        "AUC", float(auc[0, 0]), low, high, interval="DeLong, logit scale", null=0.5,
        null_low=float(0.5 - 1.959964 * sd[0, 0]), null_high=float(0.5 + 1.959964 * sd[0, 0]),
        null_method="targets exchanged (Mann-Whitney)", p_value=float(two_sided_p(auc, sd, counts[1:], n)[0, 0]),
        estimator="area under the ROC curve", **common,
    ),)  # fmt: skip


def _reading(estimates, params) -> str:
    ece, gap = estimates[:2]
    sure = gap.p_value < 0.05
    direction = (
        ("too confident" if gap.value > 0 else "not confident enough")
        if sure
        else "about as confident as right"
    )
    verdict = "more than" if ece.p_value < 0.05 else "no more than"
    return (
        f"The {'output' if params.output else 'model'} is {direction} on average (difference {gap.value:+.3f}, p = "
        f"{gap.p_value:.2g}). Its calibration error is {ece.value:.3f}, {verdict} the {ece.null:.3f} "
        f"({ece.null_low:.3f} "
        f"to {ece.null_high:.3f}) of a perfectly calibrated model on as many samples. Points below the dashed line are "
        "overconfident."
    )


def _caveats(bins: Bins, cases: Cases, params) -> list[str]:
    notes = [f"Bins: {len(bins.count)}, of {int(bins.count.min()):,} to {int(bins.count.max()):,} samples; other bins "
             "give another calibration error."]  # fmt: skip
    if len(bins.count) < params.bins:
        notes.append(
            f"{params.bins - len(bins.count)} of {params.bins} bins hold no sample and are not drawn."
        )
    if not np.isin(cases.right, (0, 1)).all():
        notes.append("Targets between 0 and 1 vary less than the null, which draws 0 or 1: its calibration error is "
                     "too large, and p is too.")  # fmt: skip
    return notes


def _cost(shapes, params: CalibrationParams) -> Cost:
    (rows, classes), n = shapes[0], min(shapes[0][0], params.maximum_samples)
    return Cost(
        machine().seconds(moved=8.0 * n * (classes * 20 + DRAWS * 12) + rows * 30.0) + 0.01,
        8.0 * n * classes * 4.5,
    )


def _check() -> tuple[CheckLine, ...]:
    """Labels drawn from the probabilities: an ECE of its null. The same logits four times as large: overconfident by
    what a sum gives. One output that says 0.9 and is right in 0.6: 0.3. Targets that follow a logit: the AUC of two
    Gaussians one deviation apart."""
    rng = np.random.default_rng(21)
    logits = 1.5 * rng.standard_normal((4000, 5))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    label = (rng.random(4000)[:, None] > p.cumsum(axis=1)[:, :-1]).sum(axis=1)
    of = lambda x, **more: {  # noqa: E731
        e.name.removeprefix("expected calibration error "): e
        for e in expected_calibration(ArrayActivations(x, samples=samples), CalibrationParams(**more)).estimates
    }  # fmt: skip
    hit, side = (np.arange(4000) % 10 < 6).astype(float), np.arange(4000) % 2
    samples = {"label": label, "asked": hit, "far": side}
    fair, proud = of(logits), of(4 * logits)
    sharp = np.exp(4 * logits) / np.exp(4 * logits).sum(axis=1, keepdims=True)
    expected = float((sharp.max(axis=1) - p[np.arange(4000), p.argmax(axis=1)]).mean())
    says = of(np.full((4000, 1), 0.9) + 0.0 * logits[:, :1], output="0", column="asked")
    auc = of(rng.standard_normal((4000, 1)) + side[:, None], output="0", column="far")["AUC"].value
    return (
        CheckLine("calibrated: ECE less its null", 0.0, fair["(ECE)"].value - fair["(ECE)"].null, 0.012),
        CheckLine("logits four times as large: confidence less accuracy", expected,
                  proud["confidence less accuracy"].value, 0.03),
        CheckLine("says 0.9, comes true in 0.6: ECE", 0.3, says["(ECE)"].value, 1e-12),
        CheckLine("AUC of Gaussians one deviation apart", float(ndtr(1 / np.sqrt(2))), auc, 0.03),
    )  # fmt: skip


METHODS = (
    Method(
        id="expected_calibration", family="populations", title="Calibration", version=2, function=expected_calibration,
        summary="Whether a model is right as often as it is confident, against a perfectly calibrated one.",
        params=CalibrationParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="adding a number to all logits of a sample; the order of samples and of classes",
        papers=(
            "Multi-aspect Knowledge Distillation with Large Language Model",
            "On the Joint Interaction of Models, Data, and Features",
        ),
    ),
)  # fmt: skip
