"""What did each checkpoint change? Tensors that stayed bit for bit, that moved, and that are new, along a series.

    identical: the same bits        moved: ‖W' - W‖ / ‖W‖        new: no tensor of this name and shape before

A network that grows layer by layer on a frozen substrate must keep the frozen tensors bit for bit; one that does not
was trained on, or saved in another precision. What the newest layer adds to the stream is asked of the last checkpoint
alone (`layer_contribution`). Tables of weights are compared column by column.

Told of the last step, too: the numbers in tensors that moved or are new over those of the checkpoint before, which is
the trainable share of an adapter beside its frozen base (where adapters are zero at the start, none of what the network
says has moved: ask for the displacement of its features).

Null: tensors trained apart share no bits: 0; all of a network trained: a share of 1. Interval: Wilson's,
with tensors as draws, which they are not: it tells how few tensors there are, not what another training would do.

When it lies: the same network under other names looks new; a permutation of hidden units is no change and looks like
one; a tensor that returns to an old value after a change is compared with the one just before.

Cost: every checkpoint is read once.

Reference: A. Bochkov (2025), "Growing transformers: modular composition and layer-wise expansion on a frozen
substrate"; "DVPT: dynamic visual prompt tuning of large pre-trained models for medical image analysis".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.arrays import finite_rows
from analysis.compute.machine import machine
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.sample_groups import share_interval
from analysis.errors import NotEnoughData
from analysis.results import Estimate, Table
from analysis.sources.unit_weights import is_table
from analysis.sources.weights import weights_of
from analysis.spec import CheckLine, Cost, Method, no_progress, param

IDENTICAL, NEW, GONE, MOVED_FROM_0 = "identical", "new", "gone", "moved from 0"
HELP = {
    "moved by": "‖W' - W‖ / ‖W‖ of the last step that changed it; 0: none did.",
    "entries": "Numbers in it.",
}
ALL, MOVED = "all", "those that are not identical"


@dataclass(frozen=True)
class GrowthTimelineParams:
    show: str = param(ALL, "Tensors that are listed.", choices=(ALL, MOVED))


@dataclass(frozen=True)
class Tensors:
    """`names` of one checkpoint; `read` gives the values of a name; notes."""

    names: tuple[str, ...]
    read: Callable[[str], np.ndarray]
    notes: tuple[str, ...] = ()


def growth_timeline(
    *taps, params: GrowthTimelineParams = GrowthTimelineParams(), rng=None, progress=no_progress
) -> Table:
    """Tensors along a series of checkpoints.

    Parameters
    ----------
    *taps : two or more Activations or arrays
        Taps of the checkpoints in their order (any taps), or tables of weights: a column per unit.

    Returns
    -------
    Table
        A row for each tensor: what became of it at each step, and how far it moved at the last that moved it.

    Raises
    ------
    InputError, NotFound, NotEnoughData
        No checkpoint, or another than was recorded; a table of fewer than two finite rows.
    """
    taps = [as_activations(t) for t in taps]
    names, series = tap_names([t.name for t in taps]), [_tensors(t) for t in taps]
    steps = [f"{a} → {b}" for a, b in pairwise(names)]
    every = list(dict.fromkeys(n for one in series for n in one.names))
    found = []
    for i, name in enumerate(every):
        progress(i / len(every), "comparing tensors")
        found.append(along(name, series))
    progress(1.0, "done")
    told = tuple(e for i, step in enumerate(steps) for e in _estimate(step, [f[0][i] for f in found]))
    told = (*told, *trained_share(steps[-1], found))
    shown = [k for k, f in enumerate(found) if params.show == ALL or set(f[0]) != {IDENTICAL}] or [0]
    columns = {
        "tensor": np.array([every[k] for k in shown]),
        "entries": np.array([found[k][2] for k in shown]),
    }
    columns |= {s: np.array([found[k][0][i] for k in shown]) for i, s in enumerate(steps)}
    columns["moved by"] = np.array([found[k][1] for k in shown])
    return Table(
        title=f"{len(every):,} tensors along {len(taps)} checkpoints", columns=columns, index="tensor",
        help=HELP,
        estimates=told, reading=_reading(found, steps, every),
        caveats=(*dict.fromkeys(n for one in series for n in one.notes),
                 "Tensors are matched by name and shape; a permutation of units counts as a change.",
                 "Intervals take tensors as draws."),
    )  # fmt: skip


def _tensors(tap) -> Tensors:
    if not is_table(tap):
        network = weights_of(tap)
        return Tensors(tuple(network.shapes), network.tensor)
    x = np.asarray(tap.take(np.arange(tap.shape[0])), np.float64)
    good = finite_rows(x)
    if good.sum() < 2:
        raise NotEnoughData(f"{int(good.sum())} finite row(s) of {tap.name}", "2", "Record more rows")
    left = int(
        len(x) - good.sum()
    )  # they stay: rows left out of one table alone would make all its columns new
    units = (
        tuple(map(str, tap.unit_names)) if tap.unit_names else tuple(f"unit {i}" for i in range(x.shape[1]))
    )
    place = {name: i for i, name in enumerate(units)}
    said = (
        (f"{tap.name}: {left} row(s) with NaN or infinity; moves are those of finite numbers.",)
        if left
        else ()
    )
    return Tensors(tuple(place), lambda name: x[:, place[name]], said)


def along(name: str, series) -> tuple[list[str], float, int]:
    """(what became of a tensor at each step, relative change at the last step that moved it, entries)."""
    words, moved, entries = [], 0.0, 0
    values = [one.read(name) if name in one.names else None for one in series]
    for a, b in pairwise(values):
        word, change = compared(a, b)
        words.append(word)
        moved = change or moved
    entries = max(v.size for v in values if v is not None)
    return words, moved, int(entries)


def compared(a: np.ndarray | None, b: np.ndarray | None) -> tuple[str, float]:
    """(a word, relative change)."""
    if a is None or b is None:
        return ("", 0.0) if a is b else (NEW if a is None else GONE, 0.0)
    if a.shape != b.shape:
        return NEW, 0.0
    if a.dtype == b.dtype and a.tobytes() == b.tobytes():
        return IDENTICAL, 0.0
    a, b = (np.asarray(v, np.float64) for v in (a, b))
    known = np.isfinite(a) & np.isfinite(b)
    size, gap = float(np.linalg.norm(a[known])), float(np.linalg.norm(b[known] - a[known]))
    if size == 0:
        return MOVED_FROM_0, float("inf") if gap > 0 else 0.0
    return f"moved {gap / size:.2g}", gap / size


def _estimate(step: str, words) -> tuple[Estimate, ...]:
    """None where no tensor is in both."""
    there = np.array([w == IDENTICAL for w in words if w not in ("", NEW, GONE)], float)
    if not len(there):
        return ()
    ends = share_interval(there) | {"interval": "Wilson, tensors as draws"}
    return (Estimate(f"share of tensors that stayed bit for bit, {step}", float(there.mean()), **ends,
                     null=0.0, null_method="tensors trained apart share no bits", n=len(there), d=len(words),
                     estimator="tensors of one name and shape"),)  # fmt: skip


def trained_share(step: str, found) -> tuple[Estimate, ...]:
    """Numbers in tensors that moved or are new in the last step, over those of the tensors that it began with; none
    where nothing that was there before is left."""
    last = [(f[0][-1], f[2]) for f in found]
    base = sum(n for word, n in last if word not in ("", NEW))
    moved = sum(n for word, n in last if word == NEW or word.startswith("moved"))
    if not base:
        return ()
    return (Estimate(f"trained numbers over those before, {step}", moved / base, interval="none: a count", null=1.0,
                     null_method="every number trained, none added", n=base, d=len(last),
                     estimator="entries of tensors that moved or are new"),)  # fmt: skip


def _reading(found, steps, every) -> str:
    words = [f[0][-1] for f in found]
    new = [name for name, w in zip(every, words, strict=True) if w == NEW]
    moved = sum(w.startswith("moved") for w in words)
    still = words.count(IDENTICAL)
    text = f"In the last step {still:,} tensors stayed bit for bit, {moved:,} moved and {len(new):,} are new"
    return text + (f": {', '.join(new[:4])}{', …' if len(new) > 4 else ''}." if new else ".")


def _cost(shapes, params: GrowthTimelineParams) -> Cost:
    entries = float(sum(n * d for n, d in shapes))
    return Cost(0.05 + machine().seconds(moved=40.0 * entries), 20.0 * entries)


def _check() -> tuple[CheckLine, ...]:
    """Frozen columns stay bit for bit, the last bit of one entry tells; a doubled one moves by 1; a NaN in one of the
    checkpoints makes nothing new."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 4))
    y, bit = x.copy(), x[:, 0].copy()
    y[:, 3] *= 2
    bit[5] = np.nextafter(bit[5], 9)
    taps = [ArrayActivations(v, name=n) for v, n in ((x, "a"), (y.copy(), "b"))]
    told = growth_timeline(*taps)
    y[4, 0] = np.nan
    holed = growth_timeline(taps[0], ArrayActivations(y, name="c"))
    return (
        CheckLine("share that stayed", 0.75, told.estimates[0].value, 1e-12),
        CheckLine("trained numbers over those before", 0.25, told.estimates[-1].value, 1e-12),
        CheckLine("doubled: moved by", 1.0, float(told.columns["moved by"][3]), 1e-12),
        CheckLine("one bit: identical", 0, int(compared(x[:, 0], bit)[0] == IDENTICAL), 0.0),
        CheckLine("new where there was none", 1, int(compared(None, bit)[0] == NEW), 0.0),
        CheckLine("a NaN: share that stayed", 0.5, holed.estimates[0].value, 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="growth_timeline", family="tokens", title="What each checkpoint changed", version=2,
        function=growth_timeline, params=GrowthTimelineParams, result=Table, check=_check, cost=_cost, inputs=2,
        more_inputs=True, matches="nothing", checkpoints=True, most_inputs=32, minimum_rows=3,
        summary="Tensors that stayed bit for bit, moved or are new along a series of checkpoints.",
        invariance="the order of tensors", papers=(
            "Growing Transformers: Modular Composition and Layer-wise Expansion on a Frozen Substrate",
            "DVPT: Dynamic Visual Prompt Tuning of Large Pre-trained Models for Medical Image Analysis",
        ),
    ),
)  # fmt: skip
