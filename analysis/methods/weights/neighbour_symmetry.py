"""Has this network been grown? How alike neighbouring channels (0 and 1, 2 and 3, …) and neighbouring layers are.

A network that was widened by doubling its channels has equal neighbours, 2i and 2i + 1, and one that was deepened by
doubling its layers has layers that do the same, until training tells them apart. Rows of the table: the channels of
each tap; then each tap with the next one, unit by unit. Likeness is 1 only where two units are equal (Lin's concordance
of activations, its counterpart for incoming weights; `compute.networks.coalescing`).

An array is activations or a table of weights, as `by` says: one column per unit. Of a store, weights are those of the
modules that were recorded, or of `layers` of the checkpoint.

Null: random pairs of the same units (999 draws, exact mean); for layers, units exchanged within one. The control:
pairs one place on (1 and 2, 3 and 4, …), which growing leaves unlike.

When it lies: a residual stream makes neighbouring layers alike without any growing; heads or groups that lie side by
side make all nearby channels alike, which the control shows; permuted channels hide the symmetry altogether (find equal
units anywhere with `merge_pairs`); concordance sees no sign or scale.

Cost: O(n d²) for each tap and each two neighbours, memory O(d²).

References: L. Zou, J. Zhang & Y. Asano (2024), "A multi-level framework for accelerating training transformer models";
L. Lin (1989).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from analysis.activations import as_activations
from analysis.compute.grids.sample_maps import one_row_a_sample
from analysis.compute.machine import machine
from analysis.compute.networks.coalescing import (
    DRAWS,
    EQUAL,
    Neighbours,
    grown,
    neighbours_between,
    neighbours_in,
)
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.errors import ParameterError
from analysis.results import Estimate, Table
from analysis.sources.unit_weights import is_table, unit_weights
from analysis.spec import CheckLine, Cost, Method, no_progress, param

ACTIVATIONS, WEIGHTS = "activations", "incoming weights"
MOST_ESTIMATES = 12
LEVEL = 0.05
HELP = {
    "compared": "Channels 2i and 2i + 1 of one tap, or the same unit of two taps.",
    "pairs": "Pairs compared.",
    "likeness": "Mean over pairs: 1 equal, 0 unrelated.",
    "random pairs": "The same for random pairs of these units, exact mean.",
    "one place on": "The same for channels 2i + 1 and 2i + 2, or a unit and the next one of the other tap.",
    "p": "How often random pairs are as alike on average.",
    "q": "False-discovery rate over the rows.",
    "equal": f"Share of pairs with a likeness above {EQUAL:g}.",
    "lost by joining": "Share of the energy lost when each pair becomes its mean: 0 for a grown network, about 1/2 "
    "unrelated, more where their means differ.",
}


@dataclass(frozen=True)
class NeighbourSymmetryParams:
    by: str = param(ACTIVATIONS, "What units are compared by.", choices=(ACTIVATIONS, WEIGHTS))
    layers: str = param(
        "", "By weights: layers of the checkpoint, comma-separated; empty: the recorded modules."
    )
    table: bool = param(False, "By weights: taps hold tables of weights, a column per unit, a row per input.")
    maximum_samples: int = param(5000, "Most samples; a random part above.", low=50, high=100_000)


def neighbour_symmetry(
    *taps, params: NeighbourSymmetryParams = NeighbourSymmetryParams(), rng=None, progress=no_progress
) -> Table:
    """Likeness of neighbouring channels, and of taps that follow each other.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units)
        One or more layers of one network, in their order.

    Returns
    -------
    Table
        A row for the channels of each tap and for each two taps that follow each other and are of one width.

    Raises
    ------
    NotEnoughData, TooLarge, InputError, NotFound
        Fewer than two pairs of units that vary; over 4,096 units; no checkpoint, layer or common samples.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    if not taps:
        raise ParameterError("no tap", "one or more")
    centred = params.by == ACTIVATIONS
    if centred:
        values, notes = one_row_a_sample(
            taps, rng, maximum=params.maximum_samples, minimum=4, progress=progress, span=(0.0, 0.4)
        )
        names = list(tap_names([t.name for t in taps]))
    else:
        progress(0.1, "reading weights")
        values, names, notes = _weights(taps, params)
    progress(0.4, "comparing neighbours")
    rows = [
        (f"channels of {name}", neighbours_in(x, centred, rng)) for name, x in zip(names, values, strict=True)
    ]
    for i in range(len(values) - 1):
        progress(0.5 + 0.5 * i / len(values), "comparing layers")
        if values[i].shape == values[i + 1].shape:
            rows.append(
                (f"{names[i]} and {names[i + 1]}", neighbours_between(*values[i : i + 2], centred, rng))
            )
        else:
            notes.append(f"{names[i]} and {names[i + 1]} are not of one shape and so not compared.")
    progress(1.0, "done")
    estimates = tuple(_estimate(name, found, len(values[0])) for name, found in rows[:MOST_ESTIMATES])
    return Table(
        title=f"Symmetry between neighbours of {names[0]}" + (" and others" if len(names) > 1 else ""),
        reading=_reading(rows[: len(values)], estimates),
        caveats=(*notes, *_caveats(rows, values)), estimates=estimates, columns=_columns(rows), index="compared",
        help=HELP,
    )  # fmt: skip


def _weights(taps, params: NeighbourSymmetryParams) -> tuple[list[np.ndarray], list[str], list[str]]:
    layers = [n.strip() for n in params.layers.split(",") if n.strip()]
    if layers and len(taps) > 1:
        raise ParameterError(
            f"{len(layers)} layers of {len(taps)} taps", "one tap, whose checkpoint's layers are meant"
        )
    asked = [(taps[0], n) for n in layers] or [(t, "") for t in taps]
    found = [unit_weights(t, layer=n, norm="none" if not is_table(t, params.table) else "", table=params.table)
             for t, n in asked]  # fmt: skip
    notes = list(dict.fromkeys(note for units in found for note in units.notes))
    return [units.with_bias().T for units in found], list(tap_names([units.name for units in found])), notes


