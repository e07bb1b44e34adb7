"""Control whitening: directions measured in units of what a control group does anyway.

    y = (x - mean_c) V (Λ + ε I)^(-1/2),   V Λ Vᵀ the control's covariance
    axes of the control            c = y, one feature for each of the control's principal axes, of variance 1 there
    beyond the control             c = U y, U the principal components of the other rows' y

What is large only because everything varies along it, such as brightness or length, has variance 1 afterwards, and what
the control does not do stands out. Without a ridge the control's codes have covariance I exactly; ε by Ledoit and Wolf
unless it is stated. A code of 1 adds one deviation of the control along a direction of the activations as they are.
λ beyond the control is chosen to be large: the ratio is measured again on held-out samples. What the control lacks is
found whether it is biology or a batch: look at the features beside the columns. The control's rows are held in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.arrays import first_sign
from analysis.compute.maps.control_whitening import control_whitening
from analysis.compute.statistics.moments import is_varying
from analysis.errors import InputError
from analysis.features.classical.classical import Classical, Fitted
from analysis.features.classical.contrastive import groups
from analysis.features.classical.fit_rows import FitRows
from analysis.features.classical.held_out_ratios import held_out_ratios, ratio_said
from analysis.spec import param

BEYOND, AXES = "beyond the control", "axes of the control"


@dataclass(frozen=True)
class ControlParams:
    control: str = param("", "The control rows: the name of a selection, or COLUMN=VALUE")
    directions: str = param(BEYOND, "Which directions", choices=(BEYOND, AXES))
    components: int = param(32, "How many", low=1, high=8192)
    ridge: float | None = param(
        None, "ε in units of the control's mean variance; empty: by Ledoit and Wolf", low=0.0, high=1e6
    )
    maximum_rows: int = param(20_000, "Most control rows held in memory", low=8, high=1 << 20)


def make(rows: FitRows, params: ControlParams, rng, progress) -> Fitted:
    """Raises ParameterError, NotFound, NotEnoughData, InputError: no control, one that does not vary, or is all."""
    others, control, said = groups(rows, "", params.control)
    _, x, more = rows.loaded(params.maximum_rows, progress, (0.0, 0.4), control)
    seen, lost = rows.n_seen, rows.n_nonfinite
    moments = rows.moments(progress, (0.4, 0.9), others, "the other rows")
    rows.n_seen, rows.n_nonfinite = rows.n_seen + seen, rows.n_nonfinite + lost
    units = is_varying(moments.variance, moments.mean) | is_varying(x.var(axis=0), x.mean(axis=0))
    if not units.any():
        raise InputError(f"no unit of {rows.name} varies", "units that differ", "Choose another tap")
    white = control_whitening(x[:, units], params.ridge)
    k = min(params.components, int(units.sum()))
    filters, directions, values = _directions(
        white, moments.covariance[np.ix_(units, units)], params.directions, k
    )
    mean, encoder, decoder = x.mean(axis=0), np.zeros((rows.units, k)), np.zeros((k, rows.units))
    encoder[units], decoder[:, units] = filters, directions
    said += more
    if k < params.components:
        said += (f"Only {k} units vary: there are no more directions.",)
    ratio, low, high = held_out_ratios(rows, (rows.held - mean) @ encoder, others, control, rng)
    if params.directions == BEYOND:
        said += ratio_said(low, "the control")
    return Fitted(
        decoder, mean, encoder=encoder, caveats=said,
        components={"variance of the others": values, "held-out variance over the control's": ratio, "low": low,
                    "high": high},
        facts={"rows_of_control": len(x), "shrinkage": white.shrinkage, "level": white.level},
    )  # fmt: skip


def _directions(white, others: np.ndarray, which: str, k: int):
    """Filters (d, k), directions (k, d) and variances (k,) of the others in units of the control's."""
    back = (white.to * white.kept).T  # y @ back = x - mean
    beyond = white.to.T @ others @ white.to
    if which == AXES:
        turn, values = np.eye(len(back))[:, :k], np.diag(beyond)[:k]
    else:
        values, vectors = np.linalg.eigh(beyond)
        turn, values = vectors[:, ::-1][:, :k], values[::-1][:k]
    directions = turn.T @ back
    sign = np.where((first_sign(directions) * directions).sum(axis=1) < 0, -1.0, 1.0)
    return white.to @ turn * sign, directions * sign[:, None], values


CLASSICAL = Classical(
    "control", "Control whitening", "Directions in units of what a control group does anyway", ControlParams,
    ("Towards scientific discovery with dictionary learning: Extracting biological concepts from microscopy "
     "foundation models",), make,
)  # fmt: skip
