"""Which patches of one sample are alike with which of the other? Evidence for their cosine, token by token.

    cos(f, g) = Σ_pq E_pq ,    E_pq = <x_p, y_q> / (P Q |f| |g|)

with tokens x_p (p = 1 … P), y_q (q = 1 … Q) and their means f, g: the cells sum to the score exactly, and a row sums to
what that token adds (*Why these two are alike*). Rows are the tokens of the first sample, columns those of the second;
exchanging the samples transposes the matrix, and of a sample with itself it is symmetric and sums to 1.

Null: the same cells with other partners in place of the second sample, the middle 95 % of all of them; how many cells
lie outside it, and how large the largest is, against each partner's own.

When it lies: a token of a network that mixes them holds what others gave it, so a bright cell need not mean that these
two places look alike; tokens that are long (background tokens, attention sinks) have large cells with everything;
single cells are too many to be tested one by one.

Cost: O(P Q d) and O(partners P Q d).

Reference: K. Habel, F. Deuser & N. Oswald (2022), "CLIP-ReIdent: Contrastive training for player re-identification".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.attribution.pairs.similar_pair import FEWEST, MEAN, PairParams, asked_pair, pair_caveats
from analysis.compute.machine import machine
from analysis.compute.rows.token_names import token_names
from analysis.compute.similarity.pair_evidence import token_evidence
from analysis.compute.similarity.pair_report import EXACT, score_estimates
from analysis.compute.statistics.nulls import against
from analysis.errors import TooLarge
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress

MOST_TOKENS, MOST_DRAWS = 600, 400_000


@dataclass(frozen=True)
class SimilarPatchesParams(PairParams):
    pass


def similar_patches(
    activations, params: SimilarPatchesParams = SimilarPatchesParams(), rng=None, progress=no_progress
) -> Matrix:
    """Evidence of each pair of tokens.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap with tokens; with one token a sample there is one cell.

    Returns
    -------
    Matrix
        (P, Q), summing to the cosine. Estimates: the cosine, other pairs that are less alike, the largest cell.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such sample or token; fewer than eight samples; a sample without a direction; above 600 tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    pair = asked_pair(tap, params, rng, progress, (0.0, 0.6))
    if max(len(pair.x), len(pair.y)) > MOST_TOKENS:
        raise TooLarge(f"samples of {len(pair.x):,} and {len(pair.y):,} tokens", f"at most {MOST_TOKENS:,}",
                       "Choose a tap with fewer tokens")  # fmt: skip
    cells = token_evidence(pair.x, pair.y)
    null, most = _partners(pair, params, progress)
    ends = np.quantile(np.concatenate(null), [0.025, 0.975])
    beyond = np.array([_beyond(c, ends) for c in null])
    partners = (pair.others @ pair.f) / (np.linalg.norm(pair.others, axis=1) * np.linalg.norm(pair.f))
    tokens = (pair.x, pair.y) if params.pooling == MEAN else None
    estimates = (
        *score_estimates(pair.score, partners, pair.pooled, (pair.i, pair.j), rng, tokens),
        Estimate("largest cell", float(np.abs(cells).max()), **against(float(np.abs(cells).max()), most),
                 interval=f"none: {EXACT}", null_method=f"largest cells with {len(most):,} random partners",
                 n=cells.size, d=tap.shape[1], estimator="largest |evidence| of a pair of tokens"),
        Estimate("cells beyond the null", _beyond(cells, ends), **against(_beyond(cells, ends), beyond), n=cells.size,
                 interval="none: all cells of these two samples",
                 null_method=f"each of {len(null):,} random partners in place of the second sample", d=tap.shape[1],
                 estimator="share outside the middle 95 % of the cells with random partners"),
    )  # fmt: skip
    progress(1.0, "done")
    rows, columns = _names(tap, pair, params)
    return Matrix(
        title=f"Which tokens of samples {params.first} and {params.second} are alike",
        reading=_reading(pair.score, cells, rows, columns, ends), estimates=estimates,
        caveats=(*pair.notes, *pair_caveats(params, pair)), values=cells, row_names=rows, column_names=columns,
        value_name="share of the cosine", null_band=(float(ends[0]), float(ends[1])), diverging=True,
    )  # fmt: skip


