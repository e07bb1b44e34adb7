"""Does ranking the first hits again with refined vectors find more? Mean average precision over how many are refined.

Every sample asks for the others of its class by the cosine of pooled vectors. The first M hits are ranked again after
the query, or the query and these hits, have been moved towards their K nearest among the M hits
(`analysis.compute.retrieval.refining`): nothing but global vectors is read, 4 d bytes a sample.

    gain of M = mAP with the first M ranked again - mAP as it was searched;     better, worse: queries by their own AP

Interval: Student's t over queries, Wilson's of shares. Null: neighbours chosen at random among the M hits, with the
weights that the real ones have.

When it lies: moving towards neighbours helps where these are right and drifts where they are wrong, so that weak
vectors are made weaker (see the queries that got worse); a larger M brings in more of the wrong ones; classes stand in
for what a person wants; the best of several M flatters itself, so the estimate is of the M that was asked for.

Cost: O(queries · M² d) for each of several M, and as much for the null. Matching T local vectors of each pair instead
would read T times the bytes and O(M T² d) for each query.

References: S. Shao, K. Chen, A. Karpur, Q. Cui, A. Araujo & B. Cao (2023), "Global features are all you need for image
retrieval and reranking"; O. Chum, J. Philbin, J. Sivic, M. Isard & A. Zisserman (2007), "Total recall: automatic query
expansion".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.retrieval.gallery_search import PRECISION, Task, average_precision, chance
from analysis.compute.retrieval.refining import BOTH, QUERY, WAYS, again, unit
from analysis.compute.rows.samples import labelled_matrix
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.errors import NotEnoughData
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

SEARCHED, RANDOM = "as searched", "any ranking"
NULL = "neighbours at random among the hits, weighed alike"
SIZES, FEWEST, SAME = 6, 20, 1e-9


@dataclass(frozen=True)
class RefinedRankingParams:
    hits: int = param(100, "M: first hits that are ranked again.", low=2, high=1000)
    neighbours: int = param(5, "K: neighbours that a vector is moved towards.", low=1, high=200)
    weight: float = param(0.5, "β: how far; 0 changes nothing.", low=0.0, high=10.0)
    power: float = param(1.0, "p: neighbours count by their cosine to this power.", low=0.0, high=20.0)
    pooling: str = param("mean", "How the tokens of a sample become one vector.", choices=("mean", "max"))
    column: str = param("label", "Samples with one value are right answers to each other.", column=True)
    queries: int = param(200, "Most samples that ask; a seeded random part above.", low=10, high=5000)
    maximum_samples: int = param(
        2000, "Most samples; a seeded random part above.", low=20, high=50_000, late=True
    )


def refined_ranking(
    activations, params: RefinedRankingParams = RefinedRankingParams(), rng=None, progress=no_progress
) -> Curve:
    """Mean average precision over the number of hits that are ranked again.

    Parameters
    ----------
    activations : Activations with the class column

    Returns
    -------
    Curve
        A line for each way to refine, and the search as it was. Estimates: gains at the M asked for, and the shares of
        queries that got better and worse.

    Raises
    ------
    NotFound, NotEnoughData, TooLarge
        No such column; fewer than two classes of two samples; over 4 GiB.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = labelled_matrix(tap, params.column, params.pooling, minimum=2, maximum_samples=params.maximum_samples,
                            rng=rng, progress=progress, span=(0.0, 0.2))  # fmt: skip
    x = unit(found.values - found.values.mean(axis=0))
    if not x.any():
        raise NotEnoughData(f"{tap.name} does not vary", "samples that differ", "Choose another tap")
    query = np.sort(rng.permutation(len(x))[: params.queries])
    task = Task(query, np.arange(len(x)), found.of)
    sizes = sizes_of(params.hits, len(x))
    value, free = precision(x, task, sizes, params, rng, lambda f: progress(0.2 + 0.8 * f, "ranking again"))
    progress(1.0, "done")
    told = _estimates(
        value, free, int(np.searchsorted(sizes, min(params.hits, len(x) - 1))), sizes, x.shape[1]
    )
    names = (SEARCHED, *WAYS)
    lines = {name: value[name].mean(axis=1) for name in WAYS}
    lines |= {SEARCHED: np.full(len(sizes), value[SEARCHED].mean())}
    ends = {name: [mean_interval(np.atleast_2d(value[name])[i % len(np.atleast_2d(value[name]))], 0.0, 1.0)
                   for i in range(len(sizes))] for name in names}  # fmt: skip
    by_chance = np.full(len(sizes), chance(task, PRECISION).mean())
    return Curve(
        title=f"The first hits ranked again, {tap.name}", reading=_reading(told, value), estimates=told,
        caveats=(*found.notes, *_caveats(tap, x, query, found.values.shape[1])), x=sizes.astype(np.float64),
        x_name="first hits that are ranked again", y_name=PRECISION, log_x=True,
        series={name: lines[name] for name in names},
        low={name: np.array([e["low"] for e in of]) for name, of in ends.items()},
        high={name: np.array([e["high"] for e in of]) for name, of in ends.items()},
        null={name: free[name].mean(axis=1) for name in WAYS} | {SEARCHED: by_chance}, controls=(SEARCHED,),
    )  # fmt: skip


def sizes_of(most: int, n: int) -> np.ndarray:
    """Numbers of hits, rising by one factor up to `most`, at most all candidates."""
    most = min(most, n - 1)
    return np.unique(np.rint(np.geomspace(min(2, most), most, SIZES)).astype(int))


