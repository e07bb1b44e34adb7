"""Subspaces of classes, lassoed groups, heads and weights, in the units of one tap: which of them coincide?

Every part gives a subspace of the same d units, and every two are compared by their principal angles:

    the tap        leading principal axes of all samples
    a class        those of its samples, about their own mean
    a group        those of the samples of a named selection, such as one that was lassoed on the map
    a head         a run of units that stand side by side: these units themselves
    weights        what a layer reads from these units (leading right singular directions), or writes into them (left)
    a head of it   the same of a run of its units (of its inputs, where it writes)

    overlap  Σ cos² θ / min(p, q)          1 where one holds the other; or a distance of the angles θ

Axes of samples are cut at the widest gap between two eigenvalues that are told apart, or at the dimension asked for;
where these are not told apart another sample would give another subspace: such cells are hatched and the part is named.
Weights are cut at a share of their energy.

Null: one subspace turned at random; of the overlap its mean is max(p, q) / D, exactly, D the units that vary. p is
exact where one is a line; else, and for distances, random pairs are drawn. Intervals: samples left out in groups, axes
found anew; between weights, and between units, there is nothing to sample.

When it lies: parts that share samples (a selection inside a class, the tap and its classes) overlap by that alone;
units of large deviation are axes of every part; weights act through normalisations and biases that are not seen here;
heads are runs of units only where heads stand side by side, before an output projection mixes them; a cut makes all
directions inside equal, whatever variance they have.

Cost: O(n d²) for each part, and that for each of ten groups left out; O(D k²) for each pair and group.

References: Å. Björck & G. Golub (1973); H. Wang, Z. Li & W. Zhang (2023), "Get the best of both worlds: improving
accuracy and transferability by Grassmann class representation"; K. Ye & L.-H. Lim (2016).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_rows import MOST_HELP, TOKENS_HELP, CommonRows, rows_of_one
from analysis.compute.rows.some_samples import MEAN, TOKENS
from analysis.compute.similarity.parts_report import parts_matrix
from analysis.compute.similarity.subspace_grid import OVERLAP, SubspaceMeasure
from analysis.compute.statistics.moments import is_varying
from analysis.compute.subspaces.distances import DISTANCES, INSIDE, UNEQUAL
from analysis.compute.subspaces.groups_of_rows import groups_of_rows
from analysis.compute.subspaces.part_subspaces import (
    PartRows,
    blocks,
    kept_parts,
    of_directions,
    of_rows,
    of_units,
)
from analysis.compute.subspaces.tap_subspaces import TapSubspaces
from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.results import Matrix
from analysis.sources.weight_directions import ASKS, layer_directions
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, MOST_PARTS = 8, 60


@dataclass(frozen=True)
class PartSubspacesParams:
    whole: bool = param(True, "The principal axes of all samples of the tap.", label="whole tap")
    classes: bool = param(True, "The axes of the samples of each class.", label="each class")
    column: str = param("label", "Sample column that holds the class.", label="class column", column=True)
    heads: int = param(
        0, "Runs of units side by side, such as the heads of an attention output; 0: none.", low=0, high=256,
        label="heads: equal runs of units",
    )  # fmt: skip
    groups: str = param("", "Named selections as packed memberships.", label="named selections")
    layers: str = param(
        "", "Layers whose weights read these units or write into them, LAYER:asks or LAYER:adds, with commas between.",
        label="weights of layers",
    )  # fmt: skip
    weight_heads: int = param(
        1, "Heads of each such layer: runs of its units (of its inputs, where it writes).", low=1, high=256,
        label="heads of each layer",
    )  # fmt: skip
    dimension: int | None = param(
        None,
        "Directions of each; automatic: at the widest gap, of weights by their energy.",
        low=1,
        high=4096,
    )
    share: float = param(
        0.9, "Share of the energy at which weights are cut.", low=0.1, high=1.0, label="energy of weights"
    )
    measure: str = param(
        OVERLAP, "Overlap is 1 where one subspace holds the other; the rest are distances made of principal angles.",
        choices=(OVERLAP, *DISTANCES),
    )  # fmt: skip
    unequal: str = param(
        INSIDE, "Across dimensions: from the smaller to the inside of the larger, or a metric with right angles added.",
        choices=UNEQUAL,
    )  # fmt: skip
    tokens: str = param(MEAN, TOKENS_HELP, choices=TOKENS)
    maximum_samples: int = param(10_000, MOST_HELP, low=50, high=200_000)


def part_subspaces(
    activations, params: PartSubspacesParams = PartSubspacesParams(), rng=None, progress=no_progress
) -> Matrix:
    """Overlap of, or distance between, subspaces of one tap's units, whatever spans them.

    Parameters
    ----------
    activations : Activations or array (rows, units); classes in a sample column.

    Returns
    -------
    Matrix
        `values` (k, k), symmetric; `null`, `low`, `high` and `significant` of each cell. Estimates: the mean, the
        nearest and the farthest; each subspace's dimension.

    Raises
    ------
    NotFound, ParameterError, InputError, NotEnoughData, TooLarge
        No such column, layer or checkpoint; over 60 parts; fewer than two with a subspace; nothing varies; fewer than
        eight samples; an infinite distance.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = rows_of_one(
        tap, rng, tokens=params.tokens, maximum=params.maximum_samples, minimum=FEWEST, progress=progress
    )
    x = data.values[0]
    varies = is_varying(x.var(axis=0), x.mean(axis=0))
    if not varies.any():
        raise InputError(f"every unit of {tap.name} is constant", "units that differ", "Choose another tap")
    rows = PartRows(x[:, varies], data.sample, tuple(data.groups(rng)))
    progress(0.2, "finding axes")
    makers = list(_makers(tap, data, rows, varies, params))
    if len(makers) > MOST_PARTS:
        raise ParameterError(
            f"{len(makers)} parts", f"at most {MOST_PARTS}", "Choose fewer classes, heads or layers"
        )
    members, lost = kept_parts(makers)
    if len(members) < 2:
        why = f" ({lost[0].rstrip('.')})" if lost else ""
        raise NotEnoughData(
            f"{len(members)} of {len(makers)} parts have a subspace{why}",
            "at least two to compare", "Choose more parts (classes, selections, heads, weights), or set a dimension",
        )  # fmt: skip
    found = TapSubspaces(tuple(members), int(varies.sum()), data.n_samples, (*data.notes, *lost))
    measure = SubspaceMeasure(params.measure, params.unequal)
    fixed = bool(params.heads or params.layers)
    return parts_matrix(found, tap.name, measure, int((~varies).sum()), fixed, rng, progress)


