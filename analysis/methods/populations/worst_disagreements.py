"""The samples on which models differ most, to look at.

Of two models, KL(first || second), the Jensen-Shannon divergence, or the number of changes of the top class; of more,
the mean over all pairs in the order given (KL: earlier || later), or the number of changes of the top class from each
tap to the next, which counts the flips of a sample along a path of models. Groups: the samples that differ most; for
each frequent pair of answers (of the first and the last tap) those samples, most different first; and the samples that
agree most, for comparison.

Null: the same answers to exchanged samples. The largest of n divergences has the largest of n exchanged ones beside it.

When it lies: a gallery of extremes says what is possible, not what is usual; the largest divergence of many samples is
large for any two models; where both models are unsure, a flip of the top class is a small difference.

Cost: O(pairs n C + n ln n).

References: A. Nix, M. Burg & F. Sinz (2023), "HARD: Hard augmentations for robust distillation"; E. Yun, H. Lee, G.
Nam & J. Lee (2023), "Traversing between modes in function space for fast ensembling".
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.outputs.divergences import BY_ROW, UNIT
from analysis.compute.outputs.model_outputs import KINDS, Outputs, model_outputs
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate, Gallery
from analysis.spec import CheckLine, Cost, Method, no_progress, param

CHANGES = "changes of the top class"
DRAWS, PATTERNS = 20, 8


@dataclass(frozen=True)
class WorstDisagreementsParams:
    measure: str = param("JS", "How disagreement is measured.", choices=("JS", "KL", CHANGES))
    number: int = param(24, "Most samples in a group.", label="samples per group", low=1, high=500)
    outputs: str = param(
        "auto", "Auto takes rows that sum to 1 as probabilities and all others as logits.", choices=KINDS
    )
    maximum_samples: int = param(50_000, "Most rows; a seeded random subset above.", low=50, high=500_000)


def worst_disagreements(
    *taps, params: WorstDisagreementsParams = WorstDisagreementsParams(), rng=None, progress=no_progress
) -> Gallery:
    """Samples by how much two or more models differ on them.

    Parameters
    ----------
    *taps : Activations or arrays (rows, classes), outputs of the models on the same samples.

    Returns
    -------
    Gallery
        Rows of the first tap: "differ most", "x → y" for frequent pairs of answers of the first and last tap, "agree
        most"; with their divergences (or changes). Estimates: the mean and the largest.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; different or single classes; different tokens; fewer than four common samples.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    data = model_outputs(taps, params.outputs, rng, maximum=params.maximum_samples, progress=progress)
    progress(0.4, "measuring disagreement")
    each = divergence(data.logs, params.measure)
    order = np.argsort(-each, kind="stable")
    groups = _groups(data, order, params.number)
    estimates = _estimates(data, each, params, rng, progress)
    return Gallery(
        title="Where " + (" and ".join(data.names) if len(taps) == 2 else f"{len(taps)} models") + " differ most",
        reading=_reading(data, each, groups, estimates, params), caveats=(*_caveats(each, params), *data.notes),
        estimates=estimates, groups={name: data.rows[at] for name, at in groups.items()},
        values={name: each[at] for name, at in groups.items()}, value_name=params.measure,
    )  # fmt: skip


def divergence(logs, measure: str) -> np.ndarray:
    """(n,) divergence of each row over all pairs, or changes of the top class along the taps."""
    if measure == CHANGES:
        top = np.array([log.argmax(axis=1) for log in logs])
        return (top[1:] != top[:-1]).sum(axis=0).astype(np.float64)
    pairs = list(combinations(range(len(logs)), 2))
    return sum(BY_ROW[measure](logs[a], logs[b]) for a, b in pairs) / len(pairs)


def _groups(data: Outputs, order: np.ndarray, number: int) -> dict[str, np.ndarray]:
    """Places among the rows, by group; `order` (n,) has the most different row first."""
    first, last = data.top[0], data.top[-1]
    groups = {"differ most": order[:number]}
    pairs = Counter(zip(first[first != last].tolist(), last[first != last].tolist(), strict=True))
    for (a, b), _ in pairs.most_common(PATTERNS):
        mine = order[(first[order] == a) & (last[order] == b)]
        groups[f"{data.classes[a]} → {data.classes[b]}"] = mine[:number]
    groups["agree most"] = order[::-1][:number]
    return groups


