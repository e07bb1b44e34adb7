"""Is it the same object, moved? The subspace of feature moments of point clouds, which rigid motion leaves as it is.

A cloud is the points of a sample, each with features and a place. The moment matrix has a row for each feature,

    M_k = [Σ_i f_k(i), Σ_i f_k(i) x_iᵀ]

and x' = R x + t only turns its columns into others of the same span: two clouds of one object have principal angles of
0 wherever they stand. Drawn is the largest angle of every two clouds, beside what random subspaces of the same
dimensions have. In a tap without tokens the points of a class are a cloud.

Places are units named x, y, z or named in the parameters; else the places of tokens on an image grid; else the first
three units, which is said.

When it lies: only for the same points: with another sampling or a part of the object the sums differ (the angle of a
cloud with a random draw of its own points says how much); features must not change with the motion themselves; every
affine map, a stretch too, leaves the span; a mirror image is the same; few features leave no room for angles.

Cost: O(points × features) once, a decomposition of (features, 4) for each cloud and each draw.

References: "UMERegRobust: universal manifold embedding compatible features for robust point cloud registration".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations, sample_column
from analysis.arrays import finite_rows
from analysis.compute.machine import machine
from analysis.compute.rows.samples import known_labels
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.subspaces.moment_matrix import angles_beside_chance, largest_angle, moment_basis
from analysis.errors import InputError, NotEnoughData, NotFound
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, DRAWS, RESAMPLES, MOST_POINTS = 6, 400, 200, 20_000


@dataclass(frozen=True)
class MomentSubspaceParams:
    clouds: str = param("", "Ids of the samples to compare, commas between; empty: the first ones.")
    coordinates: str = param(
        "",
        "Units that hold the places, commas between; empty: those named x, y, z, else tokens' places in an image.",
    )
    column: str | None = param(
        None,
        "Of a tap without tokens: the sample column whose classes are clouds; automatic: 'label'.",
        column=True,
    )
    most: int = param(8, "Most clouds.", low=2, high=40, label="most clouds")


def moment_subspace(
    activations, params: MomentSubspaceParams = MomentSubspaceParams(), rng=None, progress=no_progress
) -> Matrix:
    """Clouds by clouds: the largest principal angle between their moment subspaces, in degrees.

    Parameters
    ----------
    activations : Activations
        Points with features, and places as units of their own or on a grid.

    Returns
    -------
    Matrix
        Estimates: mean angle of two clouds, mean angle of a cloud with a draw of its own points.

    Raises
    ------
    NotFound, NotEnoughData, InputError
        No such sample, unit or column; fewer than two clouds of three points; too few features for angles.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    where, notes = _coordinates(tap, params.coordinates)
    names, rows = _clouds(tap, params)
    taken, bases, own = _read(tap, names, rows, where, notes, rng, progress)
    progress(0.7, "measuring angles")
    values, null, p = angles_beside_chance(bases, rng, DRAWS)
    if len(tap.layout.offsets) - 1 > len(taken) and not params.clouds and not tap.layout.is_pooled:
        notes.append(f"The first {len(taken)} of {tap.layout.n_samples:,} samples are compared.")
    upper = np.triu_indices(len(bases), 1)
    q = np.ones_like(values)
    q[upper] = benjamini_hochberg(p[upper])
    progress(1.0, "done")
    return Matrix(
        title=f"Moment subspaces of clouds of {tap.name}", values=values, row_names=tuple(taken),
        column_names=tuple(taken), value_name="largest principal angle, degrees", limits=(0.0, 90.0), null=null,
        significant=np.minimum(q, q.T) < 0.05, caveats=(*notes, "0 under every affine map, not only rigid motion."),
        estimates=_estimates(values, null, p, np.array(own), bases, rng), reading=_reading(values, taken, own),
    )  # fmt: skip


