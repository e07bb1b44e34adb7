"""Where on the picture, or in the text, does a gated module spend its learners? Learners in use, token by token.

    k(token) = learners whose gate is open

drawn over the pictures or words of some samples, one scale for all. Told is whether neighbours (beside and below on the
grid; the next word) use about as many:

    d = mean over neighbours of |k_a - k_b|,     by chance the mean over all pairs of tokens of the sample

which is exactly that of its tokens in another order; d over it is 1 where compute is spent without regard to place.

Interval: Student's t over samples. Null: the tokens of each sample in another order; of the mean all learners.

When it lies: what neighbours have in common they have for many reasons, positions alone among them; learners need not
cost the same; a token that uses few may have little left to do, or be given up (see compute against difficulty).

Cost: one pass, O(n E), and O(T²) for each sample told.

Reference: B. Wójcik, A. Devoto, K. Pustelnik, P. Minervini & S. Scardapane (2024), "Adaptive computation modules:
granular conditional computation for efficient inference".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotEnoughData, NotFound
from analysis.results import Estimate, TokenMap
from analysis.sources.stored_pictures import BELOW, pictures_below
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.routing.learners import (
    BUDGET_HELP,
    EACH,
    FEWEST,
    HOW_MANY,
    UNITS_HELP,
    Learners,
    learners_of,
)
from analysis.tokens.routing.territory import neighbour_pairs

RUN, TOLD = 16, 200  # rows of a tap without tokens that stand for a sample; samples that numbers are of


@dataclass(frozen=True)
class LearnersMapParams:
    sample: int = param(
        0, "The first sample that is drawn: its place in the store, from 0.", low=0, high=1_000_000_000
    )
    shown: int = param(6, "How many samples are drawn, from it on.", low=1, high=12)
    units: str = param(EACH, UNITS_HELP, choices=(EACH, HOW_MANY))
    budget: float | None = param(None, BUDGET_HELP, low=0.01, high=1.0)


def learners_map(
    activations, params: LearnersMapParams = LearnersMapParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Learners of each token over the sample.

    Parameters
    ----------
    activations : Activations or array (tokens, learners)
        Gates between 0 and 1, or what goes into their sigmoid; or scores of 0, 1, … learners. Of a tap with one row a
        sample, runs of 16 rows are read as samples.

    Returns
    -------
    TokenMap
        Learners in use over the tokens of some samples. Estimates: the mean, and how unlike neighbours are.

    Raises
    ------
    NotFound, NotEnoughData
        No such sample; fewer than eight finite tokens, two learners, or no sample with neighbours.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = learners_of(tap, params.units, params.budget, progress)
    samples, tokens, said = _places(tap, found)
    grid, leading = (tap.layout.grid, tap.layout.leading) if not said else (None, 0)
    progress(0.7, "looking at neighbours")
    known = np.unique(samples)
    at = int(np.searchsorted(known, params.sample))
    if at == len(known) or known[at] != params.sample:
        raise NotFound(f"sample {params.sample}", f"one of the {len(known):,} with tokens that are finite",
                       f"Choose another from {known[0]} to {known[-1]}")  # fmt: skip
    shown, kept = known[at : at + params.shown], chosen(known, rng)
    near = _neighbours(found.used, samples, tokens, kept, grid, leading)
    told = _estimates(found, samples, near, len(kept) < len(known))
    progress(1.0, "done")
    pictures = pictures_below(tap, shown, grid) if not said else None
    words = () if said or grid is not None else _words(tap, shown)
    below = () if pictures is None else (BELOW,)
    drawn = _values(found.used, samples, tokens, shown, grid, leading, words)
    return TokenMap(
        title=f"Learners in use, {tap.name}", samples=shown, values=drawn, value_name="learners in use", grid=grid,
        leading=leading, pictures=pictures, words=words, ends=(0.0, float(found.most)), estimates=told,
        reading=_reading(told, found), caveats=(*found.notes, *said, *below, "Learners are counted, not timed."),
    )  # fmt: skip


def _places(tap, found: Learners) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    if tap.layout.is_pooled:
        said = (f"The tap holds one row of each sample: {RUN} neighbours are read as one sample.",)
        return found.rows // RUN, found.rows % RUN, said
    return tap.layout.sample_of(found.rows), tap.layout.token_of(found.rows), ()


def chosen(known: np.ndarray, rng) -> np.ndarray:
    """At most 200 of the samples, at random."""
    return known if len(known) <= TOLD else np.sort(rng.choice(known, TOLD, replace=False))


def _neighbours(used, samples, tokens, kept, grid, leading) -> np.ndarray:
    """(n, 2) of each sample with neighbours: how unlike these are, and all pairs of the tokens that have some. Raises
    NotEnoughData."""
    out = []
    for s in kept:
        mine = np.flatnonzero(samples == s)
        pairs = neighbour_pairs(tokens[mine], grid, leading)
        if not len(pairs):
            continue
        k, inside = used[mine].astype(float), used[mine][np.unique(pairs)].astype(float)
        out.append((np.abs(k[pairs[:, 0]] - k[pairs[:, 1]]).mean(), all_pairs(inside)))
    if not out:
        raise NotEnoughData(
            "no sample with two neighbouring tokens", "at least one", "Choose a tap with tokens"
        )
    return np.array(out)


def all_pairs(k: np.ndarray) -> float:
    """Mean |a - b| over pairs of different tokens of k (t,): the mean over all orders of what neighbours differ by."""
    t = len(k)
    return float(np.abs(k[:, None] - k[None]).sum() / max(t * (t - 1), 1))


def _estimates(found: Learners, samples, near: np.ndarray, some: bool) -> tuple[Estimate, ...]:
    of = np.unique(samples, return_inverse=True)[1]
    mean = np.bincount(of, weights=found.used) / np.bincount(of)
    facts = {"n": len(near), "d": found.most}
    single = {"interval": "none: one sample"}
    varied = near[:, 1] > 0
    ratio = near[varied, 0] / near[varied, 1]
    which = f"mean over {varied.sum():,} samples" + (", at random" if some else "") + " that vary"
    told = (
        Estimate("learners in use", float(mean.mean()), **(mean_interval(mean, 0.0, found.most) or single),
                 null=float(found.most), null_method="all learners run", estimator="mean over samples",
                 **facts | {"n": len(mean)}),
        Estimate("neighbours differ by", float(near[:, 0].mean()), **(mean_interval(near[:, 0], 0.0) or single),
                 null=float(near[:, 1].mean()), null_method="tokens of each sample in all other orders, exact",
                 estimator="|k_a - k_b|, mean over samples", unit="learners", **facts),
    )  # fmt: skip
    if not varied.any():
        return told
    return (*told, Estimate("of what tokens of a sample differ by", float(ratio.mean()),
                            **(mean_interval(ratio, 0.0) or single), null=1.0, estimator=which,
                            null_method="compute without regard to place",
                            **facts | {"n": len(ratio)}))  # fmt: skip


def _words(tap, shown) -> tuple[tuple[str, ...], ...]:
    store = getattr(tap, "store", None)
    found = [None] if store is None else [store.tokens(int(s)) for s in shown]
    return () if any(words is None for words in found) else tuple(tuple(map(str, words)) for words in found)


def _values(used, samples, tokens, shown, grid, leading, words) -> np.ndarray:
    """(samples, tokens), NaN where a sample has none."""
    mine = np.isin(samples, shown)
    length = grid[0] * grid[1] + leading if grid is not None else int(tokens[mine].max()) + 1
    length = max(length, int(tokens[mine].max()) + 1, *(len(w) for w in words), 1)
    out = np.full((len(shown), length), np.nan)
    out[np.searchsorted(shown, samples[mine]), tokens[mine]] = used[mine]
    return out


def _reading(told, found: Learners) -> str:
    mean, near, *ratio = told
    text = f"A token uses {mean.value:.1f} of {found.most} learners on average."
    if not ratio:
        return f"{text} All tokens of a sample use as many, so that places are not told apart."
    return (
        f"{text} Neighbours differ by {near.value:.2f} (tokens of the same sample in another order: {near.null:.2f}), "
        f"{ratio[0].value:.0%} of what tokens of a sample differ by."
    )


def _cost(shapes, params: LearnersMapParams) -> Cost:
    (n, e), m = shapes[0], machine()
    return Cost(0.05 + m.seconds(moved=n * e * 60.0 + 200.0 * n), n * e * 8.0 * 3.5 + n * 80.0 + 2e4)


def _check() -> tuple[CheckLine, ...]:
    """The left half of a 4 x 4 picture uses four learners, the right half none: of 24 neighbours 4 differ by 4, and of
    all pairs 64 of 120. Tokens without an order do not know their neighbours."""
    rng = np.random.default_rng(0)
    left = (np.arange(16) % 4 < 2).astype(float)
    layout = Layout(np.arange(31) * 16, grid=(4, 4))
    own = np.repeat(np.tile(left, 30)[:, None], 4, axis=1)
    free = np.repeat((rng.random(480) < 0.5).astype(float)[:, None], 4, axis=1)
    found = learners_map(ArrayActivations(own, "halves", layout=layout))
    chance = learners_map(ArrayActivations(free, "free", layout=layout))
    return (
        CheckLine("a token of the left half", 4.0, float(found.values[0, 5]), 0.0),
        CheckLine("a token of the right half", 0.0, float(found.values[0, 7]), 0.0),
        CheckLine("neighbours differ by", 4 * 4 / 24, found.estimates[1].value, 1e-12),
        CheckLine("all pairs differ by", 4 * 64 / 120, found.estimates[1].null, 1e-12),
        CheckLine("without an order: as all pairs", 1.0, chance.estimates[2].value, 0.1),
    )  # fmt: skip


METHODS = (
    Method(
        id="learners_map", family="tokens", title="Learners over the picture", version=2, function=learners_map,
        summary="How many parts of a gated module run at each place of a sample, and whether neighbours are alike.",
        params=LearnersMapParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="the order of learners and of samples; with a budget every rising map of all gates",
        papers=("Adaptive Computation Modules: Granular Conditional Computation For Efficient Inference",),
    ),
)  # fmt: skip
