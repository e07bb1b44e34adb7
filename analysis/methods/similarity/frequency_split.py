"""DC and AC: how much of a tap's energy is the mean over space, and are two networks alike in that mean or beyond it?

For maps x_p of P positions: DC = P |mean x|², AC = Σ |x_p - mean x|², and DC + AC = Σ |x_p|² (Parseval); shares are of
the energy as recorded, and of the energy about the mean map (what differs between samples). The similarity with the
first tap is unbiased linear CKA of the maps (whole), of their means over space (DC), and of what remains (AC): the last
two position by position on a common grid (`grid_similarity`).

Null of the DC share about the mean map: values exchanged between samples at each position on its own, exactly 1 / P.
Null of the similarities: samples exchanged, mean exactly 0, deviation at most sqrt(2 / (n (n - 3))). Intervals leave
groups of samples out (jackknife).

When it lies: an offset common to all samples is DC as recorded and carries nothing; a coarse grid has little AC by
itself, so compare a share with its own null; a similarity of a part with hardly any energy is one of noise; maps are
averaged to the coarser grid for the similarity, which takes fine AC out of the finer one.

Cost: two passes over each tap, O(n P d ln P); similarities O(n P p q) for each pair; memory O(n P (P + Σ d)).

References: J. Fan et al. (2024), "ScaleKD: strong vision transformers could be excellent teachers"; S. Kornblith et al.
(2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.grids.common_maps import AC, DC, PARTS, WHOLE, common_maps
from analysis.compute.grids.grid_alignment import grid_of
from analysis.compute.grids.map_frequencies import MapEnergies, map_energies
from analysis.compute.grids.position_hsic import position_grid
from analysis.compute.machine import machine
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.hsic import FEWEST, null_deviation
from analysis.compute.similarity.similarity_grid import Grid, groups_of
from analysis.compute.similarity.similarity_report import jackknife_half
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

LEVEL = 0.05


@dataclass(frozen=True)
class FrequencyParams:
    side: int = param(
        8, "Most positions of the common grid in height and in width, for the similarities.", low=1, high=64
    )
    maximum_samples: int = param(500, "Most samples; a seeded random subset above.", low=50, high=50_000)


def frequency_split(
    *taps, params: FrequencyParams = FrequencyParams(), rng=None, progress=no_progress
) -> Table:
    """DC and AC parts of two or more taps with tokens, and how alike each part is to the first tap's.

    Parameters
    ----------
    *taps : Activations with tokens on a grid, of the same samples (matched by id); the first is compared with all.

    Returns
    -------
    Table
        A line for each tap: its grid, the shares of DC with null and interval, and CKA with the first tap of the whole
        maps, of DC and of AC, each with interval and q. Estimates: the DC shares, and the similarities of the second
        tap with the first.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        As `common_maps`.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    maps = common_maps(taps, rng, side=params.side, maximum=params.maximum_samples, progress=progress)
    n, names = len(maps.ids), tap_names([t.name for t in taps])
    group = groups_of(n, rng)
    energies = [
        map_energies(
            tap, maps.ids, group, progress, (0.3 + 0.3 * i / len(taps), 0.3 + 0.3 * (i + 1) / len(taps))
        )
        for i, tap in enumerate(taps)
    ]
    first, every = np.array([0]), np.arange(len(taps))
    grids, silent = {}, []
    for i, part in enumerate(PARTS):
        ends = (0.6 + 0.4 * i / 3, 0.6 + 0.4 * (i + 1) / 3)
        grids[part], lengths = position_grid(maps.part(part), first, every, rng, progress=progress, span=ends)
        silent += [
            f"{names[j]}: no {part} part differs between samples (CKA 0)."
            for j in np.flatnonzero(lengths <= 0)
        ]
    shares = [_Share.of(e) for e in energies]
    columns = _columns(taps, names, shares, grids)
    estimates = _estimates(names, shares, grids, n, max(t.shape[1] for t in taps))
    return Table(
        title=f"DC and AC of {', '.join(names[:3])}{', …' if len(names) > 3 else ''}", columns=columns,
        reading=_reading(names, shares, grids), caveats=(*silent, *_caveats(shares, names), *maps.notes),
        estimates=estimates, index="tap", help=_help(names[0]),
    )  # fmt: skip