def _read(tap, names, rows, where, notes: list[str], rng, progress):
    """Names, bases and the angle with a draw of its own points, of every cloud of three points or more."""
    taken, bases, own, gone = [], [], [], 0
    for i, part in enumerate(rows):
        progress(0.7 * i / len(rows), f"reading {names[i]}")
        f, x, lost = _points(tap, part[:MOST_POINTS], where)
        gone += lost
        if len(f) < 3:
            continue
        basis, drawn = moment_basis(f, x), rng.integers(len(f), size=len(f))
        _refuse_full(tap, basis)
        bases.append(basis)
        own.append(largest_angle(basis, moment_basis(f[drawn], x[drawn])))
        taken.append(names[i])
    if len(bases) < 2:
        raise NotEnoughData(
            f"{tap.name} has {len(bases)} cloud(s) of three finite points or more", "at least two"
        )
    if gone:
        notes.append(f"{gone} point(s) with NaN or infinity left out.")
    return taken, bases, own


def _coordinates(tap, asked: str) -> tuple[np.ndarray | None, list[str]]:
    """Units that hold places (None: the grid), and notes."""
    names = [str(n) for n in tap.unit_names]
    wanted = [w.strip() for w in asked.split(",") if w.strip()]
    for w in wanted:
        if w not in names:
            raise NotFound(f"{tap.name} has no unit named {w!r}", "some of " + ", ".join(names[:8]) + " …")
    found = wanted or [n for n in ("x", "y", "z") if n in names]
    if wanted or len(found) >= 2:
        return np.array([names.index(n) for n in found]), []
    if tap.layout.grid is not None:
        return None, ["Places are those of the tokens on the image grid: clouds of a plane."]
    if len(names) < 8:
        raise InputError(
            f"{tap.name} has {len(names)} units and none named x, y, z", "places and five features or more beside them",
            "Name the units that hold the places, or choose a tap of an image's tokens",
        )  # fmt: skip
    return np.arange(3), [
        "No unit is named x, y or z and tokens have no grid: **the first three units were taken as places**. Name the "
        "units that hold them, or read nothing into this."
    ]  # fmt: skip


def _clouds(tap, params) -> tuple[list[str], list[np.ndarray]]:
    """Names and rows of the clouds."""
    offsets, ids = tap.layout.offsets, np.asarray(tap.samples["id"]).astype(str)
    wanted = [w.strip() for w in params.clouds.split(",") if w.strip()]
    if tap.layout.is_pooled:
        labels = sample_column(tap, params.column or "label")
        known = known_labels(labels)
        ids = np.unique(labels[known])
        parts = {str(c): np.flatnonzero(known & (labels == c)) for c in ids}
    else:
        if params.column is not None:
            sample_column(tap, params.column)  # its refusal
        names = wanted or ids[: params.most].tolist()
        at = {id: i for i, id in enumerate(ids)}
        parts = {n: np.arange(offsets[at[n]], offsets[at[n] + 1]) for n in names if n in at}
    for w in wanted:
        if w not in parts:
            raise NotFound(f"{tap.name} has no cloud {w!r}", "some of " + ", ".join(map(str, ids[:6])) + " …")
    names = (wanted or list(parts))[: params.most]
    return names, [parts[n] for n in names]


def _points(tap, rows: np.ndarray, where) -> tuple[np.ndarray, np.ndarray, int]:
    """Features (n, K) and places (n, D) of the finite points of a cloud, and how many were left out."""
    block = np.asarray(tap.take(rows), np.float64)
    good = finite_rows(block)
    if where is not None:
        return np.delete(block, where, axis=1)[good], block[good][:, where], int((~good).sum())
    token = tap.layout.token_of(rows) - tap.layout.leading
    good &= token >= 0
    places = np.stack(np.divmod(token, tap.layout.grid[1]), axis=1).astype(np.float64)
    return block[good], places[good], 0


