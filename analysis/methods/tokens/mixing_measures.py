"""How far do mixers reach, do they know places only, and how much state would carry them? Layer by layer.

Of every layer and of some heads or channels, means over samples of

    half-life          tokens within which half of the weight by distance lies: of mean |M| of the pairs so far apart
    distance           Σ |M| d / Σ |M|, on the grid of the image where there is one
    Toeplitz score     share of the variance of M that the offset (on a grid rows and columns) tells: 1 of a convolution
    state              largest rank of a block below the diagonal: at most N of a scan, d of linear attention
    effective rank     exp of the entropy of the squared singular values
    landmarks          |M - C C⁺ M R⁺ R| / |M| left by the columns C and rows R of m tokens, evenly spread
    rows               largest |row sum - 1|, and the share of |M| that is negative

Interval: Student's t over samples. Null: all readable places alike (half-life, distance); entries exchanged (Toeplitz
score, closed form); unrelated entries (state: T / 2).

When it lies: with few tokens all reach far; the last lags have few pairs; a sink at the first token makes a long reach
and an unlike Toeplitz score; a rank depends on what counts as 0; some heads stand for all of a layer.

Cost: one pass of each sample; O(T³) for each matrix.

References: J. Lu et al. (2021), "SOFT: softmax-free transformer with linear complexity"; A. Ali et al. (2024).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers import measures
from analysis.tokens.mixers.linear_attention import landmark_error
from analysis.tokens.mixers.reading import MIXERS, OWN, SCAN, mixers
from analysis.tokens.subject import AUTOMATIC, SOURCES

OPENING = 6.0  # seconds
HALF, HALF_NULL, FAR, FAR_NULL = "half-life", "half-life, all alike", "distance", "distance, all alike"
TOEPLITZ, TOEPLITZ_NULL, STATE, STATE_NULL = "Toeplitz score", "score by chance", "state", "state by chance"
EFFECTIVE, LANDMARKS, SUMS, NEGATIVE = (
    "effective rank",
    "left by landmarks",
    "row sums off 1",
    "negative share",
)
HELP = {
    "mixer": "Layer and head or channel.",
    HALF: "Tokens within which half of the weight by distance lies (mean |M| of pairs so far apart).",
    HALF_NULL: "The same where all distances are read alike.",
    FAR: "Mean distance of the mass, in cells of the grid where there is one, else in tokens.",
    FAR_NULL: "The same where all readable places are read alike.",
    TOEPLITZ: "Share of the variance of M that the offset tells, on a grid in rows and columns; 1 of a convolution.",
    TOEPLITZ_NULL: "The same with entries exchanged, in closed form.",
    STATE: "Largest numerical rank of a block below the diagonal.",
    STATE_NULL: "That of unrelated entries.",
    EFFECTIVE: "exp of the entropy of squared singular values.",
    LANDMARKS: "Share of |M| that the rows and columns of the landmarks do not span.",
    SUMS: "Largest distance of a row's sum from 1.",
    NEGATIVE: "Share of |M| that is negative.",
}
NUMBERS = tuple(name for name in HELP if name != "mixer")


@dataclass(frozen=True)
class MixingMeasuresParams:
    mixer: str = param(OWN, "The network's own, or another made of its queries and keys.", choices=MIXERS)
    maximum_heads: int = param(8, "Most heads or channels of a layer, evenly spread.", low=1, high=512)
    landmarks: int = param(8, "Tokens that stand for all, evenly spread.", low=1, high=512)
    maximum_samples: int = param(16, "Most samples; a seeded random subset above.", low=2, high=1000)
    source: str = param(
        AUTOMATIC, "Whose tokens: the network's, or the recorded rows.", choices=SOURCES, late=True
    )


def mixing_measures(
    activations, params: MixingMeasuresParams = MixingMeasuresParams(), rng=None, progress=no_progress
) -> Table:
    """Reach, Toeplitz score and rank of every mixer.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a network that can be run again; otherwise its rows are the tokens.

    Returns
    -------
    Table
        A line for each layer and head (see `help`). Estimates: means over all of them, with intervals over samples.

    Raises
    ------
    InputError, NotEnoughData
        Over 1,024 tokens; mixers that mix nothing; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = mixers(tap, params.maximum_samples, rng, params.mixer, params.source,
                   lambda f, doing="": progress(0.2 * f, doing))  # fmt: skip
    lines: dict[tuple[int, int], list] = {}
    for place in range(found.n):
        progress(0.2 + 0.8 * place / found.n, "mixers")
        one = found.read(place)
        for layer in range(len(one.heads)):
            some = one.some(layer, params.maximum_heads)
            for head, m in zip(some, one.give(layer, some), strict=True):
                lines.setdefault((layer, int(head)), []).append(
                    (place, _numbers(m, *one.lies(layer), params.landmarks))
                )
    progress(1.0, "done")
    return _table(found, lines, params)


