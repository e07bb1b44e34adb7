"""What of a workspace goes into a bundle, what stays out, and why."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from analysis import results
from analysis.errors import InputError, LoupeError, NotFound
from analysis.results import Gallery, Heatmap, Ledger, Result, Scatter, TokenFilm, TokenMap
from analysis.workspace import Workspace
from dashboard.browse import projections
from dashboard.figures.text import listed
from dashboard.publishing.asked import Asked, chosen

SHORT = 5  # things that are named one by one, of those that stay out for one reason
SHOWS_SAMPLES = (Gallery, TokenMap, TokenFilm, Ledger)  # kinds that hold pieces of the data themselves


@dataclass(frozen=True)
class TapPlan:
    """The features of a tap that go: `units` rising, `said` which they are; `slug` names its files."""

    reference: str
    slug: str
    units: np.ndarray
    said: str
    n_units: int


@dataclass(frozen=True)
class KeptPlan:
    """A kept result that goes: read again when its turn comes. `key` : of the cache. `figure`: how it is drawn."""

    key: str
    slug: str
    reference: str
    method: str
    title: str
    figure: dict = field(default_factory=dict)


@dataclass
class Plan:
    """Everything that goes, in the order in which it is shown."""

    taps: list[TapPlan] = field(default_factory=list)
    maps: list[KeptPlan] = field(default_factory=list)
    heatmaps: list[KeptPlan] = field(default_factory=list)
    figures: list[KeptPlan] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    other_taps: list[str] = field(default_factory=list)

    @property
    def stores(self) -> list[str]:
        """Names of the stores that anything is shown of."""
        shown = [one.reference for one in (*self.taps, *self.maps, *self.heatmaps)]
        return sorted({reference.partition(":")[0] for reference in shown})

    @property
    def left_out_shortly(self) -> list[tuple[str, str]]:
        """`left_out` with one line for many things that stay for one reason."""
        reasons: dict[str, list[str]] = {}
        for what, why in self.left_out:
            reasons.setdefault(why, []).append(what)
        lines = []
        for why, whats in reasons.items():
            many = len(whats) > SHORT
            lines += [(listed(whats, SHORT), why)] if many else [(what, why) for what in whats]
        return lines

    @property
    def n_cards(self) -> int:
        return sum(len(tap.units) for tap in self.taps)


def slug_of(k: int, text: str) -> str:
    """A plain name of a file: its number, which makes it unique, and what can be read of `text`."""
    return f"{k:03d}-" + (re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:60] or "x")


def planned(workspace: Workspace, asked: Asked) -> Plan:
    """Look at everything, compute nothing but maps that were asked for. Raises ParameterError, NotFound, InputError."""
    plan = Plan()
    _taps(plan, workspace, asked)
    if not plan.taps:
        raise NotFound(
            f"nothing to publish of {', '.join(asked.taps)[:100]} with features {asked.features[:60]!r}",
            "at least one feature of one tap",
            "See what there is: loupe info WORKSPACE",
        )
    if plan.other_taps:
        what = f"{len(plan.other_taps)} taps ({listed(plan.other_taps, 12)})"
        plan.left_out.insert(0, (what, "not among the taps that were asked for"))
    _kept(plan, workspace, asked)
    plan.maps.sort(key=_order(plan))
    _recipes(plan, workspace, asked)
    return plan


def _order(plan: Plan):
    """Maps as their taps are listed, and of one tap as the dashboard lists them."""
    taps, ways = [tap.reference for tap in plan.taps], list(projections.methods())
    return lambda one: (taps.index(one.reference), ways.index(one.method), one.key)


def _taps(plan: Plan, workspace: Workspace, asked: Asked) -> None:
    for entry in workspace.stores():
        if entry.store is None or not entry.store.complete:
            plan.left_out.append((f"store {entry.name}", entry.problem or "its recording is not finished"))
            continue
        for tap in entry.store.taps:
            reference = f"{entry.name}:{tap}"
            if not any(fnmatchcase(reference, p if ":" in p else f"{p}:*") for p in asked.taps):
                plan.other_taps.append(reference)
                continue
            try:
                _tap(plan, workspace, asked, reference, entry.store.index(tap).table())
            except NotFound:
                if asked.features.startswith("selection:"):
                    raise
                plan.left_out.append((reference, "it has no feature index"))


def _tap(plan: Plan, workspace: Workspace, asked: Asked, reference: str, table: dict) -> None:
    units, said = chosen(asked, workspace, reference, table)
    n = len(table["unit"])
    if not len(units):
        plan.left_out.append((reference, f"none of its {n:,} features is among {said}"))
        return
    if len(units) < n:
        plan.left_out.append((f"{n - len(units):,} of {n:,} features of {reference}", f"not among {said}"))
    plan.taps.append(TapPlan(reference, slug_of(len(plan.taps), reference), units, said, n))


# ---------------------------------------------------------------------------- kept results
def _kept(plan: Plan, workspace: Workspace, asked: Asked) -> None:
    if asked.maps not in (("kept",), ("none",)):
        _made_maps(plan, workspace, asked)
    known = {tap.reference for tap in plan.taps}
    stale = 0
    for key, result in kept_results(workspace):
        origin, inputs = result.origin, [str(i.get("name", "")) for i in result.origin.inputs]
        if not inputs or not set(inputs) <= known:
            continue  # of a tap that is not shown: said there
        if not _is_of_now(workspace, origin):
            stale += 1
            continue
        one = (key, inputs[0], origin.method, result.title)
        if isinstance(result, Heatmap):
            _add(
                plan.heatmaps, one, plan, asked.heatmaps != "none", "heat map", "heat maps were not asked for"
            )
        elif origin.method in projections.methods() and isinstance(result, Scatter):
            if asked.maps == ("kept",) or not any(m.key == key for m in plan.maps):
                _add(
                    plan.maps,
                    one,
                    plan,
                    asked.maps == ("kept",),
                    "map",
                    "not among the maps that were asked for",
                )
        elif not asked.pictures and isinstance(result, SHOWS_SAMPLES):
            _add(plan.figures, one, plan, False, "figure", "it shows samples, and those stay out")
        else:
            _add(
                plan.figures,
                one,
                plan,
                asked.figures == ("kept",),
                "figure",
                "not among the figures asked for",
            )
    if stale:
        plan.left_out.append((f"{stale} kept results", "made of activations that have changed since"))


def kept_results(workspace: Workspace):
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


def _add(where: list, one: tuple, plan: Plan, goes: bool, word: str, why: str) -> None:
    key, reference, method, title = one
    if goes:
        where.append(KeptPlan(key, slug_of(len(where), f"{method} {reference}"), reference, method, title))
    else:
        plan.left_out.append((f"{word}: {title}", why))


def _is_of_now(workspace: Workspace, origin) -> bool:
    try:
        return all(workspace.activations(i["name"]).digest == i.get("digest") for i in origin.inputs)
    except (LoupeError, KeyError):
        return False


def _made_maps(plan: Plan, workspace: Workspace, asked: Asked) -> None:
    """The maps that were asked for by method, computed where they are not kept."""
    known = projections.methods()
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
            _add(plan.maps, (key, tap.reference, method, result.title), plan, True, "map", "")


def _recipes(plan: Plan, workspace: Workspace, asked: Asked) -> None:
    """Figures by recipe: made again where they are not kept."""
    if asked.figures in (("kept",), ("none",)):
        return
    for file in asked.figures:
        recipe = _read(Path(file))
        result, key = _made(workspace, recipe, file)
        if not asked.pictures and isinstance(result, SHOWS_SAMPLES):
            plan.left_out.append((f"figure: {result.title}", "it shows samples, and those stay out"))
            continue
        one = (key, str(result.origin.inputs[0].get("name", "")), result.origin.method, result.title)
        _add(plan.figures, one, plan, True, "figure", "")
        drawn = {k: v for k, v in (recipe.get("figure") or {}).items() if k != "pictures"}
        plan.figures[-1] = KeptPlan(**{**vars(plan.figures[-1]), "figure": drawn})


def _read(path: Path) -> dict:
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))
        [one["name"] for one in recipe["inputs"]]
        if isinstance(recipe["method"], str) and isinstance(recipe.get("seed", 0), int):
            return recipe
    except FileNotFoundError:
        raise NotFound(f"{path} does not exist", "kept, none, or recipe files") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    raise InputError(f"{path} is not a recipe", "JSON with method, inputs, params and seed")


def _made(workspace: Workspace, recipe: dict, file: str) -> tuple[Result, str]:
    names = [str(one["name"]) for one in recipe["inputs"]]
    for one in recipe["inputs"]:
        now = workspace.activations(str(one["name"])).digest
        if one.get("digest") not in (None, now):
            raise InputError(f"{one['name']} has changed since {file} was made", "the same activations")
    params, seed = recipe.get("params") or {}, recipe.get("seed", 0)
    result = workspace.run(recipe["method"], names, params, seed=seed)
    return result, workspace.key(recipe["method"], names, params, seed=seed)
