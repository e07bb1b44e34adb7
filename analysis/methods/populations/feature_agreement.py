"""Do models that share more features agree more often? One point for each pair of models.

Across: the number of features that both have (`compute.populations.model_features`). Up: the share of samples to which
both give the same top class. Answers come from a sample column, such as "predicted", where every tap has it; otherwise
the second half of the taps are the outputs of the first half's models, in the same order.

Null of the agreement of a pair: the same answers to exchanged samples, its mean exact (a column of the points). The
relation over the pairs is Spearman's; pairs are not independent, so its p is Mantel's: models renamed on one side, in
all ways up to six models (`compute.statistics.model_pairs`). Its interval leaves out one model at a time.

When it lies: few models have few pairs (three models: three points); a model that is better than the rest agrees with
nobody and shares with nobody; where all models are nearly always right there is no agreement to explain.

Cost: O(n d min(n, d)) for each model and O(n N² + M² n).

Reference: Y. Jiang, C. Baek & J. Z. Kolter (2023), "On the joint interaction of models, data, and features".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.outputs.model_answers import answers_of, split_halves
from analysis.compute.populations.model_population import (
    FEWEST,
    Population,
    PopulationParams,
    population_caveats,
    population_cost,
    population_of,
)
from analysis.compute.populations.planted_models import planted_models
from analysis.compute.statistics.model_pairs import DRAWS, pair_correlation, renamed
from analysis.compute.statistics.nulls import add_one_p
from analysis.compute.statistics.sample_groups import jackknife_half, share_interval
from analysis.errors import ParameterError
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class FeatureAgreementParams(PopulationParams):
    predicted: str = param(
        "", "Sample column with each model's answer; empty: 'predicted' where every tap has it, otherwise the second "
        "half of the taps are outputs.", column=True,
    )  # fmt: skip


def feature_agreement(
    *taps, params: FeatureAgreementParams = FeatureAgreementParams(), rng=None, progress=no_progress
) -> Scatter:
    """Pairs of models by the features they share and by how often they agree.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), four or more: one of each model, with a column of answers; or one of
        each model and then the outputs (rows, classes) of the same models.

    Returns
    -------
    Scatter
        `positions` (pairs, 2): shared features and agreement; columns "first", "second", "agreement by chance".
        Estimates: the mean agreement, and the rank correlation over pairs where both vary.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than four taps; no answers and an odd number of taps, or outputs of one class; as `shared_features`.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    if len(taps) < 4:
        raise ParameterError(f"{len(taps)} tap(s)", "four or more")
    column = params.predicted or ("predicted" if all("predicted" in t.samples for t in taps) else "")
    models, outputs = (taps, None) if column else split_halves(taps)
    found = population_of(models, params, rng, progress)
    progress(0.8, "comparing answers")
    answers, kept = answers_of(models, outputs, column, found.data.ids)
    lost = len(found.data.ids) - len(kept)
    said = (
        [f"{lost} sample(s) without a finite answer of every model left out of the agreement."]
        if lost
        else []
    )
    has = (found.features.has >= 0).astype(np.float64)
    shared, same = has @ has.T, (answers[:, None] == answers).mean(axis=2)
    progress(0.9, "renaming models")
    estimates = _estimates(found, answers, shared, same, rng)
    i, j = np.triu_indices(len(models), 1)
    names = np.array(found.names)
    return Scatter(
        title=f"Shared features and agreement of {len(models)} models", reading=_reading(estimates, len(i)),
        caveats=(*_caveats(len(models), same[i, j]), *said, *population_caveats(found, params), *found.notes),
        estimates=estimates, positions=np.stack([shared[i, j], same[i, j]], axis=1), rows=np.arange(len(i)), of="pairs",
        axes=("features that both have", "share of samples with the same answer"),
        columns={"first": names[i], "second": names[j], "agreement by chance": _by_chance(answers)[i, j]},
    )  # fmt: skip


def _by_chance(answers: np.ndarray) -> np.ndarray:
    """(M, M) agreement when samples are exchanged: the exact mean."""
    shares = np.array([np.bincount(a, minlength=answers.max() + 1) for a in answers]) / answers.shape[1]
    return shares @ shares.T


def _estimates(found: Population, answers, shared, same, rng) -> tuple[Estimate, ...]:
    m, n = answers.shape
    i, j = np.triu_indices(m, 1)
    each = (answers[i] == answers[j]).mean(axis=0)
    out = [
        Estimate("mean agreement of two models", float(each.mean()), **share_interval(each),
                 null=float(_by_chance(answers)[i, j].mean()), null_method="samples exchanged, exact mean", n=n,
                 d=len(found.components.model), estimator="share of samples with the same answer"),
    ]  # fmt: skip
    value = pair_correlation(shared, same) if m > 2 else None
    if value is None:
        return tuple(out)
    drawn, exact = renamed(shared, same, rng)
    p = float((drawn >= value - 1e-12).mean()) if exact else float(add_one_p(value - 1e-12, drawn))
    low, high = np.percentile(drawn, [2.5, 97.5])
    out.append(Estimate(
        "rank correlation of shared features and agreement", value, **_without_a_model(shared, same, value), null=0.0,
        null_low=float(low), null_high=float(high), p_value=p, n=len(i), d=m, estimator="Spearman over pairs of models",
        null_method="models renamed, " + ("all ways" if exact else f"{DRAWS} draws"),
    ))  # fmt: skip
    return tuple(out)


