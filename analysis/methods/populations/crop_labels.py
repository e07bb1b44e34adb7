"""Which label does a crop of an image deserve: the teacher's, or the truth? Crops by area and teacher's confidence.

Tap: a teacher's outputs (logits, or probabilities that sum to 1), one sample for each crop; sample columns say of which
image it is, which share of the image it covers, and the true class. Confidence is the teacher's probability of the true
class, or its largest one. Two thresholds part the crops:

    easy positive     confidence >= upper              label used: the teacher's soft label p
    hard positive     lower <= confidence < upper      label used: p
    hard negative     confidence < lower               label used: (1 - ε) · truth + ε / C, the softened ground truth

The share of each kind, the entropy of the labels used, and Spearman's correlation of area and confidence within images
(`compute.groups.within_groups`) stand beside.

Null: of shares, true classes and entropies the true labels exchanged over the crops, exact mean (none for the kinds
where confidence is the largest probability, which knows no label); of the correlation the areas exchanged within each
image. Intervals: the crops of an image are not independent; images are (jackknife,
`compute.statistics.clustered_means`).

When it lies: a teacher that is sure and wrong makes easy positives of the largest probability; a large crop can miss
the object and a small one can be it; the thresholds are a choice and the shares follow them; without an image column
crops count as independent, and intervals are too narrow where they are not; a teacher that saw these images is surer
than on others.

Cost: O(n C + 999 n ln n).

References: Z. Shen (2023), "FerKD: Surgical label adaptation for efficient distillation"; Z. Shen & E. Xing (2022), "A
fast knowledge distillation framework for visual recognition" (labels stored for each crop); C. Szegedy et al. (2016)
for label smoothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.groups.within_groups import DRAWS, spearman_within
from analysis.compute.machine import machine
from analysis.compute.outputs.crop_labelling import KIND_NAMES, entropies, kinds_of, labels_used
from analysis.compute.outputs.crop_reading import FEWEST, read_crops
from analysis.compute.outputs.crop_report import CORRELATION, crop_caveats, crop_estimates, crop_summary
from analysis.compute.outputs.model_outputs import KINDS
from analysis.errors import ParameterError
from analysis.results import Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

CONFIDENCES = ("of the true label", "largest")


@dataclass(frozen=True)
class CropLabelsParams:
    image: str = param(
        "", "Sample column with the image that a crop is of; empty: 'image' where there is one.", column=True
    )
    area: str = param(
        "", "Sample column with the share of the image that a crop covers; empty: 'area' where there is one.",
        column=True,
    )  # fmt: skip
    label: str = param("label", "Sample column with the true class, by name or number.", column=True)
    confidence: str = param(
        "of the true label", "The teacher's probability of the true label, or its largest one.",
        choices=CONFIDENCES,
    )  # fmt: skip
    lower: float = param(
        0.15, "Crops below it are hard negatives.", label="lower threshold", low=0.0, high=1.0
    )
    upper: float = param(
        0.6, "Crops from it on are easy positives.", label="upper threshold", low=0.0, high=1.0
    )
    smoothing: float = param(
        0.1, "ε of the softened ground truth: (1 - ε) on the true class, ε shared by all.", low=0.0, high=1.0
    )
    outputs: str = param(
        "auto", "Auto takes rows that sum to 1 as probabilities and all others as logits.", choices=KINDS
    )
    maximum_samples: int = param(20_000, "Most crops; whole images at random above.", low=50, high=500_000)


def crop_labels(
    teacher, params: CropLabelsParams = CropLabelsParams(), rng=None, progress=no_progress
) -> Scatter:
    """Crops by their area and the teacher's confidence, and the label that each is given.

    Parameters
    ----------
    teacher : Activations or array (rows, classes), outputs of the teacher, a sample for each crop.

    Returns
    -------
    Scatter
        A point for each crop: area (without such a column the entropy of the teacher's answer) and confidence; coloured
        by kind, with the image, the true class, the label used and its entropy as columns.

    Raises
    ------
    ParameterError, NotFound, InputError, NotEnoughData
        Upper threshold below the lower; no such column; areas outside (0, 1], labels that name no class, values from 0
        to 1 that do not sum to 1, a chosen image column without two crops of one image; fewer than four crops.
    """
    if params.upper < params.lower:
        raise ParameterError(f"upper threshold {params.upper:g}", f"at least the lower one, {params.lower:g}")
    rng = rng or np.random.default_rng(0)
    crops = read_crops(as_activations(teacher), params, rng, progress)
    progress(0.6, "choosing labels")
    confidence = crops.of_label if params.confidence == CONFIDENCES[0] else crops.p.max(axis=1)
    kind = kinds_of(confidence, params.lower, params.upper)
    used = labels_used(crops.p, crops.label, kind, params.smoothing)
    progress(0.7, "exchanging areas within images")
    ranked = np.round(confidence, 12)  # rounding must not break ties
    within = None if crops.area is None else spearman_within(crops.area, ranked, crops.of, rng)
    estimates = crop_estimates(crops, kind, used, within, params)
    x = entropies(crops.p) if crops.area is None else crops.area
    names = np.array(crops.classes)
    return Scatter(
        title=f"Crops by area and confidence of {crops.name}" if crops.area is not None
        else f"Crops by entropy and confidence of {crops.name}",
        reading=crop_summary(estimates, kind, within, params), caveats=crop_caveats(crops, kind, within, params),
        estimates=estimates, positions=np.column_stack([x, confidence]), rows=crops.rows, of=crops.indexed,
        axes=("area, share of the image" if crops.area is not None else "entropy of the teacher's answer (nats)",
              "teacher's confidence" + (" in the true label" if params.confidence == CONFIDENCES[0] else "")),
        columns={
            "kind": np.array(KIND_NAMES)[kind], "label used": _described(used, kind, names),
            "entropy of the label used": entropies(used), "true class": names[crops.label],
            "teacher's class": names[crops.p.argmax(axis=1)], "image": crops.image,
        },
        colour="kind",
    )  # fmt: skip


def _described(used: np.ndarray, kind: np.ndarray, names: np.ndarray) -> np.ndarray:
    """(n,) text of each label used: where it is from, its first class and how much of it."""
    top = used.argmax(axis=1)
    source = np.array(["teacher", "teacher", "softened truth"])[kind]
    share = used[np.arange(len(used)), top]
    return np.array([f"{s}: {names[t]} {p:.2f}" for s, t, p in zip(source, top, share, strict=True)])


def _cost(shapes, params: CropLabelsParams) -> Cost:
    n, classes = shapes[0]
    m = min(n, params.maximum_samples)
    moved = 8.0 * n * classes * 4 + 8.0 * m * classes * 120 + 8.0 * m * 60 * DRAWS
    return Cost(machine().seconds(moved=moved) + 0.02, 8.0 * m * (classes * 6.0 + 250))


def _check() -> tuple[CheckLine, ...]:
    """Twenty images, five crops each, confidence a function of the area alone: the shares are counted by hand, the
    correlation is 1 and p the least there is. Labels sum to 1. Thresholds of 0: every crop keeps its soft label.
    Confidence of no relation to area: the null holds."""
    rng = np.random.default_rng(11)
    area = rng.permuted(np.tile([0.1, 0.3, 0.5, 0.7, 0.9], (20, 1)), axis=1).reshape(-1)
    image, label = np.repeat(np.arange(20), 5), np.repeat(rng.integers(4, size=20), 5)
    p = np.repeat((1 - area)[:, None] / 3, 4, axis=1)
    p[np.arange(100), label] = area
    samples = {"image": image, "area": area, "label": label}

    def run(values, **more) -> Scatter:
        return crop_labels(ArrayActivations(values, samples=samples), CropLabelsParams(**more))

    found, free = run(p), run(p, lower=0.0, upper=0.0)
    value = {e.name: e for e in found.estimates}
    rho = value[CORRELATION]
    kind = kinds_of(area, 0.15, 0.6)
    used = labels_used(p, label, kind, 0.1)
    truth = -(0.925 * np.log(0.925) + 0.075 * np.log(0.025))
    mean = float(np.where(area < 0.15, truth, entropies(p)).mean())
    apart = run(np.log(p[rng.permutation(100)]), confidence="largest").estimates[-1]
    return (
        CheckLine("area alone: share of easy positives", 0.4, value["share of easy positives"].value, 1e-12),
        CheckLine("share of hard negatives", 0.2, value["share of hard negatives"].value, 1e-12),
        CheckLine("correlation within images", 1.0, rho.value, 1e-12),
        CheckLine("its p", 1 / (1 + DRAWS), rho.p_value, 1e-12),
        CheckLine("labels used sum to 1", 0.0, float(np.abs(used.sum(axis=1) - 1).max()), 1e-12),
        CheckLine("mean entropy of the labels used", mean, value["mean entropy of the labels used"].value, 1e-9),
        CheckLine("thresholds of 0: crops with the teacher's label", 100.0,
                  float(np.char.startswith(free.columns["label used"], "teacher").sum()), 0.0),
        CheckLine("exchanged answers: p of the correlation", 0.05, apart.p_value, 0.0, "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="crop_labels", family="populations", title="Crops and the labels they deserve", version=1,
        function=crop_labels,
        summary="Crops of images by area and teacher's confidence, and whether each keeps the teacher's soft label.",
        params=CropLabelsParams, result=Scatter, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="adding a number to all logits of a crop; the order of crops and of classes; of the correlation "
        "every rising function of the area",
        papers=("FerKD: Surgical Label Adaptation for Efficient Distillation",),
    ),
)  # fmt: skip
