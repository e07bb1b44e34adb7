"""What does each token take of each other? One mixer of one sample as a matrix, on the same axes whatever it is.

    y_t = Σ_s M[t, s] u_s     rows: tokens that read, columns: tokens that are read

Attention gives its weights. A selective scan (Mamba) gives M[t, s] = Σ_n C_t[n] (Π_{k=s+1..t} Ā_k[n]) B̄_s[n],
checked against what the mixer passes on; a convolution its filter along diagonals. Queries and keys can also be mixed
by linear attention φ(q)·φ(k), a Gaussian kernel exp(-|q - k|² / 2) or a decaying scan. Without a network the rows of a
sample stand for queries and keys.

Told: half-life (tokens within which half of mean |M| by distance lies), mean distance of the mass, |t - s| in the
order of tokens and in cells on an image, Toeplitz score (share of the variance that the offset tells, on a grid rows
and columns apart), largest rank of a block below the diagonal (at most the state of a scan), sums of rows.

Interval: of one matrix none, its rows are no sample of anything; of the distance over up to eight samples Student's t.
Null: each row's mass spread evenly over what it may read; of the Toeplitz score the entries exchanged (closed form);
of the rank unrelated entries, T / 2.

When it lies: a matrix says what is mixed, not what it does: values, gates, skips and later layers change it; one head
or channel of one sample is an anecdote; of a filter that reads several channels the root mean square is shown.

Cost: one pass of nine samples; O(T² N) for each channel of a scan, O(T³) for the rank.

References: A. Ali, I. Zimerman & L. Wolf (2024), "The hidden attention of Mamba models"; A. Katharopoulos et al.
(2020).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.errors import InputError
from analysis.results import Matrix
from analysis.sources.rerun import of_one
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers import measures
from analysis.tokens.mixers.linear_attention import GAUSSIAN, LINEAR, gaussian
from analysis.tokens.mixers.matrix_numbers import (
    SOME,
    distance_on_image,
    distance_over_samples,
    gathered,
    matrix_estimates,
    spread,
)
from analysis.tokens.mixers.reading import FORGETS, MIXERS, OWN, SCAN, mixers
from analysis.tokens.own_layer import layer_of_tap, named_layer
from analysis.tokens.subject import AUTOMATIC, SOURCES

OPENING = 6.0  # seconds


@dataclass(frozen=True)
class MixingMatrixParams:
    sample: int = param(0, "Its place in the store, from 0.", low=0, high=1_000_000_000)
    layer: int | None = param(
        None, "Which mixer, from 1; automatic: the tap's, else the last.", low=1, high=999
    )
    head: int = param(1, "Which head or channel of it, from 1.", low=1, high=1_000_000)
    mixer: str = param(OWN, "The network's own, or another made of its queries and keys.", choices=MIXERS)
    source: str = param(
        AUTOMATIC, "Whose tokens: the network's, or the recorded rows.", choices=SOURCES, late=True
    )


def mixing_matrix(
    activations, params: MixingMatrixParams = MixingMatrixParams(), rng=None, progress=no_progress
) -> Matrix:
    """The T x T matrix of one head or channel.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a network that can be run again; otherwise its rows are the tokens.

    Returns
    -------
    Matrix
        Rows read, columns are read; above 160 tokens neighbours are drawn together. Estimates: reach, Toeplitz score,
        rank.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        No such sample, layer or head; over 1,024 tokens; a matrix of zeros; a scan that is not what the mixer does;
        fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    found = mixers(tap, tap.layout.n_samples, rng, params.mixer, params.source, progress)
    progress(0.6, "the mixer")
    one = found.read(found.place(params.sample))
    layer = named_layer(params.layer, layer_of_tap(tap, found.layers), len(found.layers))
    params = replace(params, layer=layer + 1)
    m = one.matrix(layer, params.head - 1)
    if not np.abs(m).sum() > 0:
        raise InputError(
            f"layer {params.layer}, {found.head} {params.head} mixes nothing", "a matrix that is not 0"
        )
    told = matrix_estimates(m, found.units, *one.lies(layer))
    on_image = distance_on_image(m, found.units, *one.lies(layer))
    told = (*told, distance_over_samples(found, params, told[0]), *on_image)
    progress(1.0, "done")
    every = _names(one, layer, len(m))
    drawn, names, runs = gathered(m, every)
    return Matrix(
        title=f"What tokens of sample {params.sample} take of each other: {found.what}, layer "
        f"{params.layer} ({found.layers[layer]}), {found.head} {params.head}",
        values=drawn, row_names=names, column_names=names,
        value_name="M: row takes of column", null=gathered(spread(m), every)[0],
        diverging=bool((m < 0).any()), estimates=told, reading=_reading(told, m, on_image),
        caveats=(*of_one(found.notes, params.sample), *_caveats(m, runs)),
    )  # fmt: skip


