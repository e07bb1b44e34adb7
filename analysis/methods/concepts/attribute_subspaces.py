"""One subspace for each attribute, all orthogonal to each other: does moving inside one move the others' scores?

Part i is the span of the first k left singular vectors of the means of attribute i's groups: its classes, or quantiles
of a number; k counts those above what exchanged groups give. All parts together are replaced by the nearest
orthonormal frame, so that U_iᵀ U_j = 0 exactly and none is put before another (`compute.subspaces.attribute_axes`).
Two blocks of columns:

    moves j         s_i |U_iᵀ W_j| / sqrt(k_i c_j): root mean square move of the held-out read-outs of attribute j, in
                    its deviations, along a direction in subspace i, by one deviation s_i of the data there
    coordinate j    |U_iᵀ U_j| / sqrt(k_i): 1 for its own, 0 for others, exactly

The second is zero off the diagonal by construction, the first is not: *orthogonal coordinates are not separate
scores*. Diagonal dominance is Σ_i M_ii / Σ_ij M_ij of the moves; 1 where each subspace moves its own attribute only.

Subspaces come from one half of the samples, read-outs (ridge) from the other, both ways round.

Null: orthogonal subspaces of the same dimensions spanned by random moves from one sample to another, with steps of one
deviation there too. Intervals leave groups of samples out.

When it lies: read-outs are linear; attributes that go together are forced apart, so that their subspaces are not where
either moves the data; a subspace with many directions moves each score less per direction; subspaces of large variance
have long steps.

Cost: 22 fits of O(n d min(n, d)), 200 random frames O(d² Σ k); memory O(n d + d²).

References: C. Naveh & Y. Hel-Or (2022), "Multi-directional subspace editing in style-space", which learns the
subspaces with a generator; P.-O. Löwdin (1950) for the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import add_one_p, against
from analysis.compute.statistics.sample_groups import GROUPS, jackknife_half
from analysis.compute.subspaces.attribute_data import AttributeData, attribute_data
from analysis.compute.subspaces.edit_effects import halves_of
from analysis.compute.subspaces.factor_subspaces import DRAWS, dominance, factor_moves, moves_by_chance
from analysis.compute.subspaces.probe_r2 import INTERVAL
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, LEVEL, SHOWN = 40, 0.05, 6


@dataclass(frozen=True)
class AttributeSubspacesParams:
    columns: str = param(
        "label", "Sample columns that are attributes, with commas between; empty: all that can be."
    )
    directions: int = param(3, "Most directions of an attribute's subspace.", low=1, high=50)
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=50, high=20_000)


def attribute_subspaces(
    activations, params: AttributeSubspacesParams = AttributeSubspacesParams(), rng=None, progress=no_progress
) -> Matrix:
    """Subspaces of attributes by what moving inside them does to all attributes.

    Parameters
    ----------
    activations : Activations with sample columns

    Returns
    -------
    Matrix
        `values` (p, 2 p): moves, then coordinates; `null`, `low`, `high`, `significant` of each cell.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        No such column; fewer than 40 samples with all attributes; subspaces that meet, or need more dimensions than
        there are units.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = attribute_data(
        tap, params.columns, rng, pooling=params.pooling, maximum=params.maximum_samples, minimum=FEWEST,
        progress=progress,
    )  # fmt: skip
    halves, group = halves_of(data.keys, rng), folds_of(data.keys, GROUPS, rng)
    progress(0.2, "fitting subspaces")
    seed = int(rng.integers(2**31))
    ways = [
        factor_moves(data.x, data.factors, halves[i], halves[1 - i], params.directions, seed) for i in (0, 1)
    ]
    values, own = np.mean([w[0].values for w in ways], axis=0), ways[0][0]
    without = []
    for g in range(int(group.max()) + 1):
        progress(0.3 + 0.04 * g, "leaving samples out")
        less = [h[group[h] != g] for h in halves]
        found = [
            factor_moves(data.x, data.factors, less[i], less[1 - i], params.directions, seed)[0]
            for i in (0, 1)
        ]
        without.append(np.mean([f.values for f in found], axis=0))
    chance = moves_by_chance(data.x, halves, own.sizes, [w[2] for w in ways], rng, progress)
    half = jackknife_half(np.array(without))
    coordinates = np.mean([w[0].coordinates for w in ways], axis=0)
    expected = np.sqrt(
        np.tile(own.sizes, (len(own.sizes), 1)) / data.x.shape[1]
    )  # of |U_iᵀ R| / sqrt(k_i), R random
    p = add_one_p(values, chance)
    names = tuple(f.name for f in data.factors)
    estimates = _estimates(data, values, half, np.array(without), chance, p)
    progress(1.0, "done")
    return Matrix(
        title=f"Subspaces of attributes in {tap.name}",
        reading=_reading(names, values, coordinates, estimates, own.sizes),
        caveats=(*_caveats(names, own.sizes, params), *_without_references(data)), estimates=estimates,
        values=np.hstack([values, coordinates]),
        row_names=tuple(f"{n} ({k}-d)" for n, k in zip(names, own.sizes, strict=True)),
        column_names=(*(f"moves {n}" for n in names), *(f"coordinate {n}" for n in names)),
        value_name="deviations moved; coordinate", limits=(0.0, 1.0), null=np.hstack([chance.mean(axis=0), expected]),
        low=np.hstack([np.maximum(values - half, 0.0), coordinates]), high=np.hstack([values + half, coordinates]),
        significant=np.hstack([benjamini_hochberg(p) < LEVEL, np.zeros_like(p, dtype=bool)]),
    )  # fmt: skip


