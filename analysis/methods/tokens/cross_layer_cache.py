"""Do layers hold the same keys? Several layers' keys in one subspace, against each layer by itself.

Keys X_l (n tokens, d) of G neighbouring layers, all heads side by side, are cut to one rank r together,

    [X_1 … X_G] ≈ U B,    r (n + G d) numbers instead of n G d,    error² = Σ_{i > r} σ_i² (Eckart and Young),

and at as many numbers each by itself (a rank that is seldom whole: the error is that on the line between two). Layers
can share coordinates U though a token's keys in them have cosine 0: the cells show either, linear CKA between layers,
the mean cosine of a token's keys, or what two layers together save.

    saved   1 - error² of the two together / error² of each alone, at as many numbers

Interval: jackknife over samples. Null: tokens of each layer in an order of their own, which shares nothing.

When it lies: n tokens of a few samples are not a long text, and U grows with n: what is shared over 500 tokens costs
more to hold than over 50,000; CKA is high where one direction is much larger than others; behind rotary positions keys
of one token turn with its place; error of keys is not error of attention; without a network the units of a tap are cut
into four parts that stand for layers.

Cost: O(n (G d)²) for a group; above 400 on either side singular values are found by random projection.

References: C.-C. Chang et al. (2025), "xKV: cross-layer SVD for KV-cache compression"; N. Halko, P.-G. Martinsson &
J. Tropp (2011), "Finding structure with randomness".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import sample_groups
from analysis.errors import NotEnoughData
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.cache.reading import BEFORE, BEHIND, read_cache
from analysis.tokens.cache.shared_subspaces import (
    linear_cka,
    rank_alone,
    stored_share,
    tail_share,
    token_cosine,
)
from analysis.tokens.cache.sharing_told import sharing_estimates
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING, PARTS = 6.0, 4
CKA, COSINE, SAVED = "CKA between layers", "cosine of a token's keys", "saved by two together"
KEYS, VALUES = "keys", "values"


@dataclass(frozen=True)
class CrossLayerCacheParams:
    shown: str = param(CKA, "What the cells are.", choices=(CKA, COSINE, SAVED))
    group: int = param(4, "Neighbouring layers in one group.", low=2, high=32)
    rank: float = param(0.25, "Rank of a group, as a share of the width of one layer.", low=0.01, high=4.0)
    of: str = param(KEYS, "What is compared.", choices=(KEYS, VALUES))
    rotary: str = param(
        BEHIND, "Keys before or behind rotary positions, where there are any.", choices=(BEHIND, BEFORE)
    )
    maximum_samples: int = param(
        16, "Most samples; a seeded random subset above.", low=2, high=2000, late=True
    )
    source: str = param(
        AUTOMATIC, "Whose keys: the network's, or the recorded rows.", choices=SOURCES, late=True
    )


def cross_layer_cache(
    activations, params: CrossLayerCacheParams = CrossLayerCacheParams(), rng=None, progress=no_progress
) -> Matrix:
    """Keys of layers against each other.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise four parts of its units stand for layers.

    Returns
    -------
    Matrix
        Layers by layers. Estimates: error of the groups together and of each layer alone at as many numbers, their
        difference, and the cosine of neighbouring layers.

    Raises
    ------
    NotEnoughData, InputError
        Fewer than two layers, samples or units for them; attention that cannot be taken apart.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    cache = read_cache(tap, params.maximum_samples, rng, params.source, progress, keys=params.rotary)
    layers, of, said = _layers(cache, params.of)
    if len(layers) < 2 or len(np.unique(of)) < 2:
        raise NotEnoughData(
            f"{len(layers)} layer(s) of {tap.name}", "two or more", "Choose a deeper network, or more units"
        )
    progress(0.5, "comparing layers")
    values = _cells(layers, params, rng)
    progress(0.6, "comparing layers")
    mixed = [x[rng.permutation(len(x))] for x in layers]
    null = _cells(mixed, params, rng)
    progress(0.7, "groups of layers")
    whole, chance = _groups(layers, params, rng), _groups(mixed, params, rng)
    without = []
    for k, left in enumerate(sample_groups(of.max() + 1, rng)):
        progress(0.7 + 0.03 * k, "groups of layers")
        stay = ~np.isin(of, left)
        without.append(_groups([x[stay] for x in layers], params, rng))
    progress(1.0, "done")
    told = sharing_estimates(whole, chance, np.array(without), len(np.unique(of)), tap.shape[1])
    names = tuple(f"layer {i + 1}" if cache.who.is_network else f"part {i + 1}" for i in range(len(layers)))
    return Matrix(
        title=f"{params.of.capitalize()} of the layers of {cache.who.what} together", values=values, row_names=names,
        column_names=names, value_name=params.shown, null=null, diverging=params.shown != CKA,
        limits=(0.0, 1.0) if params.shown == CKA else (-1.0, 1.0), estimates=told,
        reading=_reading(told, params, layers), caveats=(*cache.notes, *said, *_caveats(layers, params)),
    )  # fmt: skip