@dataclass(frozen=True)
class _Share:
    """DC shares (1 + G,): as `recorded`, and about the mean map with their `null`."""

    recorded: np.ndarray
    centred: np.ndarray
    null: float
    n: int

    @staticmethod
    def of(e: MapEnergies) -> _Share:
        return _Share(e.dc_share(False), e.dc_share(True), 1 / e.positions, e.n)

    def ends(self, series: np.ndarray) -> tuple[float, float]:
        value, half = float(series[0]), float(jackknife_half(series))
        return max(value - half, 0.0), min(value + half, 1.0)


def _columns(taps, names, shares: list[_Share], grids: dict[str, Grid]) -> dict[str, np.ndarray]:
    low, high = np.array([s.ends(s.centred) for s in shares]).T
    out = {"tap": np.array(names), "DC share": np.array([s.centred[0] for s in shares])}
    out |= {f"CKA {part}": grids[part].values[0] for part in (DC, AC, WHOLE)}
    out |= {
        "grid": np.array(["{} x {}".format(*grid_of(t)) for t in taps]), "units": np.array([t.shape[1] for t in taps]),
        "DC share low": low, "DC share high": high, "DC share by chance": np.array([s.null for s in shares]),
        "AC share": 1 - out["DC share"], "DC share as recorded": np.array([s.recorded[0] for s in shares]),
    }  # fmt: skip
    tests = np.stack([g.p[0] for g in grids.values()])
    q = benjamini_hochberg(tests)
    for i, (part, g) in enumerate(grids.items()):
        half = np.where(g.own[0], 0.0, np.nan_to_num(jackknife_half(g.series)[0], nan=2.0))
        out[f"CKA {part} low"] = np.maximum(g.values[0] - half, -1.0)
        out[f"CKA {part} high"] = np.minimum(g.values[0] + half, 1.0)
        out[f"q {part}"] = np.nan_to_num(q[i], nan=0.0)
    return out


def _help(first: str) -> dict[str, str]:
    out = {
        "DC share": "share of the energy about the mean map that lies in the mean over space",
        "DC share by chance": "1 / positions: values exchanged between samples at each position on its own",
        "AC share": "the rest: what varies over space",
        "DC share as recorded": "the same with the mean map in it, and so with every constant offset",
    }
    words = {
        WHOLE: "the maps, position by position",
        DC: "the means over space",
        AC: "the maps without these means",
    }
    for part, what in words.items():
        out[f"CKA {part}"] = f"unbiased CKA with {first} of {what}; 0 for unrelated maps"
        out[f"q {part}"] = "Benjamini-Hochberg q over all taps and parts; 0 for the first tap with itself"
    return out


def _estimates(names, shares: list[_Share], grids: dict[str, Grid], n: int, d: int) -> tuple[Estimate, ...]:
    out = []
    for name, s in zip(names, shares, strict=True):
        low, high = s.ends(s.centred)
        out.append(Estimate(
            f"DC share of {name}", float(s.centred[0]), low, high, interval="jackknife over groups of samples, t",
            null=s.null, null_method="values exchanged between samples at each position, exact", n=n, d=d,
            estimator="energy about the mean map",
        ))  # fmt: skip
    reach = 1.96 * null_deviation(n)
    for part, g in grids.items():
        value, half = float(g.values[0, 1]), float(jackknife_half(g.series)[0, 1])
        ends = {}
        if np.isfinite(half):
            ends = {"low": max(value - half, -1.0), "high": min(value + half, 1.0),
                    "interval": "jackknife over groups of samples, t"}  # fmt: skip
        out.append(Estimate(
            f"CKA of {names[0]} and {names[1]}, {part}", value, **ends, null=0.0, null_low=-reach, null_high=reach,
            null_method="samples exchanged, positions kept; deviation an upper bound", p_value=float(g.p[0, 1]),
            n=n, d=d, estimator="unbiased (U-statistic over samples), linear",
        ))  # fmt: skip
    return tuple(out)


