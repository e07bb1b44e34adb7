"""Where in two samples is their likeness? A map over each, by hiding parts of it from the network.

occlusion    the score with the sample as it is, less the score without this part
Score-CAM    Σ_k w_k (A_k - A_k of the blank) where positive: A_k is the map of unit k at the tap, and
             w = softmax_k(s(x M_k + blank (1 - M_k), y) - s(blank, y)) with M_k the map drawn between 0 and 1, enlarged

both ways: parts of the first sample are hidden while the second stays, then the other way round. The score is the
cosine of what the tap gives for both (*Why these two are alike*, which splits it exactly where tokens are averaged).
Where the network cannot be run, the tokens of the tap itself are hidden and their mean is read: this is said.

Null: the same map with other samples in place of the partner; the network is not run again for them. Interval: Wilson's
over random pairs, of how many are less alike.

When it lies: what stands in a hidden place is seen too (compare both fills); parts that can stand in for each other
show nothing when one is hidden; Score-CAM's softmax over many units is nearly equal weights, so its map is much like
the mean map of the tap whatever the partner is (its null says so); neither map sums to the score.

Cost: a pass for each part, or unit of the tap, of both samples.

References: K. Habel, F. Deuser & N. Oswald (2022), "CLIP-ReIdent: Contrastive training for player re-identification";
H. Wang et al. (2020), "Score-CAM: Score-weighted visual explanations for convolutional neural networks".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.attribution.backgrounds import MEAN as MEAN_SAMPLE
from analysis.attribution.backgrounds import ZERO, background
from analysis.attribution.hidden_places import ACROSS, hidden_places
from analysis.attribution.one_sample.tap_vector import TapVector
from analysis.attribution.pairs.pair_maps import ScoreCam, drops, occluded, scores
from analysis.attribution.pairs.similar_pair import FEWEST, MEAN, PairParams, asked_pair, pair_caveats
from analysis.attribution.tap_runs import tap_runs
from analysis.compute.machine import machine
from analysis.compute.similarity.pair_report import EXACT, score_estimates
from analysis.compute.statistics.nulls import against
from analysis.results import Estimate, TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param

OCCLUSION, SCORE_CAM = "occlusion", "Score-CAM"


@dataclass(frozen=True)
class SimilarHeatParams(PairParams):
    way: str = param(OCCLUSION, "How places are weighed.", choices=(OCCLUSION, SCORE_CAM))
    size: int | None = param(
        None, "Side of a hidden square of an image; automatic: eight across.", low=1, high=512
    )
    fill: str = param(MEAN_SAMPLE, "What stands in a hidden place.", choices=(MEAN_SAMPLE, ZERO))
    fill_samples: int = param(20, "Samples whose mean that is.", low=1, high=500)


def similar_heat(
    activations, params: SimilarHeatParams = SimilarHeatParams(), rng=None, progress=no_progress
) -> TokenMap:
    """A map over each of two samples.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    TokenMap
        (2, parts): of the first sample, then of the second; NaN where one has fewer tokens. Estimates: the cosine,
        other pairs that are less alike, the largest part of each map.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such sample or token; fewer than eight samples; the network does not give what the tap recorded; Score-CAM
        at a tap that is no map of the input.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    pair = asked_pair(tap, params, rng, progress, (0.0, 0.2))
    progress(0.2, "opening the network")
    runs = tap_runs(tap)
    behind = rng.permutation(np.delete(pair.sets.samples, [pair.i]))[: params.fill_samples]
    maps, nulls, grid, passes = [], [], (None, 0), 0
    for k, (sample, other) in enumerate(((params.first, pair.g), (params.second, pair.f))):
        span = (0.25 + 0.35 * k, 0.6 + 0.35 * k)
        own, null, grid, used = _map(runs, pair, sample, other, behind, params, progress, span)
        maps, nulls, passes = [*maps, own], [*nulls, null], passes + used
    estimates = (*_scores(pair, rng), *_largest(maps, nulls, params, tap.shape[1]))
    progress(1.0, "done")
    wide = max(map(len, maps))
    values = np.array([np.pad(m, (0, wide - len(m)), constant_values=np.nan) for m in maps])
    return TokenMap(
        title=f"Where samples {params.first} and {params.second} are alike: {params.way}",
        reading=_reading(pair.score, maps, estimates, params), estimates=estimates,
        caveats=(*pair.notes, *pair_caveats(params, pair), *runs.notes,
                 f"Run was {runs.what}, {passes:,} passes; a hidden place holds {_filled(params)}."),
        samples=np.array([params.first, params.second]), values=values, grid=grid[0], leading=grid[1],
        value_name="score lost when hidden" if params.way == OCCLUSION else "Score-CAM",
        names=(f"sample {params.first}", f"sample {params.second}"),
    )  # fmt: skip


