"""How far apart are the leading subspaces of taps? Taps x taps, beside what random subspaces give.

Each tap's subspace is the span of its first principal axes, cut where two eigenvalues are told apart (at the widest
gap, at a dimension, or at a share of the variance; refused elsewhere, `compute.subspaces.subspace`). Two of them, of
dimensions p and q in D dimensions, are compared by

    overlap  Σ cos² θ / min(p, q)          1 where one holds the other

or by a distance of their principal angles θ (`compute.subspaces.distances`: chordal, geodesic, Procrustes, Asimov,
projection, Fubini-Study, Binet-Cauchy, Martin). Across dimensions either the smaller one is compared with the nearest
subspace inside the larger (Ye & Lim 2016), or |p - q| right angles are added, which keeps a metric a metric.

*Space.* Axes of the same units (layers of one residual stream, checkpoints), D units that vary; or the components
themselves as vectors over the common samples, D = n - 1, which any two networks can be compared by.

Null: one subspace turned at random. For the overlap its mean is max(p, q) / D and its deviation is known exactly, and p
is exact where one is a line; else, and for distances, 20 to 1,000 random pairs are drawn (below 200, Cantelli's bound).
Intervals: samples left out in groups, axes found anew.

When it lies: a cut makes all directions inside equal and all outside nothing, however little the eigenvalues at the cut
differ; chance is about subspaces turned freely, and units of large deviation that both taps have in common beat it
without any shared feature; units of two networks have no order in common, so that their unit spaces say nothing;
few samples spoil weak axes, and the distance between two samples of the same tap is not 0.

Cost: O(n d²) for each tap, O(d² k) and more for each of ten groups left out, O(d k²) for each pair and group.

References: Å. Björck & G. Golub (1973); K. Ye & L.-H. Lim (2016), "Schubert varieties and distances between subspaces
of different dimensions"; P.-A. Absil, A. Edelman & P. Koev (2006).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_rows import MOST_HELP, TOKENS_HELP
from analysis.compute.rows.some_samples import MEAN, TOKENS
from analysis.compute.similarity.similarity_grid import Grid
from analysis.compute.similarity.similarity_report import Words, similarity_matrix
from analysis.compute.similarity.subspace_grid import OVERLAP, SubspaceMeasure, subspace_grid
from analysis.compute.subspaces.angles import principal_angles
from analysis.compute.subspaces.distances import DISTANCES, INSIDE, UNEQUAL
from analysis.compute.subspaces.random_subspaces import draws_for, random_angles
from analysis.compute.subspaces.spaces import AUTOMATIC, SPACE_HELP, SPACES, UNITS, space_of, space_words
from analysis.compute.subspaces.tap_subspaces import FEWEST, TapSubspaces, tap_subspaces
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

SHOWN = 12  # angles of a pair among the estimates


@dataclass(frozen=True)
class SubspaceDistancesParams:
    measure: str = param(
        OVERLAP, "Overlap is 1 where one subspace holds the other; the rest are distances made of principal angles.",
        choices=(OVERLAP, *DISTANCES),
    )  # fmt: skip
    space: str = param(AUTOMATIC, SPACE_HELP, choices=SPACES)
    dimension: int | None = param(
        None, "Axes of each subspace; automatic: each tap at its widest gap.", low=1, high=4096
    )
    share: float | None = param(
        None, "Cut at this share of the variance instead, at the next gap.", low=0.01, high=1.0
    )
    unequal: str = param(
        INSIDE, "Across dimensions: from the smaller to the inside of the larger, or a metric with right angles added.",
        choices=UNEQUAL,
    )  # fmt: skip
    tokens: str = param(MEAN, TOKENS_HELP, choices=TOKENS)
    maximum_samples: int = param(10_000, MOST_HELP, low=50, high=200_000)


def subspace_distances(
    *taps, params: SubspaceDistancesParams = SubspaceDistancesParams(), rng=None, progress=no_progress
) -> Matrix:
    """Overlap of, or distance between, the leading subspaces of two or more taps.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units)
        The same samples (matched by id). For the space of units the same units.

    Returns
    -------
    Matrix
        `values` (k, k), symmetric; `null`, `low`, `high` and `significant` of each cell. Estimates: of two taps the
        measure and the principal angles; of more the mean, the nearest and the farthest; each subspace's dimension.

    Raises
    ------
    InputError, NotEnoughData, ParameterError, TooLarge
        Different numbers of units in the space of units; fewer than eight common samples; no gap at the cut; both a
        dimension and a share; an infinite distance.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    params = replace(params, space=space_of(params.space, taps))
    found = tap_subspaces(
        taps, rng, space=params.space, dimension=params.dimension, share=params.share, tokens=params.tokens,
        maximum=params.maximum_samples, progress=progress,
    )  # fmt: skip
    measure = SubspaceMeasure(params.measure, params.unequal)
    grid = subspace_grid(found, measure, rng, progress)
    words = _words(measure, measure.largest([m.k for m in found.members]), grid)
    result = similarity_matrix(
        grid, words, found.names, (space_words(params.space), *found.notes, *_caveats(found, taps, params))
    )
    more = _pair_angles(found, rng) if len(taps) == 2 else ()
    said = result.reading.replace(f"unrelated representations of {found.n:,} samples", "random subspaces")
    return replace(result, reading=said, estimates=(*result.estimates, *more, *_dimensions(found)))


