"""Points coloured by what is known about their samples: on the page, in the export, and from a recipe alike.

A recipe only has the colour's name, so `loupe render` must find the same values again from the workspace.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from analysis.results import Result, Scatter
from dashboard.browse import colour_sources, selections
from dashboard.browse.colour_sources import OF_MAP, Source
from dashboard.browse.group_colours import OTHERS

UNIT, SELECTION = "Unit ", "Selection: "
OF_A_STORE = ("rows", "samples", "units")


def offered(result: Result, workspace) -> list[Source]:
    """What the points of a result can be coloured by; nothing for other kinds and for unknown stores."""
    reference = _reference(result)
    if not reference:  # of what no store knows there are the result's own columns
        own = isinstance(result, Scatter) and result.of not in OF_A_STORE
        return [Source(name, name, "placement") for name in result.columns] if own else []
    store = workspace.store(reference.partition(":")[0])
    known = [s for s in colour_sources.sources(store, result) if s.group != "unit"]
    if result.of not in ("rows", "units"):
        return known
    named = [
        s.name for s in workspace.selections(store.path.name) if (s.of == "units") == (result.of == "units")
    ]
    return [*known, *(Source(SELECTION + name, SELECTION + name, "selection") for name in named)]


def covered(result: Result, workspace, selection) -> np.ndarray | None:
    """(points,) bool: which points of a result a selection covers; None where that cannot be said, or none."""
    reference = _reference(result)
    if not reference or selection is None or result.of not in ("rows", "units"):
        return None
    store, taken = workspace.store(reference.partition(":")[0]), workspace.activations(reference)
    return selections.points_of(selection, result, taken.layout, store, reference.partition(":")[2])


def _at_frame(result: Scatter, name: str) -> Scatter:
    """A column that is named like a frame belongs to it: the points are drawn where they are then."""
    if name not in result.columns:
        return result
    places = np.asarray(result.frames)[result.frame_names.index(name)]
    title = f"{result.title.partition(':')[0]}: {name}"
    return dataclasses.replace(result, positions=places, colour=name, title=title)


def _by_selection(result: Scatter, workspace, colour: str) -> Scatter:
    selection = selections.find(workspace, colour.removeprefix(SELECTION))
    mask = covered(result, workspace, selection)
    if mask is None:
        return result
    values = np.where(mask, selections.title(selection), OTHERS)
    return dataclasses.replace(result, columns={**result.columns, colour: values}, colour=colour)


def coloured(result: Result, workspace, colour: str) -> Result:
    """The result with `colour` (a source's id or name, or "Unit 12") among its columns and chosen.

    Anything that this result cannot be coloured by leaves it as it is.
    """
    if not isinstance(result, Scatter) or not colour:
        return result
    if colour.removeprefix(OF_MAP) in result.frame_names:
        return _at_frame(result, colour.removeprefix(OF_MAP))
    if colour in result.columns:
        return dataclasses.replace(result, colour=colour)
    if colour.startswith(SELECTION):
        return _by_selection(result, workspace, colour)
    reference = _reference(result)
    if not reference:
        return result
    store, taken = workspace.store(reference.partition(":")[0]), workspace.activations(reference)
    known = colour_sources.sources(store, result)
    source = next((s for s in known if colour in (s.id, s.name)), None)
    unit = _unit(colour, taken) if source is None else None
    if unit is not None:
        source = next((s for s in known if s.group == "unit"), None)
    if source is None or (source.group == "unit" and unit is None):
        return result
    values, name, _ = colour_sources.values_of(source, store, result, taken, unit or 0)
    if values is None:
        return dataclasses.replace(result, colour="")
    return dataclasses.replace(result, columns={**result.columns, name: np.asarray(values)}, colour=name)


def _reference(result: Result) -> str:
    """The one "store:tap" whose rows the points are, or ""."""
    known = isinstance(result, Scatter) and result.of in OF_A_STORE
    if not known or result.origin is None or not result.origin.inputs:
        return ""
    return str(result.origin.inputs[0].get("name", ""))


def _unit(colour: str, activations) -> int | None:
    name = colour.removeprefix(UNIT)
    if name == colour or name not in activations.unit_names:
        return None
    return activations.unit_names.index(name)
