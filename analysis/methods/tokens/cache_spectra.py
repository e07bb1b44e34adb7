"""How fast do the singular values of keys fall, layer by layer and for groups of layers side by side?

    left of rank r    √(Σ_{i>r} σ_i² / Σ σ_i²)                    what Eckart and Young leave, as a share of the size
    together          of [X_1 … X_G] (n tokens, G d), cut to rank r: r (n + G d) numbers instead of n G d
    each alone        each X_l cut by itself, to as many numbers in all

over the share of the numbers that is held, r (n + G d) / (n G d), or over the rank, a line for each layer and for the
group of all layers that is asked for. All tokens of all samples side by side, less their mean; heads side by side.

Interval: jackknife over samples. Null: tokens of each layer in an order of their own, which leaves each layer as it is
and takes away what layers share.

When it lies: few tokens have few singular values, and U, which every token adds to, is cheap; of a long text it is not;
a layer of much larger keys decides the group's spectrum; behind rotary positions a key turns with its place, before
them it does not: ask for both; what is left of keys is not what the answer loses.

Cost: O(n (G d)²), once more for each group of samples left out.

Reference: C.-C. Chang et al. (2025), "xKV: cross-layer SVD for KV-cache compression".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.errors import NotEnoughData
from analysis.methods.tokens.cross_layer_cache import KEYS, PARTS, VALUES
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.cache.reading import BEFORE, BEHIND, read_cache
from analysis.tokens.cache.shared_subspaces import stored_share
from analysis.tokens.cache.spectra import at_numbers, left, spectra
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING, PLACES, HELD = 6.0, 25, 0.25  # seconds; of the curve; share of the numbers that is told of
NUMBERS, RANK = "the share of numbers held", "the rank"
TOGETHER, ALONE = "together", "each alone"
NULL = "tokens of each layer in an order of their own"


@dataclass(frozen=True)
class CacheSpectraParams:
    over: str = param(
        NUMBERS, "What is left over: numbers that are held, or the rank.", choices=(NUMBERS, RANK)
    )
    first: int = param(1, "First layer of the group.", low=1, high=1000)
    group: int = param(4, "Neighbouring layers in the group.", low=1, high=64)
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


def cache_spectra(
    activations, params: CacheSpectraParams = CacheSpectraParams(), rng=None, progress=no_progress
) -> Curve:
    """What is left of keys or values over rank or numbers.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise four parts of its units stand for layers.

    Returns
    -------
    Curve
        Lines for the group together and each layer alone, or a line for each layer and the group over the rank.
        Estimates: what is left of either at a quarter of the numbers, and rank that leaves a tenth.

    Raises
    ------
    NotEnoughData, InputError
        No such layers; rows that do not vary; fewer than two samples; attention that cannot be taken apart.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    cache = read_cache(tap, params.maximum_samples, rng, params.source, progress, keys=params.rotary)
    layers, owner, notes = layers_of(cache, params)
    if not any(np.square(x).sum() for x in layers):
        raise NotEnoughData(f"{tap.name} does not vary", "rows that differ", "Choose another tap")
    progress(0.5, "singular values")
    whole = spectra(layers)
    mixed = spectra([x[rng.permutation(len(x))] for x in layers])
    without, groups = [], sample_groups(len(np.unique(owner)), rng)
    for i, gone in enumerate(groups):
        progress(0.55 + 0.45 * i / len(groups), "without groups of samples")
        stay = ~np.isin(owner, gone)
        without.append(spectra([x[stay] for x in layers]))
    progress(1.0, "done")
    return _curve(cache, layers, whole, mixed, without, params, notes, tap.shape[1])


def layers_of(cache, params) -> tuple[list[np.ndarray], np.ndarray, tuple[str, ...]]:
    """([(n, d) centred] of the group, (n,) the sample of each token, notes). Raises NotEnoughData."""
    found = [
        getattr(s, params.of).transpose(0, 2, 1, 3).reshape(cache.shape[0], s.tokens, -1)
        for s in cache.samples
    ]
    owner = np.repeat(np.arange(cache.n), [s.tokens for s in cache.samples])
    x, said = np.concatenate(found, axis=1), ()
    if not cache.who.is_network:
        d = x.shape[2] // PARTS
        if not d:
            raise NotEnoughData(f"{x.shape[2]} unit(s)", f"at least {PARTS}, whose parts stand for layers")
        x = np.stack([x[0][:, i * d : (i + 1) * d] for i in range(PARTS)])
        said = (f"{PARTS} parts of the tap's units stand for layers.",)
    some = list(range(params.first - 1, min(params.first - 1 + params.group, len(x))))
    if not some:
        raise NotEnoughData(f"layer {params.first} of {len(x)}", f"1 to {len(x)}")
    return [x[i] - x[i].mean(axis=0) for i in some], owner, said


