"""Is the map of the likeliest answer another one than that of the least likely?

For every sample and way a map of the logit of the likeliest answer, and one of the least likely:

    sensitivity = mean over samples of ρ(map of the likeliest, map of the least likely) ,   low is good

ρ is Spearman's rank correlation over tokens, of the maps as they are. A map that looks at no answer has ρ = 1, as edges
do by construction; a map that turns its sign with the answer has ρ = -1.

Null: the map of the same answer for another sample. It is as alike as the places that the way likes anyway (the
middle of a picture, strong units): a way whose two answers are no more alike than that tells answers apart. Tests by
random signs over samples, all ways together at 5 % false discoveries.

When it lies: of two answers the two logits may be each other's negative, and then a map of sizes (the length of slopes)
is the same for both by arithmetic alone; a likeness may be right, where both answers hang on the same thing for and
against; a map of noise is maximally sensitive (see random); the least likely of many words is an arbitrary word.

Cost: three maps for every sample and way, as their ways tell.

Reference: S.-A. Rebuffi et al. (2020), "There and back again: revisiting backpropagation saliency methods".
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations
from analysis.attribution import targets
from analysis.attribution.saliency_court.asking import FEWEST, CourtParams
from analysis.attribution.saliency_court.costs import court_cost
from analysis.attribution.saliency_court.map_likeness import chance_half, rank_correlations, same_length
from analysis.attribution.saliency_court.on_trial import Case, Trial, opened_trial
from analysis.attribution.saliency_court.paired import adjusted, paired_columns
from analysis.attribution.targets import at_position, logit_target
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError
from analysis.features.readers import PROBE
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Method, no_progress, param

SAME = 0.95  # mean correlation from which on a way is called blind to the answer
HELP = {
    "way": "How the map is made; the controls look at no network.",
    "control": "Whether it is a control.",
    "correlation": "Mean rank correlation of the maps of the likeliest and the least likely answer: low is good.",
    "low": "95 % interval of it, Student's t over samples.",
    "high": "95 % interval of it, Student's t over samples.",
    "other sample": "The same between maps of the same answer for two samples: what the places alone give.",
    "other sample, low": "95 % interval of it, Student's t over samples.",
    "other sample, high": "95 % interval of it, Student's t over samples.",
    "over other sample": "Correlation less that with the other sample: how much of the map no answer moves.",
    "over other sample, low": "95 % interval of it, of the same samples both times.",
    "over other sample, high": "95 % interval of it, of the same samples both times.",
    "q": "Share of false discoveries if the two answers are called more alike than two samples; of a control 1.",
    "verdict": "Blind: as good as the same map for both answers. Partly: more alike than two samples. Tells: not so.",
}


@dataclass(frozen=True)
class ClassSensitivityParams(CourtParams):
    samples: int = param(12, "Samples, drawn at random.", low=FEWEST, high=1000, late=True)
    number: str = param(
        targets.LOGIT, "Number of each of the two answers that is explained.", label="number explained",
        choices=(targets.LOGIT, targets.LOG_PROBABILITY),
    )  # fmt: skip


def class_sensitivity(
    activations, params: ClassSensitivityParams = ClassSensitivityParams(), rng=None, progress=no_progress
) -> Table:
    """How alike the maps of two opposite answers are, way by way.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Table
        A line for each way, see `HELP`. Estimates: the correlation of each.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No such way; neither a network that can be run nor labels; fewer than eight samples; one answer only.
    """
    rng = rng or np.random.default_rng(0)
    trial = opened_trial(activations, params, rng, progress)
    least = [_least_likely(case, params) for case in trial.cases]
    likely = trial.without_silent(trial.maps(progress, (0.1, 0.4)))
    unlikely = trial.maps(progress, (0.4, 0.7), least, "explaining the least likely answer")
    n, shift = len(trial.cases), int(rng.integers(1, len(trial.cases)))
    others = [
        dataclasses.replace(trial.cases[(i + shift) % n], target=trial.cases[i].target) for i in range(n)
    ]
    other = trial.maps(progress, (0.7, 0.95), others, "explaining the same answer of other samples")
    own, null = _correlations(likely, unlikely), _correlations(likely, other)
    columns = _columns(trial, own, null, rng)
    progress(1.0, "done")
    return Table(
        title="Maps of the likeliest and of the least likely answer", reading=_reading(columns, trial),
        caveats=(*trial.caveats(), *_two_answers(trial)), estimates=_estimates(columns, trial, n), columns=columns,
        index="way", sort="correlation", help=HELP,
    )  # fmt: skip


def _least_likely(case: Case, params) -> Case:
    z = at_position(case.run.logits, case.target.position)[0].detach().double().clone()
    z[case.target.answer] = float("inf")
    if len(z) < 2:
        raise InputError("a network with one output", "two answers to tell apart")
    least = logit_target(case.run.logits, params.number, int(z.argmin()))
    return dataclasses.replace(case, target=least)


def _correlations(a, b) -> np.ndarray:
    """(n, ways) of maps of n cases, up to the end of the shorter one."""
    pairs = zip(a, b, strict=True)
    return np.array([rank_correlations(*same_length(np.array(x), np.array(y))) for x, y in pairs])


def _columns(trial: Trial, own: np.ndarray, null: np.ndarray, rng) -> dict[str, np.ndarray]:
    columns = {"way": np.array(trial.names), "control": ~trial.explaining}
    for name, values in (("", own), ("other sample", null)):
        ends = [mean_interval(values[:, k], -1.0, 1.0) for k in range(values.shape[1])]
        before = f"{name}, " if name else ""
        columns[name or "correlation"] = values.mean(axis=0)
        columns |= {f"{before}{end}": np.array([e[end] for e in ends]) for end in ("low", "high")}
    more, p = paired_columns(own, null, "over other sample", rng)
    q = adjusted({"q": p}, trial.explaining)
    blind, partly = columns["correlation"] >= SAME, q["q"] < 0.05
    said = np.where(blind, "blind", np.where(partly, "partly", "tells"))
    return {**columns, **more, **q, "verdict": np.where(columns["control"], "control", said)}


def _two_answers(trial: Trial) -> tuple[str, ...]:
    z = at_position(trial.cases[0].run.logits, trial.cases[0].target.position)
    if z.shape[-1] > 2:
        return ()
    return (
        "There are two answers, whose slopes may be each other's negative: maps of sizes are then the same.",
    )


def _estimates(columns, trial: Trial, n: int) -> tuple[Estimate, ...]:
    d, half = int(np.median(trial.tokens)), chance_half(trial.tokens)
    return tuple(
        Estimate(f"correlation of answers, {name}", float(columns["correlation"][k]), float(columns["low"][k]),
                 float(columns["high"][k]), interval="Student's t over samples",
                 null=float(columns["other sample"][k]), null_low=float(columns["other sample, low"][k]),
                 null_high=float(columns["other sample, high"][k]),
                 null_method=f"maps of the same answer for another sample; of random maps 0 ± {half:.2g}", n=n, d=d,
                 estimator="mean rank correlation")
        for k, name in enumerate(trial.names) if trial.explaining[k]
    )  # fmt: skip


def _reading(columns, trial: Trial) -> str:
    own = trial.explaining
    names, verdicts = columns["way"][own], columns["verdict"][own]
    told = [
        f"{len(names)} ways were asked for maps of the likeliest and of the least likely answer of {trial.what}"
    ]
    for verdict, words in (
        ("blind", "give the same map for both"),
        ("partly", "keep part of it"),
        ("tells", "tell them apart"),
    ):
        if (verdicts == verdict).any():
            told.append(f"{', '.join(names[verdicts == verdict])} {words}")
    return "; ".join(told) + "."


def _cost(shapes, params: ClassSensitivityParams):
    return court_cost(shapes, params, 3)


def _check() -> tuple[CheckLine, ...]:
    """A probe of two labels, whose slopes are each other's negative: sizes are the same, signed maps turn over."""
    rng = np.random.default_rng(0)
    label = np.arange(60) % 2
    x = rng.standard_normal((60, 8)) + 2.0 * label[:, None] * (np.arange(8) < 3)
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    table = class_sensitivity(tap, ClassSensitivityParams(ways="gradient, gradient x input", reader=PROBE))
    size = dict(zip(table.columns["way"], table.columns["correlation"].tolist(), strict=True))
    return (
        CheckLine("the length of slopes", 1.0, size["gradient"], 1e-6),
        CheckLine("slopes times what is there", -1.0, size["gradient x input"], 1e-6),
        CheckLine("edges look at no answer", 1.0, size["edges"], 1e-9),
        CheckLine("random maps are alike by chance only", 0.0, size["random"], 0.5),
    )


METHODS = (
    Method(
        id="class_sensitivity",
        family="attribution",
        title="Class sensitivity of maps",
        summary="How alike the maps of the likeliest and the least likely answer are, way by way.",
        version=2,
        function=class_sensitivity,
        params=ClassSensitivityParams,
        result=Table,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="any rising function of a map",
        papers=("There and Back Again: Revisiting Backpropagation Saliency Methods (same text as 003 #40)",),
        libraries=("torch",),
    ),
)
