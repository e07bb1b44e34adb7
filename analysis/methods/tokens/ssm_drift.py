"""How far did training move the modes of a state space, checkpoint by checkpoint, and was it one way?

    drift of a mode     |A_n(t) - A_n(0)|,  from the first checkpoint or from the family that lies nearest to it
    straightness        Σ |A_n(T) - A_n(0)| / Σ_t |A_n(t + 1) - A_n(t)|:  1 for modes that go one way

    S4D-Lin -1/2 + iπn,   S4D-Inv -1/2 + i N/π (N / (2n + 1) - 1),   S4D-LegS (normal part of HiPPO),   real -(n + 1)

Neither the order of modes nor which of a conjugate pair is kept changes the kernel: modes are folded onto Im >= 0 and
followed from checkpoint to checkpoint, one to one with the least total distance, before anything is compared. Without a
state space the modes are poles of the linear recurrence that the rows of each checkpoint follow best, in the plane of
one step.

Interval: none of weights, which are no sample; of a fit jackknife over groups of samples, the same in all checkpoints.
Null: the same steps into random directions; of a fit tokens in random order, the same order in all checkpoints.

When it lies: modes that cross between two checkpoints are taken for each other, which makes drift too small: denser
checkpoints help; the family is guessed from the first checkpoint, and a checkpoint taken late is no start; a fast mode
moves far without a change that anybody hears, since |A| is in 1 / time: half-lives tell what it means; Δ moves, too.

Cost: reading the weights, and an assignment of N modes for each channel and checkpoint; a fit O(rows d²) for each.

Reference: A. Gu, A. Gupta, K. Goel & C. Ré (2022), "On the parameterization and initialization of diagonal state space
models".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.checkpoint_steps import checkpoint_steps
from analysis.compute.rows.tap_names import checkpoint_names
from analysis.errors import InputError, NotFound
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.mixers import ssm
from analysis.tokens.mixers.drift_fitted import FIRST, fitted_drift
from analysis.tokens.mixers.drift_told import drift_estimates, drift_reading
from analysis.tokens.mixers.mode_paths import Paths, paths_of, random_walk
from analysis.tokens.mixers.state_spaces import Spaces, state_spaces
from analysis.tokens.own_layer import layer_of_tap, named_layer

FAMILY = "the family that it started from"
LAYERS, MODES = "mean of each layer", "each mode of a layer"
SHOWN = 12  # lines


@dataclass(frozen=True)
class SsmDriftParams:
    since: str = param(FIRST, "What drift is measured from.", choices=(FIRST, FAMILY))
    show: str = param(LAYERS, "What has a line of its own.", choices=(LAYERS, MODES))
    layer: int | None = param(
        None, "Whose modes, from 1; automatic: the tap's, else the last.", low=1, high=999
    )
    steps: str = param("", "Training steps, separated by commas; empty: read from the names, or 1, 2, …")
    draws: int = param(20, "Draws of the null.", low=5, high=500, late=True)


def ssm_drift(*taps, params: SsmDriftParams = SsmDriftParams(), rng=None, progress=no_progress) -> Curve:
    """Drift of modes along a series of checkpoints.

    Parameters
    ----------
    *taps : two or more Activations or arrays (rows, units)
        Taps of the checkpoints in their order (any taps of networks with state spaces); of others a recurrence is
        fitted to the rows of each.

    Returns
    -------
    Curve
        x = training step, a line for each layer (mean over modes and channels) or mode (mean over channels), in
        1 / time. Estimates: drift at the end, straightness, the decaying share of the drift, and half-lives.

    Raises
    ------
    InputError, ShapeError, ParameterError, NotFound, NotEnoughData
        State spaces in some checkpoints only, or of other sizes; steps that do not rise; no such layer; rows that never
        change; fewer than two samples.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    names = checkpoint_names([t.name for t in taps])
    steps, numbered = checkpoint_steps(params.steps, names)
    seed, found = int(rng.integers(2**31)), []
    for i, tap in enumerate(taps):
        progress(0.8 * i / len(taps), f"reading {names[i]}")
        part = lambda f, doing="", i=i: progress((i + f) * 0.8 / len(taps), doing)  # noqa: E731
        found.append(
            state_spaces(tap, params.draws, np.random.default_rng(seed), part)
        )  # the same samples of all
    axis = {"x": steps, "x_name": "training step" if numbered else "checkpoint",
            "x_labels": () if numbered else names, "log_x": bool(numbered and (steps > 0).all())}  # fmt: skip
    said = [note for one in found for note in one.notes]
    if any(one.fitted for one in found):
        _refuse_mixed(found, names)
        progress(0.9, "following poles")
        made = fitted_drift(found, names)
        said += _aside(params)
    else:
        progress(0.8, "following modes")
        every, more = _common(found, names)
        said += more
        own = layer_of_tap(taps[-1], [p.name for p in every]) if params.show == MODES else None
        made = _of_weights(every, own, names, params, rng)
    progress(1.0, "done")
    return Curve(**axis, **made | {"caveats": (*dict.fromkeys(said), *made["caveats"])})


