"""How much of the count does each scale contribute, and does it grow with the size of what is counted?

    contribution_k = Σ_pixels g_k d_k,      count = Σ_k contribution_k        gates g, Σ_k g_k = 1 at each pixel

Two taps with tokens on the same places: the gates of the scales (experts), and the density that each scale gives there,
a unit for each. The sum of a density over the picture is its count. Where the samples' column of sizes is named, the
share of each scale is correlated with it (Spearman): fine scales should have theirs where heads are small.

Interval: Student's t over samples, Fisher's z of the correlation. Null: gates of other pixels of the same picture,
which leaves each scale its total gate and takes away where it is open; of the correlation 0, with Benjamini-Hochberg
over scales.

When it lies: gates that do not sum to 1 are divided by their sum, which is told; densities may be negative at places
and cancel; a share is of the count that the network gives, which may be wrong (compare it with a column of true
counts); with few samples a correlation is found by chance.

Cost: O(n T scales), once more for each of twenty exchanges.

Reference: "Redesigning multi-scale neural network for crowd counting".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations, sample_column
from analysis.arrays import finite_rows
from analysis.compute.linear.ranking_axes import spearman, spearman_estimate, spearman_p
from analysis.compute.machine import machine
from analysis.compute.rows.random_part import random_part
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.streaming import Pass, refuse_few
from analysis.errors import InputError, ShapeError
from analysis.results import Estimate, Table
from analysis.sources.own_module import recorded_from
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, DRAWS, OFF, LEVEL = 4, 20, 5e-3, 0.05
SCALE, COUNT, SHARE, CHANCE, OPEN, WITH, SURE = (
    "scale", "count", "share", "share by chance", "mean gate", "with the size", "beyond chance",
)  # fmt: skip
HELP = {
    SCALE: "The unit of the gates.",
    COUNT: "What it adds to the count of a sample, mean.",
    SHARE: "Its share of the count, mean over samples.",
    CHANCE: "The same with its gates at other pixels of the picture.",
    OPEN: "Its mean gate.",
    WITH: "Spearman correlation over samples of its share with their sizes; 0 without a column.",
    SURE: "Whether that is beyond chance, at 5 % false discoveries over scales.",
}


@dataclass(frozen=True)
class ScaleCountsParams:
    sizes: str = param("", "Sample column with the size of what is counted; empty: none.", column=True)
    true: str = param("", "Sample column with the true count; empty: none.", column=True)
    maximum_samples: int = param(500, "Most samples; a seeded random part above.", low=4, high=50_000)


def scale_counts(
    gates, densities, params: ScaleCountsParams = ScaleCountsParams(), rng=None, progress=no_progress
) -> Table:
    """What each scale contributes to the count.

    Parameters
    ----------
    gates, densities : Activations or arrays (rows, scales)
        Of the same samples and places, a unit for each scale.

    Returns
    -------
    Table
        A line for each scale (see `help`). Estimates: the count, shares, and the error where true counts are known.

    Raises
    ------
    ShapeError, InputError, NotFound, NotEnoughData
        Taps of unlike shape or layout; gates that are all zero; no such column; fewer than four samples.
    """
    gates, densities, rng = as_activations(gates), as_activations(densities), rng or np.random.default_rng(0)
    if gates.shape != densities.shape or not np.array_equal(gates.layout.offsets, densities.layout.offsets):
        raise ShapeError(
            f"gates {gates.shape} and densities {densities.shape}",
            "the same samples, places and scales",
            recorded_from("*gates*", "*densities*"),
        )
    columns = {name: sample_column(gates, name) for name in (params.sizes, params.true) if name}
    at, notes = random_part(gates.layout.n_samples, params.maximum_samples, rng)
    seen, kept, found, chance, opened, off, logits = Pass(), [], [], [], [], 0.0, False
    for i, sample in enumerate(at):
        progress(i / len(at), "adding up")
        rows = np.arange(*gates.layout.offsets[sample : sample + 2])
        g, d = (np.asarray(t.take(rows), np.float64) for t in (gates, densities))
        good = finite_rows(g) & finite_rows(d)
        seen.n_rows += len(rows)
        seen.n_nonfinite += int((~good).sum())
        if not good.any():
            continue
        g, missed, bent = whole(g[good])
        logits = logits or bent
        off = max(off, missed)
        kept.append(sample)
        found.append((g * d[good]).sum(axis=0))
        chance.append(
            np.mean([(rng.permuted(g, axis=0) * d[good]).sum(axis=0) for _ in range(DRAWS)], axis=0)
        )
        opened.append(g.mean(axis=0))
    refuse_few(gates.name, len(kept), FEWEST, "sample(s) with a finite row")
    progress(1.0, "done")
    said = ["Gates below 0 are taken for logits, whose softmax gates."] if logits else []
    if off > OFF and not logits:
        said.append(f"Gates miss a sum of 1 by up to {off:.2g} and are divided by it.")
    columns = {name: np.asarray(c)[kept] for name, c in columns.items()}
    return _table(gates, np.array(found), np.array(chance), np.array(opened), columns, params,
                  (*notes, *seen.notes, *said))  # fmt: skip


def whole(g: np.ndarray) -> tuple[np.ndarray, float, bool]:
    """(gates (T, K) of sum 1 at each place, how far the sums were off, whether g were logits). Raises InputError where
    all gates of a place are 0."""
    bent = bool((g < 0).any())
    g = np.exp(g - g.max(axis=1, keepdims=True)) if bent else g
    total = g.sum(axis=1, keepdims=True)
    if not (total > 0).all():
        raise InputError(
            "places where all gates are 0", "gates that sum to 1", recorded_from("*gates*", "*densities*")
        )
    return g / total, float(np.abs(total - 1).max()), bent


def shares(parts: np.ndarray) -> np.ndarray:
    """(n, K) of contributions (n, K): parts of the sum of sizes, so that what cancels still counts."""
    size = np.abs(parts).sum(axis=1, keepdims=True)
    return np.where(size > 0, np.abs(parts) / np.where(size > 0, size, 1.0), 1 / parts.shape[1])


def _table(tap, found, chance, opened, columns, params, notes) -> Table:
    own, free, n = shares(found), shares(chance), len(found)
    rho, sure, known = np.zeros(found.shape[1]), np.zeros(found.shape[1], bool), n
    if params.sizes:
        sizes = np.asarray(columns[params.sizes], np.float64)
        good = np.isfinite(sizes)
        known = int(good.sum())
        refuse_few(f"column '{params.sizes}'", known, FEWEST, "sample(s) with a size")
        rho = np.array([spearman(s[good], sizes[good]) for s in own.T])
        sure = benjamini_hochberg(np.array([spearman_p(r, known) for r in rho])) <= LEVEL
    told = _estimates(tap, found, own, free, (rho, known), columns, params)
    order = np.argsort(-own.mean(axis=0), kind="stable")
    table = {SCALE: np.array(tap.unit_names).astype(str), COUNT: found.mean(axis=0), SHARE: own.mean(axis=0),
             CHANCE: free.mean(axis=0), OPEN: opened.mean(axis=0), WITH: rho, SURE: sure}  # fmt: skip
    first = tap.unit_names[order[0]]
    return Table(
        title=f"Counts by scale, {tap.name}", columns={k: v[order] for k, v in table.items()}, index=SCALE, help=HELP,
        estimates=told, caveats=(*notes, f"{n:,} samples; shares are of the sizes of what scales add."),
        reading=f"A sample counts {found.sum(axis=1).mean():.3g} on average; scale {first} has "
        f"{own.mean(axis=0)[order[0]]:.0%} of it (its gates at other pixels: {free.mean(axis=0)[order[0]]:.0%})."
        + (f" {int(sure.sum())} of {len(sure)} scales go with the size of what is counted." if params.sizes else ""),
    )  # fmt: skip


def _estimates(tap, found, own, free, by_size, columns, params) -> tuple[Estimate, ...]:
    (n, k), (rho, known) = own.shape, by_size
    count = found.sum(axis=1)
    facts, by_chance = {"n": n, "d": k}, "gates at other pixels of the picture"
    out = [Estimate(f"share of scale {tap.unit_names[i]}", float(own[:, i].mean()), null_method=by_chance, **facts,
                    **mean_interval(own[:, i], 0.0, 1.0), null=float(free[:, i].mean()), estimator="mean over samples")
           for i in range(min(k, 12))]  # fmt: skip
    if params.true:
        off = np.abs(count - np.asarray(columns[params.true], np.float64))
        usual = np.abs(np.asarray(columns[params.true], np.float64) - np.median(columns[params.true]))
        out.append(Estimate("error of the count", float(off.mean()), **mean_interval(off, 0.0),
                            null=float(usual.mean()), null_method="the median count for every sample",
                            estimator="mean absolute error", **facts))  # fmt: skip
    if params.sizes:
        names = [f"share of scale {tap.unit_names[i]} with the size" for i in range(min(k, 12))]
        out += [spearman_estimate(name, float(rho[i]), known, k, "Spearman") for i, name in enumerate(names)]
    return tuple(out)


def _cost(shapes, params: ScaleCountsParams) -> Cost:
    (n, k), m = shapes[0], machine()
    some = min(n, params.maximum_samples)
    return Cost(0.02 + m.seconds(moved=8.0 * n * k * 2, calls=600.0 * some), 8.0 * some * k * 14 + 4e4)


def _check() -> tuple[CheckLine, ...]:
    """Two scales: density 1 at each of 16 pixels of both, gates of the first open at a quarter: it counts 4 of 16 and
    the integral is the count. Its share grows as the sizes fall."""
    n, t = 12, 16
    some = np.arange(n) % 6 + 2
    g = (np.arange(t) < some[:, None]).astype(float)
    gates = np.stack([g, 1 - g], axis=2).reshape(-1, 2)
    layout = Layout(np.arange(n + 1) * t, grid=(4, 4))
    taps = [ArrayActivations(v, "gates", {"size": 10.0 - some, "true": np.full(n, 16.0)}, layout)
            for v in (gates, np.ones_like(gates))]  # fmt: skip
    found = scale_counts(*taps, params=ScaleCountsParams(sizes="size", true="true"))
    by = dict(zip(found.columns[SCALE], range(2), strict=True))
    name = taps[0].unit_names[0]
    at = by[str(name)]
    told = {e.name: e.value for e in found.estimates}
    return (
        CheckLine("count of the first scale", float(some.mean()), float(found.columns[COUNT][at]), 1e-9),
        CheckLine("its share of 16", float(some.mean() / 16), float(found.columns[SHARE][at]), 1e-9),
        CheckLine("its gate is as large", float(some.mean() / 16), float(found.columns[OPEN][at]), 1e-9),
        CheckLine("even densities: no place is better", float(found.columns[CHANCE][at]),
                  float(found.columns[SHARE][at]), 1e-9),
        CheckLine("with the size", -1.0, float(found.columns[WITH][at]), 1e-9),
        CheckLine("the integral is the count: error", 0.0, told["error of the count"], 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="scale_counts", family="tokens", title="Counts by scale", version=1, function=scale_counts,
        summary="What each scale of a gated density adds to the count, and whether it goes with the size of things.",
        params=ScaleCountsParams, result=Table, check=_check, cost=_cost, inputs=2, matches="rows", same_units=True,
        roles=("gates", "densities"), minimum_rows=FEWEST,
        invariance="the order of samples and places; one factor of all densities, for shares",
        papers=("Redesigning Multi-Scale Neural Network for Crowd Counting",),
    ),
)  # fmt: skip
