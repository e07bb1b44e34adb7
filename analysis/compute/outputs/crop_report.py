"""What the kinds of crops, their labels and the place of area in it come to, in numbers and words."""

from __future__ import annotations

import numpy as np

from analysis.compute.groups.within_groups import DRAWS, Within
from analysis.compute.outputs.crop_labelling import (
    KIND_NAMES,
    NEGATIVE,
    entropies,
    entropy_by_chance,
    kinds_by_chance,
)
from analysis.compute.outputs.crop_reading import Crops
from analysis.compute.statistics.clustered_means import clustered_mean_interval, clustered_share_interval
from analysis.results import Estimate

CLUSTERS = {True: "images", False: "crops"}
CORRELATION = "correlation of area and confidence within images"
EXCHANGED = "true labels exchanged over crops, exact mean"


def crop_estimates(
    crops: Crops, kind: np.ndarray, used: np.ndarray, within: Within | None, params
) -> tuple[Estimate, ...]:
    """Shares of the three kinds, of right answers, entropies of the labels used and of the teacher's, correlation."""
    n, classes = crops.p.shape
    of, word = crops.of, CLUSTERS[crops.grouped]
    common = {"n": n, "d": classes}
    by_label = params.confidence == "of the true label"
    chance = kinds_by_chance(crops.p, crops.label, params.lower, params.upper) if by_label else [None] * 3
    how = {"null_method": EXCHANGED} if by_label else {}
    out = []
    for k, name in enumerate(KIND_NAMES):
        is_it = (kind == k).astype(np.float64)
        out.append(Estimate(
            f"share of {name}s", float(is_it.mean()), **clustered_share_interval(is_it, of, word), null=chance[k],
            **how, estimator="thresholds on the teacher's confidence", **common,
        ))  # fmt: skip
    top = crops.p.argmax(axis=1)
    right, frequency = (
        (top == crops.label).astype(np.float64),
        np.bincount(crops.label, minlength=classes) / n,
    )
    out.append(Estimate(
        "share of crops whose true class the teacher names", float(right.mean()),
        **clustered_share_interval(right, of, word), null=float(frequency[top].mean()), null_method=EXCHANGED,
        estimator="top class", **common,
    ))  # fmt: skip
    soft, own = entropies(crops.p), entropies(used)
    null = {"null": entropy_by_chance(crops.p, crops.label, soft, params.lower, params.smoothing), **how}
    most = float(np.log(classes))
    for name, values, more in (
        ("labels used", own, null if by_label else {}),
        ("teacher's labels", soft, {}),
    ):
        out.append(Estimate(
            f"mean entropy of the {name}", float(values.mean()),
            **clustered_mean_interval(values, of, word, least=0.0, most=most), **more,
            estimator=f"-Σ q ln q, at most ln {classes}", unit="nats", **common,
        ))  # fmt: skip
    return (*out, *([] if within is None else [_correlation(crops, within)]))


def _correlation(crops: Crops, within: Within) -> Estimate:
    return Estimate(
        CORRELATION, within.value,
        **clustered_mean_interval(within.rho, np.arange(len(within.rho)), "images", least=-1.0, most=1.0,
                                  weights=within.weight),
        null=0.0, null_low=within.low, null_high=within.high, p_value=within.p,
        null_method=f"areas exchanged within each image: exact mean, {DRAWS} draws",
        n=int((within.weight + 1).sum()), d=crops.p.shape[1],
        estimator="Spearman's within each image, weighted by its crops less one",
    )  # fmt: skip


def crop_summary(estimates, kind: np.ndarray, within: Within | None, params) -> str:
    shares = ", ".join(f"{e.value:.1%} are {e.name.removeprefix('share of ')}" for e in estimates[:3])
    calibrated = int((kind == NEGATIVE).sum())
    text = (
        f"Of the crops {shares}. Hard negatives ({calibrated:,}) are given the ground truth softened by "
        f"{params.smoothing:g}, all others the teacher's soft label."
    )
    if within is None:
        return text
    if within.p >= 0.05:
        return text + (
            f" Within an image confidence is not shown to go with area (Spearman's {within.value:.2f}, "
            f"p = {within.p:.2g})."
        )
    way = "larger" if within.value > 0 else "smaller"
    return text + (
        f" Within an image the teacher is surer of {way} crops (Spearman's {within.value:.2f}, p = {within.p:.2g})."
    )


def crop_caveats(crops: Crops, kind: np.ndarray, within: Within | None, params) -> tuple[str, ...]:
    notes = []
    if crops.area is None:
        notes.append(
            "No column holds the area of a crop: the entropy of the teacher's answer is drawn instead."
        )
    elif within is None:
        notes.append(
            "No image has two crops that differ in area and in confidence: no correlation within images."
        )
    elif within.skipped:
        notes.append(
            f"{within.skipped:,} image(s) whose crops do not differ in area or in confidence say nothing of the "
            "correlation."
        )
    if params.confidence == "largest":
        wrong = int(((crops.p.argmax(axis=1) != crops.label) & (kind != NEGATIVE)).sum())
        notes.append(
            f"{wrong:,} crop(s) keep a soft label whose first class is not the true one: the largest probability says "
            "how sure the teacher is, not of what."
        )
    if crops.grouped and crops.n_images < 10:
        notes.append(f"There are {crops.n_images} images only: intervals over images are rough.")
    return (*notes, "The shares follow the thresholds, which are a choice.", *crops.notes)
