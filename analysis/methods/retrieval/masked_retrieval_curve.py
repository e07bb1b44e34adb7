"""How much of a picture does the search need? What is found against the share of visible cells.

At each share, random masks are drawn (single cells, or one square that stands for a torn-off part), every query
searches with the same visible cells, both lengths over these (*Search with a part of the picture*), and

    recall@1, mAP       by the labels, where there are some
    same nearest        is the nearest sample the one that it is with all cells?

Null: random rankings, exactly. Interval: bootstrap over queries, each the mean over masks.

When it lies: cells of a network that mixes its patches have seen their neighbours, so the curve falls later than one of
cut pictures would; a square in the middle shows more than one at the edge; masks are the same for all queries.

Cost: O(shares masks queries n cells d).

Reference: S. Shafique et al. (2024), "CriSp: Leveraging tread depth maps for enhanced crime-scene shoeprint matching".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.retrieval.class_numbers import class_numbers
from analysis.compute.retrieval.gallery_search import MEASURES, RECALL, Task, chance
from analysis.compute.retrieval.two_rankings import found_by
from analysis.compute.retrieval.visible_cells import all_scores, cells_of
from analysis.compute.rows.token_sets import token_sets
from analysis.compute.statistics.nulls import bootstrap_mean
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8
SINGLE, SQUARE = "single cells", "one square"
SAME = "same nearest"


@dataclass(frozen=True)
class MaskedCurveParams:
    shape: str = param(SINGLE, "What is visible together.", choices=(SINGLE, SQUARE))
    shares: int = param(8, "Shares of visible cells, evenly from few to all.", low=2, high=40)
    masks: int = param(5, "Random masks at each share.", low=1, high=200)
    centred: bool = param(True, "Take each cell's mean over all samples off first.")
    column: str | None = param(
        None, "Labels that say what is a right answer; automatic: 'label' where there is one.", column=True
    )
    queries: int = param(200, "Random samples that search.", low=5, high=5000)
    maximum_samples: int = param(1000, "Most samples; a seeded random part above.", low=20, high=20_000)


def masked_retrieval_curve(
    activations, params: MaskedCurveParams = MaskedCurveParams(), rng=None, progress=no_progress
) -> Curve:
    """What is found against what can be seen.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Every sample with the same tokens.

    Returns
    -------
    Curve
        x = the share of visible cells; series "recall@1", "mAP" where there are labels, and "same nearest".

    Raises
    ------
    InputError, NotFound, NotEnoughData, TooLarge
        Samples of different length; no such column; fewer than eight samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    sets = token_sets(
        tap, rng, maximum=params.maximum_samples, minimum=FEWEST, progress=progress, span=(0.0, 0.3)
    )
    cells = cells_of(sets, tap, params.centred, FEWEST)
    n, count = cells.values.shape[:2]
    of, _, column = class_numbers(tap, params.column, cells.samples)
    query = np.sort(rng.permutation(n)[: params.queries])
    task = _task(of, query)
    whole = _nearest(all_scores(cells.values, query, np.ones(count, bool)), query)
    sizes = _sizes(count, params.shares)
    found = []
    for i, size in enumerate(sizes):
        progress(0.3 + 0.65 * i / len(sizes), f"searching with {size:,} cells")
        masks = [_mask(count, cells.grid, int(size), params.shape, rng) for _ in range(params.masks)]
        drawn = [
            _found(all_scores(cells.values, query, m), query, whole, task)
            for m in masks[: 1 if size == count else None]
        ]
        found.append({name: np.mean([one[name] for one in drawn], axis=0) for name in drawn[0]})
    progress(0.97, "drawing again")
    series = {name: np.array([f[name].mean() for f in found]) for name in found[0]}
    bands = {name: bootstrap_mean(np.array([f[name] for f in found]).T, rng, draws=300) for name in series}
    null = {SAME: 1 / (n - 1), **({m: float(chance(task, m).mean()) for m in MEASURES} if task else {})}
    progress(1.0, "done")
    x = sizes / count
    return Curve(
        title="What is found with a part of the picture", x=x, x_name="share of visible cells", y_name="found",
        reading=_reading(x, series, null, column), caveats=(*sets.notes, *cells.notes, *_caveats(count, cells, params)),
        estimates=_estimates(x, series, bands, null, len(query) if task is None else len(task.query), tap.shape[1]),
        series=series, low={k: np.minimum(b[0], series[k]) for k, b in bands.items()},
        high={k: np.maximum(b[1], series[k]) for k, b in bands.items()},
        null={k: np.full(len(x), v) for k, v in null.items()},
    )  # fmt: skip


def _task(of: np.ndarray, query: np.ndarray) -> Task | None:
    task = Task(query[of[query] >= 0], np.flatnonzero(of >= 0), of)
    task = task.answerable() if len(task.query) else task
    return task if len(task.query) >= 3 else None