def _without_a_model(shared, same, value: float) -> dict:
    """Jackknife over models; nothing for fewer than five, or where a side stops to vary."""
    m = len(shared)
    stay = [np.delete(np.arange(m), g) for g in range(m)]
    values = [pair_correlation(shared[np.ix_(s, s)], same[np.ix_(s, s)]) for s in stay] if m > 4 else [None]
    if None in values:
        return {}
    half = float(jackknife_half(np.array(values)))
    return {
        "low": max(value - half, -1.0),
        "high": min(value + half, 1.0),
        "interval": "jackknife over models, t",
    }


def _reading(estimates, pairs: int) -> str:
    first = estimates[0]
    text = (
        f"Two models give the same answer to {first.value:.1%} of the samples; answers to exchanged samples are the "
        f"same in {first.null:.0%}. "
    )
    if len(estimates) == 1:
        return (
            text
            + f"With {pairs} pair(s) of models, or no variation among them, there is no relation to measure."
        )
    r = estimates[1]
    verdict = "more than chance" if r.p_value < 0.05 else "not shown to be more than chance"
    return text + (
        f"Over {pairs} pairs the rank correlation of shared features and agreement is {r.value:.2f} "
        f"(p = {r.p_value:.2g}): {verdict}."
    )


def _caveats(models: int, same: np.ndarray) -> list[str]:
    notes = ["Pairs that have a model in common are not independent; the test renames whole models."]
    if models < 5:
        notes = [f"{models} models have few pairs: hardly any relation among them could be told from chance."]
    if (same == 1).any():
        notes.append(f"{int((same == 1).sum())} pair(s) give the same answer to every sample: if they are copies, or "
                     "layers of one network, their points say nothing.")  # fmt: skip
    return notes


def _cost(shapes, params: FeatureAgreementParams) -> Cost:
    flops, moved, held = population_cost(shapes, params, 0)
    n = min(min(rows for rows, _ in shapes), params.maximum_samples)
    seconds = machine().seconds(
        flops64=flops, moved=moved + n * len(shapes) ** 2 * 30.0, calls=n * len(shapes) * 3.0
    )
    return Cost(seconds + 0.05, held * 0.6 + n * 8.0 * (len(shapes) + 2.0) * 12)


def _check() -> tuple[CheckLine, ...]:
    """Two groups of models with features and answers of their own: the correlation of two matrices of two blocks is 1.
    Agreement of equal and of opposite answers. Answers by outputs are those by the column."""
    rng = np.random.default_rng(22)
    one, other = (planted_models(rng, n=400, models=4)[:3] for _ in range(2))
    answers = [rng.integers(3, size=400) for _ in range(2)]
    taps = [
        ArrayActivations(x, name=f"{name} {i}", samples={"predicted": answers[g]})
        for g, (name, xs) in enumerate((("one", one), ("other", other))) for i, x in enumerate(xs)
    ]  # fmt: skip
    params = FeatureAgreementParams(number=3)
    found = feature_agreement(*taps, params=params)
    shared, same = found.positions.T
    bare = [ArrayActivations(t.values) for t in taps]
    outputs = [ArrayActivations(np.eye(3)[answers[g]]) for g in (0, 0, 0, 1, 1, 1)]
    by_output = feature_agreement(*bare, *outputs, params=params)
    group = [np.char.startswith(found.columns[side], "one") for side in ("first", "second")]
    mine = group[0] == group[1]
    r = found.estimates[-1]
    p = np.nan if r.p_value is None else r.p_value
    return (
        CheckLine("rank correlation of two groups", 1.0, r.value, 1e-12),
        CheckLine("p: 72 of 720 ways to rename six models keep two groups", 0.1, p, 1e-12),
        CheckLine("features shared inside a group", 3.0, float(shared[mine].min()), 0),
        CheckLine("features shared across groups", 0.0, float(shared[~mine].max()), 0),
        CheckLine("agreement inside a group", 1.0, float(same[mine].min()), 0),
        CheckLine("answers by outputs and by the column", 0.0,
                  float(np.abs(by_output.positions - found.positions).max()), 0),
    )  # fmt: skip


METHODS = (
    Method(
        id="feature_agreement", family="populations", title="Shared features and agreement", version=1,
        function=feature_agreement,
        summary="Whether models that share more features also give the same answers more often.",
        params=FeatureAgreementParams, result=Scatter, check=_check, cost=_cost, inputs=4, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="the order of the models and of samples; rotating a model's units (principal components)",
        papers=("On the Joint Interaction of Models, Data, and Features",),
    ),
)  # fmt: skip
