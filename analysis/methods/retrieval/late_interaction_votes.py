"""Which parts matched? The best match in one sample for each token of another, one line each, to be drawn as lines.

    s(query, item) = Σ_t max_p <q_t, p> ,    tokens of length 1

Each line is a term of the sum; the terms add up to the score of *Search by local parts*. Beside it stand what so many
descriptors drawn from all samples give by chance (the mean of the largest of them, exactly), the share of other samples
that have as good a match, whether the match is mutual, and whether its translation on the grid is the commonest one.

When it lies: tokens that stand for nothing match well everywhere (see the share of other samples); each token of the
query has a best match whether it is good or not; a mutual match of repeated patterns may be any of them; what counts
as one translation is a square of neighbouring shifts.

Cost: O(n T² d) for n samples of T tokens.

Reference: D. Aiger, A. Araujo & S. Lynen (2023), "Yes, we CANN: Constrained approximate nearest neighbors for local
feature-based visual localization".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.retrieval.late_interaction import best, expected_best, shifted_score, unit_rows
from analysis.compute.rows.token_names import token_names
from analysis.compute.rows.token_sets import TokenSets, token_sets
from analysis.compute.statistics.nulls import against, share_over
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8
HELP = {
    "token": "Of the query.",
    "matches": "The token of the item that is most similar to it.",
    "similarity": "Their cosine: what this line adds to the score.",
    "by chance": "Mean of the largest cosine with as many tokens drawn from all samples.",
    "as good elsewhere": "Share of other samples that have as good a match for this token.",
    "mutual": "Whether this token of the query is the best match of its match, too.",
    "same shift": "Whether the match lies where most others say that the query's picture moved to.",
    "row": "Of the token on the grid, from 1; 0 where there is no grid.",
    "column": "Of the token on the grid, from 1.",
    "match row": "Of the match on the grid, from 1.",
    "match column": "Of the match on the grid, from 1.",
    "number": "Of the token in its sample.",
    "match number": "Of the match in its sample.",
}


@dataclass(frozen=True)
class VotesParams:
    query: int = param(
        0, "The sample that searches, by its place in the store, from 0.", low=0, high=100_000_000
    )
    item: int = param(1, "The sample that is found.", low=0, high=100_000_000)
    reach: int = param(1, "Cells that a match may be off the common translation.", low=0, high=10)
    centred: bool = param(True, "Take the mean sample off every token first.")
    maximum_samples: int = param(500, "Most samples; a seeded random part above.", low=20, high=10_000)


def late_interaction_votes(
    activations, params: VotesParams = VotesParams(), rng=None, progress=no_progress
) -> Table:
    """Matches of one pair.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Best a tap with all tokens.

    Returns
    -------
    Table
        A line for each token of the query, see `HELP`. Estimates: the score of a token, the share of mutual matches.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such sample; fewer than eight samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    sets = token_sets(tap, rng, maximum=params.maximum_samples, minimum=FEWEST, wanted=(params.query, params.item),
                      progress=progress, span=(0.0, 0.4))  # fmt: skip
    progress(0.4, "matching tokens")
    at, to = sets.place(params.query), sets.place(params.item)
    units = unit_rows(sets.values - (sets.means().mean(axis=0) if params.centred else 0.0))
    similar = units @ units[sets.offsets[at] : sets.offsets[at + 1]].T
    found = best(similar, sets.offsets)
    others = rng.permutation(np.setdiff1d(np.arange(sets.n), (at, to)))
    progress(0.8, "counting votes")
    columns = _columns(tap, sets, similar, found, at, to, others, params)
    estimates = _estimates(sets, similar, found, columns, to, others, tap.shape[1])
    progress(1.0, "done")
    return Table(
        title=f"Which parts of sample {params.query} sample {params.item} has",
        reading=_reading(columns, estimates, params), estimates=estimates,
        caveats=(*sets.notes, *(("Every sample has one token: one match.",) if sets.counts.max() == 1 else ())),
        columns=columns, index="token", sort="similarity", help=HELP,
    )  # fmt: skip


