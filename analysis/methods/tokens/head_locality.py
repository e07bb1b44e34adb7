"""How local is each head while the network is trained, over depth, and does its gate tell?

    D = (1/N) Σ_i Σ_j A_ij |p_i - p_j|        non-locality of a head, in patches; 0 where every patch reads itself

of every head of every checkpoint of a series: over training steps, over layers, or against the learned gate σ(λ)
between content and place (ConViT: a tensor called gating_param in each layer). Lines join the same head of successive
checkpoints. Attention is that of the network where it can be run, or of a dump with taps of attention.

Interval: Student's t over samples; changes are paired where checkpoints show the same samples. Null: reading all that
may be read alike (7.281 on 14 x 14 patches, 3.609 on 7 x 7); of a rank correlation heads in another order.

When it lies: D does not tell near from uniform where a head splits its reading between itself and far places; near the
border everything is farther; tokens without a place (class tokens, registers) are left out, and rows are made whole
without them; heads are taken for the same by their number, which holds along one training, not between two; a gate says
what was learned to weigh, not what is paid; heads of one network are no independent draws.

Cost: one pass of each sample and checkpoint, then samples x heads x T².

Reference: S. d'Ascoli et al. (2021), "ConViT: improving vision transformers with soft convolutional inductive biases".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.checkpoint_steps import checkpoint_steps
from analysis.compute.rows.tap_names import checkpoint_names
from analysis.errors import ShapeError
from analysis.methods.tokens.head_offsets import offsets
from analysis.results import Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.heads import heads_of, planted
from analysis.tokens.attention.locality_gates import gates_of
from analysis.tokens.attention.locality_series import Series, locality_estimates, locality_reading
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

TRAINING, DEPTH, GATE = "over training", "over depth", "against the gate"
OPENING = 4.0


@dataclass(frozen=True)
class HeadLocalityParams:
    show: str = param(
        TRAINING,
        "What distances stand over; without gates never these.",
        label="distances",
        choices=(TRAINING, DEPTH, GATE),
    )
    steps: str = param("", "Training steps, separated by commas; empty: read from the names, or 1, 2, …")
    maximum_samples: int = param(16, "Most samples; a seeded random subset above.", low=2, high=2000)
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def head_locality(
    *taps, params: HeadLocalityParams = HeadLocalityParams(), rng=None, progress=no_progress
) -> Scatter:
    """Non-locality of heads along a series of checkpoints.

    Parameters
    ----------
    *taps : two or more Activations or arrays (rows, units)
        The same tap of the checkpoints in their order: of transformers that can be run, or of dumps with attention;
        other rows are queries and keys of one head.

    Returns
    -------
    Scatter
        A point for each head and checkpoint. Estimates: mean distance at the first and last checkpoint, its change, the
        share of heads that became more local, and its rank correlation with the gate.

    Raises
    ------
    NotFound, NotEnoughData, ShapeError, ParameterError
        No token with a place; fewer than two samples of two tokens; checkpoints with other heads; steps that do not
        rise.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    names = checkpoint_names([t.name for t in taps])
    steps, numbered = checkpoint_steps(params.steps, names)
    found = series_of(taps, names, params, int(rng.integers(2**31)), progress)
    progress(1.0, "done")
    return _scatter(found, names, steps, numbered, params)


def series_of(taps, names, params, seed: int, progress=no_progress) -> Series:
    """Every checkpoint on the same samples, as far as they have them."""
    far, even, gates, samples, notes = [], [], [], [], []
    for i, tap in enumerate(taps):
        part = lambda f, doing="", i=i: progress(min((i + f) / len(taps), 1.0), doing)  # noqa: E731
        part(0.0, f"reading {names[i]}")
        reader = heads_of(tap, params.maximum_samples, np.random.default_rng(seed), params.source,
                          lambda f, doing="", part=part: part(0.9 * f, doing))  # fmt: skip
        each = offsets(reader, lambda f, part=part: part(0.4 + 0.5 * f, "measuring distances"))[..., 2]
        if far and each.shape[:2] != far[0].shape[:2]:
            raise ShapeError(
                f"{each.shape[0]} layers of {each.shape[1]} heads in {names[i]}",
                f"{far[0].shape[0]} of {far[0].shape[1]}, as in {names[0]}: checkpoints of one network",
            )
        own, said = gates_of(tap, reader)
        far.append(each[..., 0])
        even.append(each[0, 0, :, 1])
        gates.append(own)
        samples.append(reader.samples)
        notes += [*reader.notes, *said]
    known = None if any(g is None for g in gates) else np.stack(gates)
    return Series(far, even, known, samples, tuple(dict.fromkeys(notes)))


