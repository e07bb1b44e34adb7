"""The figures that somebody chose for a bundle: starred ones, those with a tag, those of a basket, and recipes.

What is starred or tagged is looked for among the kept results of the taps that are shown. Panels of a basket and
recipes name their own inputs, and are made again where they are not kept.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from analysis.errors import InputError, NotFound, ParameterError
from analysis.people.things import Thing
from analysis.results import Result
from analysis.sharing.baskets.basket import KEPT
from analysis.sharing.baskets.shelf import Baskets, digest_of
from analysis.sharing.recipes import taps_read
from analysis.workspace import Workspace
from dashboard.baskets.panels import Ready, ready
from dashboard.figures.text import listed
from dashboard.publishing.asked import Asked
from dashboard.publishing.kept_results import SHOWS_SAMPLES, Kept, add
from dashboard.publishing.plan import Plan

STARRED, TAG, BASKET = "starred", "tag:", "basket:"
WORDS = "kept, none, starred, tag:WORD, basket:NAME, or recipe files"


def add_figures(plan: Plan, workspace: Workspace, asked: Asked, kept: list[Kept]) -> None:
    """Add to the plan the figures that were asked for, each once; `kept` as of `add_kept`. Raises NotFound, InputError,
    ParameterError."""
    if asked.figures == ("kept",):
        for one in kept:
            if one.is_figure:
                _put(plan, one.one, one.shows, asked)
        return
    if asked.figures != ("none",):
        _chosen(plan, workspace, asked, kept)
    there = {one.key for one in plan.figures}
    for one in kept:
        if one.is_figure and one.one[0] not in there:
            add(plan.figures, one.one, plan, False, "figure", "not among the figures asked for")


def _chosen(plan: Plan, workspace: Workspace, asked: Asked, kept: list[Kept]) -> None:
    """Figures that are named one way or another."""
    if not asked.figures or {"kept", "none"} & set(asked.figures):
        given = " ".join(asked.figures)[:60]
        raise ParameterError(f"--figures {given}", WORDS, "kept and none stand alone")
    for word in asked.figures:
        if word == STARRED or word.startswith(TAG):
            _marked(plan, asked, kept, _things(workspace, word))
        elif word.startswith(BASKET):
            _basket(plan, workspace, asked, word.removeprefix(BASKET))
        else:
            _recipe(plan, workspace, asked, word)


def _put(
    plan: Plan, one: tuple, shows: bool, asked: Asked, figure: dict | None = None, file: Path | None = None
) -> None:
    """Add it as it is to be drawn, unless the same is there, or it `shows` samples that stay out."""
    if any(f.key == one[0] and _said(f.figure) == _said(figure or {}) for f in plan.figures):
        return
    goes = asked.pictures or not shows
    add(plan.figures, one, plan, goes, "figure", "it shows samples, and those stay out")
    if goes:
        plan.figures[-1] = replace(plan.figures[-1], figure=figure or {}, file=file)


def _said(options: dict) -> str:
    return json.dumps(options, sort_keys=True, default=repr)


# ---------------------------------------------------------------------------- starred, tagged
def _marked(plan: Plan, asked: Asked, kept: list[Kept], things: list[Thing]) -> None:
    """Kept results that people marked; what is not kept, or of other taps, is said."""
    wanted = {thing.id: thing for thing in things}
    for one in kept:
        if wanted.pop(one.thing, None) is not None:
            _put(plan, one.one, one.shows, asked)
    for thing in wanted.values():
        what = f"a chosen figure of {thing.store}:{thing.tap}"
        plan.left_out.append((what, "its tap is not shown, or its numbers are no longer kept"))


def _things(workspace: Workspace, word: str) -> list[Thing]:
    """What has the star or the tag. Raises NotFound for none."""
    if word == STARRED:
        found = workspace.people.entries("star", "figure")
        known = "Star one below it, under “Notes on this figure”"
    else:
        tag = word.removeprefix(TAG)
        found = workspace.people.entries("tag", "figure", tag=tag)
        known = "Tags of figures: " + (
            listed(sorted({e.part for e in workspace.people.entries("tag", "figure")}), 12) or "none yet"
        )
    if not found:
        raise NotFound(
            f"no figure is {'starred' if word == STARRED else f'tagged {tag[:60]!r}'}", WORDS, known
        )
    return [entry.thing for entry in found]


# ---------------------------------------------------------------------------- baskets
def _basket(plan: Plan, workspace: Workspace, asked: Asked, name: str) -> None:
    """The panels of a basket, drawn as they are there. Raises NotFound, ParameterError, InputError."""
    shelf = Baskets(workspace.path)
    basket, folder = shelf.open(name), shelf.path(name)
    if not basket.panels:
        raise NotFound(f"the basket {name!r} is empty", "a panel", "Add figures by their Export menu")
    for panel in ready(workspace, basket, folder):
        if panel.result is None:
            plan.left_out.append((f"panel {panel.named} of the basket {name}", panel.problem))
            continue
        options = {k: v for k, v in (panel.options or {}).items() if k != "pictures"}
        shows = isinstance(panel.result, SHOWS_SAMPLES)
        _put(plan, _of_panel(workspace, panel), shows, asked, options, _file(panel, folder))


def _of_panel(workspace: Workspace, panel: Ready) -> tuple[str, str, str, str]:
    """(key, reference, method, title) of a panel that could be made."""
    recipe, result = panel.panel.recipe, panel.result
    inputs = [str(one["name"]) for one in (recipe or {}).get("inputs", ())]
    method = (recipe or {}).get("method", "drawn")
    if panel.panel.kept:
        key = digest_of(result)
    else:
        key = workspace.key(method, inputs, recipe.get("params") or {}, seed=recipe.get("seed", 0))
    return (key, inputs[0] if inputs else "", method, result.title)


def _file(panel: Ready, folder: Path) -> Path | None:
    return folder / KEPT / panel.panel.kept if panel.panel.kept else None


# ---------------------------------------------------------------------------- recipes
def _recipe(plan: Plan, workspace: Workspace, asked: Asked, file: str) -> None:
    """A figure by its recipe: made again where it is not kept."""
    recipe = _read(Path(file))
    result, key = _made(workspace, recipe, file)
    one = (key, str(result.origin.inputs[0].get("name", "")), result.origin.method, result.title)
    drawn = {k: v for k, v in (recipe.get("figure") or {}).items() if k != "pictures"}
    _put(plan, one, isinstance(result, SHOWS_SAMPLES), asked, drawn)


def _read(path: Path) -> dict:
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))
        [one["name"] for one in recipe["inputs"]]
        if isinstance(recipe["method"], str) and isinstance(recipe.get("seed", 0), int):
            return recipe
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist", WORDS) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    raise InputError(f"{path} is not a recipe", "JSON with method, inputs, params and seed")


def _made(workspace: Workspace, recipe: dict, file: str) -> tuple[Result, str]:
    names = [str(one["name"]) for one in recipe["inputs"]]
    for one in taps_read(recipe):
        now = workspace.activations(str(one["name"])).digest
        if one.get("digest") not in (None, now):
            raise InputError(f"{one['name']} has changed since {file} was made", "the same activations")
    params, seed = recipe.get("params") or {}, recipe.get("seed", 0)
    result = workspace.run(recipe["method"], names, params, seed=seed)
    return result, workspace.key(recipe["method"], names, params, seed=seed)
