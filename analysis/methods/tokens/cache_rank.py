"""How many dimensions of its keys and values does each head need?

For each head the least rank r from which on the error of what the head gives,

    ‖softmax(Q (K M)' / √e) V P - softmax(Q K' / √e) V‖_F  /  ‖softmax(Q K' / √e) V‖_F,

stays at or below the chosen one. M is the query-weighted optimum S_Q^{-1/2} [S_Q^{1/2} S_K^{1/2}]_r S_K^{-1/2}, which
leaves Q K' as near as rank r can, or the projection onto the first principal axes of the keys, which does not look at
queries, or a trained one, U_{:r} U_{:r}', where a file or the checkpoint holds it (`analysis.tokens.cache.trained`); P
is the projection onto the first axes of the values, of the same rank. Keys are taken behind rotary positions, as they
are read; heads that share keys are one line. Keys and values are centred first, which costs nothing.

Judged on samples that the projection was not fitted on. Interval: jackknife over samples, of the place where a line
between the errors crosses the chosen one; projections stay as they were fitted, so that it is a little too narrow.
Null: random directions.

When it lies: one error for all heads does not say what the answer of the network makes of it (ask for the curve); the
optimum is for all pairs of queries and keys, of which causal attention reads half; few samples of few tokens make the
needed rank too high; a trained projection may have seen these
samples; where a tap stands in for the network queries are keys, and both projections are the same.

Cost: one pass, and attention of every head again for each rank.

References: B. Lin et al. (2024), "MatryoshkaKV: adaptive KV compression via trainable orthogonal projection".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.cache.errors import (
    PCA,
    RANDOM,
    TRAINED,
    WEIGHTED,
    output_errors,
    ranks_of,
    relative,
    ways_of,
)
from analysis.tokens.cache.projections import crossing, needed_rank
from analysis.tokens.cache.reading import read_cache, with_trained
from analysis.tokens.cache.trained import HELP as TRAINED_HELP
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING, MORE = 6.0, "what PCA needs more"
SHOWN = (WEIGHTED, PCA, TRAINED, MORE)


@dataclass(frozen=True)
class CacheRankParams:
    error: float = param(0.1, "Error that a head may make, as a share of what it gives.", low=0.001, high=0.9)
    shown: str = param(WEIGHTED, "Which projection the cells are of.", choices=SHOWN)
    values: bool = param(True, "Whether values are projected to the same rank as keys.")
    trained: str = param("", TRAINED_HELP)
    maximum_samples: int = param(8, "Most samples; a seeded random subset above.", low=2, high=2000)
    source: str = param(
        AUTOMATIC, "Whose keys: the network's, or the recorded rows.", choices=SOURCES, late=True
    )

    def files(self) -> tuple[str, ...]:
        return (self.trained,)


def cache_rank(
    activations, params: CacheRankParams = CacheRankParams(), rng=None, progress=no_progress
) -> Matrix:
    """Rank that each head needs.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows are queries, keys and values.

    Returns
    -------
    Matrix
        Layers by heads. `null` what random directions need, `low` and `high` from the ends of the jackknife interval.
        Estimates: mean share of the dimensions that is needed, by each projection, and the bytes that it saves.

    Raises
    ------
    InputError, NotEnoughData
        Attention that cannot be taken apart; a file of no or other projections; fewer than two samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    cache = with_trained(
        read_cache(tap, params.maximum_samples, rng, params.source, progress), params.trained, tap
    )
    ranks = ranks_of(cache.shape[-1])
    ways = ways_of(cache, (WEIGHTED, PCA, RANDOM))
    errors, size = output_errors(cache, ways, ranks, params.values, rng, progress)
    groups = sample_groups(cache.n, rng)
    needed = {w: _needed(errors[w], size, ranks, params.error, needed_rank) for w in errors}
    lines = {w: _needed(errors[w], size, ranks, params.error) for w in errors}
    without = {
        w: np.array(
            [_needed(np.delete(errors[w], g, 0), np.delete(size, g, 0), ranks, params.error) for g in groups]
        )
        for w in errors
    }
    progress(1.0, "done")
    return _matrix(cache, needed, lines, without, params, tap)


def _needed(errors, size, ranks, most: float, of=crossing) -> np.ndarray:
    """(L, H) from errors (n, R, L, H) and sizes (n, L, H)."""
    found = relative(errors.sum(axis=0), size.sum(axis=0))
    return np.array([[of(column, ranks, most) for column in layer.T] for layer in found.swapaxes(0, 1)])