def _words(measure: SubspaceMeasure, top: float, grid: Grid) -> Words:
    made = "drawn" if measure.distant else "exact mean and deviation; p exact for a line, else drawn"
    return Words(
        f"{measure.name} distance of subspaces" if measure.distant else "subspace overlap", measure.formula,
        f"random subspaces of these dimensions, {made}", perfect=0.0 if measure.distant else 1.0, bounds=(0.0, top),
        limits=(0.0, top if np.isfinite(top) else float(grid.values.max()) or 1.0), distance=measure.distant,
        interval="jackknife over groups of samples, axes found anew, t",
    )  # fmt: skip


def _pair_angles(found: TapSubspaces, rng) -> tuple[Estimate, ...]:
    """The angles of two subspaces, in degrees, beside those of random ones."""
    a, b = found.members
    angles = np.degrees(principal_angles(a.bases[0], b.bases[0]))
    drawn = np.degrees(random_angles(a.k, b.k, found.dimensions, rng))
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return tuple(
        Estimate(
            f"principal angle {i + 1}", float(angles[i]), null=float(drawn[:, i].mean()), null_low=float(low[i]),
            null_high=float(high[i]), null_method=f"random subspaces, {len(drawn)} draws", n=found.n,
            d=found.dimensions, estimator="arc cosine, arc sine when small", unit="degrees",
        )
        for i in range(min(len(angles), SHOWN))
    )  # fmt: skip


def _cut(subspace) -> str:
    if not np.isfinite(subspace.gap):
        return "everything that the data span, without a cut"
    return f"cut where an eigenvalue is {subspace.gap:.3g} times the next, Anderson's test"


def _dimensions(found: TapSubspaces) -> tuple[Estimate, ...]:
    return tuple(
        Estimate(
            f"dimension of {m.name} ({m.subspace.share:.0%} of the variance)", m.k, n=m.subspace.n, d=m.subspace.d,
            p_value=m.subspace.p if np.isfinite(m.subspace.gap) else None, estimator=_cut(m.subspace), unit="axes",
        )
        for m in found.members
    )  # fmt: skip