def _estimates(data: AttributeData, values, half, without, chance, p) -> tuple[Estimate, ...]:
    made = {
        "n": len(data.x),
        "d": data.x.shape[1],
        "null_method": f"orthogonal subspaces of random moves between samples, {DRAWS} draws",
    }
    score, around = (
        float(dominance(values)),
        float(np.ravel(jackknife_half(dominance(without)[:, None]))[0]),
    )
    out = [Estimate(
        "diagonal dominance", score, max(score - around, 0.0), min(score + around, 1.0), interval=INTERVAL,
        **against(score, dominance(chance)), **made, estimator="subspaces of one half, ridge read-outs of the other",
    )]  # fmt: skip
    for i, factor in enumerate(data.factors[:SHOWN]):
        v, band = float(values[i, i]), np.percentile(chance[:, i, i], [2.5, 97.5])
        out.append(Estimate(
            f"move of {factor.name} in its own subspace", v, max(v - half[i, i], 0.0), v + half[i, i],
            interval=INTERVAL,
            null=float(chance[:, i, i].mean()), null_low=float(band[0]), null_high=float(band[1]),
            p_value=float(p[i, i]),
            **made, unit="deviations",
        ))  # fmt: skip
    return tuple(out)


def _reading(names, values, coordinates, estimates, sizes) -> str:
    if len(names) == 1:
        own = estimates[1]
        return (
            f"One attribute, {names[0]}, in {sizes[0]} direction(s): its read-outs move {own.value:.2f} deviations "
            f"inside, {own.null:.2f} in a random subspace. With a second attribute leakage between the two can be "
            "measured."
        )
    e, apart = estimates[0], ~np.eye(len(names), dtype=bool)
    i, j = np.unravel_index(np.argmax(values * apart), values.shape)
    return (
        f"{e.value:.0%} of all moves are on the diagonal ({e.null:.0%} in random subspaces). Coordinates do not leak "
        f"(largest {coordinates[apart].max():.0e}), scores do: most from {names[i]} to {names[j]} "
        f"({values[i, j]:.2f} deviations against {values[i, i]:.2f} of {names[i]} itself)."
    )


def _caveats(names, sizes, params: AttributeSubspacesParams) -> list[str]:
    notes = ["Coordinates of other attributes are 0 by construction; that says nothing of scores."]
    if len(names) == 1:
        notes.append("Of one attribute the diagonal is everything: its dominance of 1 means nothing.")
    short = [n for n, k in zip(names, sizes, strict=True) if k < params.directions]
    if short:
        notes.append(
            f"Fewer than {params.directions} directions beyond chance tell the groups apart of {', '.join(short)}."
        )
    return notes


def _without_references(data: AttributeData) -> list[str]:
    """Notes on the data; reference classes play no part here."""
    return [note for note in data.notes if "is the reference of its column" not in note]


def _cost(shapes, params: AttributeSubspacesParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    small, size = min(n / 2, d), 3 * params.directions
    flops = (
        22 * (4.0 * n / 2 * d * small + 10.0 * small**3 + 19 * n * d * 8.0)
        + DRAWS * 4.0 * d * d * size
        + 4.0 * n * d * d
    )
    held = 8.0 * (n * d * 4.5 + 3.0 * d * d + 4.0 * small**2)
    return Cost(m.seconds(flops64=flops, moved=24.0 * rows * d, calls=DRAWS * 200) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """Attributes on axes of their own: the diagonal has all moves. The same axes mixed by correlated noise:
    coordinates still 0, scores not. Random subspaces: 1 / p of the moves on the diagonal."""
    rng = np.random.default_rng(7)
    n, d = 1500, 10
    one, two = rng.integers(4, size=n), rng.standard_normal(n)
    z = 0.3 * rng.standard_normal((n, d)) + 2 * np.eye(d)[one]
    z[:, 5] += 2 * two
    samples = {"one": one, "two": two}

    def found(x):
        return attribute_subspaces(
            ArrayActivations(x, samples=samples), AttributeSubspacesParams(columns="one, two", directions=3)
        )

    noise = 0.7 * rng.standard_normal(n)
    mixed = z.copy()
    mixed[:, 5] += noise
    mixed[:, 0] += noise
    apart, tied = found(z), found(mixed)
    return (
        CheckLine("attributes apart: diagonal dominance", 1.0, apart.estimates[0].value, 0.08),
        CheckLine("random subspaces: diagonal dominance", 0.5, apart.estimates[0].null, 0.08),
        CheckLine("coordinates of the other attribute", 0.0, float(np.abs(apart.values[[0, 1], [3, 2]]).max()), 1e-12),
        CheckLine("own coordinates", 1.0, float(apart.values[[0, 1], [2, 3]].min()), 1e-12),
        CheckLine("a number moved by one deviation", (4 / 4.09) ** 0.5, float(apart.values[1, 1]), 0.05),
        CheckLine("noise shared: coordinates", 0.0, float(np.abs(tied.values[[0, 1], [3, 2]]).max()), 1e-12),
        CheckLine("noise shared: the scores leak more", float(apart.values[0, 1]) + 0.03, float(tied.values[0, 1]), 0.0,
                  "at least"),
    )  # fmt: skip


METHODS = (
    Method(
        id="attribute_subspaces", family="concepts", title="Separate subspaces of attributes", version=1,
        function=attribute_subspaces,
        summary="An orthogonal subspace for each attribute: how far a move inside one moves the scores of the others.",
        params=AttributeSubspacesParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating, shifting or scaling all activations alike changes nothing; rescaling single units does",
        papers=("Multi-Directional Subspace Editing in Style-Space",),
    ),
)  # fmt: skip