def _numbers(m: np.ndarray, cell: np.ndarray, grid, landmarks: int) -> np.ndarray | None:
    """(len(NUMBERS),) of one matrix; None of zeros."""
    if not np.abs(m).sum() > 0:
        return None
    t = len(m)
    cells, columns = (cell, grid[1]) if grid and len(cell) == t else (np.arange(t), max(t, 1))
    far, even = measures.mean_distance(m, measures.grid_distances(cells, columns))
    at = np.unique(np.linspace(0, t - 1, min(landmarks, t)).round().astype(int))
    return np.array([
        measures.half_life(m), measures.uniform_half_life(t), far, even,
        *measures.toeplitz_score(m, cells, columns),
        measures.semiseparable_rank(m), t // 2, measures.effective_rank(m), landmark_error(m, at),
        *measures.row_faults(m),
    ])  # fmt: skip


def _table(found, lines, params) -> Table:
    kept = {key: [(p, v) for p, v in each if v is not None] for key, each in lines.items()}
    silent = [key for key, each in kept.items() if not each]
    kept = {key: each for key, each in kept.items() if each}
    if not kept:
        raise InputError(f"{found.what} mix nothing", "matrices that are not 0")
    means = np.array([known_mean([v for _, v in each]) for each in kept.values()])
    names = [f"{found.layers[layer]}, {found.head} {head + 1}" for layer, head in kept]
    told = _estimates(found, kept)
    columns = {"mixer": np.array(names)} | {name: means[:, i] for i, name in enumerate(NUMBERS)}
    said = [f"{len(silent)} head(s) or channel(s) mix nothing and are left out."] if silent else []
    return Table(
        title=f"Reach and rank of {found.what}", columns=columns, index="mixer", help=HELP, estimates=told,
        reading=_reading(told, columns), caveats=(*found.notes, *said, *_caveats(columns, found, params)),
    )  # fmt: skip


def known_mean(values) -> np.ndarray:
    """Mean over the first axis of what is a number; NaN where nothing is."""
    values = np.asarray(values, np.float64)
    count = np.isfinite(values).sum(axis=0)
    return np.where(count > 0, np.nansum(values, axis=0) / np.maximum(count, 1), np.nan)


def _estimates(found, kept) -> tuple[Estimate, ...]:
    samples: dict[int, list] = {}
    for place, v in (pair for each in kept.values() for pair in each):
        samples.setdefault(place, []).append(v)
    per = np.array([known_mean(v) for v in samples.values()])
    pairs = ((HALF, HALF_NULL, "all distances alike", "tokens"), (FAR, FAR_NULL, "all readable places alike", ""),
             (TOEPLITZ, TOEPLITZ_NULL, "entries exchanged, closed form", ""),
             (STATE, STATE_NULL, "unrelated entries", ""))  # fmt: skip
    out = []
    for name, null, how, unit in pairs:
        x, chance = (per[:, NUMBERS.index(n)] for n in (name, null))
        good = np.isfinite(x)
        if not good.any():
            continue
        x, chance = x[good], chance[good]
        ends = mean_interval(x) or {"interval": "none: one sample"}
        out.append(Estimate(f"{name}, mean over mixers", float(x.mean()), **ends, null=float(chance.mean()), unit=unit,
                            null_method=how, n=len(x), d=found.units,
                            estimator="mean over heads, then samples"))  # fmt: skip
    return tuple(out)


