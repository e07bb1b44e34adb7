"""All principal angles between the leading subspaces of two taps, beside those of random subspaces.

θ_1 <= … <= θ_m: the smallest angle between a direction of one and a direction of the other, then the smallest at
right angles to these, and so on (Björck & Golub 1973). Angles near 0 are directions that both have; a spectrum that
starts at 0 and leaps to right angles says that a part is shared and the rest is not, which no single number tells.

The subspaces are those of `compute.subspaces.tap_subspaces`: cut where two eigenvalues are told apart, in the space of
the units or of the samples.

Null: uniformly random subspaces of these dimensions, drawn. Their angles are no right angles: between two of dimension
k in D they spread over a range as the eigenvalues of unrelated units do (Wachter's law), from 0 on where 2 k >= D.
Intervals: samples left out in groups, axes found anew.

When it lies: directions inside a cut count alike, those just outside not at all; axis i of one has nothing to do with
axis i of the other, so the n-th angle is of no particular axis; sampling error turns weak axes and angles are biased
upwards: two samples of one subspace have angles above 0; unit spaces of two networks are not one space.

Cost: O(n d²), O(d² k) and more for each of ten groups left out; O((p + q) q²) for each of 20 to 1,000 random pairs.

References: Å. Björck & G. Golub (1973), "Numerical methods for computing angles between linear subspaces"; A. Knyazev &
M. Argentati (2002); K. Wachter (1980).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_rows import MOST_HELP, TOKENS_HELP
from analysis.compute.rows.some_samples import MEAN, TOKENS
from analysis.compute.subspaces.angle_curve import ANGLES, angle_curve
from analysis.compute.subspaces.random_subspaces import draws_for, random_angles
from analysis.compute.subspaces.spaces import AUTOMATIC, SPACE_HELP, SPACES, space_of, space_words
from analysis.compute.subspaces.tap_subspaces import FEWEST, tap_subspaces
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param


@dataclass(frozen=True)
class PrincipalAngleSpectrumParams:
    space: str = param(AUTOMATIC, SPACE_HELP, choices=SPACES)
    dimension: int | None = param(
        None, "Axes of both subspaces; automatic: each at its widest gap.", low=1, high=4096
    )
    share: float | None = param(
        None, "Cut each at this share of the variance instead, at the next gap.", low=0.01, high=1.0
    )
    tokens: str = param(MEAN, TOKENS_HELP, choices=TOKENS)
    maximum_samples: int = param(10_000, MOST_HELP, low=50, high=200_000)


def principal_angle_spectrum(
    one,
    other,
    params: PrincipalAngleSpectrumParams = PrincipalAngleSpectrumParams(),
    rng=None,
    progress=no_progress,
) -> Curve:
    """Principal angles between the subspaces of two taps.

    Parameters
    ----------
    one, other : Activations or arrays (rows, units), of the same samples (matched by id).

    Returns
    -------
    Curve
        Angles in degrees over their number, with an interval, and those of random subspaces with the middle 95 %.
        Estimates: the smallest and the largest angle, the overlap, how many are below ten degrees.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Both a dimension and a share; different units; fewer than eight common samples; no gap at the cut.
    """
    taps, rng = [as_activations(t) for t in (one, other)], rng or np.random.default_rng(0)
    params = replace(params, space=space_of(params.space, taps))
    found = tap_subspaces(
        taps, rng, space=params.space, dimension=params.dimension, share=params.share, tokens=params.tokens,
        maximum=params.maximum_samples, progress=progress, span=(0.0, 0.9),
    )  # fmt: skip
    progress(0.9, "drawing random subspaces")
    curve = angle_curve(found, rng)
    return replace(curve, caveats=(space_words(params.space), *curve.caveats))


def _cost(shapes, params: PrincipalAngleSpectrumParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    d, k = max(units for _, units in shapes), params.dimension or 32
    side = min(n, d)
    k = min(k, side)
    flops = len(shapes) * (6.0 * n * d * side + 45.0 * side**3) + 10.0 * draws_for(k, k) * 2 * k**3
    if n < d * 1.01:
        flops += 10 * 2.0 * n * n * d * len(shapes)
    held = 8.0 * (n * d * (2 * len(shapes) + 2) + 12 * side**2 + min(n, 4096) * side * 6)
    return Cost(m.seconds(flops64=flops, moved=8.0 * n * d * 30) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """Planted angles of 0, 20 and 70 degrees, in two spaces; unrelated subspaces are as random ones."""
    rng = np.random.default_rng(9)
    turns, size = np.radians([0, 20, 70]), np.array([9.0, 7.0, 5.0])
    one = np.eye(3, 20)
    other = np.cos(turns)[:, None] * one + np.sin(turns)[:, None] * np.eye(20)[3:6]
    q = np.linalg.qr(rng.standard_normal((20, 20)))[0]
    x, y = (
        ((rng.standard_normal((1500, 3)) * size) @ basis + 0.01 * rng.standard_normal((1500, 20))) @ q
        for basis in (one, other)
    )
    asked = PrincipalAngleSpectrumParams(dimension=3)
    pair = principal_angle_spectrum(ArrayActivations(x), ArrayActivations(y), params=asked)
    same = principal_angle_spectrum(
        ArrayActivations(x),
        ArrayActivations(5 * x[:, ::-1] @ q),
        params=PrincipalAngleSpectrumParams("samples", 3),
    )
    free = [
        rng.standard_normal((1500, 3)) * size @ np.linalg.qr(rng.standard_normal((60, 3)))[0].T for _ in "ab"
    ]
    chance = principal_angle_spectrum(*map(ArrayActivations, free), params=asked)
    return (
        *(
            CheckLine(f"planted angle of {v:g} degrees", v, float(got), 0.1)
            for v, got in zip(np.degrees(turns), pair.series[ANGLES], strict=True)
        ),
        CheckLine("the same components, other units: largest angle of samples", 0.0, same.estimates[1].value, 1e-6),
        CheckLine("unrelated: p of the overlap is not small", 0.05, chance.estimates[2].p_value, 0.0, "at least"),
        CheckLine(
            "random subspaces: mean Σ cos² θ / 3 is 3 / 60", 0.05,
            float((np.cos(random_angles(3, 3, 60, rng, 2000)) ** 2).mean()), 0.004,
        ),
    )  # fmt: skip


METHODS = (
    Method(
        id="principal_angle_spectrum", family="subspaces", title="Principal angles", version=2,
        function=principal_angle_spectrum,
        summary="Every principal angle between the leading subspaces of two taps, beside those of random subspaces.",
        params=PrincipalAngleSpectrumParams, result=Curve, check=_check, cost=_cost, inputs=2, minimum_rows=FEWEST,
        invariance="rotating both alike, shifting or scaling either; for subspaces of samples, rotating either",
        papers=("Beyond Not-Forgetting: Continual Learning with Backward Knowledge Transfer",),
    ),
)  # fmt: skip
