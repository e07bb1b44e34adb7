"""Against a control: the directions in which the others vary more than a control group does.

Every point is measured in the spread of a control (untreated wells, one class, a named selection): its mean is taken
off and its covariance is made the identity, W = V (Λ + ε I)^(-1/2). The axes are the principal components of the
whitened others. Variation that the control has as well (staining, brightness, pose) has length 1 in every direction
and no longer rules the picture, as it does in plain PCA. Formulas in `compute.maps.control_whitening`.

A random half of the control whitens and a random half of the others makes the axes; only the other halves are drawn
and measured. The held-out control beside them is the null: what it shows is what the picture makes of nothing.

When it lies: a small control is known badly, and its poorly known directions are stretched most (see the variance
of the held-out control); what the control never shows, however small, becomes large; a control that differs by its
batch whitens the wrong variation away. A batch in which only one treatment was measured cannot be told from it.

Cost: O(n d min(n, d)) and one eigenproblem of that side; memory O(n d). Tokens count once per sample when axes are
made.

References: K. Donhauser et al. (2024), "Towards scientific discovery with dictionary learning"; D. M. Ando et al.
(2017), "Improving phenotypic measurements in high-content imaging screens"; O. Ledoit & M. Wolf (2004).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.groups.mean_difference import Entries, entries, halves
from analysis.compute.machine import machine
from analysis.compute.maps.control_fit import (
    FEWEST,
    GRAMMAR,
    ControlFit,
    batches,
    control_axis,
    control_fit,
    owners,
    refuse_few,
)
from analysis.compute.maps.control_reading import control_caveats, control_name, control_reading, group_names
from analysis.compute.maps.control_whitening import (
    batch_estimates,
    control_whitening,
    level_estimate,
    ratio_estimates,
)
from analysis.compute.maps.map_report import QUALITY_HELP, map_report, report_bytes, report_cost
from analysis.compute.rows.cloud import point_cloud
from analysis.compute.rows.membership import pack_named, unpack_named
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class AgainstControlParams:
    control: str = param(
        "class:", f"{GRAMMAR}: A is the control, B the others (all others); class: alone takes the largest class."
    )  # fmt: skip
    column: str = param("label", "The sample column that holds the classes.", column=True)
    batch: str = param("", "Sample column of batches (plates, scanners, days) to suspect.", column=True)
    selections: str = param("", "Named selections as packed memberships, filled in by whoever names one.")
    ridge: float | None = param(
        None, "Added to the control's variances, in units of their mean; automatic: Ledoit and Wolf's shrinkage.",
        low=0.0, high=1000.0,
    )  # fmt: skip
    components: int = param(2, "Number of coordinates: a plane or a space.", choices=(2, 3))
    drawn: str = param(
        "other half", "Which points to draw: those that made neither axes nor whitening, or all.",
        choices=("other half", "all"),
    )  # fmt: skip
    permutations: int = param(199, "Exchanges of membership for the null.", low=19, high=2000)
    maximum_rows: int = param(20_000, "Most points; a seeded random subset above.", low=50, high=200_000)
    quality_points: int = param(2000, QUALITY_HELP, low=50, high=50_000)


def against_control(
    activations, params: AgainstControlParams = AgainstControlParams(), rng=None, progress=no_progress
) -> Scatter:
    """Principal components of the others after whitening by a control group.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Scatter
        `positions` (points, 2 or 3) in standard deviations of the control, which lies around the origin; columns
        "group", "half", "distance from the control" (root mean square over directions: about 1 for the control
        itself), "trust", "continuity", "recall". Estimates: variance of the others along each axis over that of the
        held-out control, how far the whitening carries over, and the share that a batch explains.

    Raises
    ------
    ParameterError, NotFound
        A control that cannot be read; no such column; a batch column with one value, or nearly one per sample.
    NotEnoughData, InputError
        Fewer than ten samples of the control or of the others, or no ridge and too few; a control or others that
        are all equal.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    cloud = point_cloud(
        activations, rng, maximum_rows=params.maximum_rows, progress=progress, span=(0.0, 0.1)
    )
    named = unpack_named(params.selections, activations.shape[0])
    axis = control_axis(params.control, activations, cloud, params.column, named)
    first = np.searchsorted(cloud.sample, np.arange(cloud.n_samples))
    fit_half = halves(axis.side[first], rng)
    lines = entries(cloud.x, cloud.sample, axis.side, fit_half)
    refuse_few(lines, axis)
    progress(0.2, "whitening")
    fit = control_fit(lines, params.components, params.ridge, axis.groups[1])
    progress(0.4, "exchanging membership")
    estimates = _estimates(activations, cloud, lines, fit, axis, params, rng)
    keep = (axis.side != 0) & ((params.drawn == "all") | ~fit_half[cloud.sample])
    x = cloud.x[keep]
    positions = (x - fit.origin) @ fit.axes
    report = map_report(
        x, positions, rng, maximum_anchors=params.quality_points, drawn="linear", progress=progress, span=(0.6, 1.0)
    )  # fmt: skip
    columns = {
        "group": np.where(axis.side[keep] > 0, *group_names(axis)),
        "half": np.where(fit_half[cloud.sample[keep]], "made the axes", "held out"),
        "distance from the control": np.sqrt((fit.white(x) ** 2).mean(axis=1)).astype(np.float32),
        **report.columns,
    }
    return Scatter(
        title=f"{activations.name} against {control_name(axis)} as the control",
        reading=control_reading(estimates, fit, axis, params.batch, params.drawn) + " " + report.sentence,
        caveats=(*control_caveats(estimates, fit, axis, params.batch, params.drawn, params.ridge), *cloud.notes,
                 *report.notes),
        estimates=(*estimates, *report.estimates),
        positions=positions.astype(np.float32), rows=cloud.rows[keep], columns=columns, colour="group",
        axes=tuple(f"axis {j + 1}, control's SD" for j in range(params.components)),
    )  # fmt: skip