def _partners(pair, params, progress) -> tuple[list[np.ndarray], np.ndarray]:
    """Cells (cells,) with each partner, of as many as there is room for, and the largest of every one."""
    sets, found, most, taken = pair.sets, [], [], 0
    for count, at in enumerate(pair.partners):
        progress(0.6 + 0.35 * count / len(pair.partners), "other partners")
        pooled = params.pooling != MEAN
        own = pair.pooled[[at]] if pooled else sets.of(int(at))[:, pair.units] - pair.centre
        cells = token_evidence(pair.x, own).ravel()
        most.append(np.abs(cells).max())
        if taken < MOST_DRAWS:
            found.append(cells)
            taken += cells.size
    return found, np.array(most)


def _beyond(cells: np.ndarray, ends: np.ndarray) -> float:
    return float(((cells < ends[0]) | (cells > ends[1])).mean())


def _names(tap, pair, params):
    if params.pooling != MEAN:
        return (f"token {params.token}",), (f"token {params.token}",)
    return tuple(
        token_names(tap, s, pair.sets.tokens_of(at))
        for s, at in ((params.first, pair.i), (params.second, pair.j))
    )


def _reading(score: float, cells, rows, columns, ends) -> str:
    best = np.argsort(-np.abs(cells), axis=None, kind="stable")[:3]
    told = "; ".join(
        f"{rows[p]} with {columns[q]} ({cells[p, q]:+.3g})"
        for p, q in zip(*np.unravel_index(best, cells.shape), strict=True)
    )
    return (
        f"The cells sum to the cosine of {score:.3g}. The largest: {told}. {_beyond(cells, ends):.0%} of the cells lie "
        "outside the middle 95 % of those with random partners."
    )


def _cost(shapes, params: SimilarPatchesParams) -> Cost:
    (n, d), m = shapes[0], machine()
    held = 24.0 * min(n, params.maximum_samples) * d + 8.0 * min(n, params.null_samples) * d + 2e5
    return Cost(
        0.05 + m.seconds(flops64=4.0 * n * d, moved=16.0 * n * d) + 1e-4 * min(n, params.null_samples), held
    )


def _check() -> tuple[CheckLine, ...]:
    """Sums, transposes, and finds the one token that two samples share."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((12, 5, 40))
    x[2, 3] = x[7, 1] = 3 * rng.standard_normal(40)
    tap = ArrayActivations(x.reshape(-1, 40), layout=Layout(np.arange(13, dtype=np.int64) * 5))
    here = similar_patches(tap, SimilarPatchesParams(first=2, second=7, null_samples=19))
    swapped = similar_patches(tap, SimilarPatchesParams(first=7, second=2, null_samples=19))
    same = similar_patches(tap, SimilarPatchesParams(first=4, second=4, centred=False, null_samples=19))
    return (
        CheckLine("cells sum to the cosine", here.estimates[0].value, float(here.values.sum()), 1e-12),
        CheckLine(
            "swapped samples transpose", 0.0, float(np.abs(here.values - swapped.values.T).max()), 1e-12
        ),
        CheckLine("with itself: symmetric", 0.0, float(np.abs(same.values - same.values.T).max()), 1e-12),
        CheckLine("with itself: sums to 1", 1.0, float(same.values.sum()), 1e-12),
        CheckLine("the shared token", 3 * 5 + 1, float(here.values.argmax()), 0.0),
    )


METHODS = (
    Method(
        id="similar_patches",
        family="attribution",
        title="Which patches are alike",
        summary="Evidence for the cosine of two samples, token by token; the cells sum to it exactly.",
        version=2,
        function=similar_patches,
        params=SimilarPatchesParams,
        result=Matrix,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="rotating all units together, rescaling all units together; order of the tokens, which cells follow",
        papers=("CLIP-ReIdent: Contrastive Training for Player Re-Identification",),
    ),
)
