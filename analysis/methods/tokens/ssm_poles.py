"""Where are the poles of a state space, and how far did training move them from where they started?

Of each channel h' = A h + B u with diagonal A, in steps Δ: eigenvalues A (or Ā = exp(Δ A)) in the complex plane, beside
the families that they may have started from,

    S4D-Lin -1/2 + iπn,   S4D-Inv -1/2 + i N/π (N / (2n + 1) - 1),   S4D-LegS (normal part of HiPPO),   real -(n + 1);

of Mamba2, whose heads have one rate each, 1, 2, … over heads.

Drift of a mode: its distance from its own in the family that is nearest, matched one to one and up to conjugation, as
neither changes the kernel. A mode halves in ln 2 / (-Δ Re A) steps and is stable where Re A < 0, which is |Ā| < 1.
Without a state space the poles are those of the best linear recurrence from token to token.

Of a selective scan (Mamba) Δ depends on the input: it is captured at run time where the network can be run, and modes
stand at their geometric mean over tokens, exp(mean Δ A).

Interval: none of weights, which are no sample; at run time Student's t over samples; of a fit jackknife over groups of
samples. Null: modes as they start,
with the same Δ; of a fit tokens in random order.

When it lies: the family is guessed from the modes; of Mamba's weights alone Δ is that of an input of 0; a
recurrence fitted to rows is no part of the network, and eight components are all it sees; a pole that B or C leave out
counts as any other.

Cost: reading the weights, and an assignment of N modes for each channel; a fit O(rows d²).

References: A. Gu, A. Gupta, K. Goel & C. Ré (2022), "On the parameterization and initialization of diagonal state space
models"; P. Schmid (2010), "Dynamic mode decomposition".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.results import Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers import ssm
from analysis.tokens.mixers.pole_plane import CONTINUOUS, DISCRETE, DRIFT, modes_in_plane, plane_guides
from analysis.tokens.mixers.reading import Mixers
from analysis.tokens.mixers.run_time import (
    CAPTURED,
    SAMPLES_HELP,
    STEPS_HELP,
    WEIGHTS,
    averaged,
    mean_steps,
    over_samples,
    run_time_notes,
    scans_at_run_time,
)
from analysis.tokens.mixers.state_spaces import Spaces, largest, slowest, start_of, state_spaces

MOST = 4000  # modes that are drawn
ROUNDING = 1e-6  # of weights in single precision
STILL = 1e-3  # of a mode that has not moved, as far as float32 weights tell


@dataclass(frozen=True)
class SsmPolesParams:
    plane: str = param(DISCRETE, "Which eigenvalues are drawn.", choices=(DISCRETE, CONTINUOUS))
    steps: str = param(CAPTURED, STEPS_HELP, choices=(CAPTURED, WEIGHTS))
    maximum_samples: int = param(16, SAMPLES_HELP, low=2, high=1000)
    draws: int = param(
        20, "Random orders of the tokens, where a recurrence is fitted.", low=5, high=500, late=True
    )


def ssm_poles(
    activations, params: SsmPolesParams = SsmPolesParams(), rng=None, progress=no_progress
) -> Scatter:
    """Eigenvalues of state spaces beside where they start.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a checkpoint with state spaces; of others a recurrence is fitted to its rows.

    Returns
    -------
    Scatter
        A point for each mode with its half-life, size and drift. Estimates: size of the slowest mode, half-life, drift.

    Raises
    ------
    InputError, NotEnoughData
        Keys of a state space that do not fit each other; rows that never change; fewer than two samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    scans = scans_at_run_time(tap, params, rng)
    if scans is None:
        found = state_spaces(tap, params.draws, rng, progress)
        told = _estimates(found)
    else:
        found, told = _at_run_time(scans, progress)
    progress(1.0, "done")
    parts = [modes_in_plane(s, params.plane) for s in found.spaces]
    columns = {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}
    place = columns.pop("place")
    some = np.unique(np.linspace(0, len(place) - 1, min(len(place), MOST)).round().astype(int))
    return Scatter(
        title=f"Poles {found.what if scans is None else f'of {scans.what}, at the mean Δ of samples'}",
        positions=np.column_stack([place.real, place.imag])[some],
        rows=np.arange(len(some)), of="modes", axes=("real part", "imaginary part"),
        columns={k: v[some] for k, v in columns.items()}, colour="half-life (steps)",
        guides=plane_guides(found, params.plane), estimates=told, reading=_reading(found, told),
        caveats=(*found.notes, *_caveats(found, len(place), len(some))),
    )  # fmt: skip