def _estimates(data: Outputs, each, params, rng, progress) -> tuple[Estimate, ...]:
    n, mean, top = len(each), [], []
    for i in range(DRAWS):
        if i % 4 == 0:
            progress(0.6 + 0.4 * i / DRAWS, "exchanging samples")
        turned = [data.logs[0], *(log[rng.permutation(n)] for log in data.logs[1:])]
        drawn = divergence(turned, params.measure)
        mean.append(drawn.mean())
        top.append(drawn.max())
    how = f"samples exchanged, {DRAWS} draws"
    unit = UNIT.get(params.measure, "changes")
    common = {"n": data.n_samples, "d": len(data.classes), "estimator": params.measure, "unit": unit}
    ends = [[float(f) for f in (np.mean(v), np.min(v), np.max(v))] for v in (mean, top)]
    per = data.per_sample(each)
    return (
        Estimate(f"mean {params.measure}", float(per.mean()), **mean_interval(per, 0.0), null=ends[0][0],
                 null_low=ends[0][1], null_high=ends[0][2], null_method=how, **common),
        Estimate(f"largest {params.measure}", float(each.max()), null=ends[1][0], null_low=ends[1][1],
                 null_high=ends[1][2], null_method=f"largest of {n:,} rows, {how}", **common),
    )  # fmt: skip


def _reading(data: Outputs, each, groups, estimates, params) -> str:
    mean, largest = estimates
    differ = float((data.top[0] != data.top[-1]).mean())
    pairs = [name for name in groups if name not in ("differ most", "agree most")]
    most = f" The most frequent pair of different answers is {pairs[0]}." if pairs else ""
    return (
        f"{params.measure[0].upper()}{params.measure[1:]}: {mean.value:.3g} on average ({mean.null:.3g} for exchanged "
        f"samples) and at most {largest.value:.3g}. {data.names[0]} and {data.names[-1]} answer differently in "
        f"{differ:.1%} of the rows.{most}"
    )


def _caveats(each: np.ndarray, params) -> list[str]:
    notes = ["Extremes were picked because they are extreme: they show what is possible, not what is usual."]
    if params.measure == CHANGES:
        notes.append("Samples with equally many changes stand in the order of the recording.")
    if not each.any():
        notes.append("The models never differ here, so no sample is worse than another.")
    return notes


def _cost(shapes, params: WorstDisagreementsParams) -> Cost:
    n, k = min(min(rows for rows, _ in shapes), params.maximum_samples), len(shapes)
    classes = max(units for _, units in shapes)
    passes = {"JS": 45.0, "KL": 12.0, CHANGES: 4.0}[params.measure] * k * (k - 1) / 2 * DRAWS
    return Cost(
        machine().seconds(moved=8.0 * n * classes * (passes + 60.0 * k)) + 0.02,
        8.0 * n * classes * (3.0 * k + 4),
    )


def _check() -> tuple[CheckLine, ...]:
    """Ten planted samples with opposite answers among 300 equal ones: exactly they differ most. One model twice: 0.
    Changes along a path that turns twice and back: 2."""
    rng = np.random.default_rng(19)
    x = 3 * np.eye(3)[rng.integers(3, size=300)] + 0.1 * rng.standard_normal((300, 3))
    y = x.copy()
    y[40:50] = np.roll(x[40:50], 1, axis=1)
    found = worst_disagreements(x, y, params=WorstDisagreementsParams(number=10))
    path = [
        ArrayActivations(v) for v in (x, np.where(np.arange(300)[:, None] < 7, np.roll(x, 1, axis=1), x), x)
    ]
    turns = worst_disagreements(*path, params=WorstDisagreementsParams(measure=CHANGES, number=7))
    same = worst_disagreements(x, x)
    planted = lambda name: float(np.isin(found.groups[name], range(40, 50)).sum())  # noqa: E731
    return (
        CheckLine("planted samples among the ten worst", 10, planted("differ most"), 0),
        CheckLine("planted samples among those that agree", 0, planted("agree most"), 0),
        CheckLine("one model twice: largest JS", 0.0, same.estimates[1].value, 0.0),
        CheckLine("there and back along a path: changes", 2.0, float(turns.values["differ most"].min()), 0.0),
        CheckLine("all seven of them found", 7, float((turns.groups["differ most"] < 7).sum()), 0),
    )  # fmt: skip


METHODS = (
    Method(
        id="worst_disagreements", family="populations", title="Samples that models disagree on", version=2,
        function=worst_disagreements,
        summary="The samples on which two or more models differ most, with the pairs of answers they give.",
        params=WorstDisagreementsParams, result=Gallery, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=4, invariance="adding a number to all logits of a sample; the order of classes",
        papers=(
            "HARD: Hard Augmentations for Robust Distillation",
            "Traversing Between Modes in Function Space for Fast Ensembling",
        ),
    ),
)  # fmt: skip
