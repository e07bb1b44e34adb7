"""Which patches does one coarse token come from, with what weight, and how much does each patch give to all of them?

A projector makes one coarse token of every cell of s x s fine ones. Of the chosen coarse token k are drawn its weights
A_kj over all patches j, which sum to 1, and beside them the coverage C_j = Σ_k A_kj of attention in cells:

    average of the cell          A_kj = 1 / s² in the cell, 0 outside
    attention in the cell        A_kj = softmax_j(m x_j / √d) over the cell, m its mean, x over its root mean square
    one token of the cell        1 for one, 0 for all others
    attention over all           the same softmax over all patches: what bounding the projector to its cell keeps out

Attention in a cell has weight 0 outside it by construction. A coverage of 1/s² everywhere treats all patches alike.

Interval: Student's t over samples. Null: of tokens in effect and coverage, patches of each sample shuffled before cells
are cut; of the weight outside an even share over all patches.

When it lies: weights are of untrained attention, which asks by the mean of the cell (a trained projector asks by a
learned query); a patch of small weight may still be told by its neighbours; fine tokens of late layers have read each
other, so that a region is no longer where the information came from.

Cost: O(n T²/s² d).

Reference: W. Li, Y. Yuan, J. Liu, D. Tang, S. Wang, J. Qin, J. Zhu & L. Zhang (2024), "TokenPacker: efficient visual
projector for multimodal LLM".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotFound
from analysis.results import Estimate, TokenMap
from analysis.sources.stored_pictures import BELOW, pictures_below
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.pooling.drawn_sample import place_in, sets_with
from analysis.tokens.pooling.effective import effective
from analysis.tokens.pooling.projector import (
    ASKING,
    CENTRE,
    MEAN,
    attention_anywhere,
    cells_on,
    coverage,
    weights_of,
    whole_sets,
)
from analysis.tokens.pooling.token_sets import RUN

FEWEST = 2
NAMES = ("average of the cell", "attention in the cell", "one token of the cell", "attention over all",
         "coverage in cells")  # fmt: skip


@dataclass(frozen=True)
class CoarseSourcesParams:
    sample: int = param(0, "Its place in the store, from 0.", low=0, high=1_000_000_000)
    side: int = param(2, "Side of the cells.", low=1, high=16)
    token: int | None = param(
        None, "Which coarse token, from 1, row by row; automatic: the middle.", low=1, high=1_000_000
    )
    maximum_samples: int = param(
        100, "Samples that numbers are of, the drawn one among them.", low=2, high=5000
    )


def coarse_sources(
    activations, params: CoarseSourcesParams = CoarseSourcesParams(), rng=None, progress=no_progress
) -> TokenMap:
    """Source region of a coarse token.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        With tokens on a grid; tokens without one are a line, and cells runs of s of them. Of a tap of one row a sample,
        runs of 16 neighbours stand for the tokens of a sample.

    Returns
    -------
    TokenMap
        Weights of four ways over the patches, and the coverage. Estimates: patches in effect of a coarse token, weight
        outside its cell, evenness of the coverage.

    Raises
    ------
    NotFound, NotEnoughData
        No such sample or coarse token; fewer than two samples whose tokens are all there.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    sets = sets_with(tap, params.sample, params.maximum_samples, rng, progress, FEWEST)
    sets, grid, notes = whole_sets(sets, tap.name, FEWEST)
    at, other = place_in(sets, params.sample)
    notes += other
    side = min(params.side, grid[1] if grid[0] == 1 else min(grid))
    tokens = cells_on(grid, side)
    k = len(tokens) // 2 if params.token is None else params.token - 1
    if k >= len(tokens):
        raise NotFound(
            f"coarse token {k + 1}", f"1 to {len(tokens)}", "Choose another, or none: then the middle"
        )
    progress(0.4, "weights")
    ways = {w: weights_of(w, sets.x[:, tokens]) for w in (MEAN, ASKING, CENTRE)}
    far = attention_anywhere(sets.x, tokens)
    progress(0.7, "patches shuffled")
    chance = weights_of(ASKING, _shuffled(sets.x, rng)[:, tokens])
    progress(1.0, "done")
    drawn = [_laid(ways[w][at, k], tokens[k], grid) for w in (MEAN, ASKING, CENTRE)]
    covers = coverage(ways[ASKING], tokens, grid[0] * grid[1])
    drawn += [far[at, k], covers[at]]
    told = _estimates(ways[ASKING], chance, far, tokens, grid, tap.shape[1])
    pictures = None if sets.gathered else pictures_below(tap, sets.samples[[at]], sets.grid)
    own, even = effective(ways[ASKING][at, k][None])[0], len(tokens[k])
    said = (*sets.notes, *notes, "Attention is not trained: a cell asks by its mean.",
            *([] if side == params.side else [f"Cells of {side}: larger ones do not fit the grid."]),
            *_beyond(tokens, grid), *([BELOW] if pictures is not None else []))  # fmt: skip
    return TokenMap(
        title=f"Where coarse token {k + 1} of {len(tokens)} comes from: sample {sets.samples[at]}",
        samples=np.full(len(drawn), sets.samples[at]), values=np.array(drawn), value_name="weight", names=NAMES,
        grid=sets.grid, pictures=pictures, estimates=told, caveats=said, ends=(0.0, 1.0),
        reading=(
            f"Coarse token {k + 1} comes from {even} of {grid[0] * grid[1]} patches; by attention {own:.2f} of them "
            f"count "
            f"in effect (over all samples {told[0].value:.0%} of a cell). Not bound to its cell it would take "
            f"{told[1].value:.0%} of its weight from outside (an even share: {told[1].null:.0%})."
        ),
    )  # fmt: skip


