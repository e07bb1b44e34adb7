"""Alignment by depth: how like a reference is each layer of one or more networks or tasks? A curve each.

The last tap given is the reference (the text features, the teacher, the final layer); the others are layers, in the
order given, of one network or task for each store. The alignment of each layer with the reference is the overlap of
mutual nearest neighbours, or the unbiased linear CKA, against the relative depth: 0 the first layer given, 1 the last.

Where two curves part is the first depth from which to the end their intervals never overlap: up to there one trunk
could serve both tasks, a *suggested fork*. Intervals that overlap do not show that the curves are the same.

Null: samples exchanged between layer and reference, exact moments: k / (n - 1) for neighbours, 0 for CKA.

When it lies: intervals are those of single depths, and not simultaneous over the curve; networks of different depth
are compared on straight lines between their layers; a layer may be unlike the reference and still hold all of its
information; alignments with a reference of the same network rise towards it by themselves.

Cost: for a tap O(n² d) (neighbours) or O(n d min(n, d)) (CKA), one comparison for each layer.

References: M. Huh, B. Cheung, T. Wang & P. Isola (2024), "The platonic representation hypothesis"; S. Kornblith et al.
(2019), "Similarity of neural network representations revisited".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.neighbours.neighbours import search_bytes
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.similarity.cka_grid import linear_grid
from analysis.compute.similarity.depth_curves import Network, at_depths, common_depths, networks_of, parting
from analysis.compute.similarity.neighbour_overlap import neighbourhood, overlap
from analysis.compute.similarity.similarity_grid import Grid, compared, groups_of
from analysis.compute.similarity.similarity_report import Z, beyond_chance, jackknife_half
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 5
NEIGHBOURS, CKA = "mutual neighbours", "CKA"


@dataclass(frozen=True)
class AlignmentByDepthParams:
    measure: str = param(
        NEIGHBOURS, "Alignment as the overlap of nearest neighbours, or as the unbiased linear CKA.",
        choices=(NEIGHBOURS, CKA),
    )  # fmt: skip
    k: int = param(10, "Neighbours of each sample.", low=1, high=1000)
    metric: str = param(
        "euclidean", "How near two samples are: Euclidean ignores a common shift as CKA does, cosine the length of an "
        "activation.", choices=("euclidean", "cosine"),
    )  # fmt: skip
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def alignment_by_depth(
    *taps, params: AlignmentByDepthParams = AlignmentByDepthParams(), rng=None, progress=no_progress
) -> Curve:
    """Alignment of layers with a reference.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), of the same samples (matched by id): the layers of one or more stores
        in their order, and last the reference.

    Returns
    -------
    Curve
        `x` relative depth; a series for each store with its 95 % band and null. Estimates: the alignment of each
        store's last layer, and for each two stores the depth from which their bands never overlap, if any.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Fewer than two taps; an id twice; equal samples; fewer than k + 2 common samples; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    names = [t.name for t in taps]
    networks = networks_of(names[:-1])
    grid, notes = _grid(data.values, names, params, rng, progress)
    x = common_depths(networks)
    lines = {network.name: _line(x, network, grid, params) for network in networks}
    unlike = [network.name for network in networks if len(network.depth) < len(x) and len(network.depth) > 1]
    if unlike:
        notes.append(f"Between the layers of {', '.join(unlike)} the curve is a straight line.")
    notes.append("Bands hold for one depth at a time, not for the whole curve.")
    estimates = _estimates(networks, grid, lines, x, params)
    return Curve(
        title=f"Alignment with {names[-1]} by depth", reading=_reading(networks, grid, estimates, names[-1], params),
        caveats=(*dict.fromkeys(notes), *data.notes), estimates=estimates, x=x, x_name="relative depth",
        y_name=_measure(params), series={name: line[0] for name, line in lines.items()},
        low={name: line[1] for name, line in lines.items() if line[1] is not None},
        high={name: line[2] for name, line in lines.items() if line[2] is not None},
        null={name: line[3] for name, line in lines.items()},
    )  # fmt: skip


def _measure(params: AlignmentByDepthParams) -> str:
    return "CKA" if params.measure == CKA else f"mutual {params.k}-neighbour overlap"


def _grid(values, names, params: AlignmentByDepthParams, rng, progress) -> tuple[Grid, list[str]]:
    """Layers x the reference."""
    last = len(values) - 1
    rows, columns = np.arange(last), np.array([last])
    if params.measure == CKA:
        return linear_grid(values, rows, columns, rng, progress=progress)[0], []
    group, found = groups_of(len(values[0]), rng), []
    for i, x in enumerate(values):
        span = (0.3 + 0.6 * i / len(values), 0.3 + 0.6 * (i + 1) / len(values))
        found.append(neighbourhood(x, params.k, params.metric, group, progress, span))
    notes = [f"{name}: {note}" for name, near in zip(names, found, strict=True) for note in near.notes]
    units = [x.shape[1] for x in values]
    return compared(
        found, overlap, rows, columns, n=len(group), units=units, progress=progress, span=(0.9, 1.0)
    ), notes


def _line(x: np.ndarray, network: Network, grid: Grid, params) -> tuple:
    """Values, low, high (None: no interval) and null (x,) of one network."""
    series = at_depths(x, network, grid.series[:, network.layers, 0])
    null = at_depths(x, network, grid.null[network.layers, 0])
    half, value = jackknife_half(series), series[0]
    if not np.isfinite(half).all():
        return value, None, None, null
    least = 0.0 if params.measure == NEIGHBOURS else -1.0
    return value, np.maximum(value - half, least), np.minimum(value + half, 1.0), null