def _names(one, layer: int, tokens: int) -> tuple[str, ...]:
    cell, grid = one.lies(layer)
    if len(one.words) == tokens:
        return tuple(f"{i} {w}" for i, w in enumerate(one.words))
    if grid and len(cell) == tokens:
        return tuple(
            f"{i} ({c // grid[1] + 1}, {c % grid[1] + 1})" if c >= 0 else f"{i} (no patch)"
            for i, c in enumerate(cell)
        )
    return tuple(map(str, range(tokens)))


def _reading(told, m: np.ndarray, on_image=()) -> str:
    kind = "read only what came before" if measures.is_causal(m) else "read both ways"
    seen = "".join(f", {e.value:.3g} cells on the image ({e.null:.3g})" for e in on_image)
    return (
        "A row is a token, and its cells are what it takes of the token of each column. "
        f"Tokens {kind}, {told[0].value:.3g} tokens away in their order on average (all alike: {told[0].null:.3g})"
        f"{seen}; place alone "
        f"tells {told[2].value:.0%} of the matrix (by chance {told[2].null:.0%}), and {told[3].value:.0f} numbers of "
        f"state would carry it (unrelated entries: {told[3].null:.0f})."
    )  # fmt: skip


def _caveats(m: np.ndarray, runs: int) -> list[str]:
    off, negative = measures.row_faults(m)
    said = ["One head or channel of one sample."]
    if off > 1e-3:
        said.append(
            f"Rows are no shares: sums are up to {off:.3g} off 1; rollout does not hold for this mixer."
        )
    if negative > 0:
        said.append(f"{negative:.0%} of the mass is negative.")
    if runs > 1:
        said.append(f"{runs} neighbours are drawn as one; numbers are of all {len(m):,} tokens.")
    return said


def _cost(shapes, params: MixingMatrixParams) -> Cost:
    (n, k), m = shapes[0], machine()
    held = 26.0 * n * k + 9.0 * 17 * n + 1e5  # of a network its own memory comes on top
    return Cost(OPENING + m.seconds(flops64=1e7, moved=8.0 * n * k), held, 1 + SOME)


def _check() -> tuple[CheckLine, ...]:
    """Rows that are all alike are read alike; a scan of constant rows is a power of its distance, of rank 1."""
    x = np.ones((24, 4))
    x[12:] = -1.0
    tap = ArrayActivations(x, name="planted", layout=Layout(np.array([0, 12, 24])))
    scan = mixing_matrix(tap, MixingMatrixParams(mixer=SCAN))
    even = mixing_matrix(tap, MixingMatrixParams(mixer=LINEAR))
    one = mixing_matrix(tap, MixingMatrixParams(mixer=GAUSSIAN))
    free = measures.toeplitz_score(np.random.default_rng(0).standard_normal((24, 24)))
    ratio = scan.values[11, 0] / scan.values[11 - int(FORGETS), 0]
    return (
        CheckLine("linear attention of equal tokens", 1 / 12, float(even.values[3, 7]), 1e-12),
        CheckLine("Gaussian kernel of equal tokens", 1.0, float(one.values.min()), 1e-12),
        CheckLine(
            "Gaussian kernel, √2 apart",
            np.exp(-1),
            float(gaussian(np.zeros((1, 2)), np.ones((1, 2)))[0, 0]),
            1e-12,
        ),
        CheckLine("equal tokens: half-life of 12", 6.0, even.estimates[1].value, 1e-9),
        CheckLine(
            "null: what a row takes in all", float(scan.values[5].sum()), float(scan.null[5].sum()), 1e-9
        ),
        CheckLine("free entries: Toeplitz score as by chance", free[1], free[0], 0.05),
        CheckLine("decay of the scan over its half-life", 0.5, float(ratio), 1e-12),
        CheckLine("a scan of constant rows is Toeplitz", 1.0, scan.estimates[2].value, 1e-9),
        CheckLine("and of rank 1", 1.0, scan.estimates[3].value, 0.0),
    )


METHODS = (
    Method(
        id="mixing_matrix",
        family="tokens",
        title="A mixer as a matrix",
        summary="What each token takes of each other: attention, scans, filters and linear attention on the same axes.",
        version=7,
        function=mixing_matrix,
        params=MixingMatrixParams,
        result=Matrix,
        check=_check,
        cost=_cost,
        minimum_rows=4,
        invariance="rotations of queries and keys together, for all but linear attention",
        papers=("VCMamba: Bridging Convolutions with Multi-Directional Mamba for Efficient Visual Representation",
                "Softmax-free Linear Transformers"),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