def _beyond(tokens: np.ndarray, grid) -> list[str]:
    left = grid[0] * grid[1] - tokens.size
    return [f"{left} of {grid[0] * grid[1]} patches lie beyond the last whole cell: no coarse token takes them, and "
            "the coverage there is 0."] if left else []  # fmt: skip


def _shuffled(x: np.ndarray, rng) -> np.ndarray:
    """Patches of each sample in another order."""
    order = rng.random(x.shape[:2]).argsort(axis=1)
    return np.take_along_axis(x, order[:, :, None], axis=1)


def _laid(weight: np.ndarray, tokens: np.ndarray, grid) -> np.ndarray:
    out = np.zeros(grid[0] * grid[1])
    out[tokens] = weight
    return out


def outside(far: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """(n,) weight (n, cells, T) outside the own cell (cells, s²), mean over cells."""
    inside = np.take_along_axis(far, np.broadcast_to(tokens, (len(far), *tokens.shape)), axis=2)
    return 1 - inside.sum(axis=2).mean(axis=1)


def _in_effect(weight: np.ndarray) -> np.ndarray:
    """(n,) patches that count in effect over those of the cell, mean over cells, of (n, cells, s²)."""
    n, cells, places = weight.shape
    return effective(weight.reshape(-1, places)).reshape(n, cells).mean(axis=1) / places


def _evenness(weight: np.ndarray, tokens: np.ndarray, count: int) -> np.ndarray:
    """(n,) patches that count in effect in the coverage, over all."""
    covers = coverage(weight, tokens, count)
    return effective(covers / covers.sum(axis=1, keepdims=True)) / count


def _estimates(weight, chance, far, tokens, grid, d: int) -> tuple[Estimate, ...]:
    n, t = len(weight), grid[0] * grid[1]
    made = {"n": n, "d": d}
    how = "patches of a sample in another order"
    inside, loose, even = _in_effect(weight), outside(far, tokens), _evenness(weight, tokens, t)
    return (
        Estimate("patches in effect over those of the cell", float(inside.mean()), **mean_interval(inside, 0.0, 1.0),
                 null=float(_in_effect(chance).mean()), null_method=how,
                 estimator="exp of the entropy of attention in cells, mean over cells and samples", **made),
        Estimate("weight outside the cell, were it not bound", float(loose.mean()), **mean_interval(loose, 0.0, 1.0),
                 null=1 - tokens.shape[1] / t, null_method="an even share over all patches",
                 estimator="mean over cells and samples", **made),
        Estimate("evenness of the coverage", float(even.mean()), **mean_interval(even, 0.0, 1.0),
                 null=float(_evenness(chance, tokens, t).mean()), null_method=how,
                 estimator="exp of the entropy of C / Σ C over all patches, mean over samples", **made),
    )  # fmt: skip


def _cost(shapes, params: CoarseSourcesParams, tokens: float = RUN) -> Cost:
    (n, d), m = shapes[0], machine()
    rows = min(n, params.maximum_samples * tokens)
    anywhere = rows * tokens / min(params.side**2, tokens)  # weights of every coarse token over all patches
    held = 8.0 * (rows * d * 5.0 + 3.0 * anywhere)
    return Cost(0.02 + m.seconds(flops64=4.0 * anywhere * d, moved=held * 6 + 8.0 * n * d), held)


def _check() -> tuple[CheckLine, ...]:
    """Equal patches on 4 x 4: every cell of four is read alike, 3/4 lies outside an unbound one. Patches 1, -1, 1 on a
    line in one cell: weights 1 : e^(-2/3) : 1. Weights sum to 1, and local ones are 0 outside."""
    one = ArrayActivations(np.ones((48, 3)), layout=Layout(np.arange(4) * 16, grid=(4, 4)))
    alike = coarse_sources(one, CoarseSourcesParams(token=1))
    line = ArrayActivations(np.tile([1.0, -1.0, 1.0], 4)[:, None], layout=Layout(np.arange(5) * 3))
    three = coarse_sources(line, CoarseSourcesParams(side=3))
    rng = np.random.default_rng(0)
    mixed = ArrayActivations(rng.standard_normal((80, 9)), layout=Layout(np.arange(6) * 16, grid=(4, 4)))
    some = coarse_sources(mixed, CoarseSourcesParams(token=4)).values
    cell = np.array([10, 11, 14, 15])
    return (
        CheckLine("equal patches: a quarter each", 0.25, float(alike.values[1, 0]), 1e-12),
        CheckLine("equal patches: coverage 1/s²", 0.25, float(alike.values[4].max()), 1e-12),
        CheckLine("equal patches: outside an unbound cell", 0.75, alike.estimates[1].value, 1e-12),
        CheckLine("1, -1, 1: ratio of weights", np.exp(2 / 3), float(three.values[1, 0] / three.values[1, 1]), 1e-12),
        CheckLine("weights of the four ways sum to 1", 4.0, float(some[:4].sum()), 1e-12),
        CheckLine("local weight outside its cell", 0.0, float(np.delete(some[:3], cell, axis=1).max()), 0.0),
        CheckLine("coverage adds up to the coarse tokens", 4.0, float(some[4].sum()), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="coarse_sources", family="tokens", by_tokens=True, title="Where a coarse token comes from", version=2,
        function=coarse_sources, summary="The source region of one coarse token with its weights, beside the coverage.",
        params=CoarseSourcesParams, result=TokenMap, check=_check, cost=_cost, minimum_rows=FEWEST * RUN,
        invariance="one scale for each token; rotations of the units; the order of samples",
        papers=("TokenPacker: Efficient Visual Projector for Multimodal LLM",),
    ),
)  # fmt: skip
