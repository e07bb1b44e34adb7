"""Runs of weights in few directions and then in few entries: where does the error come from?

The runs of m inputs of all neurons are projected to their d leading directions and clustered there into K entries:

    Σ |w - c|²  =  Σ_(i > d) σ_i²  +  Σ |Pw - c|²           (low rank + clustering, exactly: P is orthonormal)

σ the singular values of the runs. d = m is plain vector quantisation; K as many as runs leaves no clustering error.
With the entries held, more directions can only help; with the bits held, fewer directions leave room for more entries,
and the sum has a valley. Bits per weight are log₂ K / m + 16 (K d + d m) / n; the numbers of the codebook count.

Null: independent Gaussian weights of the same mean and deviation. They fill all directions alike.
Usage: how many entries would be used, were they used alike (perplexity), and how many take under a tenth of their part.

When it lies: an error of weights is no error of outputs; k-means stops in local optima, so that a curve may be rough;
what a run is depends on the order of the inputs, which training leaves open in a linear layer and a kernel does not;
nothing is trained after coding.

Cost: O(n K) for each pass of k-means, for each d, for the weights and one Gaussian draw.

References: Z. Zhu et al. (2022), "Learning low-rank representations for model compression".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.matrix_ranks import TableParams
from analysis.compute.machine import machine
from analysis.compute.networks.weight_codebooks import NUMBER, Coded, coded_runs, gaussian_weight, runs_of
from analysis.compute.statistics.ratios import ratio_interval
from analysis.errors import InputError, ParameterError
from analysis.results import Curve, Estimate
from analysis.sources.layer_weights import layer_matrices
from analysis.sources.unit_weights import is_table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

ENTRIES, BITS = "entries", "bits"
TOTAL, LOW, CLUSTERS = "both", "low rank", "clustering"
RARE, MOST = 0.1, 4096  # share of an even part below which an entry is rare; entries


@dataclass(frozen=True)
class WeightSubvectorsParams(TableParams):
    layer: str = param(
        "",
        "Layer of the checkpoint, as its file names it; empty: the module that the tap recorded.",
        label="layer of the network",
        layer=True,
    )
    length: int = param(
        8,
        "Inputs of a neuron in one run; the next divisor of the inputs.",
        low=1,
        high=64,
        label="inputs in a run",
    )
    entries: int = param(64, "Entries of the codebook in all directions.", low=2, high=1024)
    hold: str = param(ENTRIES, "What stays the same while directions are left out.", choices=(ENTRIES, BITS))


def weight_subvectors(
    tap, params: WeightSubvectorsParams = WeightSubvectorsParams(), rng=None, progress=no_progress
) -> Curve:
    """Low-rank and clustering error of runs of weights over the directions kept.

    Parameters
    ----------
    tap : Activations or array
        An array is a table of weights: one column per unit, one row per input.

    Returns
    -------
    Curve
        Shares of the squares. Estimates: the whole error in all directions and in the best number of them, and how
        many entries are used.

    Raises
    ------
    InputError, NotFound, NotEnoughData, ParameterError
        No or another checkpoint; no such layer; weights of 0 only; fewer than two finite inputs of a table.
    """
    tap, rng = as_activations(tap), rng or np.random.default_rng(0)
    progress(0.0, "reading weights")
    named = params.layer or ("" if is_table(tap, params.table) else tap.tap)
    read = layer_matrices([tap], named, params.table)
    if len(read.names) > 1:
        raise ParameterError(f"layer '{named}' fits {len(read.names)} layers", "one", "Name one layer")
    name = read.names[0]
    (weight,) = read.read(name)
    if not weight.any():
        raise InputError(f"every weight of {name} is 0", "weights that are not", "Choose another layer")
    found = _by_directions(weight, params, rng, lambda s: progress(0.05 + 0.45 * s, f"coding {name}"))
    drawn = gaussian_weight(weight, rng)
    null = _by_directions(drawn, params, rng, lambda s: progress(0.5 + 0.45 * s, "coding Gaussian weights"))
    m = len(found)
    series, chance = _lines(found, (weight**2).sum()), _lines(null, (drawn**2).sum())
    estimates = _estimates(found, chance, null, weight, rng)
    notes = [*read.notes, "Weights are known exactly: intervals take the neurons as drawn."]
    if m != params.length:
        notes.append(f"Runs have {m} inputs, as {params.length} does not divide {weight.shape[1]}.")
    progress(1.0, "done")
    return Curve(
        title=f"Runs of {m} weights of {name}: where the error comes from",
        reading=_reading(series, chance, found, estimates, params), caveats=tuple(notes), estimates=estimates,
        x=np.arange(1.0, m + 1), x_name=f"directions kept of {m}", y_name="share of the squares lost", series=series,
        null=chance,
    )  # fmt: skip


def _by_directions(weight: np.ndarray, params, rng, tick) -> list[tuple[Coded, float]]:
    runs = runs_of(weight, params.length)
    n, m = runs.shape
    out = []
    for d in range(1, m + 1):
        tick((d - 1) / m)
        k = min(params.entries, n)
        out.append(coded_runs(weight, m, k if params.hold == ENTRIES else _entries(k, n, m, d), rng, d))
    return out


def _entries(k: int, n: int, m: int, d: int) -> int:
    """The most entries in d directions that take no more bits than k entries in all m, with the directions."""
    asked = n * np.log2(k) + NUMBER * k * m

    def taken(entries: int) -> float:
        return n * np.log2(entries) + NUMBER * (entries * d + (d * m if d < m else 0))

    low, high = 1, min(n, MOST)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if taken(middle) <= asked else (low, middle - 1)
    return low


def _lines(found, whole: float) -> dict[str, np.ndarray]:
    low = np.array([outside for _, outside in found]) / whole
    total = np.array([coded.error.sum() for coded, _ in found]) / whole
    return {LOW: low, CLUSTERS: np.maximum(total - low, 0.0), TOTAL: total}


def _estimates(found, chance, null, weight, rng) -> tuple[Estimate, ...]:
    below, common = (weight**2).sum(axis=1), {"n": weight.shape[1], "d": len(weight)}
    total = [coded.error.sum() for coded, _ in found]
    out = []
    for at in dict.fromkeys((len(found) - 1, int(np.argmin(total)))):
        coded = found[at][0]
        low, high = ratio_interval(coded.error, below, rng)
        out.append(
            Estimate(f"lost in {at + 1} direction(s), {coded.size} entries, {coded.bits:.2f} bits a weight",
                     float(total[at] / below.sum()), low, high, interval="bootstrap over neurons",
                     null=float(chance[TOTAL][at]), null_method="Gaussian weights",
                     estimator="squares lost over squares", **common)
        )  # fmt: skip
    last, other = found[-1][0], null[-1][0]
    for name, value, by_chance in (
        ("entries used, were they used alike", _perplexity(last), _perplexity(other)),
        ("rare entries", _rare(last), _rare(other)),
    ):
        out.append(
            Estimate(f"{name}, of {last.size}", value, null=by_chance, null_method="Gaussian weights",
                     estimator="all directions", **common)
        )  # fmt: skip
    return tuple(out)


def _perplexity(coded: Coded) -> float:
    return float(2.0**coded.entropy)


def _rare(coded: Coded) -> float:
    return float((coded.usage < RARE / coded.size).sum())


def _reading(series, chance, found, estimates, params) -> str:
    total, m = series[TOTAL], len(found)
    best = int(np.argmin(total))
    cross = np.flatnonzero(series[LOW] <= series[CLUSTERS])
    e = estimates[0]
    said = f"In all {m} directions {e.value:.1%} of the squares are lost (Gaussian weights {e.null:.1%})."
    if best < m - 1:
        said += f" Least is lost in {best + 1} of them: {total[best]:.1%}, {series[LOW][best]:.1%} of it by leaving "
        said += "directions out."
    elif params.hold == BITS:
        said += " With as many bits, no smaller number of directions loses less."
    if len(cross):
        said += f" From {cross[0] + 1} direction(s) on most of the error is clustering."
    used = estimates[-2]
    return f"{said} The entries are used as {used.value:.0f} of {found[-1][0].size} would be, were they used alike."


def _cost(shapes, params: WeightSubvectorsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    many = MOST / 4 if params.hold == BITS else params.entries
    seconds = m.seconds(flops64=2.0 * n * d * many * 20 * 2, moved=8.0 * n * d * 40 * params.length) + 0.2
    return Cost(seconds, 8.0 * n * d * (8.0 + many / params.length) + 3e5)


def _check() -> tuple[CheckLine, ...]:
    """The two errors add up to the third; runs that lie in two directions lose nothing by low rank there; as many
    entries as runs lose nothing by clustering."""
    rng = np.random.default_rng(0)
    plane = rng.standard_normal((120, 2)) @ np.linalg.qr(rng.standard_normal((4, 4)))[0][:2]
    asked = WeightSubvectorsParams(length=4, entries=16)
    flat = weight_subvectors(plane.reshape(10, 48).T, params=asked)
    weight = rng.standard_normal((12, 8))
    all_of_them = weight_subvectors(weight.T, params=WeightSubvectorsParams(length=4, entries=24)).series
    sigma = np.linalg.svd(weight.reshape(-1, 4), compute_uv=False) ** 2
    tail = 1 - np.cumsum(sigma) / sigma.sum()
    return (
        CheckLine("two directions: low rank", 0.0, float(flat.series[LOW][1]), 1e-12),
        CheckLine("low rank is the tail of σ²", 0.0, float(np.abs(all_of_them[LOW] - tail).max()), 1e-12),
        CheckLine("as many entries as runs: clustering", 0.0, float(all_of_them[CLUSTERS].max()), 1e-12),
        CheckLine("sixteen entries leave some", 0.02, float(flat.series[CLUSTERS][1]), 0.0, "at least"),
    )


METHODS = (
    Method(
        id="weight_subvectors", family="weights", title="Sub-vectors of weights", version=1,
        function=weight_subvectors,
        summary="Runs of weights coded in few directions and few entries: which part of the error is whose.",
        params=WeightSubvectorsParams, result=Curve, check=_check, cost=_cost, minimum_rows=2,
        invariance="scaling the layer as a whole; reordering neurons; rotating runs",
        papers=("Learning Low-Rank Representations for Model Compression",),
    ),
)  # fmt: skip