def _refuse_mixed(found: list[Spaces], names) -> None:
    without = [name for name, one in zip(names, found, strict=True) if one.fitted]
    if len(without) < len(found):
        raise InputError(
            f"no state space is known of {', '.join(without)}, of the other checkpoints there are some",
            "checkpoints of one network",
        )


def _common(found: list[Spaces], names) -> tuple[list[Paths], list[str]]:
    """Layers that every checkpoint has."""
    by_name = [{s.name: s for s in one.spaces} for one in found]
    kept = [name for name in by_name[0] if all(name in one for one in by_name)]
    if not kept:
        raise InputError("no state space has the same name in all checkpoints", "checkpoints of one network")
    left = len({name for one in by_name for name in one}) - len(kept)
    said = [f"{left} state space(s) that are not in every checkpoint left out."] if left else []
    return [paths_of([one[name] for one in by_name], names) for name in kept], said


# ---------------------------------------------------------------------------- of weights
def _of_weights(every: list[Paths], own: int | None, names, params, rng) -> dict:
    origin = [p.begun if params.since == FAMILY else p.at[0] for p in every]
    far = [np.abs(p.at - o) for p, o in zip(every, origin, strict=True)]
    chance = [random_walk(p.at, o, params.draws, rng) for p, o in zip(every, origin, strict=True)]
    if params.show == MODES:
        layer = named_layer(params.layer, own, len(every))
        if layer >= len(every):
            raise NotFound(f"layer {layer + 1}", f"1 to {len(every)}")
        modes = far[layer].shape[2]
        some = np.unique(np.linspace(0, modes - 1, min(modes, SHOWN)).round().astype(int))
        series = {f"mode {n}": far[layer][:, :, n].mean(axis=1) for n in some}
        null = {f"mode {n}": chance[layer][:, :, :, n].mean(axis=(0, 2)) for n in some}
        left, of, total = modes - len(some), f", modes of {every[layer].name}", "modes"
    else:
        some = np.unique(np.linspace(0, len(every) - 1, min(len(every), SHOWN)).round().astype(int))
        series = {every[i].name: far[i].mean(axis=(1, 2)) for i in some}
        null = {every[i].name: chance[i].mean(axis=(0, 2, 3)) for i in some}
        left, of, total = len(every) - len(some), "", "layers"
    told = drift_estimates(every, far, chance, names, params.since, rng, params.draws)
    said = ["Modes are matched one to one from each checkpoint to the next, pairs folded."]
    if left:
        said.append(f"{len(series)} of {left + len(series)} {total} are drawn; numbers are of all.")
    if params.since == FAMILY:
        families = ", ".join(dict.fromkeys(p.family for p in every))
        said.append(f"Nearest to {names[0]} is {families}: the checkpoint does not say where it began.")
    return {
        "title": f"Drift of modes from {names[0]} to {names[-1]}{of}", "series": series, "null": null,
        "y_name": "drift of modes (1 / time)", "estimates": told,
        "reading": drift_reading(told, names, params.since), "caveats": tuple(said),
    }  # fmt: skip


def _aside(params) -> list[str]:
    """What was asked for that a fit does not have."""
    asked = [what for what, said in (("lines of single modes", params.show == MODES), ("a layer", params.layer))
             if said]  # fmt: skip
    return [f"A fit has no layers: {' and '.join(asked)} asked for are left aside."] if asked else []