def _layers(cache, of: str) -> tuple[list[np.ndarray], np.ndarray, tuple[str, ...]]:
    """([(n, d) centred], (n,) the sample of each token, what is to be said)."""
    found = [
        getattr(s, of).transpose(0, 2, 1, 3).reshape(cache.shape[0], s.tokens, -1) for s in cache.samples
    ]
    owner = np.repeat(np.arange(cache.n), [s.tokens for s in cache.samples])
    x, said = np.concatenate(found, axis=1), ()
    layers = list(x - x.mean(axis=1, keepdims=True))
    if not cache.who.is_network:
        d = layers[0].shape[1] // PARTS
        layers = [layers[0][:, i * d : (i + 1) * d] for i in range(PARTS)] if d else []
        said = (f"{PARTS} parts of the tap's units stand for layers.",)
    return layers, owner, said


def _cells(layers, params: CrossLayerCacheParams, rng) -> np.ndarray:
    count = len(layers)
    out = np.eye(count) if params.shown != SAVED else np.zeros((count, count))
    for i in range(count):
        for j in range(i + 1, count) if params.shown != SAVED else range(count):
            if params.shown == SAVED:
                together, alone = _errors([layers[i], layers[j]], params, rng)
                out[i, j] = max(1 - together / alone, -1.0) if alone > 0 else 0.0
            else:
                out[i, j] = out[j, i] = (linear_cka if params.shown == CKA else token_cosine)(
                    layers[i], layers[j]
                )
    return out


def _errors(group, params: CrossLayerCacheParams, rng) -> tuple[float, float]:
    """(error² share of a group together, of its layers alone at as many numbers)."""
    n, d = group[0].shape
    rank = max(round(params.rank * d), 1)
    sizes = np.array([np.square(x).sum() for x in group])
    if not sizes.sum():
        return 0.0, 0.0
    each = rank_alone(n, len(group), d, rank)
    alone = [tail_share(x, each, rng) for x in group]
    return tail_share(np.concatenate(group, axis=1), rank, rng), float(np.dot(alone, sizes) / sizes.sum())


def _groups(layers, params: CrossLayerCacheParams, rng) -> np.ndarray:
    """(4,) error together, alone, their difference, and the cosine of neighbours, mean over groups of layers."""
    groups = [layers[i : i + params.group] for i in range(0, len(layers), params.group)]
    groups = [g for g in groups if len(g) > 1]
    together, alone = np.sqrt([_errors(g, params, rng) for g in groups]).mean(axis=0)
    cosine = np.mean([token_cosine(a, b) for a, b in pairwise(layers)])
    return np.array([together, alone, alone - together, cosine])


def _reading(told, params, layers) -> str:
    n, d = layers[0].shape
    together, alone, gain, cosine = told
    count = min(params.group, len(layers))
    share = stored_share(n, count, d, max(round(params.rank * d), 1))
    better = "less than" if gain.value > 0 else "no less than"
    return (
        f"Held together in {share:.0%} of the numbers, {count} layers lose {together.value:.0%}, {better} each "
        f"alone at as many ({alone.value:.0%}); a token's keys in neighbouring layers have cosine {cosine.value:.2f}."
    )


def _caveats(layers, params) -> list[str]:
    n, d = layers[0].shape
    return [
        f"{n:,} tokens of {d} numbers in each layer, centred; the coordinates of the tokens are counted with the rest.",
        "The diagonal is a layer with itself: 1, or with nothing new to share.",
    ]


def _cost(shapes, params: CrossLayerCacheParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = max(min(n // RUN, params.maximum_samples), 1)
    rows = samples * (RUN + 1)
    held = 8.0 * rows * (8.0 * d + 2 * RUN) + 64.0 * d * d + 1e5
    return Cost(
        OPENING + m.seconds(flops64=200.0 * rows * d * d, moved=8.0 * n * d),
        held,
        min(n, params.maximum_samples),
    )


def _check() -> tuple[CheckLine, ...]:
    """Four layers that share coordinates of rank 6 through axes of their own: together nothing is lost at rank 6,
    though a token's keys have cosine about 0."""
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((480, 6))
    x = np.concatenate([shared @ rng.standard_normal((6, 24)) for _ in range(4)], axis=1)
    tap = ArrayActivations(x, name="planted", layout=Layout(np.arange(0, 481, 24)))
    found = cross_layer_cache(tap, CrossLayerCacheParams(rank=6 / 24, maximum_samples=20))
    together, alone, _, cosine = found.estimates
    return (
        CheckLine("rank 6 together", 0.0, together.value, 1e-6),
        CheckLine("tokens in an order of their own", 0.3, together.null, 0.0, "at least"),
        CheckLine("each alone at as many numbers", 0.5, alone.value, 0.0, "at least"),
        CheckLine("cosine of a token's keys", 0.0, cosine.value, 0.15),
    )


METHODS = (
    Method(
        id="cross_layer_cache", family="tokens", network="attention",
        title="Keys shared by layers", version=2, function=cross_layer_cache,
        summary="Keys of several layers in one subspace, against each layer by itself at as many numbers.",
        params=CrossLayerCacheParams, result=Matrix, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of tokens; of CKA also rotations of each layer and its scale",
        papers=("xKV: Cross-Layer SVD for KV-Cache Compression",), libraries=("torch", "transformers"),
    ),
)  # fmt: skip
