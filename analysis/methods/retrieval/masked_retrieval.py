"""Which samples look like the visible part of this one? Search with a mask, and what each cell adds.

    s(q, g) = Σ_{visible c} <q_c, g_c> / sqrt(Σ_{visible c} |q_c|² Σ_{visible c} |g_c|²)

over the cells c of the tap (patches of an image) that the mask leaves; both lengths are taken over the same cells, so
what is hidden enters nowhere. Each map shows the terms of one candidate's sum, best candidate first; hidden cells are
empty. With everything visible it is the cosine of the flattened maps. Where samples shift in the picture, search by
local parts instead: cells are compared place by place.

Null: what random rankings give, exactly; of the best score, the best of as many candidates for queries patched together
from cells of several samples. Interval: over queries that search with the same mask.

When it lies: a network that mixes its patches has carried what is hidden into what is visible: the invariance holds for
the stored activations, not for the picture; few visible cells are alike by chance; a bright cell may be a large one.

Cost: O(queries n cells d).

Reference: S. Shafique et al. (2024), "CriSp: Leveraging tread depth maps for enhanced crime-scene shoeprint matching".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.retrieval.class_numbers import class_numbers
from analysis.compute.retrieval.two_rankings import agreement_estimate, ranks, retrieval_estimates
from analysis.compute.retrieval.visible_cells import (
    all_scores,
    cells_of,
    contributions,
    mask_of,
    patched_best,
)
from analysis.compute.rows.token_sets import token_sets
from analysis.compute.statistics.nulls import against
from analysis.errors import NotFound
from analysis.results import Estimate, TokenMap
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8
MASKED, WHOLE = "visible cells", "all cells"
CHIMERAS = 50  # queries of the null


@dataclass(frozen=True)
class MaskedRetrievalParams:
    query: int = param(
        0, "The sample to search with, by its place in the store, from 0.", low=0, high=100_000_000
    )
    rows: str = param("", "Rows of the grid that can be seen, from 1, such as 2-5; empty: all.")
    columns: str = param("", "Columns of the grid that can be seen, from 1; empty: all.")
    cells: str = param("", "Cells that can be seen besides, by number from 0, such as 3, 7-9.")
    hide: bool = param(False, "What is named is hidden instead.", label="hide what is named")
    centred: bool = param(True, "Take each cell's mean over all samples off first.")
    shown: int = param(8, "Candidates drawn, best first.", low=1, high=64)
    column: str | None = param(
        None, "Labels that say what is a right answer; automatic: 'label' where there is one.", column=True
    )
    queries: int = param(200, "Random samples that search with the same mask.", low=3, high=5000)
    maximum_samples: int = param(1000, "Most samples; a seeded random part above.", low=20, high=20_000)


def masked_retrieval(
    activations, params: MaskedRetrievalParams = MaskedRetrievalParams(), rng=None, progress=no_progress
) -> TokenMap:
    """The best candidates for the visible part of a sample.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Every sample with the same tokens.

    Returns
    -------
    TokenMap
        (shown, cells): what each visible cell adds to the score of each candidate; NaN at hidden cells. Estimates: the
        best score, recall@1 and mAP with the mask and without, the agreement of both rankings.

    Raises
    ------
    InputError, ParameterError, NotFound, NotEnoughData, TooLarge
        An empty mask; cells that are not there; samples of different length; fewer than eight samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    sets = token_sets(tap, rng, maximum=params.maximum_samples, minimum=FEWEST, wanted=(params.query,),
                      progress=progress, span=(0.0, 0.4))  # fmt: skip
    cells = cells_of(sets, tap, params.centred, FEWEST)
    at = np.flatnonzero(cells.samples == params.query)
    if not len(at):
        raise NotFound(f"all cells of sample {params.query}", "a sample whose cells are all finite")
    at, count = int(at[0]), cells.values.shape[1]
    visible = mask_of(count, cells.grid, params.rows, params.columns, params.cells, params.hide)
    progress(0.4, "searching")
    parts = contributions(cells.values[at], cells.values, visible)
    scores = parts.sum(axis=1)
    others = np.delete(np.arange(len(scores)), at)
    top = others[np.argsort(-scores[others], kind="stable")[: params.shown]]
    query = np.sort(np.append(rng.permutation(others)[: params.queries - 1], at))
    masked = all_scores(cells.values, query, visible)
    progress(0.7, "searching with all cells")
    whole = all_scores(cells.values, query, np.ones(count, bool))
    of, _, column = class_numbers(tap, params.column, cells.samples)
    estimates = (
        _best(scores, top, cells.values, at, visible, rng),
        *retrieval_estimates(of, query, {MASKED: masked, WHOLE: whole}, tap.shape[1]),
        agreement_estimate(query, masked, whole, tap.shape[1]),
    )  # fmt: skip
    progress(1.0, "done")
    values = np.full((len(top), count), np.nan)
    values[:, visible] = parts[top]
    place = ranks(whole[int(np.flatnonzero(query == at)[0])][others])
    return TokenMap(
        title=f"What looks like the visible part of sample {params.query} (sample: score)",
        reading=_reading(scores, top, visible, estimates, cells, place[np.searchsorted(others, top[0])], params),
        caveats=(*sets.notes, *cells.notes, *_caveats(visible, column)), estimates=estimates,
        samples=cells.samples[top], values=values, value_name="adds to the score", grid=cells.grid,
        names=tuple(f"{cells.samples[t]}: {scores[t]:.2f}" for t in top),
    )  # fmt: skip


