"""Atoms of a supervised dictionary on samples that did not make them: what they and the covariates tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.softmax_inference import Coefficients, softmax_coefficients
from analysis.compute.linear.softmax_regression import constant_loss
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.ratios import ratio_interval
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.subspaces.supervised_data import (
    FREE,
    NONNEGATIVE,
    SupervisedData,
    Trial,
    tried,
    without_data,
)
from analysis.compute.subspaces.supervised_dictionary import Dictionary
from analysis.results import Estimate

NAMED, MOST_ESTIMATED = 3, 8
NEARLY = 0.1  # of the log loss of class shares
HELP = {
    "predictor": "Atom, by the share it rebuilds, or covariate.",
    "loading": "Log odds of the class against the mean of all classes, for one deviation more.",
    "class": "The class with the largest loading, in size.",
    "loading low": "Lower end of its 95 % interval, which holds for all classes together.",
    "loading high": "Upper end.",
    "q alone": "Whether it tells any class by itself: likelihood ratio; Benjamini and Hochberg's.",
    "q": "Whether it tells any class beside all others: a fit without it; Benjamini and Hochberg's.",
    "variance": "Share of the held-out squares along the atom alone.",
    "units": "The units with the largest weights in the atom.",
    "samples": "Held-out samples with the largest scores.",
}


@dataclass(frozen=True)
class Judged:
    """On the held-out half `others`: `scores` (m, r) of the atoms, `coefficients` of atoms and covariates, `variance`
    (r,) along each atom, log loss `loss` (m,) beside `plain`, squares `left` of `size` (m,)."""

    others: np.ndarray
    scores: np.ndarray
    coefficients: Coefficients
    variance: np.ndarray
    loss: np.ndarray
    plain: np.ndarray
    left: np.ndarray
    size: np.ndarray


def judge(data: SupervisedData, one: Trial, d: Dictionary, some, others, params) -> Judged:
    x, of, z = data.x[others], data.of[others], data.z[others]
    left, size, loss = tried(one, d, x, of, z)
    ready = one.ready(x)
    scores = ready @ d.atoms.T
    spread = scores.std(axis=0)
    scores = np.divide(scores - scores.mean(axis=0), spread, out=np.zeros_like(scores), where=spread > 0)
    coefficients = softmax_coefficients(np.hstack([scores, z]), of, len(data.names))
    centred = ready - ready.mean(axis=0)
    variance = spread**2 * len(x) / max(float((centred**2).sum()), 1e-300)
    plain = without_data(data, some, others, params.penalty)[0]
    return Judged(others, scores, coefficients, variance, loss, plain, left, size)


def _leading(c: Coefficients) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Class, loading, low and high (m,) of each predictor's largest loading; of two classes, the second."""
    at = np.abs(c.values).argmax(axis=1) if c.values.shape[1] > 2 else np.ones(len(c.values), int)
    rows = np.arange(len(at))
    value, half = c.values[rows, at], c.half[rows, at]
    return at, value, value - half, value + half


def atom_columns(judged: Judged, names, d: Dictionary, data: SupervisedData, units) -> dict[str, np.ndarray]:
    at, value, low, high = _leading(judged.coefficients)
    order, r = np.argsort(-np.abs(value), kind="stable"), len(d.atoms)
    made_of, strongest = [""] * len(names), [""] * len(names)
    for i, atom in enumerate(d.atoms):
        first = np.argsort(-np.abs(atom), kind="stable")[:NAMED]
        made_of[i] = ", ".join(f"{atom[j]:+.2f} × {units[data.units[j]]}" for j in first if atom[j])
        top = np.argsort(-judged.scores[:, i], kind="stable")[:NAMED]
        strongest[i] = ", ".join(data.ids[judged.others[top]])
    variance = np.append(judged.variance, np.full(len(names) - r, np.nan))
    columns = {
        "predictor": np.array(names), "class": np.array(data.names)[at], "loading": value, "loading low": low,
        "loading high": high, "q alone": benjamini_hochberg(judged.coefficients.p_alone),
        "q": benjamini_hochberg(judged.coefficients.p), "variance": variance,
        "units": np.array(made_of), "samples": np.array(strongest),
    }  # fmt: skip
    return {name: column[order] for name, column in columns.items()}


def atom_estimates(judged: Judged, names, data: SupervisedData, params, rng) -> tuple[Estimate, ...]:
    made = {"n": len(judged.others), "d": data.x.shape[1]}
    free = {"null": max(1 - params.atoms / made["d"], 0.0), "null_method": "random directions, exact mean"}
    low, high = ratio_interval(judged.left, judged.size, rng)
    out = [
        Estimate("held-out log loss", float(judged.loss.mean()), **mean_interval(judged.loss, 0.0), unit="nats",
                 null=float(judged.plain.mean()), null_method="class shares", estimator="the dictionary", **made),
        Estimate("held-out reconstruction error", float(judged.left.sum() / judged.size.sum()), low, high,
                 interval="bootstrap over samples", estimator="share of squares",
                 **({} if params.constraint == NONNEGATIVE else free), **made),
    ]  # fmt: skip
    at, value, low, high = _leading(judged.coefficients)
    for i in np.argsort(-np.abs(value), kind="stable")[:MOST_ESTIMATED]:
        out.append(
            Estimate(f"{names[i]}: loading on {data.names[at[i]]}", float(value[i]), float(low[i]), float(high[i]),
                     interval="Wald, for all classes together (Šidák)", null=0.0, null_method="no association",
                     p_value=float(judged.coefficients.p[i]), estimator="logistic regression", **made)
        )  # fmt: skip
    return tuple(out)


def atom_reading(judged: Judged, names, estimates: tuple[Estimate, ...]) -> str:
    q, r = benjamini_hochberg(judged.coefficients.p), judged.scores.shape[1]
    alone = benjamini_hochberg(judged.coefficients.p_alone)
    tell, beside, count = int((alone[:r] < 0.05).sum()), int((q[:r] < 0.05).sum()), len(names) - r
    said = (
        f"On samples that did not make them {tell} of {r} atoms tell the labels by themselves, {beside} "
        f"beside all others (q below 0.05); together they leave "
        f"{estimates[1].value:.1%} of the squares and tell labels with a log loss of {estimates[0].value:.3f} (class "
        f"shares {estimates[0].null:.3f})."
    )
    if count:
        helping = [names[r + i] for i in range(count) if q[r + i] < 0.05]
        said += f" Of {count} covariate(s) {len(helping)} tell them beside the atoms"
        said += f": {', '.join(helping[:5])}." if helping else "."
    return said


def atom_caveats(data: SupervisedData, judged: Judged, params) -> list[str]:
    notes = ["Atoms were fitted to one half of the samples and judged on the other."]
    if params.constraint == FREE:
        notes.append("Atoms that may be mixed freely are shown as the principal axes of what they span.")
    else:
        notes.append("Units with negative values were moved up to begin at 0.")
    if judged.coefficients.loss < NEARLY * constant_loss(data.of[judged.others], len(data.names)):
        notes.append(
            "Classes are told almost without error: loadings then have no finite size and wide intervals. Go by q, "
            "which compares fits; beside others an atom adds nothing where the rest tell all."
        )
    predictors = len(judged.coefficients.p)
    if len(judged.others) < 10 * predictors * (len(data.names) - 1):
        notes.append(
            f"{len(judged.others)} samples for {predictors} predictors and {len(data.names)} classes: intervals of "
            "loadings may be too short."
        )
    return notes
