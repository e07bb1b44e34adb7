"""How many dimensions a concept takes: probe scores against the number of dimensions erased.

Directions are found on one half of the samples; for every k = 0, 1, 2, 4, … the first k of them are removed from the
other half, where a linear, an MLP and a nearest-neighbour probe are fitted and judged in folds. A line for k random
directions shows what removing as many that mean nothing costs the linear probe.

R-LACE is searched for each k; the others are nested: k dimensions are the first of more. LEACE, mean, cross-covariance
and LDA have no more dimensions than a linear probe reads (classes - 1), so their curves end there; INLP goes on, since
each of its rounds leaves a direction for the next.

Null: the concept's values exchanged between the held-out samples while predictions stay.

When it lies: a probe that still reads at the last k may read what few samples left (see the caveats), or a curved trace
that no projection of this size removes; a probe that fails may be too weak; more dimensions for one concept than for
another need not mean more information, only more classes.

Cost: the directions as in concept_erasure; 4 probes in folds for each k. Memory O(n d + d²).

References: S. Ravfogel et al. (2022), "Linear Adversarial Concept Erasure"; S. Ravfogel et al. (2020), "Null It Out".
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.groups.concept import ConceptParams
from analysis.compute.groups.concept_samples import concept_samples
from analysis.compute.machine import machine
from analysis.compute.subspaces.erasing import (
    BOUNDED,
    COVARIANCE,
    ERASERS,
    FEWEST,
    INLP,
    MEAN,
    NESTED,
    Halves,
    erasers_by_rank,
    expected_rest,
    first_dimensions,
    halved,
)
from analysis.compute.subspaces.erasure import random_projection
from analysis.compute.subspaces.probe_cost import classes_of, eraser_cost, probe_cost, times
from analysis.compute.subspaces.probes import LINEAR, PROBES, Score, scored
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

RANDOM, MAJORITY = "linear, random directions", "majority"


@dataclass(frozen=True)
class ErasureByRankParams(ConceptParams):
    method: str = param(INLP, "How the directions are found.", choices=ERASERS)
    most: int | None = param(
        None,
        "Most dimensions; empty: twice as many as a linear probe reads, and at least 8.",
        low=1,
        high=512,
    )
    folds: int = param(4, "Folds in which probes are fitted and judged.", low=2, high=10)
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=50, high=50_000)


def erasure_by_rank(
    activations, params: ErasureByRankParams = ErasureByRankParams(), rng=None, progress=no_progress
) -> Curve:
    """Probe scores by the number of dimensions erased.

    Parameters
    ----------
    activations : Activations or array (rows, units); tokens count once per sample, by their mean.

    Returns
    -------
    Curve
        `x` dimensions erased from 0; a series for each probe with interval and null, one for random directions and
        the majority rate. Estimates: scores before and after, and the fewest dimensions that blind the linear probe.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError, TooLarge
        As for concept_erasure.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    data = concept_samples(
        activations, params, minimum=FEWEST, maximum=params.maximum_samples, rng=rng, progress=progress
    )
    halves = halved(data, params.folds, rng)
    most = params.most or max(8, 2 * data.concept.rank)
    erasers = erasers_by_rank(halves, params.method, min(most, data.x.shape[1]), progress)
    whole = random_projection(halves.moments, erasers[-1].rank, rng)
    scores: dict[str, list[Score]] = {name: [] for name in (*PROBES, RANDOM)}
    seed = int(rng.integers(2**31))
    for i, e in enumerate(erasers):
        progress(0.4 + 0.6 * i / len(erasers), f"probing after {e.rank} dimension(s)")
        for name in scores:
            left = (first_dimensions(whole, e.rank) if name == RANDOM else e)(halves.x)
            probe = LINEAR if name == RANDOM else name
            own = np.random.default_rng(seed)
            scores[name].append(scored(left, halves.concept, halves.fold, probe, halves.moments.scale, own))
    x = np.array([float(e.rank) for e in erasers])
    return _curve(activations.name, params, data, halves, x, scores)


def _curve(name: str, params, data, halves: Halves, x: np.ndarray, scores) -> Curve:
    lines = {probe: np.array([s.value for s in own]) for probe, own in scores.items()}
    low = {probe: np.array([s.low for s in own]) for probe, own in scores.items()}
    high = {probe: np.array([s.high for s in own]) for probe, own in scores.items()}
    null = {probe: np.array([s.null for s in own]) for probe, own in scores.items()}
    chance, number = scores[LINEAR][0].chance, data.concept.is_number
    lines["mean of the training samples" if number else MAJORITY] = np.full(len(x), chance)
    d, blind = halves.x.shape[1], _blind_from(x, scores[LINEAR])
    ends = ((0, "nothing erased"), (-1, f"{x[-1]:.0f} dimension(s) erased"))
    estimates = [
        scores[p][at].estimate(f"{p}, {when}", d, LINEAR if p == RANDOM else p)
        for at, when in ends for p in (*PROBES, RANDOM)
    ]  # fmt: skip
    if blind is not None:
        estimates.append(
            Estimate("dimensions after which the linear probe is blind", blind, null=float(d),
                     null_method="random directions blind it only when all units are gone", n=halves.concept.n, d=d,
                     estimator=f"fewest tried by {params.method} from which on it is at chance")
        )  # fmt: skip
    return Curve(
        title=f"Erasing {data.concept.name} from {name} by {params.method}, dimension by dimension",
        x=x, x_name="dimensions erased", y_name=f"held-out {'R²' if number else 'accuracy'}", series=lines, low=low,
        high=high, null=null, reading=_reading(params.method, x, scores, blind, chance, number),
        estimates=tuple(estimates), caveats=(*_caveats(params, halves, x), *data.notes),
    )  # fmt: skip