def _reading(told, columns) -> str:
    score = next(e for e in told if e.name.startswith(TOEPLITZ))
    near = columns["mixer"][columns[HALF].argmin()]
    return (
        f"Weights by distance have half of their sum within {told[0].value:.3g} tokens (all alike: "
        f"{told[0].null:.3g}); place alone tells {score.value:.0%} of them (by chance {score.null:.0%}). The nearest "
        f"reader is {near}."
    )


def _caveats(columns, found, params) -> list[str]:
    said = [f"{found.n:,} samples; at most {params.maximum_heads} {found.head}s of a layer, evenly spread."]
    if (columns[SUMS] > 1e-3).any() or (columns[NEGATIVE] > 0).any():
        said.append("Rows of some mixers are no shares of 1, or negative: rollout does not hold for them.")
    if len(columns["mixer"]) > 1:
        said.append("The nearest of many readers is nearer than it would be alone.")
    return said


def _cost(shapes, params: MixingMeasuresParams) -> Cost:
    (n, k), m = shapes[0], machine()
    rows = min(n, 16 * params.maximum_samples)
    held = 26.0 * rows * k + 9.0 * 17 * rows + 6e4  # of a network its own memory comes on top
    passes = min(n, params.maximum_samples)
    return Cost(OPENING + m.seconds(flops64=1e7 * passes, moved=8.0 * n * k), held, passes)


def _check() -> tuple[CheckLine, ...]:
    """Equal tokens: all places are read alike; a scan of them has one state and is a convolution."""
    x = np.ones((24, 3))
    x[12:] = -1.0
    tap = ArrayActivations(x, name="planted", layout=Layout(np.array([0, 12, 24])))
    even = mixing_measures(tap, MixingMeasuresParams()).columns
    faults = measures.row_faults(np.array([[2.0, -1], [0, 1]]))
    scan = mixing_measures(tap, MixingMeasuresParams(mixer=SCAN)).columns
    return (
        CheckLine("reach of equal tokens", float(even[HALF_NULL][0]), float(even[HALF][0]), 1e-9),
        CheckLine("distance of equal tokens", float(even[FAR_NULL][0]), float(even[FAR][0]), 1e-9),
        CheckLine(
            "diag(1, 3): effective rank",
            0.1**-0.1 * 0.9**-0.9,
            measures.effective_rank(np.diag([1.0, 3])),
            1e-12,
        ),
        CheckLine("2, -1 over 0, 1: rows off 1", 0.0, faults[0], 1e-12),
        CheckLine("and a quarter negative", 0.25, faults[1], 1e-12),
        CheckLine("one landmark is enough", 0.0, float(even[LANDMARKS][0]), 1e-9),
        CheckLine("state of the scan", 1.0, float(scan[STATE][0]), 0.0),
        CheckLine("the scan is a convolution", 1.0, float(scan[TOEPLITZ][0]), 1e-9),
        CheckLine("it reads nearer", float(even[HALF][0]), float(scan[HALF][0]), 0.0, "at most"),
    )


METHODS = (
    Method(
        id="mixing_measures",
        family="tokens",
        title="Reach and rank of mixers",
        summary="Half-life, distance, Toeplitz score and state of every attention head, scan channel or filter.",
        version=3,
        function=mixing_measures,
        params=MixingMeasuresParams,
        result=Table,
        check=_check,
        cost=_cost,
        minimum_rows=4,
        invariance="the order of samples; a factor of a whole matrix, for all but its row sums",
        papers=("VCMamba: Bridging Convolutions with Multi-Directional Mamba for Efficient Visual Representation",
                "Softmax-free Linear Transformers",
                "Kolmogorov-Arnold Attention: Is Learnable Attention Better For Vision Transformers?"),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