def _cost(shapes, params: SsmDriftParams) -> Cost:
    m, seconds, held = machine(), 0.05, 0.0
    for n, k in shapes:
        rows = min(n, 4096)
        seconds += m.seconds(flops64=2.0 * rows * k * k + 9.0 * k**3, moved=8.0 * n * k)
        held = max(held, 26.0 * rows * k + 9.0 * 17 * rows + 17.0 * k * k + 6e4)
    return Cost(seconds, held)


def planted(shift: complex, order=None, channels: int = 3, modes: int = 6, name: str = "s") -> ssm.StateSpace:
    """S4D-Lin moved by `shift`, its modes in another order."""
    a = np.tile(ssm.started(ssm.LIN, modes) + shift, (channels, 1))
    a = a if order is None else a[:, order]
    one = np.ones_like(a)
    return ssm.StateSpace(name, a, one, one, np.full(channels, 0.1), np.zeros(channels))


def _check() -> tuple[CheckLine, ...]:
    """Modes of S4D-Lin moved one way by known distances, stored in another order and as the other of a pair; poles of
    rows that turn by known angles."""
    rng = np.random.default_rng(0)
    order = rng.permutation(6)
    series = [planted(0), planted(0.1, order), planted(0.3, order[::-1])]
    series[2] = ssm.StateSpace("s", series[2].a.conj(), *(series[2].b,) * 2, series[2].step, series[2].skip)
    paths = paths_of(series, "abc")
    made = _of_weights([paths], None, "abc", SsmDriftParams(), rng)
    by = {e.name: e.value for e in made["estimates"]}
    back = _of_weights(
        [paths_of([planted(0), planted(0.2), planted(0)], "abc")], None, "abc", SsmDriftParams(), rng
    )
    other = _of_weights(
        [paths_of([planted(0.1), planted(0.3)], "ab")], None, "ab", SsmDriftParams(since=FAMILY), rng
    )
    taps = [_turning(angle) for angle in (0.5, 0.7)]
    fit = ssm_drift(*taps, params=SsmDriftParams(draws=5))
    return (
        CheckLine("moved by 0.1", 0.1, float(made["series"]["s"][1]), 1e-9),
        CheckLine("and by 0.3", 0.3, float(made["series"]["s"][2]), 1e-9),
        CheckLine("one way: straight", 1.0, by["straightness of the paths"], 1e-9),
        CheckLine("all of it is of decay", 1.0, by["share of the drift that is of decay"], 1e-9),
        CheckLine("there and back: drift", 0.0, float(back["series"]["s"][2]), 1e-9),
        CheckLine("from the family", 0.3, float(other["series"]["s"][1]), 1e-9),
        CheckLine("half-life of -0.2 at Δ = 0.1", np.log(2) / 0.02, by["half-life of the slowest mode at c"], 1e-9),
        CheckLine("poles turned by 0.2", 2 * 0.9 * np.sin(0.1), fit.estimates[0].value, 1e-6),
    )  # fmt: skip


def _turning(angle: float) -> ArrayActivations:
    turn = 0.9 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    x = np.empty((40, 12, 2))
    x[:, 0] = np.random.default_rng(0).standard_normal((40, 2))
    x[20:, 0] = -x[:20, 0]  # so that the mean of every token is 0
    for t in range(1, 12):
        x[:, t] = x[:, t - 1] @ turn.T
    return ArrayActivations(x.reshape(480, 2), name=f"turned {angle:g}", layout=Layout(np.arange(0, 481, 12)))


METHODS = (
    Method(
        id="ssm_drift", family="tokens", title="Drift of state-space modes over training", version=2,
        function=ssm_drift,
        summary="How far modes moved from where they began, checkpoint by checkpoint, and whether it was one way.",
        params=SsmDriftParams, result=Curve, check=_check, cost=_cost, inputs=2, more_inputs=True,
        matches="nothing", checkpoints=True, most_inputs=64, minimum_rows=4,
        invariance="the order of modes, conjugation of a pair, channels of all checkpoints in another order; of a fit "
        "rotations and the scale of the units",
        papers=("On the Parameterization and Initialization of Diagonal State Space Models",),
    ),
)  # fmt: skip