def _caveats(found: TapSubspaces, taps, params: SubspaceDistancesParams) -> list[str]:
    notes = []
    shown = min(m.k for m in found.members)
    stores = {t.name.partition(":")[0] for t in taps if ":" in t.name}
    if params.space == UNITS and len(stores) > 1:
        notes.append(
            "These are taps of different stores: where they are not checkpoints of one network their units have no "
            "order in common, and subspaces of samples are what can be compared."
        )
    if len({m.k for m in found.members}) > 1 and params.measure != OVERLAP:
        notes.append(
            "Dimensions differ: 0 means that one subspace holds the other."
            if params.unequal == INSIDE
            else "Dimensions differ: each one that is missing counts as a right angle."
        )
    if params.measure == "Martin":
        notes.append("Martin's distance breaks the triangle inequality.")
    if len(taps) == 2 and shown > SHOWN:
        notes.append(f"The first {SHOWN} of {shown} principal angles are listed.")
    notes.append("All directions inside a cut count alike, whatever variance they have.")
    return notes


def _cost(shapes, params: SubspaceDistancesParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    side, k = max(min(n, d) for _, d in shapes), params.dimension or 32
    k = min(k, side)
    whole = sum(d for _, d in shapes)
    flops = sum(6.0 * n * d * min(n, d) + 45.0 * min(n, d) ** 3 for _, d in shapes)
    if n < side * 1.01:
        flops += 10 * 2.0 * n * n * whole
    pairs = len(shapes) ** 2 / 2 * 11 + 1
    flops += pairs * 4.0 * max(n, side) * k * k + 10.0 * draws_for(k, k) * 2 * k**3
    held = 8.0 * (n * whole * 2 + 12 * side**2 + min(n, 4096) * side * 6 + n * max(d for _, d in shapes) * 2)
    return Cost(m.seconds(flops64=flops, moved=8.0 * n * whole * 30) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """Two planes that share one axis and are turned by 30 degrees in the other; a rotated copy; unrelated planes."""
    rng = np.random.default_rng(4)
    s, turn = rng.standard_normal((4000, 2)) * 10, np.radians(30)
    one = np.eye(2, 6) * np.array([[1], [0.7]])
    other = one.copy()
    other[1] = 0.7 * np.array([0, np.cos(turn), np.sin(turn), 0, 0, 0])
    x, y = s @ one + 1e-3 * rng.standard_normal((4000, 6)), s @ other + 1e-3 * rng.standard_normal((4000, 6))
    q = np.linalg.qr(rng.standard_normal((6, 6)))[0]

    def value(a, b, measure=OVERLAP, **more) -> float:
        asked = SubspaceDistancesParams(measure=measure, dimension=2, **more)
        return float(subspace_distances(*map(ArrayActivations, (a, b)), params=asked).values[0, 1])

    null = subspace_distances(
        ArrayActivations(x), ArrayActivations(y), params=SubspaceDistancesParams(dimension=2)
    )
    known = {
        "chordal": 0.5, "geodesic": turn, "Procrustes": 2 * np.sin(turn / 2), "Asimov": turn, "projection": 0.5,
        "Fubini-Study": turn, "Binet-Cauchy": 0.5, "Martin": np.sqrt(-2 * np.log(np.cos(turn))),
    }  # fmt: skip
    return (
        *(CheckLine(f"planes turned by 30 degrees: {k}", v, value(x, y, k), 1e-3) for k, v in known.items()),
        CheckLine("the same: overlap", 0.875, value(x, y), 1e-3),
        CheckLine("the same: chance of two planes in six dimensions", 1 / 3, null.estimates[0].null, 1e-12),
        CheckLine("both turned alike: overlap", value(x, y), value(x @ q, y @ q), 1e-9),
        CheckLine(
            "the same components in other units: overlap of samples",
            1.0,
            value(x, x @ q, space="samples"),
            1e-9,
        ),
        CheckLine("the same: overlap of units is not 1", 0.9, value(x, x @ q), 0.0, "at most"),
    )


METHODS = (
    Method(
        id="subspace_distances", family="subspaces", title="Distances between subspaces", version=3,
        function=subspace_distances,
        summary="How far the leading subspaces of layers, checkpoints or networks are from each other.",
        params=SubspaceDistancesParams, result=Matrix, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="rotating all taps alike, shifting or scaling any; for subspaces of samples, rotating any of them",
        papers=("Beyond Not-Forgetting: Continual Learning with Backward Knowledge Transfer",),
    ),
)  # fmt: skip
