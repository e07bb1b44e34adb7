"""Is the map of an answer another one than that of the least likely answer?

For every sample and way a map of the logit of the answer (the likeliest, or the one that is chosen), and one of the
least likely of the others:

    sensitivity = mean over samples of ρ(map of the answer, map of the least likely) ,   low is good

ρ is Spearman's rank correlation over tokens, of the maps as they are. A map that looks at no answer has ρ = 1, as edges
do by construction; a map that turns its sign with the answer has ρ = -1. A map that is the same everywhere tells
nothing of any answer: samples where one of the two is are left out, and a way with such maps for more than half of the
samples gets no verdict. *NormGrad after a step* is NormGrad of the network that one step of learning has taught each of
the two answers: beside NormGrad it says what that step is worth.

Null: the map of the same answer for another sample, all samples in one ring at random. It is as alike as the places
that the way likes anyway (the middle of a picture, strong units): a way whose two answers are no more alike than that
tells answers apart. Tests by Student's t over samples, with neighbours in the ring together, all ways together at 5 %
false discoveries.

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
from analysis.attribution.saliency.map_likeness import chance_half, rank_correlations, same_length
from analysis.attribution.saliency_court.asking import FEWEST, CourtParams
from analysis.attribution.saliency_court.costs import court_cost
from analysis.attribution.saliency_court.on_trial import opened_trial
from analysis.attribution.saliency_court.paired import adjusted
from analysis.attribution.saliency_court.trial import Case, Trial
from analysis.attribution.targets import at_position, logit_target
from analysis.compute.statistics.ring_pairs import ring_interval, ring_p, ring_partners
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError
from analysis.features.readers import PROBE
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Method, no_progress, param

SAME = 0.95  # mean correlation from which on a way is called blind to the answer
HELP = {
    "way": "How the map is made; the controls look at no network.",
    "control": "Whether it is a control.",
    "correlation": "Mean rank correlation of the maps of the answer and of the least likely one: low is good.",
    "low": "95 % interval of it, Student's t over samples.",
    "high": "95 % interval of it, Student's t over samples.",
    "samples": "Samples both of whose maps are not the same everywhere.",
    "other sample": "The same between maps of the same answer for two samples: what the places alone give.",
    "other sample, low": "95 % interval of it, Student's t over pairs of samples.",
    "other sample, high": "95 % interval of it, Student's t over pairs of samples.",
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
    said = "explaining the least likely answer"
    unlikely = trial.changed_maps(least, {"answer": "least likely"}, progress, (0.4, 0.7), said)
    n, partner = len(trial.cases), ring_partners(len(trial.cases), rng)
    others = [dataclasses.replace(trial.cases[partner[i]], target=trial.cases[i].target) for i in range(n)]
    said, beside = "explaining the same answer of other samples", {"answers beside": partner.tolist()}
    other = trial.changed_maps(others, beside, progress, (0.7, 0.95), said)
    own, null = _correlations(likely, unlikely), _correlations(likely, other)
    told = _told(trial, own, null)
    columns = _columns(trial, own, null, told, partner)
    progress(1.0, "done")
    answer = (
        "the likeliest answer" if params.answer is None else f"answer {trial.samples.word(params.answer)}"
    )
    return Table(
        title=f"Maps of {answer} and of the least likely answer", reading=_reading(columns, trial, answer, told),
        caveats=(*trial.caveats(), *_two_answers(trial)), estimates=_estimates(columns, trial), columns=columns,
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
    """(n, ways) of maps of n cases, up to the end of the shorter one; NaN where one is the same everywhere."""
    out = []
    for x, y in zip(a, b, strict=True):
        x, y = same_length(np.array(x), np.array(y))
        flat = (np.ptp(x, axis=1) == 0) | (np.ptp(y, axis=1) == 0)
        out.append(np.where(flat, np.nan, rank_correlations(x, y)))
    return np.array(out)


def _told(trial: Trial, own: np.ndarray, null: np.ndarray) -> np.ndarray:
    """(ways,) bool: whose maps vary for half of the samples. Raises InputError where no way that looks at the network
    is left."""
    least = max(4, len(own) / 2)
    told = np.isfinite(own - null).sum(axis=0) >= least
    if not (told & trial.explaining).any():
        raise InputError(
            f"maps of {trial.what} that are the same everywhere, by every way", "a map that points somewhere",
            "Choose other ways or another tap",
        )  # fmt: skip
    return told


def _columns(
    trial: Trial, own: np.ndarray, null: np.ndarray, told: np.ndarray, partner
) -> dict[str, np.ndarray]:
    """Of the ways that are `told`."""
    own, null, apart = (values[:, told] for values in (own, null, own - null))
    columns = {"way": np.array(trial.names)[told], "control": ~trial.explaining[told]}
    columns |= _three("correlation", own, lambda v: mean_interval(v[np.isfinite(v)], -1.0, 1.0))
    columns["low"], columns["high"] = columns.pop("correlation, low"), columns.pop("correlation, high")
    columns["samples"] = np.isfinite(own).sum(axis=0)
    columns |= _three("other sample", null, lambda v: ring_interval(v, partner, -1.0, 1.0))
    columns |= _three("over other sample", apart, lambda v: ring_interval(v, partner))
    p = np.array([ring_p(values, partner) for values in apart.T])
    q = adjusted({"q": p}, ~columns["control"])
    said = np.where(columns["correlation"] >= SAME, "blind", np.where(q["q"] < 0.05, "partly", "tells"))
    return {**columns, **q, "verdict": np.where(columns["control"], "control", said)}


def _three(name: str, values: np.ndarray, interval) -> dict[str, np.ndarray]:
    """Columns of means over samples (n, ways), NaN left out, with their ends; without a spread they are the mean."""
    mean = np.nanmean(values, axis=0)
    ends = [interval(each) for each in values.T]
    return {name: mean} | {
        f"{name}, {end}": np.array([e.get(end, m) for e, m in zip(ends, mean, strict=True)])
        for end in ("low", "high")
    }


def _two_answers(trial: Trial) -> tuple[str, ...]:
    z = at_position(trial.cases[0].run.logits, trial.cases[0].target.position)
    if z.shape[-1] > 2:
        return ()
    return (
        "There are two answers, whose slopes may be each other's negative: maps of sizes are then the same.",
    )


def _estimates(columns, trial: Trial) -> tuple[Estimate, ...]:
    d, half = int(np.median(trial.tokens)), chance_half(trial.tokens)
    return tuple(
        Estimate(f"correlation of answers, {name}", float(columns["correlation"][k]), float(columns["low"][k]),
                 float(columns["high"][k]), interval="Student's t over samples",
                 null=float(columns["other sample"][k]), null_low=float(columns["other sample, low"][k]),
                 null_high=float(columns["other sample, high"][k]),
                 null_method=f"maps of the same answer for another sample; of random maps 0 ± {half:.2g}",
                 n=int(columns["samples"][k]), d=d, estimator="mean rank correlation")
        for k, name in enumerate(columns["way"]) if not columns["control"][k]
    )  # fmt: skip


def _reading(columns, trial: Trial, answer: str, told: np.ndarray) -> str:
    own = ~columns["control"]
    names, verdicts = columns["way"][own], columns["verdict"][own]
    said = [f"{len(names)} ways gave maps of {answer} and of the least likely one of {trial.what}"]
    for verdict, words in (
        ("blind", "give the same map for both"),
        ("partly", "keep part of it"),
        ("tells", "tell them apart"),
    ):
        if (verdicts == verdict).any():
            said.append(f"{', '.join(names[verdicts == verdict])} {words}")
    if not told.all():
        blank = ", ".join(np.array(trial.names)[~told])
        said.append(f"no verdict on {blank}, whose maps are the same everywhere for one of the answers")
    return "; ".join(said) + "."


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
        summary="How alike the maps of an answer and of the least likely one are, way by way.",
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