def _refuse_full(tap, basis: np.ndarray) -> None:
    if not basis.shape[1] or basis.shape[1] >= len(basis):
        raise InputError(
            f"the moments of {tap.name} span {basis.shape[1]} of {len(basis)} features",
            "more features than moments, and features that are not 0",
            "With so few features every cloud has the same subspace",
        )


def _estimates(values, null, p, own: np.ndarray, bases, rng) -> tuple[Estimate, ...]:
    n, upper = len(values), np.triu_indices(len(values), 1)
    means = []
    for _ in range(RESAMPLES):
        i = rng.integers(n, size=n)
        apart = i[:, None] != i
        if apart.any():
            means.append(values[np.ix_(i, i)][apart].mean())
    value, (low, high) = float(values[upper].mean()), np.percentile(means, [2.5, 97.5])
    ends = np.percentile(rng.choice(own, size=(RESAMPLES, n)).mean(axis=1), [2.5, 97.5])
    common = {"n": n, "d": len(bases[0]), "unit": "degrees"}
    chance = {"null": float(null[upper].mean()), "null_method": "random subspaces of the same dimensions"}
    return (
        Estimate("largest angle of two clouds, mean", value, min(float(low), value), max(float(high), value),
                 interval="bootstrap over clouds", p_value=float(np.median(p[upper])), **chance, **common),
        Estimate("largest angle of a cloud with a draw of its own points, mean", float(own.mean()),
                 min(float(ends[0]), float(own.mean())), max(float(ends[1]), float(own.mean())),
                 interval="bootstrap over clouds", **chance, **common),
    )  # fmt: skip


def _reading(values, names, own) -> str:
    i, j = np.triu_indices(len(values), 1)
    best = int(values[i, j].argmin())
    return (
        f"Nearest: {names[i[best]]} and {names[j[best]]}, {values[i[best], j[best]]:.3g}° apart at most; all pairs "
        f"{values[i, j].mean():.3g}° on average, a cloud and a draw of its own points {np.mean(own):.3g}°."
    )


def _cost(shapes, params: MomentSubspaceParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    some = min(rows, params.most * MOST_POINTS)
    held = 8.0 * max(some / 3, 1) * d * 5 + 8.0 * DRAWS * 80
    return Cost(m.seconds(moved=8.0 * some * d * 8 + params.most**2 * 1e4) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """A cloud, the same moved far away, the same bent, and another one."""
    rng = np.random.default_rng(0)
    f, x = rng.standard_normal((4, 50, 9)), rng.standard_normal((50, 3))
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    clouds = [np.hstack([x, f[0]]), np.hstack([x @ turn.T + 1e3, f[0]]), np.hstack([x**3, f[0]]),
              np.hstack([rng.standard_normal((50, 3)), f[1]])]  # fmt: skip
    names = ("x", "y", "z", *(f"f{i}" for i in range(9)))
    tap = ArrayActivations(np.concatenate(clouds), "clouds", {"id": np.array(["still", "moved", "bent", "other"])},
                           Layout(np.arange(5) * 50), names)  # fmt: skip
    found = moment_subspace(tap).values
    return (
        CheckLine("moved: angle in radians", 0.0, float(np.radians(found[0, 1])), 1e-10),
        CheckLine("bent: angle in degrees", 1.0, float(found[0, 2]), 0.0, "at least"),
        CheckLine("another cloud: angle in degrees", 10.0, float(found[0, 3]), 0.0, "at least"),
    )


METHODS = (
    Method(
        id="moment_subspace", family="subspaces", title="Moment subspaces of point clouds", version=1,
        function=moment_subspace,
        summary="Whether clouds of points with features are the same but for motion: angles of their moments' spans.",
        params=MomentSubspaceParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="moving, turning, mirroring or stretching the places of a cloud; reordering its points",
        papers=("UMERegRobust - Universal Manifold Embedding Compatible Features for Robust Point Cloud Registration",),
    ),
)  # fmt: skip
