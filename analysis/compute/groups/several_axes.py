"""Several concept axes at once: made of covariances with the units, or given, and the cosines between them."""

from __future__ import annotations

import numpy as np

from analysis.compute.groups.concept_axis import AxisParams, given_axis

RIDGE = 0.01
MEANS, READ = "difference of means", "read by a probe"


def given_axes(activations, params, x, samples, units, weight_direction) -> tuple[list[str], np.ndarray]:
    """Names and unit columns (d, m) of the axes that `params` gives, of `units` (d,) of a tap; `weight_direction` as
    for `given_axis`."""
    texts = [text.strip() for text in params.direction.split(",") if text.strip()]
    asked = [
        AxisParams(vector=params.vector, direction=t) if t.startswith("row:") else AxisParams(t)
        for t in texts
    ]
    if params.vector and not any(t.startswith("row:") for t in texts):
        asked.append(AxisParams(vector=params.vector))
    if params.clicked:
        asked.append(AxisParams(low=params.low, high=params.high))
    found = [given_axis(activations, one, x, samples, units, weight_direction) for one in asked]
    return [g.label for g in found], np.column_stack(
        [np.zeros((x.shape[1], 0)), *(g.along(x) for g in found)]
    )


def axis_reader(x: np.ndarray, axis: str):
    """A function from covariances (d, m) of values with the centred units `x` (n, d) to axes (d, m)."""
    if axis == MEANS:
        return lambda cross: cross
    from scipy.linalg import cho_factor, cho_solve

    covariance = x.T @ x / len(x)
    covariance[np.diag_indices_from(covariance)] += RIDGE * np.trace(covariance) / len(covariance)
    factor = cho_factor(covariance, lower=True)
    return lambda cross: cho_solve(factor, cross / len(x))


def unit_columns(axes: np.ndarray) -> np.ndarray:
    return axes / np.maximum(np.linalg.norm(axes, axis=0), 1e-300)


def cosines_of(axes: np.ndarray) -> np.ndarray:
    made = unit_columns(axes)
    return made.T @ made