def _at_run_time(scans: Mixers, progress) -> tuple[Spaces, tuple]:
    """Spaces at the mean Δ of all samples, and numbers over samples."""
    own, begun = mean_steps(scans, progress)
    spaces = averaged(own)
    notes = run_time_notes(scans, max(len(s.a) for s in spaces), "drawn")
    said = "Each mode is drawn at its geometric mean over tokens, exp(mean Δ A): at a token it is where Δ puts it."
    found = Spaces(spaces, (*notes, said), scans.units)

    def each(number, of):
        return np.array([np.concatenate([number(s) for s in one]).mean() for one in of])

    told = [over_samples(name, each(number, own), each(number, begun), scans.units, unit, 0.0)
            for name, number, unit in (("size of the slowest mode", largest, ""),
                                       ("half-life of the slowest mode", slowest, "steps"))]  # fmt: skip
    return found, (*told, found.estimate(DRIFT, _drift))


def _drift(space: ssm.StateSpace) -> np.ndarray:
    far = ssm.nearest_start(space.a)[1].mean(axis=1)
    return np.where(far < ROUNDING * np.abs(space.a).max(), 0.0, far)


def _estimates(found: Spaces) -> tuple:
    told = [
        found.estimate("size of the slowest mode", largest),
        found.estimate("half-life of the slowest mode", slowest, unit="steps"),
    ]
    if not found.fitted:
        told.append(replace(found.estimate(DRIFT, _drift), rounding=STILL))
    return tuple(told)


def _reading(found: Spaces, told) -> str:
    count = sum(s.a.size for s in found.spaces)
    unstable = sum(int((s.a.real >= 0).sum()) for s in found.spaces)
    said = (
        f"{count:,} modes, {unstable:,} of them not stable; the slowest of a channel halves in {told[1].value:.3g} "
        f"steps ({told[1].null_method}: {told[1].null:.3g})"
    )  # fmt: skip
    if found.fitted:
        return f"{said}."
    family, drift = start_of(found.spaces[0])[0], told[2].value
    moved = f"{drift:.3g} from" if drift >= STILL else "still"
    return f"{said}; modes lie {moved} where the family '{family}' starts."


def _caveats(found: Spaces, total: int, shown: int) -> list[str]:
    said = [f"{shown:,} of {total:,} modes are drawn."] if shown < total else []
    if not found.fitted:
        said.append(
            "The family is the one whose modes lie nearest; a checkpoint does not say where it started."
        )
        said += ["Of each conjugate pair the one that is kept is drawn."] * any(
            s.halved for s in found.spaces
        )
    return said


def _cost(shapes, params: SsmPolesParams) -> Cost:
    (n, k), m = shapes[0], machine()
    rows = min(n, 4096)
    held = 26.0 * rows * k + 9.0 * 17 * rows + 17.0 * k * k + 6e4
    passes = min(n, params.maximum_samples) if params.steps == CAPTURED else 0
    return Cost(0.05 + m.seconds(flops64=2.0 * rows * k * k + 9.0 * k**3, moved=8.0 * n * k), held, passes)


def _check() -> tuple[CheckLine, ...]:
    """Tokens that turn and shrink by known factors; and modes that are where S4D-Lin starts."""
    rng = np.random.default_rng(0)
    turn = 0.9 * np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]])
    x = np.empty((40, 12, 2))
    x[:, 0] = rng.standard_normal((40, 2))
    x[20:, 0] = -x[:20, 0]  # so that the mean of every token is 0
    for t in range(1, 12):
        x[:, t] = x[:, t - 1] @ turn.T
    tap = ArrayActivations(x.reshape(480, 2), name="planted", layout=Layout(np.arange(0, 481, 12)))
    found = ssm_poles(tap, SsmPolesParams(draws=5))
    start = ssm.started(ssm.LIN, 6)[None]
    moved = ssm.nearest_start(start + 0.1)
    return (
        CheckLine("size of the planted pole", 0.9, found.estimates[0].value, 1e-6),
        CheckLine("its angle", 0.5, float(np.abs(np.angle(found.positions @ [1, 1j])).max()), 1e-6),
        CheckLine("its half-life", np.log(2) / -np.log(0.9), found.estimates[1].value, 1e-4),
        CheckLine("modes moved by 0.1 from S4D-Lin", 0.1, float(moved[1].mean()), 1e-9),
        CheckLine("S4D-Inv, 4 pairs: highest", 56 / np.pi, float(ssm.started(ssm.INV, 4).imag.max()), 1e-9),
        CheckLine("first of the real ones", -1.0, float(ssm.started(ssm.REAL, 4).real.max()), 0.0),
        CheckLine("real parts of S4D-LegS", -0.5, float(ssm.started(ssm.LEGS, 8).real.min()), 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="ssm_poles",
        family="tokens",
        network="scans",
        title="Poles of state spaces",
        summary="Eigenvalues of state-space layers in the plane, beside where they start and how far they moved.",
        version=5,
        function=ssm_poles,
        params=SsmPolesParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=4,
        invariance="the order of modes, conjugation of a pair; of a fit rotations and the scale of the units",
        papers=("On the Parameterization and Initialization of Diagonal State Space Models",),
        libraries=("torch", "transformers"),
    ),
)
