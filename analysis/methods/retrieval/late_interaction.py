"""Search by local parts: which samples have a good match for every token of the query?

    s(query, item) = Σ_t max_p <q_t, p>

over the tokens q_t of the query and p of the item, all of length 1 (late interaction). Beside it stands the ranking by
one vector a sample, the cosine of the mean tokens, and which places change. Votes say for how many tokens of the query
an item holds the best match of all items.

The named pitfall: more tokens in an item can only raise its score. Where samples have different numbers of tokens take
*less chance*, which subtracts what so many descriptors give by chance, or *both ways*. On a grid, matches may have to
agree about one translation. Formulas in `compute.retrieval.late_interaction`.

Null: random rankings, exactly. Interval: over queries.

When it lies: tokens that stand for nothing (background, padding marks, attention sinks) match everywhere and vote as
loudly as others; tokens that all share a mean direction are alike for no reason (centre them); tokens of a network that
mixes them are not local; queries of a class come in similar copies, so the interval is too narrow then.

Cost: O(queries n T² d) for n items of T tokens; with a consistent shift T² (2 r + 1)² more for each item.

Reference: D. Aiger, A. Araujo & S. Lynen (2023), "Yes, we CANN: Constrained approximate nearest neighbors for local
feature-based visual localization".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.retrieval.class_numbers import class_numbers
from analysis.compute.retrieval.late_interaction import SIZES, SUM, best, query_scores, unit_rows
from analysis.compute.retrieval.two_rankings import agreement_estimate, ranks, retrieval_estimates
from analysis.compute.rows.token_sets import TokenSets, token_sets
from analysis.errors import InputError
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8
LATE, VECTOR = "local parts", "one vector"
HELP = {
    "sample": "Its place in the store, from 0.",
    "label": "Its class, where known.",
    "place": "By local parts, from 1.",
    "score": "Best matches of the query's tokens, added up as asked.",
    "place by one vector": "By the cosine of the mean tokens.",
    "places gained": "By local parts against one vector.",
    "votes": "Share of the query's tokens whose best match of all is in this sample, ties shared.",
    "tokens": "How many it has.",
}


@dataclass(frozen=True)
class LateInteractionParams:
    query: int = param(
        0, "The sample to search with, by its place in the store, from 0.", low=0, high=100_000_000
    )
    size: str = param(SUM, "What is done about samples of many tokens.", choices=SIZES)
    consistent: bool = param(
        False, "Matches agree about one translation on the grid.", label="consistent places"
    )
    reach: int = param(1, "Cells that a match may be off that translation.", low=0, high=10)
    centred: bool = param(True, "Take the mean sample off every token first.")
    shown: int = param(20, "Samples listed, best first.", low=1, high=1000)
    column: str | None = param(
        None, "Labels that say what is a right answer; automatic: 'label' where there is one.", column=True
    )
    queries: int = param(60, "Random samples that search too, to say how well it works.", low=3, high=2000)
    maximum_samples: int = param(500, "Most samples; a seeded random part above.", low=20, high=10_000)


def late_interaction(
    activations, params: LateInteractionParams = LateInteractionParams(), rng=None, progress=no_progress
) -> Table:
    """The ranking for one query, and how well many find their class.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Best a tap with all tokens; with one token a sample both rankings are the same.

    Returns
    -------
    Table
        The best samples, see `HELP`. Estimates: recall@1 and mAP of both rankings where there are labels, their
        agreement.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such sample or column; fewer than eight samples; consistent places without a grid.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    sets = token_sets(tap, rng, maximum=params.maximum_samples, minimum=FEWEST, wanted=(params.query,),
                      progress=progress, span=(0.0, 0.2))  # fmt: skip
    reach = _reach(sets, tap, params)
    of, labels, column = class_numbers(tap, params.column, sets.samples)
    at = sets.place(params.query)
    drawn = rng.permutation(np.delete(np.arange(sets.n), at))[: params.queries - 1]
    query = np.sort(np.append(drawn, at))
    late, vector, units = _scores(sets, query, params, reach, progress)
    own = int(np.flatnonzero(query == at)[0])
    columns = _columns(sets, units, at, late[own], vector[own], labels, params.shown)
    estimates = (
        *retrieval_estimates(of, query, {LATE: late, VECTOR: vector}, tap.shape[1]),
        agreement_estimate(query, late, vector, tap.shape[1]),
    )
    progress(1.0, "done")
    return Table(
        title=f"What has the parts of sample {params.query}",
        reading=_reading(columns, estimates, params, column), estimates=estimates,
        caveats=(*sets.notes, *_caveats(sets, params, len(query))), columns=columns, index="sample", sort="score",
        help=HELP,
    )  # fmt: skip


def _reach(sets: TokenSets, tap, params) -> int | None:
    if not params.consistent:
        return None
    full = sets.grid is not None and (sets.counts == sets.leading + sets.grid[0] * sets.grid[1]).all()
    if not full:
        raise InputError(f"{tap.name}, whose samples do not all fill a grid of tokens", "tokens on a grid",
                         "Choose a tap with all patches of images, or leave consistent places out")  # fmt: skip
    return params.reach