def _matrix(cache, needed, lines, without, params: CacheRankParams, tap) -> Matrix:
    e, rows = cache.shape[-1], cache.names
    more, way = params.shown == MORE, PCA if params.shown == MORE else params.shown
    way = way if way in needed else WEIGHTED  # no trained projections

    def shown(of, name=way):
        return of[name] - of[WEIGHTED] if more else of[name]

    value, line, null = shown(needed), shown(lines), shown(needed, RANDOM).astype(float)
    half = jackknife_half(shown(without))
    bounds = (
        {}
        if half is None
        else {"low": np.minimum(value, line - half), "high": np.maximum(value, line + half)}
    )
    told = _estimates(cache, lines, without, tap.shape[1])
    return Matrix(
        title=f"Dimensions that each head of {cache.who.what} needs", values=value.astype(float), row_names=rows[0],
        column_names=rows[1], value_name=f"rank of {e}" if not more else "ranks more", null=null,
        limits=None if more else (0.0, float(e)), diverging=more, estimates=told,
        reading=_reading(told, params, e), caveats=(*cache.notes, *_caveats(cache, params)), **bounds,
    )  # fmt: skip


def _estimates(cache, needed, without, d: int) -> tuple[Estimate, ...]:
    layers, heads, _, e = cache.shape
    found = []
    for way in (w for w in needed if w != RANDOM):
        value, each = float(needed[way].mean() / e), without[way].mean(axis=(1, 2)) / e
        found.append(Estimate(
            f"dimensions needed, {way}", value, **_ends(value, each, 0.0, 1.0), null=float(needed[RANDOM].mean() / e),
            null_method="random directions", n=cache.n, d=d, unit="share",
            estimator=f"mean over {layers * heads} heads",
        ))  # fmt: skip
    value = float((needed[PCA] - needed[WEIGHTED]).mean())
    found.append(Estimate(
        "ranks that PCA needs more", value, null=0.0,
        **_ends(value, (without[PCA] - without[WEIGHTED]).mean(axis=(1, 2))),
        null_method="queries and keys of one second moment", n=cache.n, d=d, unit="ranks",
        estimator=f"mean over {layers * heads} heads",
    ))  # fmt: skip
    return tuple(found)


def _ends(value: float, without: np.ndarray, least: float = -np.inf, most: float = np.inf) -> dict:
    half = jackknife_half(without)
    if half is None:
        return {"interval": "none: fewer than three samples"}
    low, high = max(value - float(half), least), min(value + float(half), most)
    return {"low": low, "high": high, "interval": "jackknife over samples"}


def _reading(told, params: CacheRankParams, e: int) -> str:
    a, b = told[0], told[1]
    c = next((e for e in told if TRAINED in e.name), None)
    what = "Keys and values" if params.values else "Keys"
    return (
        f"{what} of the mean head need {a.value:.0%} of their {e} dimensions for an error of {params.error:.0%} by the "
        f"query-weighted projection, {b.value:.0%} by PCA of the keys"
        + (f", {c.value:.0%} by the trained one" if c else "")
        + f" and {a.null:.0%} in random directions."
    )


def _caveats(cache, params: CacheRankParams) -> list[str]:
    said = [
        "Shares are read off lines between the ranks that were tried.",
        "Numbers for each token are counted; the matrices that make them are held once.",
    ]
    if len(ranks_of(cache.shape[-1])) < cache.shape[-1]:
        said.append(f"Ranks tried: {', '.join(map(str, ranks_of(cache.shape[-1])))}.")
    if params.shown == TRAINED and not cache.trained:
        said.append(
            "No file of trained projections is named and the checkpoint holds none: cells are query-weighted."
        )
    if cache.n < 3:
        said.append("Fewer than three samples give no interval.")
    return said


def _cost(shapes, params: CacheRankParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = max(min(n // RUN, params.maximum_samples), 1)
    held = 8.0 * samples * (RUN + 1) * (5.0 * d + 2 * RUN) + 288.0 * d * d + 1e5
    return Cost(
        OPENING + m.seconds(flops64=4e5 * d * samples, moved=8.0 * n * d),
        held,
        min(n, params.maximum_samples),
    )


def _check() -> tuple[CheckLine, ...]:
    """Four heads of four units: of rank 1, 2, 3 and 4 need just these, and random directions all four."""
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [
            rng.standard_normal((96, r)) @ np.linalg.qr(rng.standard_normal((4, 4)))[0][:r]
            for r in (1, 2, 3, 4)
        ],
        axis=1,
    )
    found = cache_rank(
        ArrayActivations(x, name="planted", layout=Layout(np.arange(0, 97, 12))), CacheRankParams(error=0.01)
    )
    lines = [CheckLine(f"a head of rank {r}", r, found.values[0, r - 1], 0.0) for r in (1, 2, 3, 4)]
    return (*lines, CheckLine("random directions", 4.0, float(found.null.mean()), 0.0))


METHODS = (
    Method(
        id="cache_rank", family="tokens", network="attention",
        title="Rank of keys and values", version=2, function=cache_rank,
        summary="How many dimensions of its keys and values each head needs for what it gives.",
        params=CacheRankParams, result=Matrix, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="one rotation of queries and keys of a head; a constant added to all keys",
        papers=(
            "MatryoshkaKV: Adaptive KV Compression via Trainable Orthogonal Projection",
            "MatryoshkaKV: trainable orthogonal projection of the KV cache",
        ),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
