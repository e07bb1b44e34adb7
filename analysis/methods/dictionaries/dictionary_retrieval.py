"""How much of a tap does its nearest dictionary entry explain, by how many entries there are?

Explained energy is 1 - Σ |x - c(x)|² / Σ |x - mean|² on samples that no codebook was fitted to, with c(x)

    k-means       the nearest of K centres
    residual      the sum of the nearest of each of M stages of S entries, M S in all
    shaken        the nearest of K centres, each moved by noise that is some share of a row's mean distance to its own
    random        the nearest of K draws of a Gaussian of the same covariance, times one factor
    dictionary    what the tap's own feature set rebuilds; of a residual codebook, stage by stage

The slope of what is left over K says how many dimensions the rows fill: K^(-2/d) for many entries (Zador 1982).

Null: Gaussian rows of the same covariance, with k-means fitted to them and judged on others of them. What the rows
explain beyond it is structure that covariance does not see: clusters, rare directions. Beside it the least that any
code of log₂ K bits can leave of Gaussian rows (Shannon; reverse water-filling). Intervals: bootstrap over the samples
held out; of slopes, groups of samples left out in turn.

When it lies: k-means stops in local optima, so that a codebook could be better; K near the number of rows fits single
rows, which held-out samples show; a codebook without structure also explains, by size alone; the slope of few sizes is
rough, and below the number of dimensions of thousands of entries no codebook is in the regime of the law; the tap's own
dictionary may have been fitted to the rows that it is judged on here.

Cost: O(n K d) for each pass of k-means at each size, once for the rows and once for each of two draws of the null.

References: S. Wu et al. (2025), "Conditional latent coding with learnable synthesized reference for deep image
compression"; B.-H. Juang & A. Gray (1982); P. Zador (1982).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations, load_matrix
from analysis.compute.dictionaries.codebook_growth import (
    KMEANS,
    Growth,
    grown,
    side_by_side,
    staged,
    unfitted,
)
from analysis.compute.dictionaries.codebook_report import growth_estimates, growth_reading
from analysis.compute.dictionaries.codebooks import gaussian_like, least_for_gaussian
from analysis.compute.machine import machine
from analysis.errors import InputError
from analysis.features import rules
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, HELD, DRAWS = 32, 3, 2  # rows; one sample in so many is held out; draws of the null
ROWS_EACH = 4  # of the fit, for each entry
ENTRIES, BITS = "entries kept", "bits per row"
SHANNON = "least for Gaussian rows"
CAVEATS = (
    "Every codebook explains something by its size alone: read the distance to the null, not the height.",
    "A residual codebook tells more rows apart with as many entries: 'bits per row' compares at equal precision.",
)
SEEN = "The tap's own dictionary may have been fitted to some of the rows that it is judged on here."


@dataclass(frozen=True)
class DictionaryRetrievalParams:
    entries: int = param(128, "Entries of the largest k-means codebook.", low=2, high=4096)
    stages: int = param(6, "Stages of the residual codebook.", low=1, high=32)
    stage_entries: int = param(16, "Entries of each of its stages.", low=2, high=1024)
    along: str = param(
        ENTRIES, "What runs along the curve; bits are logarithms of entries.", choices=(ENTRIES, BITS)
    )
    noise: float = param(
        0.5, "How far the shaken codebook is moved, in distances of a row to its centre.", low=0.0, high=10.0
    )
    maximum_rows: int = param(6_000, "Most rows; a seeded random subset above.", low=64, high=200_000)


def dictionary_retrieval(
    activations,
    params: DictionaryRetrievalParams = DictionaryRetrievalParams(),
    rng=None,
    progress=no_progress,
) -> Curve:
    """Explained energy of codebooks of growing size, on held-out samples.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A recorded tap, or one that a feature set encoded: then its source, with what the set itself explains.

    Returns
    -------
    Curve
        Estimates: what the largest codebooks explain, the slope over entries and the dimensions that it stands for, and
        how many entries are used.

    Raises
    ------
    NotEnoughData, InputError
        Fewer than 32 finite rows; rows that do not vary.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    made = tap_dictionary(tap) if getattr(tap, "source", None) is not None else None
    source = tap if made is None else made.source
    progress(0.0, "reading")
    loaded = load_matrix(source, maximum_rows=params.maximum_rows, minimum_rows=FEWEST, rng=rng)
    x, of = np.asarray(loaded.values, np.float64), _independent(source, loaded.rows)
    held = (rng.permutation(of.max() + 1) % HELD == 0)[of]
    mean = x[~held].mean(axis=0)
    fit, test = x[~held] - mean, x[held] - mean
    if not fit.any() or not test.any():
        raise InputError(f"the rows of {source.name} do not vary", "rows that differ", "Choose another tap")
    found, null = _both(fit, test, params, rng, progress)
    own = {} if made is None else {made.features.name: _own(made.features, x[held], mean)}
    worse = unfitted(fit, test, found[KMEANS].entries, params.noise, rng)
    progress(0.95, "resampling")
    estimates = growth_estimates(found | own, worse, null, of[held], fit.shape[1], rng)
    progress(1.0, "done")
    notes = [f"{loaded.note}."] if loaded.note else []
    return Curve(
        title=f"What the nearest dictionary entry explains of {source.name}", reading=growth_reading(estimates, worse),
        caveats=(*notes, *CAVEATS, *([SEEN] if own else [])), estimates=estimates,
        **_drawn(found | worse | own, null, np.linalg.eigvalsh(fit.T @ fit), params.along),
    )  # fmt: skip


