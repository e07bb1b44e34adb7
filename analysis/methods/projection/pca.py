"""Principal component analysis: the flat picture that keeps the most variance, with how sure its axes are.

With centred rows x, the axes are the eigenvectors of the covariance C = Σ x xᵀ / (n - 1), and a point's
coordinates are its projections. The covariance is merged over chunks in float64, so the axes equal those of a
full singular value decomposition; a second pass gives coordinates, intervals and each point's distance to the
plane.

When it lies: units with a large scale own the first axes; two axes with nearly equal eigenvalues are an
arbitrary rotation of each other (at 500 rows and standard deviations 2 % apart PC 1 is typically off by 30°; the
resolution test says so, and the axes are named as one block); a small share of variance means that most of
what separates the points is outside the picture (see the column "distance to plane").

Cost: two passes, O(n d²) operations and O(d²) memory for n >= d, O(n² d) and O(n d) otherwise.

References: K. Pearson (1901), "On lines and planes of closest fit"; T. W. Anderson (1963), "Asymptotic theory for
principal component analysis".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.axis_error import (
    AxisErrors,
    AxisErrorSum,
    component_names,
    scored_blocks,
    separation_estimates,
    separation_p,
    share_interval,
)
from analysis.compute.linear.axis_null import null_shares
from analysis.compute.linear.linalg import PrincipalAxes, principal_axes, principal_components
from analysis.compute.machine import machine
from analysis.compute.rows.points import OF_HELP, PointSet, point_set
from analysis.compute.statistics.nulls import against, null_draws
from analysis.compute.streaming import Pass
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class PcaParams:
    components: int = param(2, "Number of coordinates: a plane or a space.", choices=(2, 3))
    of: str = param("rows", OF_HELP, label="points are", choices=("rows", "units"))
    maximum_points: int = param(
        200_000,
        "Most points to draw; a seeded random subset above. The axes always use all.",
        low=100,
        high=5_000_000,
    )


def pca(activations, params: PcaParams = PcaParams(), rng=None, progress=no_progress) -> Scatter:
    """Exact PCA of a tap.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Scatter
        `positions` (points, 2 or 3) in the units of the activations; columns "distance to plane" (share of the
        point's squared distance from the mean that the picture leaves out, 0 to 1) and "distance from mean".
        Estimates: each axis' share of the variance with a 95 % interval and its null, the plane's share, and
        whether neighbouring axes are told apart.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than three finite rows; nothing varies; rows and units both above 8,192.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    points = point_set(activations, params.of, progress, (0.0, 0.3))
    seen = Pass()
    axes = principal_axes(points.points, params.components + 1, seen, progress, (0.3, 0.6))
    drawn, columns, errors = _project(points, axes, seen, params, rng, progress)
    positions, rows = drawn
    if params.of == "rows":
        points = replace(points, n_samples=errors.n_samples)
    progress(0.9, "drawing the null")
    null = null_shares(points, axes, rng)
    shares = axes.eigenvalues / axes.total
    drawn_shares = np.append(shares, [0.0, 0.0])[: positions.shape[1]]  # rank 1 or 2: nothing is left to draw
    p = separation_p(axes.eigenvalues[: len(errors.inflation)], axes.n, errors.inflation)
    return Scatter(
        title=f"PCA of {activations.name}" + (" (units as points)" if params.of == "units" else ""),
        reading=_reading(shares, null, p, positions.shape[1]),
        caveats=(*seen.notes, *points.notes, *_caveats(points, axes, p, positions, rows)),
        estimates=_estimates(axes, errors, null, p, points, positions.shape[1]),
        positions=positions,
        rows=points.numbers(rows),
        of=params.of,
        axes=component_names(drawn_shares, p),
        columns=columns,
    )


def _project(points: PointSet, axes: PrincipalAxes, seen: Pass, params: PcaParams, rng, progress):
    """Second pass: (positions, rows), columns, and standard errors of the axes."""
    n, layout = points.points.shape[0], points.points.layout
    k = min(params.components, len(axes.directions))
    wanted = np.zeros(n, dtype=bool)
    wanted[rng.choice(n, size=min(n, params.maximum_points), replace=False)] = True
    total = AxisErrorSum(axes)
    positions, rows, left, far = [], [], [], []
    for numbers, scores, norms in scored_blocks(points.points, axes, progress, (0.6, 0.9)):
        total.add(seen.owners(layout, numbers), scores, norms)
        pick = wanted[numbers]
        inside = (scores[pick, :k] ** 2).sum(axis=1)
        outside = 1 - np.divide(inside, norms[pick], out=np.ones_like(inside), where=norms[pick] > 0)
        positions.append(scores[pick, :k])
        rows.append(numbers[pick])
        left.append(np.clip(outside, 0.0, 1.0))
        far.append(np.sqrt(norms[pick]))
    xy = np.concatenate(positions)
    if k < params.components:  # rank 1: the second coordinate is exactly 0
        xy = np.pad(xy, ((0, 0), (0, params.components - k)))
    columns = {"distance to plane": np.concatenate(left), "distance from mean": np.concatenate(far)}
    columns = {name: column.astype(np.float32) for name, column in columns.items()}
    return (xy.astype(np.float32), np.concatenate(rows)), columns, total.finish()


def _estimates(axes, errors: AxisErrors, null, p, points: PointSet, k: int) -> tuple[Estimate, ...]:
    shares = axes.eigenvalues / axes.total
    low, high = share_interval(shares[: len(errors.share)], errors.share)
    common = {"n": axes.n, "d": axes.d, "estimator": "eigenvalue of the float64 covariance"}
    how = "asymptotic, any tails" + ("" if errors.n_samples == axes.n else ", samples as clusters")
    made = {"interval": how, "null_method": f"independent Gaussian units, {len(null)} draws"}
    found = []
    for i in range(min(k, len(shares), null.shape[1])):
        found.append(
            Estimate(
                f"variance share of PC {i + 1}", float(shares[i]), float(low[i]), float(high[i]),
                **against(shares[i], null[:, i]), **common, **made,
            )
        )  # fmt: skip
    plane, chance = float(shares[:k].sum()), null[:, :k].sum(axis=1)
    inside = [float(v) for v in share_interval(plane, errors.cumulative[min(k, len(shares)) - 1])]
    found.append(
        Estimate(
            "variance share of the picture", plane, *inside, **against(plane, chance), **common, **made,
        )
    )  # fmt: skip
    return (*found, *separation_estimates(axes, errors, p))


def _reading(shares, null, p, k: int) -> str:
    plane, chance = shares[:k].sum(), null[:, :k].sum(axis=1).mean()
    lines = [
        f"The {k} axes hold {plane:.1%} of the variance; independent units with the same variances would give "
        f"{chance:.1%}. Distances along the axes are real distances, shortened by what the picture leaves out."
    ]
    if len(p) and p[0] >= 0.05:
        lines.append(
            "PC 1 and PC 2 are not told apart, one block: read the cloud's shape, not the directions of the axes."
        )
    return " ".join(lines)


def _caveats(points: PointSet, axes: PrincipalAxes, p, positions, rows) -> list[str]:
    k, notes = positions.shape[1], []
    for i in np.flatnonzero(p >= 0.05):
        edge = i + 1 == k
        what = "which directions the picture shows at all" if edge else "their directions inside the picture"
        notes.append(f"PC {i + 1} and PC {i + 2} are unresolved (p = {p[i]:.2g}): chance decides {what}.")
    if len(rows) < axes.n:
        notes.append(f"A random {len(rows):,} of {axes.n:,} points drawn; the axes use all of them.")
    if points.of == "units":
        notes.append("Units are not a random sample: intervals say how much single units matter.")
    elif axes.n < 5 * axes.d:
        notes.append(
            f"{axes.n:,} rows for {axes.d:,} units: the leading shares are inflated (compare the null)."
        )
    if points.n_samples < axes.n:
        notes.append("The null counts samples, not tokens, as independent: it is on the cautious side.")
    return notes


def _cost(shapes, params: PcaParams) -> Cost:
    (n, d), m = shapes[0], machine()
    side, chunk = min(n, d), min(n, 4096)
    points = min(n, params.maximum_points) if params.of == "rows" else d
    held = n * d * 8 * 2.5 if n < d else chunk * d * 8 * 2
    memory = held + 4 * side**2 * 8 + points * 60
    flops = 1.0 * n * d * side + (8 + 6 * null_draws(d)) * side**3  # as measured: symmetric products halve
    if params.of == "units":
        memory, flops = chunk * d * 16 + 6 * d**2 * 8, flops + 2.0 * n * d * d + 30.0 * d**3
    return Cost(m.seconds(flops64=flops, moved=n * d * 48) + 0.02, memory)


def _check() -> tuple[CheckLine, ...]:
    """Three planted axes with variances 9, 4, 1 in 40 units, a large mean, and noise-free equality with SVD."""
    rng = np.random.default_rng(7)
    basis = np.linalg.qr(rng.standard_normal((40, 3)))[0].T
    x = rng.standard_normal((5000, 3)) * [3, 2, 1] @ basis + 0.05 * rng.standard_normal((5000, 40)) + 1e3
    result = pca(x, PcaParams(components=3))
    _, found, values = principal_components(x, 3)
    exact = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    sine = np.linalg.norm(found - found @ exact[2][:3].T @ exact[2][:3], 2)
    noise = rng.standard_normal((2000, 30))
    blurred = pca(noise)
    return (
        CheckLine("angle to the singular vectors (radians)", 0.0, float(sine), 1e-10),
        CheckLine("eigenvalue 1 against the singular value", exact[1][0] ** 2 / 4999, float(values[0]), 1e-8),
        CheckLine("variance share of the picture", 14 / 14.1, result.estimates[3].value, 0.003),
        CheckLine("planted axes 1 and 2 are told apart (p)", 0.0, result.estimates[4].p_value, 0.001),
        CheckLine("noise: PC 1 and 2 unresolved (p)", 0.05, blurred.estimates[3].p_value, 0.0, "at least"),
        CheckLine("noise: share of PC 1 minus its null", 0.0, _excess(blurred.estimates[0]), 0.004),
    )


def _excess(estimate: Estimate) -> float:
    return estimate.value - estimate.null


METHODS = (
    Method(
        id="pca",
        family="projection",
        title="Principal components",
        summary="The flat picture that keeps the most variance, with how sure its axes are.",
        version=3,
        function=pca,
        params=PcaParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=3,
        invariance="rotating or shifting the activations changes nothing; rescaling single units does",
        papers=("A geometric framework for asymptotic inference of principal subspaces in PCA",),
    ),
)