def precision(x: np.ndarray, task: Task, sizes: np.ndarray, params, rng, told) -> tuple[dict, dict]:
    """({SEARCHED: (q,), each way: (m, q)} average precision, {way: (m, q)} with neighbours at random)."""
    first = -(x[task.query] @ x.T)
    first = np.where(task.candidates(slice(None)), first, np.inf)
    right = task.right(slice(None))
    out = {SEARCHED: average_precision(first, right)} | {w: np.zeros((len(sizes), len(first))) for w in WAYS}
    free = {w: np.zeros_like(out[w]) for w in WAYS}
    order = np.argsort(first, axis=1, kind="stable")
    settings = (params.neighbours, params.weight, params.power)
    for i, m in enumerate(sizes):
        made = {(w, r): first.copy() for w in WAYS for r in (False, True)}
        for row, hits in enumerate(order[:, :m]):
            told((i + row / len(order)) / len(sizes))
            for (way, is_random), distance in made.items():
                score = again(x[task.query[row]], x[hits], way, *settings, rng if is_random else None)
                distance[row, hits] = -3.0 - np.round(score, 12)  # before all that are left behind
        for (way, is_random), distance in made.items():
            (free if is_random else out)[way][i] = average_precision(distance, right)
    return out, free


def _estimates(value, free, at: int, sizes, d: int) -> tuple[Estimate, ...]:
    before, facts = value[SEARCHED], {"n": len(value[SEARCHED]), "d": d}
    out = []
    for way in WAYS:
        gain, chance_gain = (of[way][at] - before for of in (value, free))
        name = f"gain in {PRECISION} at {sizes[at]} hits, {way}"
        out.append(Estimate(name, float(gain.mean()), **mean_interval(gain), null=float(chance_gain.mean()),
                            null_method=NULL, estimator="mean over queries", **facts))  # fmt: skip
    gain, other = value[BOTH][at] - before, free[BOTH][at] - before
    for name, of, chance_of in (
        ("better", gain > SAME, other > SAME),
        ("worse", gain < -SAME, other < -SAME),
    ):
        out.append(Estimate(f"queries that got {name}, {BOTH}", float(of.mean()), **share_interval(of * 1.0),
                            null=float(chance_of.mean()), null_method=NULL, estimator="by average precision",
                            **facts))  # fmt: skip
    return tuple(out)


def _reading(told, value) -> str:
    one, both, better, worse = told
    return (
        f"{PRECISION} is {value[SEARCHED].mean():.3f} as searched; ranked again it gains {one.value:+.3f} with the "
        f"query refined and {both.value:+.3f} with hits refined too (random neighbours: {both.null:+.3f}). "
        f"{better.value:.0%} of the queries got better, {worse.value:.0%} worse."
    )


def _caveats(tap, x, query, d: int) -> list[str]:
    layout = tap.layout
    said = [f"{len(query):,} of {len(x):,} samples ask, each leaving itself out; vectors are less their mean.",
            "The last M is the one asked for; the best of the others would flatter itself."]  # fmt: skip
    if not layout.is_pooled:
        tokens = tap.shape[0] / layout.n_samples
        said.append(f"A sample takes {4 * d:,} bytes here; matching its {tokens:,.0f} tokens would read {tokens:,.0f} "
                    "times as much.")  # fmt: skip
    return said


def _cost(shapes, params: RefinedRankingParams) -> Cost:
    (n, d), m = shapes[0], machine()
    g = min(n, params.maximum_samples)
    q, most = min(g, params.queries), min(params.hits, g - 1)
    seconds = m.seconds(
        flops64=13.0 * q * most * most * d,
        moved=16.0 * q * most * params.neighbours * d + 8.0 * n * d,
        calls=600.0 * q,
    )
    held = 3.0 * g * d + 11.0 * q * g + 4.0 * most * params.neighbours * d + 6.0 * most * most
    return Cost(0.05 + seconds, 8.0 * held)


def _check() -> tuple[CheckLine, ...]:
    """Two noisy classes: neighbours are mostly right, so that refining gains, and random ones gain less; β = 0 changes
    nothing; vectors of one point stay where they are."""
    rng = np.random.default_rng(0)
    of = np.arange(80) % 2
    centres = 2.2 * np.eye(2, 24)[of]
    tap = ArrayActivations(centres + rng.standard_normal((80, 24)) * 0.8, "planted", {"label": of})
    found = refined_ranking(tap, RefinedRankingParams(hits=40))
    still = refined_ranking(tap, RefinedRankingParams(hits=40, weight=0.0))
    same = np.tile(unit(rng.standard_normal((1, 5))), (4, 1))
    return (
        CheckLine("two classes: gain", 0.02, found.estimates[1].value, 0.0, "at least"),
        CheckLine("random neighbours gain less", found.estimates[1].value, found.estimates[1].null, 0.0, "at most"),
        CheckLine("β = 0: gain", 0.0, still.estimates[1].value, 1e-12),
        CheckLine("β = 0: queries that changed", 0.0, still.estimates[2].value + still.estimates[3].value, 0.0),
        CheckLine("copies of one point stay", 1.0, float(again(same[0], same, BOTH, 3, 0.7, 1.0).min()), 1e-12),
        CheckLine("a query alone is moved towards its hits", 1.0,
                  float(again(same[0], same, QUERY, 3, 0.7, 1.0).min()), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="refined_ranking", family="retrieval", title="First hits ranked again", version=1, function=refined_ranking,
        summary="Whether moving the query and its first hits towards their neighbours finds more, over how many hits.",
        params=RefinedRankingParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotations of the units, one factor of all and a constant of each",
        papers=("Global Features are All You Need for Image Retrieval and Reranking",),
    ),
)  # fmt: skip