def _independent(source, rows: np.ndarray) -> np.ndarray:
    """(n,) number of what each row counts for: its sample, or itself where there is one sample only."""
    of = np.unique(source.layout.sample_of(rows), return_inverse=True)[1].reshape(-1)
    return of if of.max() > 0 else np.arange(len(rows))


def _both(fit, test, params, rng, progress) -> tuple[dict[str, Growth], list[dict[str, Growth]]]:
    """The codebooks of the rows, and those of each draw of Gaussian rows, as many."""
    most = max(2, min(params.entries, len(fit) // ROWS_EACH))
    sizes = 2 ** np.arange(int(np.log2(most)) + 1)
    stages = (params.stages, params.stage_entries)
    found = grown(fit, test, sizes, stages, rng, lambda s: progress(0.05 + 0.3 * s, "fitting codebooks"))
    null = []
    for i in range(DRAWS):
        z = gaussian_like(fit, len(fit) + len(test), rng)

        def tick(share: float, i: int = i) -> None:
            progress(0.4 + 0.5 * (i + share) / DRAWS, "fitting codebooks to Gaussian rows")

        null.append(grown(z[: len(fit)], z[len(fit) :], sizes, stages, rng, tick))
    return found, null


def _own(features, x: np.ndarray, mean: np.ndarray) -> Growth:
    """What the feature set leaves of rows `x`; of a residual codebook after each stage."""
    total, rows = ((x - mean) ** 2).sum(axis=1), x.astype(np.float32)
    if features.rule in (rules.BY_STAGE, rules.NEAREST) and not features.normalise:
        levels = features.levels if features.rule == rules.BY_STAGE else (features.n_features,)
        books = np.split(features.decoder.astype(np.float64), levels[:-1])
        found = staged(x * features.scale - features.shift, books)
        return Growth(found.left / features.scale**2, total, found.entries, found.bits)
    left = ((x - features.reconstruct(rows)) ** 2).sum(axis=1)
    return Growth(left[:, None], total, np.array([features.n_features]), np.array([np.nan]))


def _drawn(series: dict[str, Growth], null, variances: np.ndarray, along: str) -> dict:
    """What a curve has, all series over the union of their places."""
    places, drawn, chance = side_by_side(series, null, along == BITS)
    bits = places if along == BITS else np.log2(places)
    least = np.array([1 - least_for_gaussian(variances, b) for b in bits])
    if along == ENTRIES:  # log2 of the entries are the bits of one codebook, not of several stages
        least[places > series[KMEANS].entries[-1]] = np.nan
    return {
        "x": places, "x_name": along, "y_name": "explained energy, held out", "series": drawn | {SHANNON: least},
        "null": chance, "log_x": along == ENTRIES, "joined": True,
    }  # fmt: skip


def _cost(shapes, params: DictionaryRetrievalParams) -> Cost:
    (n, d), m = shapes[0], machine()
    n = min(n, params.maximum_rows)
    work = (4.0 * params.entries + params.stages * params.stage_entries) * (1 + DRAWS)
    seconds = m.seconds(flops64=2.0 * n * d * work * 20, moved=8.0 * n * work * 20) + 0.2
    return Cost(seconds, 8.0 * n * (6.0 * d + params.entries) + 16.0 * d * d + 2e5)


def _check() -> tuple[CheckLine, ...]:
    """Eight points: eight entries explain all. Even rows of a square: left falls as 1 / K. Independent units of one
    deviation: no codebook is beyond its null, or below what Shannon allows."""
    rng = np.random.default_rng(0)
    points = np.repeat(10 * rng.standard_normal((8, 5)), 30, axis=0)
    small = DictionaryRetrievalParams(entries=8, stages=1, stage_entries=8)
    planted = dictionary_retrieval(points, params=small)
    asked = DictionaryRetrievalParams(entries=64, stages=2, stage_entries=8)
    square = dictionary_retrieval(rng.random((1500, 2)), params=asked)
    noise = dictionary_retrieval(rng.standard_normal((1200, 6)), params=asked)
    slope = next(e for e in square.estimates if e.name.startswith("slope"))
    gap = noise.series[KMEANS] - noise.series[SHANNON]
    return (
        CheckLine("eight points, eight entries", 1.0, planted.estimates[0].value, 1e-12),
        CheckLine("square: slope", -1.0, slope.value, 0.12),
        CheckLine("noise: beyond the null", 0.0, noise.estimates[0].value - noise.estimates[0].null, 0.03),
        CheckLine("noise: above what any code can", 0.0, float(np.nanmax(gap)), 0.02, "at most"),
    )


METHODS = (
    Method(
        id="dictionary_retrieval", family="dictionaries", title="Codebooks: explained energy by size", version=1,
        function=dictionary_retrieval,
        summary="How much of held-out rows the nearest entry of a codebook explains, by entries and stages, beside "
        "Gaussian rows.",
        params=DictionaryRetrievalParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating, shifting and scaling the tap as a whole; reordering samples",
        papers=(
            "Conditional Latent Coding with Learnable Synthesized Reference for Deep Image Compression",
        ),
    ),
)  # fmt: skip
