"""The results that a workspace keeps, sorted into maps, heat maps and figures of the taps that are shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from analysis import results
from analysis.errors import InputError, LoupeError, NotFound, ParameterError
from analysis.people import figure_things
from analysis.results import Gallery, Heatmap, Ledger, Result, Scatter, TokenFilm, TokenMap
from analysis.workspace import Workspace
from dashboard.browse import projections
from dashboard.publishing.asked import Asked
from dashboard.publishing.plan import KeptPlan, Plan, slug_of

SHOWS_SAMPLES = (Gallery, TokenMap, TokenFilm, Ledger)  # kinds that hold pieces of the data themselves


@dataclass(frozen=True)
class Kept:
    """A kept result of now. `one` : (key, reference, method, title). `thing` : the id of its figure, as people write
    about it. `is_figure` : whether it has no page of its own, as maps and heat maps have. `shows` : samples."""

    one: tuple[str, str, str, str]
    thing: str
    is_figure: bool
    shows: bool


def add_kept(plan: Plan, workspace: Workspace, asked: Asked) -> list[Kept]:
    """Add the maps and heat maps to the plan; maps that were asked for are computed where they are not kept. Returns
    all that is kept. Raises NotFound, InputError, ParameterError."""
    if asked.maps not in (("kept",), ("none",)):
        _made_maps(plan, workspace, asked)
    found, stale = [], 0
    for key, result in _of_taps(plan, workspace):
        if not _is_of_now(workspace, result.origin):
            stale += 1
            continue
        one, map_ = (
            (key, str(result.origin.inputs[0]["name"]), result.origin.method, result.title),
            _is_map(result),
        )
        if isinstance(result, Heatmap):
            goes = asked.heatmaps != "none"
            add(plan.heatmaps, one, plan, goes, "heat map", "heat maps were not asked for")
        elif map_ and (asked.maps == ("kept",) or not any(m.key == key for m in plan.maps)):
            add(
                plan.maps, one, plan, asked.maps == ("kept",), "map", "not among the maps that were asked for"
            )
        own_page = map_ or isinstance(result, Heatmap)
        thing = figure_things.of_result(result).id
        found.append(Kept(one, thing, not own_page, isinstance(result, SHOWS_SAMPLES)))
    if stale:
        plan.left_out.append((f"{stale} kept results", "made of activations that have changed since"))
    return found


def add(where: list, one: tuple, plan: Plan, goes: bool, word: str, why: str) -> None:
    """`one` : (key, reference, method, title). What does not go is left out for the reason `why`."""
    key, reference, method, title = one
    if goes:
        where.append(KeptPlan(key, slug_of(len(where), f"{method} {reference}"), reference, method, title))
    else:
        plan.left_out.append((f"{word}: {title}", why))


def _is_map(result: Result) -> bool:
    """Whether it is shown on the page of maps."""
    return result.origin.method in projections.methods() and isinstance(result, Scatter)


def _of_taps(plan: Plan, workspace: Workspace) -> Iterator[tuple[str, Result]]:
    """(key, result) of what is kept of the taps that are shown; what is left out with a tap is said there."""
    known = {tap.reference for tap in plan.taps}
    for key, result in kept_results(workspace):
        inputs = [str(i.get("name", "")) for i in result.origin.inputs]
        if inputs and set(inputs) <= known:
            yield key, result


def kept_results(workspace: Workspace) -> Iterator[tuple[str, Result]]:
    """(key, result) of everything in the cache that says where it is from, in the order of method, inputs and key."""
    found = []
    for path in sorted(workspace.cache.directory.glob("*.npz")):
        if path.name.startswith(("shared-", ".")):
            continue
        try:
            result = results.load(path)
        except LoupeError:
            continue
        if result.origin is not None and (not getattr(result, "tiles", "") or workspace.cache.has(path.stem)):
            names = [str(i.get("name", "")) for i in result.origin.inputs]
            found.append((result.origin.method, names, path.stem))
    for _, _, key in sorted(found):
        result = workspace.cache.get(key)
        if result is not None:
            yield key, result


def _is_of_now(workspace: Workspace, origin) -> bool:
    """Whether its inputs are as they were."""
    try:
        return all(workspace.activations(i["name"]).digest == i.get("digest") for i in origin.inputs)
    except (LoupeError, KeyError):
        return False


def _made_maps(plan: Plan, workspace: Workspace, asked: Asked) -> None:
    """The maps that were asked for by method, computed where they are not kept."""
    known = projections.methods()
    if not asked.maps or {"kept", "none"} & set(asked.maps):
        given = " ".join(asked.maps)[:60]
        raise ParameterError(f"--maps {given}", "kept, none, or methods", "kept and none stand alone")
    for method in asked.maps:
        if method not in known:
            raise NotFound(f"no map {method[:60]!r}", "kept, none, or some of " + ", ".join(known))
        if known[method].inputs != 1:
            raise InputError(
                f"{method} is a map of several taps", "maps of one tap", "Make it first, and take --maps kept"
            )
        for tap in plan.taps:
            try:
                result = workspace.run(method, [tap.reference])
            except LoupeError as refusal:
                plan.left_out.append((f"{method} of {tap.reference}", str(refusal)))
                continue
            key = workspace.key(method, [tap.reference])
            add(plan.maps, (key, tap.reference, method, result.title), plan, True, "map", "")
