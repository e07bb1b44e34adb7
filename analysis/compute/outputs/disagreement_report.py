"""Disagreement put to the test as an estimate of the error, and what can be said of it in words."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from analysis.compute.outputs.calibration import DRAWS, bins_of, ece_by_chance
from analysis.compute.outputs.ensemble import cace, disagreement, error, labels_exchanged, votes_of
from analysis.compute.outputs.model_outputs import Outputs
from analysis.compute.statistics.nulls import add_one_p, against
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.results import Estimate

BINS = 15
LEVEL = 0.05


@dataclass(frozen=True)
class Trial:
    """`votes` (n, C) by row; `disagreement` (samples,) of two models and what it is `by_chance`; of the `labelled` rows
    (n,) bool, their `label`, and per sample that has one the `error` and the `gap`, disagreement less error."""

    votes: np.ndarray
    disagreement: np.ndarray
    by_chance: float
    labelled: np.ndarray
    label: np.ndarray
    error: np.ndarray
    gap: np.ndarray


def trial_of(data: Outputs, label: np.ndarray) -> Trial:
    """`label` (samples,), -1 where there is none."""
    top, classes = data.top, len(data.classes)
    votes = votes_of(top, classes)
    each = disagreement(votes)
    shares = np.array([np.bincount(t, minlength=classes) for t in top]) / top.shape[1]
    chance = float(np.mean([1 - shares[a] @ shares[b] for a, b in combinations(range(len(top)), 2)]))
    of_row = label[data.sample]
    labelled = of_row >= 0
    has = label >= 0
    wrong = np.zeros(len(each))
    wrong[labelled] = error(votes[labelled], of_row[labelled])
    per, wrong = data.per_sample(each), data.per_sample(wrong)
    return Trial(votes, per, chance, labelled, of_row[labelled], wrong[has], (per - wrong)[has])


def calibration_estimates(data: Outputs, trial: Trial, rng: np.random.Generator) -> tuple[Estimate, ...]:
    """Error, disagreement less error, CACE and ECE of the mean prediction; nothing without labels."""
    if not trial.labelled.any():
        return ()
    votes, label = trial.votes[trial.labelled], trial.label
    common = {"n": len(trial.error), "d": len(data.classes)}
    m = int(votes[0].sum())
    by_chance = 1 - (np.bincount(label, minlength=votes.shape[1]) / len(label)) @ votes.mean(axis=0) / m
    mean = np.exp(np.logaddexp.reduce([log[trial.labelled] for log in data.logs], axis=0)) / m
    top = mean.argmax(axis=1)
    confidence = mean[np.arange(len(mean)), top]
    confidence = np.minimum(confidence, 1.0)
    bins = bins_of(confidence, (top == label).astype(float), BINS, "equal width")
    drawn = labels_exchanged(
        data.top[:, trial.labelled], label, len(data.classes), data.sample[trial.labelled], rng
    )
    gap, vote = float(trial.gap.mean()), cace(votes, label)
    how = f"label exchanged with a random vote, {len(drawn.gap)} draws"
    return (
        Estimate("mean error of the models", float(trial.error.mean()), **share_interval(trial.error),
                 null=float(by_chance), null_method="labels exchanged, exact mean", estimator="share of wrong votes",
                 **common),
        Estimate("disagreement less error", gap, **mean_interval(trial.gap, -1.0, 1.0),
                 **{**against(gap, drawn.gap), "p_value": float(add_one_p(abs(gap), np.abs(drawn.gap)))},
                 null_method=how, estimator="paired over samples", **common),
        Estimate("calibration error of the votes (CACE)", vote, **against(vote, drawn.cace), null_method=how,
                 estimator="class-aggregated, one bin for each share of votes", **common),
        Estimate("calibration error of the mean prediction (ECE)", bins.ece,
                 **against(bins.ece, ece_by_chance(bins, confidence, rng)),
                 null_method=f"answers right with their own confidence, {DRAWS} draws",
                 estimator=f"{BINS} bins of equal width", **common),
    )  # fmt: skip


def disagreement_reading(estimates: tuple[Estimate, ...], data: Outputs, trial: Trial) -> str:
    found = {e.name.partition(" (")[0]: e for e in estimates}
    first = estimates[0]
    two = "The two models" if len(data.names) == 2 else "Two of the models"
    text = (
        f"{two} give a different top class to {first.value:.1%} of the samples ({first.low:.1%} to {first.high:.1%}); "
        f"exchanged samples give {first.null:.0%}. "
    )
    if "mean error of the models" not in found:
        return text + (
            "If their votes are calibrated, that is also about how often they are wrong; no label says whether it is."
        )
    wrong, gap = found["mean error of the models"], found["disagreement less error"]
    votes = found["calibration error of the votes"]
    close = gap.p_value >= LEVEL
    return text + (
        f"They are wrong in {wrong.value:.1%}, so that disagreement "
        + (f"is not shown to differ from the error (p = {gap.p_value:.2g})" if close
           else f"{'over' if gap.value > 0 else 'under'}states the error by {abs(gap.value):.1%}")
        + f". The votes' calibration error is {votes.value:.3f}, where a label that is one more vote gives "
        f"{votes.null:.3f}."
    )  # fmt: skip


def disagreement_caveats(data: Outputs, trial: Trial, label: np.ndarray) -> list[str]:
    notes = []
    for a, b in combinations(range(len(data.names)), 2):
        pair = f"{data.names[a]} and {data.names[b]}"
        if np.abs(np.exp(data.logs[a]) - np.exp(data.logs[b])).max() < 1e-6:
            notes.append(
                f"{pair} give the same probabilities on every sample: they are not independent models, and their "
                "disagreement of 0 is no estimate of an error."
            )
        elif np.array_equal(data.top[a], data.top[b]):
            notes.append(
                f"{pair} give the same top class on all {data.n_samples:,} samples: that is no proof that they never "
                "err; models that are not independent do so, too."
            )
    missing = int((label < 0).sum())
    if 0 < missing < len(label):
        notes.append(f"{missing:,} sample(s) without a known class left out of the error.")
    notes.append(
        "Disagreement estimates the error of models that were trained independently and whose votes are calibrated on "
        "these samples; checkpoints of one run, or points of one path, disagree less than they err."
    )
    return notes