def _blind_from(x: np.ndarray, scores: list[Score]) -> float | None:
    """The fewest dimensions from which on the probe does not read; None where it reads to the end."""
    reads = np.array([s.reads for s in scores])
    if reads[-1]:
        return None
    last = np.flatnonzero(reads)
    return float(x[last[-1] + 1]) if len(last) else 0.0


def _reading(method, x, scores, blind, chance: float, number: bool) -> str:
    floor = "0 for the mean" if number else f"majority {chance:.2f}"
    before, after = (", ".join(f"{p} {scores[p][i].value:.2f}" for p in PROBES) for i in (0, -1))
    if blind == 0:
        return f"With nothing erased the linear probe reads nothing ({before}; {floor})."
    first = f"Before erasing: {before} ({floor}); after {x[-1]:.0f} dimension(s) by {method}: {after}."
    how = (
        "The linear probe reads the concept to the end."
        if blind is None
        else f"The linear probe is blind from {blind:.0f} dimension(s) on."
    )
    still = [p for p in PROBES[1:] if scores[p][-1].reads]
    rest = (
        f" At the end the {' and the '.join(still)} still read(s) it." if still and blind is not None else ""
    )
    return f"{first} {how}{rest} As many random directions leave it at {scores[RANDOM][-1].value:.2f}."


def _caveats(params, halves: Halves, x) -> list[str]:
    notes = [
        f"Directions are found on {len(halves.fit):,} samples, probes are fitted and judged on {len(halves.x):,} "
        f"others, in {params.folds} folds; the bands hold for each k by itself.",
        "The dotted null is what exchanged values score with the same predictions; the majority is what naming the "
        "most frequent class scores.",
    ]
    if params.method in BOUNDED:
        notes.append(
            f"{params.method} has no more dimensions than the concept: the curve ends at {x[-1]:.0f}."
        )
    if params.method == INLP:
        notes.append(
            "INLP removes more dimensions than the class means span: compare LEACE or mean projection."
        )
    if expected_rest(halves):
        notes.append(expected_rest(halves))
    return notes


def _cost(shapes, params: ErasureByRankParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, c = min(rows, params.maximum_samples) / 2, classes_of(params)
    most = min(params.most or max(8, 2 * (c - 1)), d)
    points = 3 + np.ceil(np.log2(most))
    probes = sum((probe_cost(p, n, d, c, params.folds) for p in (*PROBES, LINEAR)), Counter())
    found = eraser_cost(params.method, n, d, c, most)
    once = params.method in NESTED
    memory = 8.0 * (6 * n * d + 5 * d * d) + 10.0 * n * n / params.folds + 3e5
    return Cost(m.seconds(**(times(probes, points) + times(found, 1 if once else points))) + 0.1, memory)


def _check() -> tuple[CheckLine, ...]:
    """Three classes with means along two directions: two dimensions blind the linear probe and one does not; INLP of
    one dimension on correlated units leaves more than the mean projection does."""
    rng = np.random.default_rng(7)
    label, means = np.arange(1200) % 3, 3 * rng.standard_normal((3, 6))
    x = rng.standard_normal((1200, 6)) + means[label]
    data = ArrayActivations(x + 5, samples={"label": label})

    def curve(**more) -> Curve:
        return erasure_by_rank(data, ErasureByRankParams(folds=2, **more))

    mean = curve(method=MEAN)
    many = curve(method=INLP, most=4, maximum_samples=120)
    same = curve(method=COVARIANCE, most=2, maximum_samples=400)
    blind = [e.value for e in mean.estimates if e.name.startswith("dimensions")]
    return (
        CheckLine("dimensions in all", 2.0, float(mean.x[-1]), 0.0),
        CheckLine("fewest that blind the linear probe", 2.0, blind[0] if blind else -1.0, 0.0),
        CheckLine("linear accuracy after one", 0.5, float(mean.series[LINEAR][1]), 0.0, "at least"),
        CheckLine("linear accuracy after two", 1 / 3, float(mean.series[LINEAR][2]), 0.05),
        CheckLine("and by cross-covariance", 1 / 3, float(same.series[LINEAR][-1]), 0.12),
        CheckLine("before: three separate classes", 0.9, float(mean.series[LINEAR][0]), 0.0, "at least"),
        CheckLine("INLP reaches four dimensions", 4.0, float(many.x[-1]), 0.0),
        CheckLine("majority", 1 / 3, float(mean.series[MAJORITY][0]), 0.01),
    )  # fmt: skip


METHODS = (
    Method(
        id="erasure_by_rank", family="concepts", title="Erase a concept, dimension by dimension", version=2,
        function=erasure_by_rank, params=ErasureByRankParams, result=Curve, check=_check, cost=_cost,
        summary="What linear, MLP and neighbour probes read of a concept as more and more dimensions are erased.",
        minimum_rows=2 * FEWEST,
        invariance="shifting the activations or scaling all of them by one factor changes nothing; a rotation changes "
        "nothing but the draws of the MLP and of random directions",
        papers=("Linear Adversarial Concept Erasure (R-LACE)", "Linear Adversarial Concept Erasure"),
    ),
)  # fmt: skip