def _cells(sets: TokenSets, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns on the grid, from 1; 0 where there is none."""
    if sets.grid is None:
        return np.zeros(len(numbers), int), np.zeros(len(numbers), int)
    inside = numbers - sets.leading
    on = (inside >= 0) & (inside < sets.grid[0] * sets.grid[1])
    return tuple(np.where(on, v + 1, 0) for v in divmod(np.maximum(inside, 0), sets.grid[1]))


def _columns(tap, sets: TokenSets, similar, found, at: int, to: int, others, params) -> dict[str, np.ndarray]:
    block = similar[sets.offsets[to] : sets.offsets[to + 1]]  # (tokens of the item, tokens of the query)
    match, back = block.argmax(axis=0), block.argmax(axis=1)
    own, its = sets.tokens_of(at), sets.tokens_of(to)
    down, along = _cells(sets, own)
    match_down, match_along = _cells(sets, its[match])
    chance = expected_best(similar, sets.counts[[to]])[0]
    names = [np.array(token_names(tap, s, n)) for s, n in ((params.query, own), (params.item, its))]
    shift = _shift(sets, block, params)
    same = np.zeros(len(own), bool)
    if shift is not None:
        off = np.maximum(np.abs(match_down - down - shift[0]), np.abs(match_along - along - shift[1]))
        same = (off <= params.reach) & (down > 0) & (match_down > 0)
    told = np.where(same, "yes", "no") if shift is not None else np.full(len(own), "no grid")
    return {
        "token": names[0], "matches": names[1][match], "similarity": block.max(axis=0), "by chance": chance,
        "as good elsewhere": (found[others] >= block.max(axis=0)).mean(axis=0),
        "mutual": np.where(back[match] == np.arange(len(own)), "yes", "no"), "same shift": told,
        "row": down, "column": along, "match row": match_down, "match column": match_along,
        "number": own, "match number": its[match],
    }  # fmt: skip


def _shift(sets: TokenSets, block, params):
    if sets.grid is None:
        return None
    full, lead = sets.leading + sets.grid[0] * sets.grid[1], sets.leading
    if block.shape != (full, full):
        return None
    return shifted_score(block[lead:, lead:].T, sets.grid, params.reach)[1]


def _estimates(sets, similar, found, columns, to: int, others, d: int) -> tuple[Estimate, ...]:
    each, score = found.mean(axis=1), float(found[to].mean())
    mutual, null = columns["mutual"] == "yes", []
    for other in others[:200]:
        block = similar[sets.offsets[other] : sets.offsets[other + 1]]
        null.append(
            (block.argmax(axis=1)[block.argmax(axis=0)] == np.arange(block.shape[1])).mean(dtype=float)
        )
    return (
        Estimate("score of a token", score, **mean_interval(found[to], -1.0, 1.0), **against(score, each[others]),
                 null_method=f"the {len(others):,} other samples as items", n=found.shape[1], d=d,
                 estimator="mean over the query's tokens of their best match"),
        Estimate("mutual matches", **share_over(mutual, "tokens of the query"),
                 **against(float(mutual.mean()), np.array(null)), null_method=f"{len(null):,} other samples as items",
                 n=len(mutual), d=d, estimator="share of the query's tokens"),
    )  # fmt: skip


def _reading(columns, estimates, params) -> str:
    top, score = int(np.argmax(columns["similarity"])), estimates[0]
    rare = int((columns["as good elsewhere"] <= 0.05).sum())
    return (
        f"Tokens of sample {params.query} have a mean best cosine of {score.value:.3g} in sample {params.item} (other "
        f"samples: {score.null:.3g}). The best match: {columns['token'][top]} with {columns['matches'][top]} "
        f"({columns['similarity'][top]:.3g}); {rare:,} of {len(columns['token']):,} are matched as well by at most one "
        "in twenty other samples."
    )


def _cost(shapes, params: VotesParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    return Cost(0.02 + m.seconds(flops64=4.0 * n * d, moved=8.0 * rows * d), 28.0 * n * d + 1.5e5)


def _check() -> tuple[CheckLine, ...]:
    """A picture moved by one row and two columns: its places match, with one shift and a cosine of 1."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((10, 5, 5, 16))
    x[6, 1:, 2:] = x[2, :4, :3]
    tap = ArrayActivations(x.reshape(-1, 16), layout=Layout(np.arange(11, dtype=np.int64) * 25, (5, 5)))
    table = late_interaction_votes(tap, VotesParams(query=2, item=6, reach=0, centred=False))
    c = table.columns
    kept = (c["row"] <= 4) & (c["column"] <= 3)
    return (
        CheckLine("moved places: least cosine", 1.0, float(c["similarity"][kept].min()), 1e-9),
        CheckLine("moved places: of one shift", 12.0, float((c["same shift"][kept] == "yes").sum()), 0.0),
        CheckLine("its rows", 1.0, float((c["match row"] - c["row"])[kept].mean()), 0.0),
        CheckLine("its columns", 2.0, float((c["match column"] - c["column"])[kept].mean()), 0.0),
        CheckLine("lines add up", table.estimates[0].value * 25, float(c["similarity"].sum()), 1e-9),
    )


METHODS = (
    Method(
        id="late_interaction_votes",
        family="retrieval",
        title="Which parts matched",
        summary="The best match in one sample for each token of another, with what chance gives.",
        version=1,
        function=late_interaction_votes,
        params=VotesParams,
        result=Table,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="rotating all units together; the length of each token where they are not centred",
        papers=(
            "Yes, we CANN: Constrained Approximate Nearest Neighbors for local feature-based visual localization",
        ),
    ),
)