def _sizes(count: int, shares: int) -> np.ndarray:
    return np.unique(np.maximum(np.round(count * np.arange(1, shares + 1) / shares), 1).astype(int))


def _mask(count: int, grid, size: int, shape: str, rng) -> np.ndarray:
    """(count,) with `size` cells; of a square the nearest to a random place, by the larger distance."""
    visible = np.zeros(count, bool)
    if shape == SQUARE and grid is not None:
        down, along = divmod(np.arange(count), grid[1])
        at = rng.integers(count)
        off = np.maximum(np.abs(down - down[at]), np.abs(along - along[at])) + 0.5 * rng.random(count)
        visible[np.argsort(off, kind="stable")[:size]] = True
    else:
        visible[rng.permutation(count)[:size]] = True
    return visible


def _nearest(scores: np.ndarray, query: np.ndarray) -> np.ndarray:
    scores[np.arange(len(query)), query] = -np.inf
    return scores.argmax(axis=1)


def _found(scores, query, whole, task: Task | None) -> dict[str, np.ndarray]:
    """(q,) of each series; those by labels of the queries that have a right answer, repeated for none."""
    found = {}
    if task is not None:
        at, every = np.searchsorted(query, task.query), task.gallery
        for measure in MEASURES:
            found[measure] = found_by(task, scores[at][:, every], measure)
    found[SAME] = (_nearest(scores, query) == whole).astype(np.float64)
    return found


def _estimates(x, series, bands, null, n: int, d: int) -> tuple[Estimate, ...]:
    made = []
    for name, values in series.items():
        low, high = bands[name]
        for at in sorted({0, len(x) - 1}):
            made.append(Estimate(
                f"{name} with {x[at]:.0%} visible", float(values[at]), float(min(low[at], values[at])),
                float(max(high[at], values[at])), interval="bootstrap over queries", null=null[name],
                null_method="random rankings, exact", n=n, d=d, estimator="mean over queries and masks",
            ))  # fmt: skip
    return tuple(made)


def _reading(x, series, null, column) -> str:
    name = RECALL if RECALL in series else SAME
    values = series[name]
    enough = int(np.argmax(values >= null[name] + 0.9 * (values[-1] - null[name])))
    by = f" by '{column}'" if name == RECALL else ""
    return (
        f"With all cells {name}{by} is {values[-1]:.3g}, with {x[0]:.0%} of them {values[0]:.3g} (random rankings: "
        f"{null[name]:.3g}); nine tenths of it are there from {x[enough]:.0%} visible on."
    )


def _caveats(count: int, cells, params) -> list[str]:
    said = ["Masks are the same for all queries."]
    if count == 1:
        said.append("Every sample has one cell, so nothing can be hidden.")
    if params.shape == SQUARE and cells.grid is None:
        said.append("The tokens lie on no grid, so single cells were hidden.")
    return said


def _cost(shapes, params: MaskedCurveParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, q = min(rows, params.maximum_samples), min(rows, params.queries)
    held = 48.0 * n * d + 60.0 * q * n + 2e5
    return Cost(0.02 + m.seconds(flops64=4.0 * q * n * d, moved=8.0 * rows * d + 60.0 * q * n), held)


def _check() -> tuple[CheckLine, ...]:
    """Classes that every cell knows are found with any; all cells give the plain search; noise gives chance."""
    rng, of = np.random.default_rng(6), np.arange(24) % 3
    x = 4 * rng.standard_normal((3, 1, 20))[of] + 0.1 * rng.standard_normal((24, 9, 20))
    layout = Layout(np.arange(25, dtype=np.int64) * 9, (3, 3))
    tap = ArrayActivations(x.reshape(-1, 20), samples={"label": of}, layout=layout)
    found = masked_retrieval_curve(tap, MaskedCurveParams(shares=3, masks=2, shape=SQUARE))
    noise = ArrayActivations(rng.standard_normal((24 * 9, 20)), samples={"label": of}, layout=layout)
    blind = masked_retrieval_curve(noise, MaskedCurveParams(shares=3, masks=2))
    return (
        CheckLine("known everywhere: least recall@1", 1.0, float(found.series[RECALL].min()), 0.0),
        CheckLine("all cells: same nearest", 1.0, float(blind.series[SAME][-1]), 0.0),
        CheckLine("noise: recall@1", 7 / 23, float(blind.series[RECALL].mean()), 0.2),
    )


METHODS = (
    Method(
        id="masked_retrieval_curve",
        family="retrieval",
        title="How much of the picture is needed",
        summary="Recall and mean average precision of a search against the share of cells that can be seen.",
        version=1,
        function=masked_retrieval_curve,
        params=MaskedCurveParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="rotating the units of any cell; rescaling any sample (not centred)",
        papers=("CriSp: Leveraging Tread Depth Maps for Enhanced Crime-Scene Shoeprint Matching",),
    ),
)