def _scatter(found: Series, names, steps, numbered: bool, params) -> Scatter:
    value = found.mean
    at, layer, head = (i.reshape(-1) for i in np.indices(value.shape))
    gate = None if found.gates is None else found.gates.reshape(-1)
    shown, x, name, joined = (
        np.arange(value.size),
        steps[at],
        "training step" if numbered else "checkpoint",
        True,
    )
    if params.show == DEPTH:
        x, name, joined = layer + 1.0, "layer", False
    elif params.show == GATE and gate is not None:
        shown, x, name = np.flatnonzero(np.isfinite(gate)), gate, "gate σ(λ), towards place"
    columns = {
        "layer": layer + 1,
        "head": head + 1,
        "checkpoint": np.array(names)[at],
        "distance": value.reshape(-1),
    }
    if gate is not None:
        columns["gate"] = gate  # NaN of heads without one
    told = locality_estimates(found, names)
    return Scatter(
        title=f"Distance that heads read at, {names[0]} to {names[-1]}", rows=np.arange(len(shown)), of="heads",
        positions=np.column_stack([x, value.reshape(-1)])[shown], axes=(name, "distance (cells)"),
        columns={k: v[shown] for k, v in columns.items()}, colour="layer" if joined else "checkpoint",
        **(_same_heads(shown, value) if joined else {}), guides=_level(x[shown], found),
        estimates=told, reading=locality_reading(told, names), caveats=(*found.notes, *_caveats(found, joined, params)),
    )  # fmt: skip


def _same_heads(shown: np.ndarray, value: np.ndarray) -> dict:
    """Lines from each head to itself at the next checkpoint, between points of all that are `shown`."""
    heads, place = value[0].size, np.full(value.size, -1)
    place[shown] = np.arange(len(shown))
    here = np.arange(value.size - heads)
    edges = place[np.stack([here, here + heads], axis=1)]
    both = (edges >= 0).all(axis=1)
    change = np.abs(np.diff(value, axis=0)).reshape(-1)[both]
    return (
        {"edges": edges[both].astype(np.int32), "edge_values": change, "edge_name": "change"}
        if both.any()
        else {}
    )


def _level(x: np.ndarray, found: Series) -> dict[str, np.ndarray]:
    ends = np.array([x.min(), x.max()]) + (np.array([-0.5, 0.5]) if np.ptp(x) == 0 else 0.0)
    level = float(np.mean([e.mean() for e in found.even]))
    return {"all alike": np.column_stack([ends, [level, level]])}


def _caveats(found: Series, joined: bool, params) -> list[str]:
    said = [f"Means over {found.far[-1].shape[2]} samples; tokens without a place are left out."]
    if params.show == GATE and found.gates is None:
        said.append("Not every checkpoint has gates: heads are drawn over training.")
    if joined:
        said.append(
            "Lines join the same head of successive checkpoints, the darker the more its distance changed."
        )
    if not found.paired:
        said.append("Checkpoints show different samples: changes are not paired.")
    return said


def _cost(shapes, params: HeadLocalityParams) -> Cost:
    m, seconds, held, passes = machine(), 0.0, 0.0, 0
    for n, d in shapes:
        samples = min(max(n // RUN, 1), params.maximum_samples)
        rows = samples * (RUN + 1)
        one = 8.0 * rows * (4.0 * d + 6.0 * RUN) + 1e5
        seconds += OPENING + m.seconds(moved=8.0 * n * d + one, calls=80.0 * samples)
        held, passes = max(held, one), passes + min(n, params.maximum_samples)
    return Cost(seconds + 2e-3 * passes, held, passes)


def _check() -> tuple[CheckLine, ...]:
    """Each patch reads itself: 0. Alike on n x n patches: the values in closed form. One place to the right, away from
    the border: 1. Heads that go from alike to themselves become more local, all of them."""
    t = 14 * 14
    eye = np.broadcast_to(np.eye(t), (2, t, t))
    own = offsets(planted(eye, eye, grid=(14, 14), scale=500.0))[0, 0, 0, 0, 2]
    even = {n: offsets(planted(np.zeros((2, n * n, 1)), np.zeros((2, n * n, 1)), grid=(n, n)))[0, 0, 0, 0, 2]
            for n in (7, 14, 16)}  # fmt: skip
    small = np.broadcast_to(np.eye(49), (2, 49, 49))
    ends = [offsets(planted(small, small, grid=(7, 7), scale=s))[..., 2] for s in (0.0, 500.0)]
    falling, few, names = (
        np.array([4.0, 3, 2, 1]).reshape(1, 4, 1).repeat(2, axis=2),
        [np.arange(2)] * 2,
        ("a", "b"),
    )
    gates = np.linspace(0, 1, 4).reshape(1, 1, 4).repeat(2, axis=0)
    gated = locality_estimates(Series([falling] * 2, [np.ones(2)] * 2, gates, few, ()), names)
    moved = Series([e[..., 0] for e in ends], [e[0, 0, :, 1] for e in ends], None, few, ())
    made = locality_estimates(moved, names)
    return (
        CheckLine("every patch reads itself", 0.0, float(own), 1e-9),
        *(CheckLine(f"alike on {n} x {n}", known, float(even[n]), 5e-4)
          for n, known in ((7, 3.609), (14, 7.281), (16, 8.326))),
        CheckLine("from alike to itself: change", -3.609, made[2].value, 5e-4),
        CheckLine("and more local", 1.0, made[3].value, 0.0),
        CheckLine("distances that fall with the gate: ρ", -1.0, gated[-1].value, 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="head_locality", family="tokens", network="attention", title="Locality of heads over training", version=2,
        function=head_locality,
        summary="How far each head reads, checkpoint by checkpoint: over training, over depth, or against its gate.",
        params=HeadLocalityParams, result=Scatter, check=_check, cost=_cost, inputs=2, more_inputs=True,
        matches="nothing", checkpoints=True, most_inputs=32, minimum_rows=2 * RUN,
        invariance="the order of samples; one constant added to all scores of a query",
        papers=("ConViT: Improving Vision Transformers with Soft Convolutional Inductive Biases",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
