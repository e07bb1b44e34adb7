"""Which way does each head look? Mean offset of what queries read, by head, and its locality against a learned gate.

    offset     (1/N) Σ_i Σ_j A_ij (p_j - p_i)       rows and columns of patches, or places along a text
    distance   (1/N) Σ_i Σ_j A_ij |p_j - p_i|       how far, whichever way

A head that looks one patch to the right has offset (0, 1) away from the border; one that looks all around itself, or at
nothing in particular, has none, however far it looks. Where the checkpoint has a gate for each head between content and
place (σ(λ) of ConViT: a tensor called gating_param in each layer), heads can be drawn by gate and distance instead.

Interval: Student's t over samples, of each head's offset along each axis. Null: reading all that may be read alike,
exactly: 0 on a grid by symmetry, (T - 1) / 4 back in a text. A head leaves it at 5 % false discoveries over heads
(paired t over samples, the larger of two axes with Bonferroni).

When it lies: at a border every head looks inwards, which pulls all means towards 0; opposite looks of different queries
cancel; of a text all heads look back, and only how far tells; tokens without a place (class tokens, registers) are left
out, and rows are made whole without them; a gate says what was learned to weigh, not what is paid.

Cost: one pass of each sample, then samples x heads x T².

Reference: S. d'Ascoli et al. (2021), "ConViT: improving vision transformers with soft convolutional inductive biases".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotFound
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.attention.heads import HeadReader, heads_of, planted
from analysis.tokens.attention.locality_gates import gates_of
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.tap_dump import RUN

OPENING, LEVEL, LISTED = 4.0, 0.05, 24
OFFSETS, GATES = "which way heads look", "distance against the gate"
DOWN, ACROSS, FAR, LAYER, HEAD, SURE = "down", "across", "distance", "layer", "head", "beyond even reading"


@dataclass(frozen=True)
class HeadOffsetsParams:
    show: str = param(
        OFFSETS, "What heads are drawn by; without gates always their offsets.", choices=(OFFSETS, GATES)
    )
    maximum_samples: int = param(16, "Most samples; a seeded random subset above.", low=2, high=2000)
    source: str = param(
        AUTOMATIC, "Whose heads: the network's, or one on the recorded rows.", choices=SOURCES, late=True
    )


def head_offsets(
    activations, params: HeadOffsetsParams = HeadOffsetsParams(), rng=None, progress=no_progress
) -> Scatter:
    """Heads by their mean offset.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; other rows are queries and keys of one head.

    Returns
    -------
    Scatter
        A point for each head: offset across and down, or gate and distance. Estimates: offsets of the heads that look
        farthest to one side.

    Raises
    ------
    NotFound, NotEnoughData
        No token with a place; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    reader = heads_of(tap, params.maximum_samples, rng, params.source, progress)
    found = offsets(reader, lambda f: progress(0.4 + 0.55 * f, "measuring offsets"))
    gates, said = gates_of(tap, reader)
    progress(1.0, "done")
    return _scatter(reader, found, gates, said, params)


def offsets(reader: HeadReader, told=lambda f: None) -> np.ndarray:
    """(L, H, n, 2, 3) mean offset down, across and distance of each head and sample, and of even reading.

    Raises NotFound: no sample has two tokens with places.
    """
    out = np.full((reader.layers, reader.heads, reader.n, 2, 3), np.nan)
    for b in range(reader.n):
        told(b / reader.n)
        at, place = places_of(reader, b)
        if len(at) < 2:
            continue
        apart = place[None] - place[:, None]  # (query, key, 2)
        both = np.concatenate([apart, np.linalg.norm(apart, axis=2, keepdims=True)], axis=2)
        may = np.tri(len(at)) if reader.layout.causal else np.ones((len(at), len(at)))
        even = np.einsum("ij,ijc->c", may / may.sum(axis=1, keepdims=True), both) / len(at)
        for layer in range(reader.layers):
            for head in range(reader.heads):
                rows = reader.rows(layer, head)[b][np.ix_(at, at)]
                whole = rows.sum(axis=1, keepdims=True)
                rows = np.where(whole > 1e-12, rows / np.where(whole > 1e-12, whole, 1.0), 0.0)
                out[layer, head, b] = np.einsum("ij,ijc->c", rows, both) / len(at), even
    if not np.isfinite(out).any():
        raise NotFound(
            "a sample with two tokens that have places", "patches or words", "Choose a tap with tokens"
        )
    return out[:, :, np.isfinite(out[0, 0, :, 0, 0])]