def _estimates(networks, grid: Grid, lines, x, params) -> tuple[Estimate, ...]:
    made, common = [], {"n": grid.n, "estimator": _measure(params)}
    for network in networks:
        value, low, high, _ = lines[network.name]
        last = int(network.layers[-1])
        null, deviation = float(grid.null[last, 0]), float(grid.deviation[last, 0])
        ends = {} if low is None else {
            "low": float(low[-1]), "high": float(high[-1]), "interval": "jackknife over groups of samples, t",
        }  # fmt: skip
        made.append(
            Estimate(f"alignment of the last layer of {network.name}", float(value[-1]), **ends, null=null,
                     null_low=null - Z * deviation, null_high=null + Z * deviation,
                     null_method="samples exchanged, exact moments", p_value=float(grid.p[last, 0]),
                     d=grid.units[last], **common)
        )  # fmt: skip
    for a, b in combinations(networks, 2):
        if (at := _fork(lines[a.name], lines[b.name])) is not None:
            made.append(
                Estimate(f"fork of {a.name} and {b.name}", float(x[at]), unit="relative depth", n=grid.n,
                         estimator="first depth from which to the end the intervals never overlap")
            )  # fmt: skip
    return tuple(made)


def _fork(one: tuple, other: tuple) -> int | None:
    return None if one[1] is None or other[1] is None else parting(one[1], one[2], other[1], other[2])


def _reading(networks, grid: Grid, estimates, reference: str, params) -> str:
    sure, said = beyond_chance(grid)[:, 0], []
    for network in networks:
        values = grid.values[network.layers, 0]
        best = int(values.argmax())
        said.append(
            f"{network.name}: {_measure(params)} with {reference} is highest ({values[best]:.2f}) at depth "
            f"{network.depth[best]:.2f} and {values[-1]:.2f} at the end; {int(sure[network.layers].sum())} of "
            f"{len(values)} layer(s) are beyond chance ({grid.null[network.layers[best], 0]:.3f})."
        )
    forks = [e for e in estimates if e.name.startswith("fork of")]
    said += [
        f"{e.name.removeprefix('fork of ')} part at depth {e.value:.2f}: a suggested fork." for e in forks
    ]
    if len(networks) > 1 and not forks:
        said.append("No two curves part for good: their intervals overlap at the end.")
    return " ".join(said)


def _cost(shapes, params: AlignmentByDepthParams) -> Cost:
    m, n, k = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples), len(shapes)
    whole, largest, length = sum(d for _, d in shapes), max(d for _, d in shapes), 2 * params.k + 10
    if params.measure == CKA:
        flops = 4.0 * n * sum(min(d, n) for _, d in shapes) * min(largest, n)
        products = min(64 << 20, 80.0 * min(largest, n) ** 2)
        return Cost(
            m.seconds(flops64=flops, moved=8.0 * n * whole * 16) + 0.02, 8.0 * n * whole * 2.2 + products
        )
    moved = 8.0 * n * whole * 20 + 8.0 * n * length * k * 300
    held = 8.0 * n * (whole + largest + 4 * length) + k * n * (88.0 * params.k + 12.0 * length)
    return Cost(
        m.seconds(flops32=2.0 * n * n * whole + 12.0 * n * n * k, moved=moved) + 0.02,
        held + search_bytes(n, largest, length),
    )


def _check() -> tuple[CheckLine, ...]:
    """Two tasks share three layers, then one goes on towards the reference and the other away from it: the fork is
    found, copies of the reference have an alignment of 1, and noise has that of chance."""
    rng = np.random.default_rng(5)
    reference = rng.standard_normal((500, 12))
    away = rng.standard_normal((500, 12))
    shares = {"one": (0.5, 0.55, 0.6, 0.8, 1.0), "two": (0.5, 0.55, 0.6, 0.3, 0.0)}
    values = [s * reference + (1 - s) * away for line in shares.values() for s in line]

    def curve(measure: str) -> Curve:
        names = [f"{task}:{i}" for task, line in shares.items() for i in range(len(line))]
        taps = [ArrayActivations(v, name=name) for v, name in zip(values, names, strict=True)]
        return alignment_by_depth(*taps, ArrayActivations(reference, name="r:x"),
                                  params=AlignmentByDepthParams(measure=measure))  # fmt: skip

    near, cka = curve(NEIGHBOURS), curve(CKA)
    end = near.estimates[1]
    return (
        CheckLine("the fork: three of five layers shared", 0.75, near.estimates[-1].value, 0.0),
        CheckLine("the fork by CKA", 0.75, cka.estimates[-1].value, 0.0),
        CheckLine("a copy of the reference", 1.0, near.series["one"][-1], 0.0),
        CheckLine("noise: k / (n - 1)", 10 / 499, end.value, 4 * (end.null_high - end.null) / Z),
        CheckLine("the null", 10 / 499, near.null["two"][2], 1e-12),
    )


METHODS = (
    Method(
        id="alignment_by_depth", family="similarity", title="Alignment by depth", version=1,
        function=alignment_by_depth,
        summary="How like a reference (the last tap) the layers of networks or tasks are, and where these part.",
        params=AlignmentByDepthParams, result=Curve, check=_check, cost=_cost, inputs=2, more_inputs=True,
        begins="two networks",
        minimum_rows=FEWEST,
        invariance="rotating, scaling or shifting a layer; by cosine neighbours also the length of an activation, but "
        "not a shift",
        papers=("UniFork: Exploring Modality Alignment for Unified Multimodal Understanding and Generation",),
    ),
)  # fmt: skip
