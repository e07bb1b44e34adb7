"""What a film of steps shows at one step: taken out of a Scatter whose columns are named like its frames."""

from __future__ import annotations

import dataclasses

import numpy as np

from analysis.results import Curve, Estimate, Gallery, Scatter
from analysis.selection import Selection
from dashboard.figures.estimates import value_words
from dashboard.figures.text import number

MOST = 12  # samples shown of a step
PART = "part in what turned"
MOVED = "moved "  # before a frame's name: the column that says which samples did


def short(name: str) -> str:
    """ "from A to B" as a slider's label."""
    return name.removeprefix("from ").replace(" to ", " → ", 1)


def frame(result: Scatter, at: int) -> Scatter:
    """The result with the numbers of one frame only; `colouring.coloured` has put its points in place."""
    name = result.frame_names[at]
    own = tuple(e for e in result.estimates if e.name.endswith(name))
    return dataclasses.replace(
        result, estimates=tuple(dataclasses.replace(e, name=_bare(e, name)) for e in own)
    )


def _bare(e: Estimate, name: str) -> str:
    return e.name.removesuffix(name).rstrip(" ,")


def largest(result: Scatter) -> int:
    """The frame with the largest movement: where a film opens."""
    speeds = _speeds(result)
    return int(np.argmax([e.value for e in speeds])) if speeds else 0


def _speeds(result: Scatter) -> list[Estimate]:
    """The first estimate of each frame."""
    found = [next((e for e in result.estimates if e.name.endswith(n)), None) for n in result.frame_names]
    return [e for e in found if e is not None] if all(e is not None for e in found) else []


def words(shown: Scatter) -> str:
    """The numbers of a frame in a sentence."""
    speed, count, *_ = shown.estimates
    chance = "" if speed.null is None else f" (sampling alone: {number(speed.null)})"
    n = len(shown.positions)
    return (
        f"{speed.name.capitalize()} {value_words(speed)}{chance}. {count.value:,.0f} of {n:,} samples lie along what "
        "turned more than chance."
    )


def speed(result: Scatter, at: int) -> Curve | None:
    """The movement of every frame with interval and null, `at` marked; None of one frame."""
    found = _speeds(result)
    if len(found) < 2:
        return None
    name = _bare(found[0], result.frame_names[0])
    banded = all(e.low is not None for e in found)
    x = np.arange(1.0, len(found) + 1)
    ends = [{name: np.array([getattr(e, side) for e in found])} if banded else {} for side in ("low", "high")]
    return Curve(
        title="", x=x, x_name="step", y_name=name, x_labels=tuple(_arrival(n) for n in result.frame_names),
        series={name: np.array([e.value for e in found])}, low=ends[0], high=ends[1],
        null={name: np.array([np.nan if e.null is None else e.null for e in found])},
        marks={name: x[at : at + 1]}, mark_name="the step shown",
    )  # fmt: skip


def _arrival(name: str) -> str:
    return name.rpartition(" to ")[2].removeprefix("at ")


def strongest(shown: Scatter) -> Gallery:
    """The samples with the largest part in the frame by which the points are coloured."""
    values = np.asarray(shown.columns[shown.colour], dtype=np.float64)
    order = np.argsort(-values, kind="stable")[:MOST]
    return Gallery(
        title=shown.title, origin=shown.origin, value_name="part", groups={"": np.asarray(shown.rows)[order]},
        values={"": values[order]},
    )  # fmt: skip


def moved(workspace, shown: Scatter) -> Selection | None:
    """The samples that moved in this frame, as an unnamed selection of the first tap's store; None without a store."""
    which = shown.columns.get(MOVED + shown.colour)
    if which is None or shown.origin is None or not shown.origin.inputs:
        return None
    store_name, _, tap = str(shown.origin.inputs[0].get("name", "")).partition(":")
    if not tap:
        return None
    store, layout = workspace.store(store_name), workspace.activations(f"{store_name}:{tap}").layout
    rows = np.asarray(shown.rows)[np.asarray(which).astype(str) == "moved"]
    ids = np.asarray(store.samples["id"])[layout.sample_of(rows)]
    return Selection("", "samples", store_name, tap, ids, note=f"moved {shown.colour}")