def _columns(rows: list[tuple[str, Neighbours]]) -> dict[str, np.ndarray]:
    found = [n for _, n in rows]
    p = np.array([n.p_value for n in found])
    return {
        "compared": np.array([name for name, _ in rows]), "pairs": np.array([len(n.alike) for n in found]),
        "likeness": np.array([n.mean for n in found]), "random pairs": np.array([n.expected for n in found]),
        "one place on": np.array([n.shifted for n in found]), "p": p, "q": benjamini_hochberg(p),
        "equal": np.array([(n.alike > EQUAL).mean() for n in found]),
        "lost by joining": np.array([n.lost for n in found]),
    }  # fmt: skip


def _estimate(name: str, found: Neighbours, n: int) -> Estimate:
    m = len(found.alike)
    half = float(stdtrit(m - 1, 0.975) * found.alike.std(ddof=1) / np.sqrt(m))
    low, high = np.quantile(found.chance, [0.025, 0.975])
    return Estimate(
        f"likeness of neighbours, {name}", found.mean, found.mean - half, found.mean + half,
        interval="t, pairs as draws", null=found.expected, null_low=float(low), null_high=float(high),
        null_method=f"random pairs of the same units, exact mean, {DRAWS} draws", p_value=found.p_value, n=n, d=m,
        estimator="concordance",
    )  # fmt: skip


def _reading(channels: list[tuple[str, Neighbours]], estimates: tuple[Estimate, ...]) -> str:
    said = []
    for (name, found), e in zip(channels[:3], estimates, strict=False):
        equal = float((found.alike > EQUAL).mean())
        verdict = (
            f"{equal:.0%} of the pairs are equal, as after doubling the channels" if equal > 0.5
            else "more than chance, and more than one place on: a trace of doubled channels"
            if e.p_value < LEVEL and found.shifted < e.low
            else "more than chance, but so are pairs one place on: nearby channels are alike" if e.p_value < LEVEL
            else "no trace of doubled channels"
        )  # fmt: skip
        said.append(
            f"Neighbouring {name} have a likeness of {e.value:.2f}, random pairs {e.null:.2f}, pairs one place on "
            f"{found.shifted:.2f}: {verdict}."
        )
    return " ".join(said)


def _caveats(rows: list[tuple[str, Neighbours]], values: list[np.ndarray]) -> list[str]:
    dead = [f"{name} ({found.dead})" for name, found in rows if found.dead]
    notes = [f"Units that never vary are left out with their pairs: {', '.join(dead)}."] if dead else []
    if any(x.shape[1] % 2 for x in values):
        notes.append("The last unit of an odd number has no neighbour and is left out.")
    if len(values) > 1:
        notes.append("Layers of a residual stream are alike without having been doubled.")
    return notes


def _cost(shapes, params: NeighbourSymmetryParams) -> Cost:
    m = machine()
    n = min(max(rows for rows, _ in shapes), params.maximum_samples)
    d, count = max(units for _, units in shapes), len(shapes)
    moved = 8.0 * count * (n * d * 20 + d * d * 12 + 2.0 * DRAWS * d * 3)
    memory = 8.0 * (count * n * d * 1.5 + n * d * 3.5 + 4.5 * d * d + 3.0 * DRAWS * d)
    return Cost(
        m.seconds(flops64=count * 4.0 * n * d * d, moved=moved, calls=DRAWS * 10 * count) + 0.01, memory
    )


def _check() -> tuple[CheckLine, ...]:
    """A grown layer has equal neighbours, its shuffled copy has none; so for its weights; a doubled layer is found."""
    rng = np.random.default_rng(13)
    x = np.repeat(rng.standard_normal((300, 20)), 2, axis=1)
    mixed = x[:, rng.permutation(40)]
    w = grown(rng.standard_normal((20, 15))).T
    found, lost = neighbour_symmetry(x).columns, neighbour_symmetry(mixed)
    weights = neighbour_symmetry(w, params=NeighbourSymmetryParams(by=WEIGHTS)).columns
    layers = neighbour_symmetry(mixed, mixed, rng.standard_normal((300, 40))).columns
    return (
        CheckLine("grown: likeness of neighbours", 1.0, float(found["likeness"][0]), 1e-12),
        CheckLine("grown: one place on", 0.0, float(found["one place on"][0]), 0.05),
        CheckLine("grown: lost by joining", 0.0, float(found["lost by joining"][0]), 1e-12),
        CheckLine("shuffled: p", 0.02, float(lost.columns["p"][0]), 0.0, "at least"),
        CheckLine("grown weights: equal pairs", 1.0, float(weights["equal"][0]), 0.0),
        CheckLine("doubled layer: likeness", 1.0, float(layers["likeness"][3]), 1e-12),
        CheckLine("next layer: lost by joining", 0.5, float(layers["lost by joining"][4]), 0.03),
    )  # fmt: skip


METHODS = (
    Method(
        id="neighbour_symmetry", family="weights", title="Symmetry between neighbours", version=1,
        function=neighbour_symmetry,
        summary="How alike neighbouring channels and layers are: whether a network was grown by doubling them.",
        params=NeighbourSymmetryParams, result=Table, check=_check, cost=_cost, inputs=1, more_inputs=True,
        minimum_rows=4, worker=True,
        invariance="reordering samples, scaling all units alike, moving whole pairs of channels",
        papers=("A Multi-Level Framework for Accelerating Training Transformer Models",),
    ),
)  # fmt: skip