def _curve(cache, layers, whole, mixed, without, params, notes, units: int) -> Curve:
    (n, d), count = layers[0].shape, len(layers)
    names = [f"layer {params.first + i}" for i in range(count)]
    if params.over == RANK:
        x = np.unique(np.geomspace(1, len(whole[-1]), PLACES).round())
        lines = [*names, *([TOGETHER] if count > 1 else [])]
        picked = range(len(lines))

        def told(found):
            return np.array([[left(found[i], min(r, len(found[i]))) for r in x] for i in picked])
    else:
        most = min(len(whole[-1]) * (n + count * d) / (n * count * d), 1.0)
        x, lines = np.linspace(0.02, most, PLACES), [TOGETHER, ALONE]

        def told(found):
            return np.array([at_numbers(found, n, d, s) for s in x]).T

    value, null = told(whole), told(mixed)
    half = jackknife_half(np.array([told(w) for w in without]))
    half = np.full(value.shape, np.nan) if half is None else half
    estimates = _estimates(whole, mixed, without, n, d, cache.n, units)
    return Curve(
        title=f"What is left of the {params.of} of {cache.who.what}", estimates=estimates,
        reading=_reading(estimates, count, n, d), x=x, x_name=params.over.removeprefix("the "),
        y_name=f"left of the {params.of}", series=dict(zip(lines, value, strict=True)), log_x=params.over == RANK,
        null=dict(zip(lines, null, strict=True)), low=dict(zip(lines, np.maximum(value - half, 0.0), strict=True)),
        high=dict(zip(lines, np.minimum(value + half, 1.0), strict=True)),
        caveats=(*cache.notes, *notes, f"{n:,} tokens of {d} numbers in each of {count} layer(s), less their mean.",
                 f"{params.rotary.capitalize()}, where the network has rotary positions."),
    )  # fmt: skip


def _estimates(whole, mixed, without, n: int, d: int, samples: int, units: int) -> tuple[Estimate, ...]:
    def numbers(found):
        together, alone = at_numbers(found, n, d, HELD)
        ranks = [next(r for r in range(len(v) + 1) if left(v, r) <= 0.1 + 1e-12) for v in found]
        return np.array([together, alone, alone - together, ranks[-1], np.mean(ranks[:-1])])

    value, null = numbers(whole), numbers(mixed)
    half = jackknife_half(np.array([numbers(w) for w in without]))
    named = (f"left together at {HELD:.0%} of the numbers", f"left of each alone at {HELD:.0%}", "what sharing saves",
             "rank that leaves a tenth, together", "rank that leaves a tenth, mean of layers")  # fmt: skip
    out = []
    for i, name in enumerate(named):
        ends = {"interval": "none: fewer than three samples"}
        if half is not None:
            low, high = float(value[i] - half[i]), float(value[i] + half[i])
            ends = {"low": low, "high": high, "interval": "jackknife over samples"}
        out.append(Estimate(name, float(value[i]), **ends, null=float(null[i]), null_method=NULL, n=samples, d=units,
                            estimator="all tokens side by side"))  # fmt: skip
    return tuple(out)


def _reading(told, count: int, n: int, d: int) -> str:
    together, alone, _, rank, own = told
    share = stored_share(n, count, d, max(int(rank.value), 1))
    return (
        f"At {HELD:.0%} of the numbers {count} layer(s) together leave {together.value:.0%} of the keys' size, each "
        f"alone {alone.value:.0%} (unshared: {together.null:.0%}). A tenth is left at rank {rank.value:.0f} together, "
        f"which holds {share:.0%} of the numbers, and at {own.value:.0f} in each layer."
    )


def _cost(shapes, params: CacheSpectraParams) -> Cost:
    (n, d), m = shapes[0], machine()
    rows = max(min(n // RUN, params.maximum_samples), 1) * (RUN + 1)
    held = 8.0 * rows * (8.0 * d + 2 * RUN) + 64.0 * d * d + 1e5
    return Cost(OPENING + m.seconds(flops64=60.0 * rows * d * d, moved=8.0 * n * d), held,
                min(n, params.maximum_samples))  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Four layers share coordinates of rank 6 through axes of their own: together nothing is left at rank 6, and 24 is
    needed once tokens lose their order. Eckart and Young on known singular values."""
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((480, 6))
    x = np.concatenate([shared @ rng.standard_normal((6, 24)) for _ in range(4)], axis=1)
    tap = ArrayActivations(x, name="planted", layout=Layout(np.arange(0, 481, 24)))
    found = cache_spectra(tap, CacheSpectraParams(maximum_samples=20))
    wide = cache_spectra(tap, CacheSpectraParams(maximum_samples=20, over=RANK)).series[TOGETHER]
    ranks = found.estimates[3]
    one, other = at_numbers([np.array([4.0, 1.0])] * 2 + [np.array([4.0, 1.0])], 10, 2, 0.0)
    return (
        CheckLine("left of 4 and 1 beyond the first", 0.2**0.5, left(np.array([4.0, 1.0]), 1), 1e-12),
        CheckLine("shared coordinates: rank together", 6.0, ranks.value, 0.0),
        CheckLine("tokens in an order of their own", 18.0, ranks.null, 0.0, "at least"),
        CheckLine("at full rank nothing is left", 0.0, float(wide[-1]), 1e-6),
        CheckLine("no numbers held: all is left", 2.0, one + other, 1e-12),
    )


METHODS = (
    Method(
        id="cache_spectra", family="tokens", network="attention", title="Spectra of keys and values", version=1,
        function=cache_spectra,
        summary="Singular values of keys by layer and for groups of layers, over rank and over the numbers held.",
        params=CacheSpectraParams, result=Curve, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="rotations of the keys of a layer; a constant added to all of them; one factor of all",
        papers=("xKV: Cross-Layer SVD for KV-Cache Compression",), libraries=("torch", "transformers"),
    ),
)  # fmt: skip