def _estimates(
    activations, cloud, lines: Entries, fit: ControlFit, axis, params, rng
) -> tuple[Estimate, ...]:
    d = cloud.x.shape[1]
    held = {side: ~lines.fit & (lines.side == side) for side in (1, -1)}
    scores = (lines.values - fit.origin) @ fit.axes[:, : fit.found]
    found = [*ratio_estimates(scores[held[-1]], scores[held[1]], d, params.permutations, rng)]
    found.append(level_estimate(fit.white(lines.values[held[1]]), fit.whitening, d, rng))
    if params.batch:
        of, known = batches(activations, cloud, owners(cloud, axis.side)[held[-1]], params.batch)
        found += batch_estimates(scores[held[-1]][known], of, params.batch, d, params.permutations, rng)
    return tuple(found)


def _cost(shapes, params: AgainstControlParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_rows)
    r = min(n, d)
    flops = 6.0 * n * d * r + 40.0 * r**3
    seconds = m.seconds(flops64=flops, moved=(params.permutations + 500) * n * 120.0 + n * d * 60.0)
    seconds += m.seconds(**report_cost(n // 2, d, params.quality_points))
    return Cost(seconds + 0.15, n * d * 8 * 4.0 + 5.0 * r * r * 8 + report_bytes(n // 2, d))


def _check() -> tuple[CheckLine, ...]:
    """A unit in which the control varies most by far is forgotten, one in which the others vary three times as far is
    found; a control that is compared with itself has nothing; a planted batch explains s² / (1 + s²) of its axis."""
    rng = np.random.default_rng(6)
    x = rng.standard_normal((3000, 8)) * np.r_[30.0, np.ones(7)] + 50
    label, plate = np.arange(3000) % 2, rng.integers(2, size=3000)
    named = pack_named({"c": label == 0})

    def drawn(x, **more):
        tap = ArrayActivations(x, samples={"label": label, "plate": plate})
        params = AgainstControlParams(**{"control": "class:0", "quality_points": 100, **more})
        return against_control(tap, params, np.random.default_rng(0))

    wide, moved = x.copy(), x.copy()
    wide[label == 1, 4] = 50 + 3 * (wide[label == 1, 4] - 50)
    moved[label == 1, 2] += 4 * plate[label == 1]
    same, far = drawn(x, batch="plate"), drawn(wide)
    batch = drawn(moved, batch="plate", control="selection:c", selections=named)
    control = rng.standard_normal((400, 8)) @ (np.eye(8) + 0.5 * rng.standard_normal((8, 8)))
    white = control_whitening(control, 0.0).place(control)
    along = abs(np.corrcoef(far.positions[:, 0], wide[far.rows, 4])[0, 1])
    return (
        CheckLine("whitened control: largest |covariance - identity|", 0.0,
                  float(np.abs(np.cov(white.T) - np.eye(8)).max()), 2e-14),
        CheckLine("others three times as wide: ratio of variances", 9.0, far.estimates[0].value, 1.5),
        CheckLine("axis 1 is the planted unit (correlation)", 1.0, float(along), 0.02),
        CheckLine("nothing planted: ratio of variances", 1.0, same.estimates[0].value, 0.2),
        CheckLine("nothing planted: p", 0.05, same.estimates[0].p_value, 0.0, "at least"),
        CheckLine("a batch 4 SD apart explains 4 / 5 of its axis", 0.8, batch.estimates[3].value, 0.04),
        CheckLine("a batch that means nothing explains 1 / (n - 1)", 1 / 749, same.estimates[3].value, 0.008),
    )  # fmt: skip


METHODS = (
    Method(
        id="against_control",
        family="projection",
        title="Against a control",
        summary="The directions in which the others vary more than a control group does, beside its held-out half.",
        version=1,
        function=against_control,
        params=AgainstControlParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=2 * FEWEST,
        invariance="rotating, shifting or rescaling all activations together changes nothing but signs; without "
        "shrinkage nor does any invertible linear map",
        papers=(
            "Towards scientific discovery with dictionary learning: Extracting biological concepts from microscopy "
            "foundation models",
        ),
    ),
)
