"""How few bits can a layer's weights be written with, and which neurons lose most?

Error is Σ (w - q(w))² / Σ (w - mean)², q the nearest entry of a codebook of K (k-means). Three ways to make one:

    one codebook for all single weights                  log₂ K + 16 K / n               bits per weight
    one for each group of neurons with like weights      the same, and log₂ groups for each neuron
    runs of m inputs of a neuron as one entry            log₂ K / m + 16 K m / n

The codebook's own numbers count, 16 bits each: in a small layer they are most of it. Neurons are grouped by ten
quantiles of their weights.

Null: independent Gaussian weights of the same mean and deviation, coded the same way. For one codebook of 2, 4, 8, 16
entries that is 0.3634, 0.1175, 0.0345, 0.0095 (Max 1960), and no code of R bits leaves less of them than 2^(-2R).
A layer above its null has heavier tails than Gaussian ones, one below has clumps, or neurons that differ in size.
Intervals: bootstrap over neurons, as if they were drawn.

When it lies: an error of weights is not an error of outputs: inputs may never use a weight, or use it much; nothing is
trained after coding, which real compression does; k-means stops in local optima; entries of runs depend on how a kernel
is laid out; scaling one neuron, which the next layer can undo, changes every number.

Cost: O(n K m) for each pass of k-means, at each size, for the weights and one Gaussian draw.

References: E. Yvinec et al. (2023), "Network memory footprint compression through jointly learnable codebooks and
mappings"; J. Max (1960), "Quantizing for minimum distortion".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.matrix_ranks import TableParams
from analysis.compute.machine import machine
from analysis.compute.networks.weight_codebooks import (
    Coded,
    coded_by_groups,
    coded_runs,
    coded_single,
    gaussian_weight,
    neuron_groups,
    runs_of,
)
from analysis.compute.statistics.ratios import ratio_interval
from analysis.errors import InputError, ParameterError
from analysis.results import Curve, Estimate
from analysis.sources.layer_weights import layer_matrices
from analysis.sources.unit_weights import is_table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

LEAST, MOST = 1, 8  # bits of the number of an entry
RUNS, SHANNON, WORST = "runs", "least for Gaussian weights", 3
FLOOR = 1e-12  # share lost that is drawn for none
EACH = 4  # weights or runs for each entry, at least


@dataclass(frozen=True)
class WeightCodebookParams(TableParams):
    layer: str = param(
        "",
        "Layer of the checkpoint, as its file names it; empty: the module that the tap recorded.",
        label="layer of the network",
        layer=True,
    )
    bits: int = param(3, "Codebooks of 2 to this power are told in numbers.", low=LEAST, high=MOST)
    groups: int = param(4, "Groups of neurons with a codebook each.", low=1, high=64)
    length: int = param(
        4,
        "Inputs of a neuron that make up one entry; the next divisor of the inputs.",
        low=1,
        high=64,
        label="inputs in a run",
    )


def weight_codebook(
    tap, params: WeightCodebookParams = WeightCodebookParams(), rng=None, progress=no_progress
) -> Curve:
    """Error over bits per weight for three kinds of codebooks.

    Parameters
    ----------
    tap : Activations or array
        An array is a table of weights: one column per unit, one row per input.

    Returns
    -------
    Curve
        Estimates: the error of each kind at the bits asked for, and the bits that entries take by their entropy.

    Raises
    ------
    InputError, NotFound, NotEnoughData, ParameterError
        No or another checkpoint; no such layer; equal weights only; fewer than two finite inputs of a table.
    """
    tap, rng = as_activations(tap), rng or np.random.default_rng(0)
    progress(0.0, "reading weights")
    named = params.layer or ("" if is_table(tap, params.table) else tap.tap)
    read = layer_matrices([tap], named, params.table)
    if len(read.names) > 1:
        raise ParameterError(f"layer '{named}' fits {len(read.names)} layers", "one", "Name one layer")
    name = read.names[0]
    (weight,) = read.read(name)
    below = ((weight - weight.mean()) ** 2).sum(axis=1)
    if not below.sum() > 1e-24 * (weight**2).sum():
        raise InputError(f"all weights of {name} are equal", "weights that differ", "Choose another layer")
    found = _all(weight, params, rng, lambda s: progress(0.1 + 0.4 * s, f"coding {name}"))
    drawn = gaussian_weight(weight, rng)
    null = _all(drawn, params, rng, lambda s: progress(0.5 + 0.4 * s, "coding Gaussian weights"))
    whole = ((drawn - drawn.mean()) ** 2).sum()
    estimates = _estimates(found, null, below, whole, weight.shape, params, rng)
    progress(1.0, "done")
    return Curve(
        title=f"Bits per weight and error of {name}", reading=_reading(estimates, found, below, params),
        caveats=(*read.notes, *_caveats(weight, params)), estimates=estimates,
        **_drawn(found, null, below.sum(), whole),
    )  # fmt: skip


def _all(weight: np.ndarray, params, rng, tick) -> dict[str, list[Coded]]:
    of, m = neuron_groups(weight, params.groups, rng), runs_of(weight, params.length).shape[1]
    kinds = {
        "one codebook": lambda k: coded_single(weight, k),
        f"{of.max() + 1} groups of neurons": lambda k: coded_by_groups(weight, k, of),
    }
    if m > 1:
        kinds[f"{RUNS} of {m} inputs"] = lambda k: coded_runs(weight, m, k, rng)[0]
    found = {}
    for i, (name, coded) in enumerate(kinds.items()):
        there = weight.size // (m if name.startswith(RUNS) else 1) // EACH
        sizes = [2**b for b in range(LEAST, MOST + 1) if 2**b <= there] or [2]
        found[name] = []
        for j, k in enumerate(sizes):
            tick((i + j / len(sizes)) / len(kinds))
            found[name].append(coded(k))
    return found


def _drawn(found, null, below: float, whole: float) -> dict:
    """All lines over the union of the bits that they take."""
    places = np.unique(np.concatenate([[c.bits for c in own] for own in found.values()]))
    series, chance = {}, {}
    for (name, own), other in zip(found.items(), null.values(), strict=True):
        at, order = np.array([c.bits for c in own]), np.argsort([c.bits for c in other])
        series[name] = np.full(len(places), np.nan)
        series[name][np.searchsorted(places, at)] = [c.error.sum() / below for c in own]
        bits = np.array([c.bits for c in other])[order]
        chance[name] = np.interp(places, bits, np.array([c.error.sum() / whole for c in other])[order],
                                 left=np.nan, right=np.nan)  # fmt: skip
    series[SHANNON] = 2.0 ** (-2 * places)
    logs = [{k: np.log10(np.maximum(v, FLOOR)) for k, v in lines.items()} for lines in (series, chance)]
    return {"x": places, "x_name": "bits per weight, codebook included",
            "y_name": "log10 of the share of the variance lost", "series": logs[0], "null": logs[1],
            "joined": True}  # fmt: skip


def _estimates(found, null, below, whole: float, shape, params, rng) -> tuple[Estimate, ...]:
    units, inputs = shape
    out, common = [], {"n": inputs, "d": units}
    for (name, own), other in zip(found.items(), null.values(), strict=True):
        at = (len(own) if name.startswith(RUNS) else min(params.bits, len(own))) - 1
        mine, chance = own[at], other[min(at, len(other) - 1)]
        low, high = ratio_interval(mine.error, below, rng)
        out.append(
            Estimate(f"lost by {name}, {mine.size} entries, {mine.bits:.2f} bits",
                     float(mine.error.sum() / below.sum()), low, high, interval="bootstrap over neurons",
                     null=float(chance.error.sum() / whole), null_method=f"Gaussian weights, {chance.bits:.2f} bits",
                     estimator="squares lost over variance", **common)
        )  # fmt: skip
    one, chance = (next(iter(f.values())) for f in (found, null))
    at = min(params.bits, len(one), len(chance)) - 1
    out.append(
        Estimate("entropy of the entries of one codebook", one[at].entropy, null=chance[at].entropy,
                 null_method="Gaussian weights", estimator="bits, without the codebook", unit="bits", **common)
    )  # fmt: skip
    return tuple(out)


def _reading(estimates, found, below, params) -> str:
    first = estimates[0]
    one = next(iter(found.values()))
    mine = one[min(params.bits, len(one)) - 1]
    share = np.where(below > 0, mine.error / np.where(below > 0, below, 1), 0)
    worst = np.argsort(-share, kind="stable")[:WORST]
    named = ", ".join(f"{j} ({share[j]:.0%})" for j in worst)
    best = min(estimates[:-1], key=lambda e: e.value)
    return (
        f"One codebook of {mine.size} numbers loses {first.value:.2%} of the variance of the weights at "
        f"{mine.bits:.2f} bits each; of Gaussian weights it would lose {first.null:.2%}. Of the ways named beside, "
        f"least is {best.name} ({best.value:.2%}). Neurons that lose most of their own: {named}."
    )


def _caveats(weight, params) -> tuple[str, ...]:
    m = runs_of(weight, params.length).shape[1]
    said = [
        "Weights are known exactly: intervals take the neurons as drawn.",
        "Lost variance of weights is no lost accuracy: see what the inputs use before a layer is called compressible.",
    ]
    if m != params.length:
        said.append(f"Runs have {m} inputs, as {params.length} does not divide {weight.shape[1]}.")
    return tuple(said)


def _cost(shapes, params: WeightCodebookParams) -> Cost:
    (n, d), m = shapes[0], machine()
    seconds = m.seconds(flops64=2.0 * n * d * 2**MOST * 2 * 20 * 2, moved=8.0 * n * d * 300) + 0.3
    return Cost(seconds, 8.0 * n * d * 14.0 + 3e5)


def _check() -> tuple[CheckLine, ...]:
    """Gaussian weights: the errors of the best scalar codes are known. Weights of four values: four entries lose
    nothing. Two sorts of neurons of other size: a codebook for each is as good as for one sort."""
    rng = np.random.default_rng(0)
    gaussian = rng.standard_normal((50, 200))
    asked = WeightCodebookParams(bits=2, groups=1, length=1)
    known = weight_codebook(gaussian, params=asked).series["one codebook"]
    known = 10 ** known[np.isfinite(known)]
    four = weight_codebook(rng.choice([-3.0, -1.0, 0.5, 2.0], (40, 30)), params=asked)
    mixed = gaussian * np.repeat([1.0, 20.0], 100)
    each = weight_codebook(mixed, params=WeightCodebookParams(bits=1, groups=2, length=1)).estimates[1]
    return (
        CheckLine("Gaussian weights, 1 bit: 1 - 2/π", 1 - 2 / np.pi, float(known[0]), 0.008),
        CheckLine("2 bits", 0.11748, float(known[1]), 0.004),
        CheckLine("3 bits", 0.03455, float(known[2]), 0.0015),
        CheckLine("four values, four entries", 0.0, four.estimates[0].value, 1e-12),
        CheckLine("two sizes of neurons, a codebook each", 1 - 2 / np.pi, each.value, 0.01),
    )


METHODS = (
    Method(
        id="weight_codebook", family="weights", title="Weight codebook: error over bits", version=1,
        function=weight_codebook,
        summary="How few bits per weight a layer can be written with, by codebooks of weights, of groups of neurons "
        "and of runs.",
        params=WeightCodebookParams, result=Curve, check=_check, cost=_cost, minimum_rows=2,
        invariance="scaling and shifting the layer as a whole; reordering neurons",
        papers=(
            "Network Memory Footprint Compression Through Jointly Learnable Codebooks and Mappings",
        ),
    ),
)  # fmt: skip