def places_of(reader: HeadReader, b: int) -> tuple[np.ndarray, np.ndarray]:
    """(tokens that lie somewhere, (t, 2) rows and columns of these); of a text words lie across."""
    cell, there = reader.layout.cell[b], reader.layout.present[b]
    if reader.layout.grid is None:
        at = np.flatnonzero(there)[int(reader.mean_first) :]
        return at, np.stack([np.zeros(len(at)), np.arange(len(at), dtype=float)], axis=1)
    at = np.flatnonzero(there & (cell >= 0))
    return at, np.stack(np.divmod(cell[at], reader.layout.grid[1]), axis=1).astype(float)


def _scatter(reader, found: np.ndarray, gates, said, params) -> Scatter:
    layers, heads, n = found.shape[:3]
    value, even = found[:, :, :, 0].mean(axis=2).reshape(-1, 3), found[0, 0, :, 1].mean(axis=0)
    sure = beyond(found.reshape(-1, n, 2, 3))
    names = [f"layer {i + 1}, head {h + 1}" for i in range(layers) for h in range(heads)]
    columns = {LAYER: np.repeat(np.arange(1, layers + 1), heads), HEAD: np.tile(np.arange(1, heads + 1), layers),
               DOWN: value[:, 0], ACROSS: value[:, 1], FAR: value[:, 2], SURE: np.where(sure, "yes", "no")}  # fmt: skip
    by_gate = params.show == GATES and gates is not None
    shown = np.arange(len(value))
    place, axes = value[:, [1, 0]] * [1.0, -1.0], ("offset across (cells)", "offset up (cells)")
    if reader.layout.grid is None:
        place, axes = value[:, [1, 2]], ("offset along the text (tokens)", "distance (tokens)")
    if gates is not None:
        columns["gate"] = np.nan_to_num(gates.reshape(-1), nan=-1.0)
    if by_gate:
        shown = np.flatnonzero(np.isfinite(gates.reshape(-1)))
        place, axes = (
            np.stack([gates.reshape(-1), value[:, 2]], axis=1),
            ("gate σ(λ), towards place", "distance (cells)"),
        )
    wanted = params.show == GATES and gates is None
    return Scatter(
        title=f"Which way heads look, {reader.what}" if not by_gate else f"Distance and gate of heads, {reader.what}",
        positions=place[shown], rows=shown, of="heads", axes=axes, columns={k: v[shown] for k, v in columns.items()},
        colour=LAYER, guides={} if by_gate else {"all alike": _cross(place, even, reader.layout.grid is None)},
        estimates=_estimates(found, names, value, even), reading=_reading(names, value, sure, even),
        caveats=(*reader.notes, *said, f"Means over {n} samples; tokens without a place are left out.",
                 *(["The checkpoint has no gates: heads are drawn by their offsets."] if wanted else [])),
    )  # fmt: skip


def _cross(place: np.ndarray, even: np.ndarray, along_text: bool) -> np.ndarray:
    """(5, 2) lines through what even reading gives, as wide as the heads are spread."""
    x, y = even[[1, 2]] if along_text else even[[1, 0]] * [1.0, -1.0]
    across, up = np.abs(place - [x, y]).max(axis=0)
    return np.array([[x - across, y], [x + across, y], [x, y], [x, y - up], [x, y + up]])


