"""Which layer of one network corresponds to which layer of another? The best match of each, at its relative depth.

Every layer of the first network is compared with every layer of the others by unbiased CKA; the layer of each other
network with the largest value is its match. Depth is the place among the taps given, 0 for the first and 1 for the
last. The band holds all layers that are not clearly less alike than the match: those for which the jackknife interval
of the difference reaches 0, so that a wide band says that many layers would do.

Null: unrelated networks have a CKA of 0 with a known deviation (`compute.similarity.hsic`); a layer whose match is not
beyond it has no match, and its point is left out. Whether deeper layers correspond to deeper ones is Spearman's
correlation of the two depths, against all orders of the layers. The best of several layers is beyond 0 by chance: the
mean CKA of each layer's best stands beside what the best of as many unrelated layers can have at most, on average.

When it lies: relative depth means little between networks of different kinds (a stem of three layers is one tap or
three); a residual stream makes neighbouring layers alike, whence wide bands; CKA is ruled by the directions of largest
variance; layers must be given in order.

Cost: a product O(n p q) for each pair of layers.

References: S. Kornblith et al. (2019), "Similarity of neural network representations revisited"; M. Raghu et al.
(2021), "Do vision transformers see like convolutional neural networks?"
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.cka_grid import linear_grid
from analysis.compute.similarity.hsic import FEWEST, block_bytes
from analysis.compute.similarity.layer_matches import Matches, best_of_unrelated, depths, matched, order_kept
from analysis.compute.similarity.similarity_grid import Grid
from analysis.compute.similarity.similarity_report import jackknife_half
from analysis.compute.statistics.nulls import add_one_p
from analysis.errors import ParameterError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

SAME = "same relative depth"


@dataclass(frozen=True)
class LayerCorrespondenceParams:
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def layer_correspondence(
    *taps, params: LayerCorrespondenceParams = LayerCorrespondenceParams(), rng=None, progress=no_progress
) -> Curve:
    """The match of each layer of the first network in every other.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of two networks or more in the order of their layers; which network a
        tap is of is told by its name before the colon ("store:tap").

    Returns
    -------
    Curve
        `x` relative depth in the first network; a series for each other network with the relative depth of the match,
        `low` and `high` those of all layers not clearly less alike. Estimates: the order kept (Spearman), mean CKA of
        each layer's best, for each other network.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Taps of one network only; an id twice; fewer than four common samples; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    networks = _networks([t.name for t in taps])
    first, others = next(iter(networks)), list(networks)[1:]
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress,
        as_stored=True,
    )  # fmt: skip
    rows = np.array(networks[first])
    columns = np.concatenate([networks[name] for name in others])
    grid, _ = linear_grid(data.values, rows, columns, rng, keys=data.keys, progress=progress)
    series, low, high, estimates, said, notes = {}, {}, {}, [], [], []
    for name in others:
        found = matched(grid, np.isin(columns, networks[name]))
        series[name], low[name], high[name] = found.depth, found.low, found.high
        estimates += _estimates(grid, found, name, rng)
        said.append(
            _sentence(found, [taps[a].name for a in rows], [taps[b].name for b in networks[name]], name)
        )
        lost = int((~found.sure).sum())
        if lost:
            notes.append(f"{lost} layer(s) of {first} have no match in {name} beyond chance, and no point.")
    x = depths(len(rows))
    return Curve(
        title=f"Layers of {first} in {' and '.join(others)}", reading=" ".join(said),
        caveats=(*notes, "The band holds every layer that is not clearly less alike than the match.", *data.notes),
        estimates=tuple(estimates), x=x, x_name=f"layer of {first}",
        x_labels=tap_names([taps[a].name for a in rows]), y_name="relative depth of the match",
        series={**series, SAME: x}, low=low, high=high,
    )  # fmt: skip


