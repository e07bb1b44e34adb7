"""The figure that a result is drawn as, as something that people write about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from analysis.people.things import Thing
from analysis.results import Result

PASSING = ("seconds", "made")  # of a recipe: another run of the same has others


def of_result(result: Result, place: str = "") -> Thing | None:
    """Cache key of the result and digest of its recipe; None where no method made it. How it is printed (width,
    colours) is no part: a note stays with what the figure says."""
    origin = result.origin
    if origin is None:
        return None
    recipe = {name: value for name, value in origin.recipe().items() if name not in PASSING}
    store, _, tap = str(origin.inputs[0].get("name", "")).partition(":") if origin.inputs else ("", "", "")
    return Thing.figure(key_of_recipe(origin.recipe()), _digest(recipe)[:16], store, tap, place)


def key_of_recipe(recipe: Mapping) -> str:
    """The key of the result that a recipe (or an origin, as a file of it holds one) describes, as `Thing.figure` has
    it; "" where it describes none."""
    try:
        key = {"method": recipe["method"], "version": recipe["version"], "params": recipe["params"],
               "seed": int(recipe["seed"]), "inputs": [given.get("digest", "") for given in recipe["inputs"]],
               "versions": recipe["versions"]}  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError):
        return ""
    return _digest(key)[:32]


def _digest(value: dict) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=float).encode()).hexdigest()