def beyond(found: np.ndarray) -> np.ndarray:
    """(heads,) whose offset of either axis (heads, n, own or even, 3) differs from even reading."""
    apart, n = (found[:, :, 0] - found[:, :, 1])[..., :2], found.shape[1]
    if n < 2:
        return np.zeros(len(found), bool)
    error = apart.std(axis=1, ddof=1) / np.sqrt(n)
    t = np.abs(apart.mean(axis=1)) / np.where(error > 1e-12, error, np.inf)
    p = np.minimum(2 * stdtr(n - 1, -t).min(axis=1) * 2, 1.0)
    return benjamini_hochberg(p) <= LEVEL


def _estimates(found, names, value, even) -> tuple[Estimate, ...]:
    flat, far = found.reshape(-1, *found.shape[2:]), np.linalg.norm(value[:, :2] - even[:2], axis=1)
    out = []
    for h in np.argsort(-far, kind="stable")[: LISTED // 2]:
        for i, axis in enumerate((DOWN, ACROSS)):
            x = flat[h, :, 0, i]
            if np.abs(x).max() > 0 or i == 1:
                null = float(flat[h, :, 1, i].mean())
                out.append(Estimate(f"offset {axis}, {names[h]}", float(x.mean()), **mean_interval(x), null=null,
                                    null_method="all that may be read, alike", n=len(x), d=len(names), unit="cells",
                                    estimator="mean over queries and samples"))  # fmt: skip
    return tuple(out)


def _reading(names, value, sure, even) -> str:
    far = np.linalg.norm(value[:, :2] - even[:2], axis=1)
    h = int(far.argmax())
    return (
        f"{int(sure.sum())} of {len(names)} heads look to one side beyond even reading. Farthest does {names[h]}: "
        f"{value[h, 0]:+.2f} cells down and {value[h, 1]:+.2f} across (all alike: {even[0]:+.2f} and {even[1]:+.2f}), "
        f"at a distance of {value[h, 2]:.2f} on average."
    )


def _cost(shapes, params: HeadOffsetsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 1), params.maximum_samples)
    rows = samples * (RUN + 1)
    held = 8.0 * rows * (4.0 * d + 6.0 * RUN) + 1e5
    passes = min(n, params.maximum_samples)
    return Cost(
        OPENING + m.seconds(moved=8.0 * n * d + held, calls=80.0 * samples) + 2e-3 * passes, held, passes
    )


def _check() -> tuple[CheckLine, ...]:
    """Each patch of a ring of columns reads its right neighbour: one across, none down. Alike: no offset on a grid, and
    in a text of T words (T - 1) / 4 back."""
    t, side = 36, 6
    key = np.eye(t)
    right = np.roll(key, -1, axis=0)  # query i is key i + 1, row by row
    right[side - 1 :: side] = key[side - 1 :: side]  # at the border it reads itself
    q, k = (np.broadcast_to(x, (2, t, t)) for x in (right, key))
    look = offsets(planted(q, k, grid=(side, side), scale=500.0))[0, 0, 0, 0]
    even = offsets(planted(0 * q, 0 * k, grid=(side, side)))[0, 0, 0]
    text = offsets(planted(0 * q, 0 * k, causal=True))[0, 0, 0, 0]
    return (
        CheckLine("reads its right neighbour: across", 5 / 6, float(look[1]), 1e-9),
        CheckLine("and down", 0.0, float(look[0]), 1e-9),
        CheckLine("its distance", 5 / 6, float(look[2]), 1e-9),
        CheckLine("all alike: no offset", 0.0, float(np.abs(even[:, :2]).max()), 1e-12),
        CheckLine("words read alike: back", -(t - 1) / 4, float(text[1]), 1e-9),
    )


METHODS = (
    Method(
        id="head_offsets", family="tokens", network="attention", title="Which way heads look", version=2,
        function=head_offsets,
        summary="Mean offset of what each head reads, on the grid or along the text, and distance against a gate.",
        params=HeadOffsetsParams, result=Scatter, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of samples; one constant added to all scores of a query",
        papers=("ConViT: Improving Vision Transformers with Soft Convolutional Inductive Biases",),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