def _makers(tap, data: CommonRows, rows: PartRows, varies, params) -> Iterator[tuple[str, partial]]:
    """(name, what makes it) of every part that is asked for."""
    for name, inside in groups_of_rows(tap, data, params).items():
        yield name, partial(of_rows, rows, name, inside, params.dimension, FEWEST)
    depth, kept = len(rows.groups), np.cumsum(varies) - 1
    if params.heads:
        for h, units in enumerate(blocks(tap.shape[1], params.heads)):
            name = f"head {h + 1} (units {units[0]} to {units[-1]})"
            yield name, partial(of_units, name, kept[units[varies[units]]], int(varies.sum()), depth)
    for text in filter(None, (part.strip() for part in params.layers.split(","))):
        table, side, layer = layer_directions(tap, text)
        verb = "reads" if side == ASKS else "writes"
        for h, block in enumerate(blocks(len(table), params.weight_heads)):
            name = f"{layer} {verb}" + (f", head {h + 1}" if params.weight_heads > 1 else "")
            yield (
                name,
                partial(of_directions, name, table[block][:, varies], params.dimension, params.share, depth),
            )


def _cost(shapes, params: PartSubspacesParams) -> Cost:
    m, (rows, d) = machine(), shapes[0]
    n, parts = min(rows, params.maximum_samples), 12 + min(params.heads, d) + min(params.weight_heads, d)
    flops = 4.0 * (6.0 * n * d * min(n, d)) + parts * 12 * 45.0 * min(n, d) ** 3
    flops += parts**2 / 2 * 11 * 4.0 * d * 16**2
    return Cost(m.seconds(flops64=flops, moved=8.0 * n * d * 40, calls=parts * parts * 400) + 0.1,
                8.0 * (n * d * 6 + parts * 11 * d * 32 + 12 * min(n, d) ** 2))  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Class a varies in the plane of units 0 and 1, class b in that of units 2 and 3; heads are runs of two units."""
    rng = np.random.default_rng(3)
    x, label = 0.01 * rng.standard_normal((400, 6)), np.repeat(["a", "b"], 200)
    x[:200, :2] += rng.standard_normal((200, 2)) * [3, 2]
    x[200:, 2:4] += rng.standard_normal((200, 2)) * [3, 2]
    tap = ArrayActivations(x, samples={"id": np.arange(400).astype(str), "label": label})
    found = part_subspaces(tap, PartSubspacesParams(whole=False, heads=3, dimension=2))
    at = {name: i for i, name in enumerate(found.row_names)}
    a, b = at["label a"], at["label b"]
    head = [at[f"head {h} (units {2 * h - 2} to {2 * h - 1})"] for h in (1, 2, 3)]
    return (
        CheckLine("overlap of two classes in planes of their own", 0.0, float(found.values[a, b]), 1e-3),
        CheckLine("of class a with the head it lies in", 1.0, float(found.values[a, head[0]]), 1e-3),
        CheckLine("of class b with the head it lies in", 1.0, float(found.values[b, head[1]]), 1e-3),
        CheckLine("of class b with a head of noise", 0.0, float(found.values[b, head[2]]), 1e-3),
        CheckLine("by chance, planes of six units", 1 / 3, float(found.null[a, b]), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="part_subspaces", family="subspaces", title="Subspaces of classes, groups, heads and weights", version=1,
        function=part_subspaces,
        summary="How far the subspaces of classes, named selections, heads and weight matrices share directions.",
        params=PartSubspacesParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="shifting any part, scaling all units alike; rotating the units, but for heads",
        papers=("Grassmann Class Representation (GCR)",),
    ),
)  # fmt: skip