def _scores(sets: TokenSets, query, params, reach, progress):
    """Scores (q, n) both ways, and the unit rows."""
    shift = sets.means().mean(axis=0) if params.centred else 0.0
    units, means = unit_rows(sets.values - shift), unit_rows(sets.means() - shift)
    late = np.empty((len(query), sets.n))
    for i, at in enumerate(query):
        progress(0.2 + 0.75 * i / len(query), "searching")
        late[i] = query_scores(sets, units, int(at), params.size, reach)
    return late, means[query] @ means.T, units


def _columns(sets: TokenSets, units, at: int, late, vector, labels, shown: int) -> dict[str, np.ndarray]:
    others = np.delete(np.arange(sets.n), at)
    found = best(units @ units[sets.offsets[at] : sets.offsets[at + 1]].T, sets.offsets)[others]
    first = found == found.max(axis=0)
    votes = (first / first.sum(axis=0)).mean(axis=1)
    place, other = ranks(late[others]), ranks(vector[others])
    top = np.argsort(place)[:shown]
    return {
        "sample": sets.samples[others][top], "label": labels[others][top], "place": place[top],
        "score": late[others][top], "place by one vector": other[top], "places gained": (other - place)[top],
        "votes": votes[top], "tokens": sets.counts[others][top],
    }  # fmt: skip


def _reading(columns, estimates, params, column) -> str:
    sample, moved = columns["sample"][0], columns["places gained"][0]
    said = f"Sample {sample} has the parts of sample {params.query} best"
    said += (
        f" (place {columns['place by one vector'][0]} by one vector)." if moved else ", by one vector too."
    )
    named = {e.name: e for e in estimates}
    if f"{LATE}: mAP" not in named:
        return f"{said} Without labels it is not known which ranking is better."
    one, two = named[f"{LATE}: mAP"], named[f"{VECTOR}: mAP"]
    return (
        f"{said} Over {one.n:,} queries the mean average precision by '{column}' is {one.value:.3g} by local parts and "
        f"{two.value:.3g} by one vector (random rankings: {one.null:.3g})."
    )


def _caveats(sets: TokenSets, params, queries: int) -> list[str]:
    said = [f"{queries:,} samples searched among {sets.n:,}; none is an answer to itself."]
    if sets.counts.max() == 1:
        said.append("Every sample has one token, so both rankings are the same.")
    if len(np.unique(sets.counts)) > 1 and params.size == SUM and not params.consistent:
        said.append(
            f"Samples have {sets.counts.min():,} to {sets.counts.max():,} tokens, and more can only raise a score: "
            "take less chance, or both ways."
        )
    if params.consistent:
        said.append("With consistent places scores are plain sums over the grid.")
    return said


def _cost(shapes, params: LateInteractionParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, q = min(rows, params.maximum_samples), min(rows, params.queries)
    held = 24.0 * n * d + 40.0 * q * n + 2e5
    return Cost(0.02 + m.seconds(flops64=30.0 * q * n * d, moved=8.0 * rows * d) + 1e-3 * q, held)


def _check() -> tuple[CheckLine, ...]:
    """One planted part that two samples share is found by parts and not by one vector; one token: the same ranking; an
    item that is the query has a score of its number of tokens."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((30, 6, 32))
    x[4, 1], x[9, 5] = (
        (part := rng.standard_normal(32)) * 0.5,
        part * 0.5,
    )  # short: the mean hardly knows it
    flat = x.reshape(-1, 32)
    tap = ArrayActivations(flat, layout=Layout(np.arange(31, dtype=np.int64) * 6))
    table = late_interaction(tap, LateInteractionParams(query=4, queries=3, centred=False))
    single = late_interaction(ArrayActivations(x[:, 0]), LateInteractionParams(queries=5))
    units = unit_rows(flat)
    itself = query_scores(token_sets(tap, rng, maximum=30, minimum=8), units, 4, SUM)[4]
    return (
        CheckLine("the sample that shares the part", 9.0, float(table.columns["sample"][0]), 0.0),
        CheckLine("the query itself", 6.0, float(itself), 1e-9),
        CheckLine("one token: places gained", 0.0, float(np.abs(single.columns["places gained"]).max()), 0.0),
        CheckLine("one token: agreement", 1.0, single.estimates[-1].value, 1e-9),
    )


METHODS = (
    Method(
        id="late_interaction",
        family="retrieval",
        title="Search by local parts",
        summary="Samples ranked by the best matches of the query's tokens, beside the ranking by one vector.",
        version=1,
        function=late_interaction,
        params=LateInteractionParams,
        result=Table,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="rotating all units together; the length of each token where they are not centred; order of tokens",
        papers=(
            "Yes, we CANN: Constrained Approximate Nearest Neighbors for local feature-based visual localization",
        ),
    ),
)