def _best(scores, top, values, at: int, visible, rng) -> Estimate:
    """The best score of all candidates, against the best of as many for queries that are patched together."""
    null, score = patched_best(values, at, visible, CHIMERAS, rng), float(scores[top[0]])
    return Estimate(
        "best score", score, n=len(values) - 1, d=values.shape[2], **against(score, null),
        null_method=f"best of as many candidates for {CHIMERAS} queries whose cells come from several samples",
        estimator="cosine over the visible cells; of one query, which has no interval",
    )  # fmt: skip


def _reading(scores, top, visible, estimates, cells, place: int, params) -> str:
    said = (
        f"With {int(visible.sum()):,} of {len(visible):,} cells visible, sample {cells.samples[top[0]]} is most like "
        f"sample {params.query} (score {scores[top[0]]:.3g}; with all cells it is number {int(place)}); the best for "
        f"queries that are patched together scores {estimates[0].null:.3g} on average (p = {estimates[0].p_value:.2g})."
    )
    named = {e.name: e for e in estimates}
    if f"{MASKED}: mAP" in named:
        one, two = named[f"{MASKED}: mAP"], named[f"{WHOLE}: mAP"]
        said += (
            f" Over {one.n:,} queries with this mask the mean average precision is {one.value:.3g}, with all cells "
            f"{two.value:.3g} (random rankings: {one.null:.3g})."
        )
    return said


def _caveats(visible: np.ndarray, column) -> list[str]:
    said = []
    if len(visible) == 1:
        said.append("Every sample has one cell, so the mask has nothing to hide.")
    elif visible.all():
        said.append("Nothing is hidden: name rows, columns or cells to search with a part.")
    if column is None:
        said.append("Without labels it is not known which answers are right.")
    return said


def _cost(shapes, params: MaskedRetrievalParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, q = min(rows, params.maximum_samples), min(rows, params.queries)
    held = 48.0 * n * d + 60.0 * q * n + 2e5
    return Cost(0.02 + m.seconds(flops64=4.0 * q * n * d, moved=8.0 * rows * d + 60.0 * q * n), held)


def _check() -> tuple[CheckLine, ...]:
    """All cells: the cosine; hidden noise changes nothing; a planted part is found."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((20, 9, 12))
    x[7, [4, 5]] = 2 * x[3, [4, 5]]
    layout = Layout(np.arange(21, dtype=np.int64) * 9, (3, 3))
    asked = {"query": 3, "centred": False, "shown": 19}
    whole = masked_retrieval(
        ArrayActivations(x.reshape(-1, 12), layout=layout), MaskedRetrievalParams(**asked)
    )
    flat = x.reshape(20, -1)
    known = (
        flat[whole.samples[0]] @ flat[3] / np.linalg.norm(flat[whole.samples[0]]) / np.linalg.norm(flat[3])
    )
    part = MaskedRetrievalParams(**asked, rows="2", columns="2-3")
    seen = masked_retrieval(ArrayActivations(x.reshape(-1, 12), layout=layout), part)
    x[:, [0, 1, 2, 3, 6, 7, 8]] = 50 * rng.standard_normal((20, 7, 12))
    noisy = masked_retrieval(ArrayActivations(x.reshape(-1, 12), layout=layout), part)
    return (
        CheckLine(
            "all cells: the cosine of flattened maps", float(known), float(whole.values[0].sum()), 1e-12
        ),
        CheckLine("the sample with the planted part", 7.0, float(seen.samples[0]), 0.0),
        CheckLine("its score", 1.0, float(np.nansum(seen.values[0])), 1e-12),
        CheckLine(
            "noise in hidden cells changes", 0.0, float(np.nanmax(np.abs(seen.values - noisy.values))), 0.0
        ),
    )


METHODS = (
    Method(
        id="masked_retrieval",
        family="retrieval",
        title="Search with a part of the picture",
        summary="Samples ranked by the visible cells of a query, and what each cell adds to their scores.",
        version=3,
        function=masked_retrieval,
        params=MaskedRetrievalParams,
        result=TokenMap,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="anything in hidden cells; rotating the units of any cell; rescaling any sample (not centred)",
        papers=("CriSp: Leveraging Tread Depth Maps for Enhanced Crime-Scene Shoeprint Matching",),
    ),
)