def _map(runs, pair, sample: int, other, behind, params, progress, span):
    """(parts,), the same with partners (m, parts), the grid or None and what leads it, passes."""
    run = runs.run(sample)
    vector = runs.vector(run, sample)
    many = int(pair.sets.counts.max()) > 1  # else what the tap keeps of a sample is pooled already
    if params.pooling != MEAN and many:
        vector = TapVector(vector.module, params.token)
    vector = replace(vector, units=pair.units if params.units else None)
    needed = params.fill == MEAN_SAMPLE
    blank = background(params.fill, run.clean, [runs.run(int(i)).clean for i in behind] if needed else [])
    every = np.vstack([other, pair.others])
    if params.way == SCORE_CAM:
        cam = ScoreCam(run, blank.rows[0], vector, progress, span)
        found = cam.heat(every, pair.centre)
        return found[0], found[1:], (cam.grid, 0), cam.passes
    places = hidden_places(runs, run, sample, params.size)
    players = places.players
    found = drops(occluded(run, players, blank.rows[0], vector, progress, span), every, pair.centre)
    return found[0], found[1:], (places.grid, places.leading), len(players.names) + 1


def _filled(params: SimilarHeatParams) -> str:
    return "zeros" if params.fill == ZERO else f"the mean of {params.fill_samples} samples"


def _scores(pair, rng):
    partners = scores(pair.f[None] + pair.centre, pair.others, pair.centre)[0]
    return score_estimates(pair.score, partners, pair.pooled, (pair.i, pair.j), rng)


def _largest(maps, nulls, params, d: int) -> list[Estimate]:
    return [
        Estimate(f"largest part of sample {sample}", float(own.max()), **against(float(own.max()), null.max(axis=1)),
                 null_method=f"largest parts with {len(null):,} random partners", n=len(own), d=d,
                 interval=f"none: {EXACT}",
                 estimator=params.way)
        for sample, own, null in zip((params.first, params.second), maps, nulls, strict=True)
    ]  # fmt: skip


def _reading(score: float, maps, estimates, params) -> str:
    what = "The score falls most, by" if params.way == OCCLUSION else "Score-CAM is largest, at"
    said = ", ".join(
        f"{own.max():.3g} in sample {sample} (random partners: {e.null:.3g})"
        for sample, own, e in zip((params.first, params.second), maps, estimates[-2:], strict=True)
    )
    return f"Samples {params.first} and {params.second} have a cosine of {score:.3g}. {what} {said}."


def _cost(shapes, params: SimilarHeatParams) -> Cost:
    (n, d), m = shapes[0], machine()
    passes = 2 * (d if params.way == SCORE_CAM else ACROSS**2) + params.fill_samples
    held = 24.0 * min(n, params.maximum_samples) * d + 16.0 * min(n, params.null_samples) * d + 3e5
    return Cost(5.0 + m.seconds(flops64=2.0e6 * passes, moved=8.0 * n * d), held, passes)


def _check() -> tuple[CheckLine, ...]:
    """At a tap itself: what is lost is known, and one token that two samples share carries their likeness."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((20, 4, 60))
    x[3, 2] = x[8, 1] = 3 * rng.standard_normal(60)
    tap = ArrayActivations(x.reshape(-1, 60), layout=Layout(np.arange(21, dtype=np.int64) * 4))
    asked = {"first": 3, "second": 8, "fill": ZERO, "centred": False}
    found = similar_heat(tap, SimilarHeatParams(**asked)).values
    swapped = similar_heat(tap, SimilarHeatParams(**{**asked, "first": 8, "second": 3})).values
    left, g = x[3, [0, 1, 3]].sum(axis=0), x[8].mean(axis=0)
    cosine = [float(f @ g / np.linalg.norm(f) / np.linalg.norm(g)) for f in (x[3].mean(axis=0), left)]
    return (
        CheckLine("lost without the shared token", cosine[0] - cosine[1], float(found[0, 2]), 1e-9),
        CheckLine("it is the largest part of the first", 2.0, float(found[0].argmax()), 0.0),
        CheckLine("and of the second", 1.0, float(found[1].argmax()), 0.0),
        CheckLine("swapped samples swap the maps", 0.0, float(np.abs(found - swapped[::-1]).max()), 1e-12),
    )


METHODS = (
    Method(
        id="similar_heat",
        family="attribution",
        title="Where two samples are alike",
        summary="Occlusion or Score-CAM of the likeness of two samples, a map over each.",
        version=2,
        function=similar_heat,
        params=SimilarHeatParams,
        result=TokenMap,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="rotating all units of the tap together, rescaling them together (occlusion)",
        papers=("CLIP-ReIdent: Contrastive Training for Player Re-Identification",),
        libraries=("torch",),
    ),
)