def _networks(names: list[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        found.setdefault(name.partition(":")[0], []).append(i)
    if len(found) < 2:
        raise ParameterError(
            f"{len(names)} taps, all of {names[0].partition(':')[0]}",
            "taps of two networks or more",
            "Add the layers of another network, such as one trained from another seed",
        )
    return found


def _estimates(grid: Grid, found: Matches, name: str, rng) -> list[Estimate]:
    n, out, how = grid.n, [], "jackknife, matches held"
    mean = found.cka.mean(axis=1)
    value, half = float(mean[0]), float(jackknife_half(mean))
    ends = {"low": max(value - half, -1.0), "high": min(value + half, 1.0)} if np.isfinite(half) else {}
    out.append(
        Estimate(f"mean CKA of each layer's best in {name}", value, **ends, interval=how if ends else "",
                 null=best_of_unrelated(n, found.layers),
                 null_method=f"best of {found.layers} unrelated layers, upper bound of its mean", n=n,
                 d=max(grid.units), estimator="unbiased linear CKA")
    )  # fmt: skip
    known = np.flatnonzero(found.sure)
    if len(known) >= 3 and found.layers >= 3:
        rho, null, how = order_kept(found.depth[known], rng)
        p_value = float(add_one_p(rho, null)) if how == "drawn" else float((null >= rho - 1e-12).mean())
        low, high = np.percentile(null, [2.5, 97.5])
        out.append(
            Estimate(f"order kept in {name}", rho, null=0.0, null_low=float(low), null_high=float(high),
                     null_method=f"orders of the layers, {how}", p_value=p_value, n=len(known), d=found.layers,
                     estimator="Spearman, depths")
        )  # fmt: skip
    return out


def _sentence(found: Matches, rows: list[str], columns: list[str], name: str) -> str:
    short = [[n.partition(":")[2] or n for n in names] for names in (rows, columns)]
    pairs = [
        f"{short[0][i]} with {short[1][found.best[i]]} ({found.cka[0, i]:.2f})" for i in np.flatnonzero(found.sure)
    ]  # fmt: skip
    if not pairs:
        return f"No layer has a match in {name} beyond chance."
    listed = "; ".join(pairs[:8]) + (f"; and {len(pairs) - 8} more" if len(pairs) > 8 else "")
    return f"Most alike in {name}, with their CKA: {listed}."


def _cost(shapes, params: LayerCorrespondenceParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    d = [min(units, n) for _, units in shapes]
    flops = 2.0 * n * (sum(d) ** 2 + sum(p * p for p in d)) / 2
    flops += sum(2.0 * n * n * units for _, units in shapes if units > n)
    whole = sum(units for _, units in shapes)
    moved = 8.0 * n * whole * 16 + 80.0 * sum(d) ** 2
    memory = 16.0 * n * whole + block_bytes(max(d)) + 8.0 * n * (sum(d) + 24 * len(shapes))
    return Cost(m.seconds(flops64=flops, moved=moved) + 0.02, memory)


def _check() -> tuple[CheckLine, ...]:
    """Layers that each add noise to the one before; the other network has every second of them, rotated: each layer
    finds its own, and the order is kept. A reversed network has the order -1."""
    rng = np.random.default_rng(2)
    layers = [rng.standard_normal((600, 20))]
    for _ in range(8):
        layers.append(layers[-1] + 0.8 * rng.standard_normal((600, 20)))
    one = [ArrayActivations(x, name=f"a:{i}") for i, x in enumerate(layers[::2])]
    turn = np.linalg.qr(rng.standard_normal((20, 20)))[0]
    other = [ArrayActivations(x @ turn, name=f"b:{i}") for i, x in enumerate(layers)]
    back = [ArrayActivations(x @ turn, name=f"b:{i}") for i, x in enumerate(layers[::-1])]
    found, reverse = layer_correspondence(*one, *other), layer_correspondence(*one, *back)
    off = np.abs(found.series["b"] - found.x).max()
    return (
        CheckLine("depth of each match against its own", 0.0, float(off), 1e-9),
        CheckLine("order kept", 1.0, found.estimates[1].value, 1e-9),
        CheckLine("order kept in a reversed network", -1.0, reverse.estimates[1].value, 1e-9),
        CheckLine("mean CKA of the matches", 1.0, found.estimates[0].value, 1e-9),
    )


METHODS = (
    Method(
        id="layer_correspondence", family="similarity", title="Which layer corresponds to which", version=3,
        function=layer_correspondence, params=LayerCorrespondenceParams, result=Curve, check=_check, cost=_cost,
        summary="For each layer of a network its match in another, by CKA, with all layers that would do as well.",
        inputs=2, more_inputs=True,
        begins="two networks", minimum_rows=FEWEST,
        invariance="rotating, scaling or shifting any layer changes nothing",
        papers=(
            "One-for-All: Bridge the Gap Between Heterogeneous Architectures in Knowledge Distillation",
            "MetaFormer Is Actually What You Need for Vision",
            "Balanced Mixture of SuperNets for Learning the CNN Pooling Architecture",
        ),
    ),
)  # fmt: skip
