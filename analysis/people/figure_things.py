"""The figure that a result is drawn as, as something that people write about.

It is known by its recipe without versions (method, parameters, digests of the inputs, seed): what was written stays
when a library or the method gets another version, and the page says that the figure was made again since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from analysis.people.things import Thing
from analysis.results import Origin, Result, digests_of

MOST, LONGEST = 30, 40  # libraries that are told, and characters of a version: the text may be a stranger's
PASSING = ("seconds", "made")  # of a recipe: another run of the same has others


def of_result(result: Result, place: str = "") -> Thing | None:
    """None where no method made it. How it is printed (width, colours) is no part: a note stays with what the figure
    says."""
    origin = result.origin
    if origin is None:
        return None
    store, _, tap = str(origin.inputs[0].get("name", "")).partition(":") if origin.inputs else ("", "", "")
    return Thing.figure(recipe_digest(origin.recipe()), store, tap, place, made_with(origin))


def recipe_digest(recipe: Mapping) -> str:
    """32 hexadecimal characters for what a recipe (or an origin, as a file of it holds one) asks, whatever version
    answers; "" where it asks nothing."""
    try:
        return _digest({"method": recipe["method"], **_asked(recipe)})[:32]
    except (KeyError, TypeError, ValueError, AttributeError):
        return ""


def key_of_recipe(recipe: Mapping) -> str:
    """The key of the result that such a recipe describes; "" where it describes none."""
    try:
        versions = {"version": recipe["version"], "versions": recipe["versions"]}
        return _digest({"method": recipe["method"], **versions, **_asked(recipe)})[:32]
    except (KeyError, TypeError, ValueError, AttributeError):
        return ""


def made_with(origin: Origin) -> str:
    """The versions behind a result, as text that is kept."""
    return as_text(origin.version, origin.versions)


def as_text(version: int | None, libraries: dict[str, str]) -> str:
    """The versions of a method and of libraries as text that is kept."""
    return json.dumps({"method": version, "libraries": libraries}, sort_keys=True)


def remade(then: str, now: str) -> list[tuple[str, str, str]]:
    """What differs between two such texts: (library, or "method"; its version then; its version now). Empty where
    nothing does or it is not known."""
    before, after = _versions(then), _versions(now)
    if not before or not after:
        return []
    names = ["method", *sorted(before.keys() | after.keys() - {"method"})]
    return [
        (name, before.get(name, "none"), after.get(name, "none"))
        for name in dict.fromkeys(names)
        if before.get(name) != after.get(name)
    ]


def former_item(origin: Origin) -> str:
    """What the same figure was called before 0004: with the versions in its name."""
    recipe = {name: value for name, value in origin.recipe().items() if name not in PASSING}
    return f"{key_of_recipe(recipe)}:{_digest(recipe)[:16]}"


def _asked(recipe: Mapping) -> dict:
    return {"params": recipe["params"], "seed": int(recipe["seed"]), "inputs": digests_of(recipe["inputs"])}


def _versions(text: str) -> dict[str, str]:
    try:
        told = json.loads(text)
        libraries = list(told["libraries"].items())[:MOST]
        return {
            "method": str(told["method"])[:LONGEST],
            **{str(k)[:LONGEST]: str(v)[:LONGEST] for k, v in libraries},
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}  # nothing was kept, or a stranger's file


def _digest(value: dict) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=float).encode()).hexdigest()