def _reading(names, shares: list[_Share], grids: dict[str, Grid]) -> str:
    said = ", ".join(f"{name} {s.centred[0]:.0%}" for name, s in list(zip(names, shares, strict=True))[:4])
    mean = {part: float(g.values[0, 1:].mean()) for part, g in grids.items()}
    others = f"{names[1]} is" if len(names) == 2 else "the other taps are on average"
    return (
        f"Of the energy about the mean map DC holds: {said}; {others} like {names[0]} by {mean[DC]:.2f} in DC and "
        f"{mean[AC]:.2f} in AC (whole maps {mean[WHOLE]:.2f}; unrelated 0)."
    )


def _caveats(shares: list[_Share], names) -> list[str]:
    offset = [name for name, s in zip(names, shares, strict=True) if s.recorded[0] - s.centred[0] > 0.1]
    if not offset:
        return []
    return [f"As recorded DC is larger in {', '.join(offset)}: an offset that all samples share."]


def _cost(shapes, params: FrequencyParams) -> Cost:
    """Rows may be tokens or samples: as many positions as rows allow are reckoned with."""
    m, positions = machine(), params.side**2
    n = min(min(rows for rows, _ in shapes), params.maximum_samples * positions)
    whole = sum(units for _, units in shapes)
    flops = 3 * 2.0 * n * (shapes[0][1] * whole + positions * whole)
    read = sum(8.0 * rows * units for rows, units in shapes)
    widest = max(units for _, units in shapes)
    held = 8.0 * n * whole * 2.2 + 8.0 * 14 * widest**2 + (2 << 20)
    return Cost(m.seconds(flops64=flops, moved=40 * read + 8.0 * n * whole * 20) + 0.03, held)


def _check() -> tuple[CheckLine, ...]:
    """Constant maps: DC 1. Independent positions: 1 / P. Shared means: CKA of DC 1, of AC 0. Parseval."""
    rng = np.random.default_rng(1)
    n, d = 250, 5
    x, y = rng.standard_normal((2, n, 4, 4, d))
    means = rng.standard_normal((n, 1, 1, d))
    rests = [m - m.mean(axis=(1, 2), keepdims=True) for m in (x, y)]

    def asked(*maps) -> Table:
        layouts = [Layout(np.arange(n + 1) * m.shape[1] * m.shape[2], grid=m.shape[1:3]) for m in maps]
        return frequency_split(*(
            ArrayActivations(m.reshape(-1, d), layout=layout) for m, layout in zip(maps, layouts, strict=True)
        ))  # fmt: skip

    flat = asked(np.broadcast_to(means, x.shape), x).columns
    parts = asked(means + rests[0], means + rests[1]).columns
    raw = (16 * (x.mean(axis=(1, 2)) ** 2).sum()) / (x**2).sum()
    return (
        CheckLine("constant maps: share of DC", 1.0, float(flat["DC share"][0]), 1e-12),
        CheckLine("independent positions: share of DC is 1 / 16", 1 / 16, float(flat["DC share"][1]), 0.01),
        CheckLine("share of DC as recorded", float(raw), float(flat["DC share as recorded"][1]), 1e-12),
        CheckLine("means shared: CKA of DC", 1.0, float(parts["CKA DC"][1]), 1e-10),
        CheckLine("rests unrelated: CKA of AC", 0.0, float(parts["CKA AC"][1]), 4 * null_deviation(n)),
    )  # fmt: skip


METHODS = (
    Method(
        id="frequency_split", family="similarity", title="DC and AC of maps", version=1, function=frequency_split,
        summary="How much of a layer's energy is the mean over space, and whether networks agree in it or beyond it.",
        params=FrequencyParams, result=Table, check=_check, cost=_cost, inputs=2, more_inputs=True, minimum_rows=FEWEST,
        invariance="rotating or scaling the units of a tap; shifting its positions (but for the share as recorded)",
        papers=("ScaleKD: Strong Vision Transformers Could Be Excellent Teachers",),
    ),
)  # fmt: skip
