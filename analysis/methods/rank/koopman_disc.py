"""Koopman modes on the complex plane: which last (on the unit circle), decay (inside) or turn (off the real axis).

A point is an eigenvalue κ of the linear map that carries sequences one step on (`compute.linear.koopman_modes`); of a
conjugate pair both are drawn. Its distance from the origin is the factor by which the mode shrinks each step, its angle
how far it turns; 1 stays, -1 alternates. The inner circle is the largest magnitude of any draw of shuffled time: a mode
inside it is not told from no dynamics at all.

Null: the rows of each sequence in random order. Intervals: sequences left out in groups. Both as in the table of modes.

When it lies: noise pulls all eigenvalues inwards; where eigenvectors are far from orthogonal (condition number) single
eigenvalues mean little; a mode that turns more than half a turn a step looks like a slower one; points outside the
circle grow only on the data at hand.

Cost: O(m d²) for ten groups and ten draws; memory O(m d).

References: P. J. Schmid (2010), "Dynamic mode decomposition of numerical and experimental data"; X. Cheng et al.
(2025), "Information shapes Koopman representation".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.koopman import KoopmanParams
from analysis.compute.linear.koopman_modes import (
    mode_caveats,
    mode_estimates,
    modes_cost,
    planted_sequences,
    tap_modes,
)
from analysis.results import Scatter
from analysis.spec import CheckLine, Method, no_progress

CORNERS = 181
UNIT, SHUFFLED = "unit circle: stays", "shuffled time"


@dataclass(frozen=True)
class KoopmanDiscParams(KoopmanParams):
    """As every view of the map."""


def koopman_disc(
    activations, params: KoopmanDiscParams = KoopmanDiscParams(), rng=None, progress=no_progress
) -> Scatter:
    """Eigenvalues of the one-step map on the complex plane.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Rows of a sample are consecutive times; of a tap without tokens all rows are.

    Returns
    -------
    Scatter
        A point for each eigenvalue; guides: the unit circle and the largest magnitude of shuffled time. Columns:
        "what it does", "magnitude", "error", "frequency", "energy".

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        As `koopman_health`.
    """
    activations, rng = as_activations(activations), rng or np.random.default_rng(0)
    data, found = tap_modes(activations, params, rng, progress)
    pair = np.abs(found.values.imag) > 1e-12 * np.abs(found.values).max()
    at = np.concatenate([np.arange(len(pair)), np.flatnonzero(pair)])  # the conjugates after all
    values = np.concatenate([found.values, found.values[pair].conj()])
    estimates, size = mode_estimates(found, data.groups, data.x.shape[1]), np.abs(found.values)
    progress(1.0, "done")
    return Scatter(
        title=f"Koopman modes of {activations.name} on the complex plane", reading=_reading(found, estimates),
        caveats=(*data.notes, *mode_caveats(found, data.x.shape[1])), estimates=estimates,
        positions=np.column_stack([values.real, values.imag]), rows=np.arange(len(values)), of="eigenvalues",
        axes=("κ (real part)", "κ (imaginary part)"),
        columns={
            "what it does": _kinds(found)[at], "magnitude": size[at], "error": found.error[at],
            "frequency": (np.abs(np.angle(found.values)) / (2 * np.pi))[at], "energy": found.energy[at],
        },
        colour="what it does", guides={UNIT: _circle(1.0), SHUFFLED: _circle(float(found.null.max()))},
    )  # fmt: skip


def _circle(radius: float) -> np.ndarray:
    """Closed, from its top round to its top, where its name stands."""
    angle = np.linspace(0.5 * np.pi, 2.5 * np.pi, CORNERS)
    return radius * np.column_stack([np.cos(angle), np.sin(angle)])


def _kinds(found) -> np.ndarray:
    """(m,) in words: not told from shuffled time; lasting, where 1 lies within two errors; growing; decaying."""
    size, twice = np.abs(found.values), 2 * found.error + 1e-9
    kind = np.where(size + twice < 1, "decays", np.where(size - twice > 1, "grows", "lasts"))
    return np.where(found.beyond, kind, "not told from shuffled time")


def _reading(found, estimates) -> str:
    kinds, first = _kinds(found), estimates[0]
    count = {kind: int((kinds == kind).sum()) for kind in ("lasts", "decays", "grows")}
    turning = int((found.beyond & (np.abs(found.values.imag) > 1e-9)).sum())
    return (
        f"{int(found.beyond.sum())} of {len(kinds)} modes lie outside the circle of shuffled time ({first.null:.3f} on "
        f"average): {count['lasts']} last, {count['decays']} decay, {count['grows']} grow; {turning} of them turn. The "
        f"largest magnitude is {first.value:.3f}."
    )


def _check() -> tuple[CheckLine, ...]:
    """A lasting turn, a damped one and a decaying line lie where they were planted, with their conjugates."""
    rng = np.random.default_rng(27)
    kappa = np.array([np.exp(2j * np.pi * 0.05), 0.8 * np.exp(2j * np.pi * 0.2), 0.6])
    found = koopman_disc(planted_sequences(kappa, rng), KoopmanDiscParams(share=1.0))
    places, planted = found.positions @ [1, 1j], np.concatenate([kappa, kappa[:2].conj()])
    off = np.abs(planted[:, None] - places).min(axis=1)
    circle = np.linalg.norm(found.guides[UNIT], axis=1)
    return (
        CheckLine("eigenvalues, conjugates among them", 5.0, float(len(places)), 0.0),
        CheckLine("farthest from where it was planted", 0.0, float(off.max()), 1e-8),
        CheckLine("the first lasts", 1.0, float(found.columns["what it does"][0] == "lasts"), 0.0),
        CheckLine("the unit circle", 1.0, float(circle.min()), 1e-12),
    )


METHODS = (
    Method(
        id="koopman_disc", family="rank", title="Koopman modes on the unit disc", version=1, function=koopman_disc,
        summary="Eigenvalues of the one-step map on the complex plane, beside the unit circle and shuffled time.",
        params=KoopmanDiscParams, result=Scatter, check=_check, cost=modes_cost, minimum_rows=21,
        invariance="shifting, or any invertible linear map where all axes are kept; energies: rotations only",
        papers=("Information Shapes Koopman Representation",),
    ),
)  # fmt: skip
