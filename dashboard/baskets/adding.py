"""From a figure on a page to a panel: its recipe where that gives what is shown, else its numbers as they are."""

from __future__ import annotations

import base64

import numpy as np

from analysis.errors import LoupeError, ParameterError
from analysis.results import Result, Scatter
from analysis.sharing.baskets.basket import Panel
from analysis.sharing.baskets.shelf import Baskets, digest_of
from dashboard.baskets.panels import from_recipe

OF_THE_SHEET = ("width", "font", "font_size", "dpi", "greyscale", "title")  # the basket decides


def add(workspace, name: str, result: Result, options: dict) -> Panel:
    """Put a figure as it is shown into a basket. Raises Forbidden, ParameterError."""
    options = kept_options(result, options)
    recipe = (
        None if result.origin is None else {k: v for k, v in result.origin.recipe().items() if k != "seconds"}
    )
    keep = recipe is None or not _gives(workspace, recipe, options, result)
    return Baskets(workspace.path).add(name, result, options, recipe, keep)


def kept_options(result: Result, options: dict) -> dict:
    """The drawing options as plain values. Raises ParameterError for one that cannot be kept."""
    found = {}
    for name, value in options.items():
        if name in OF_THE_SHEET or value is None or (name == "part" and value == "figure"):
            continue
        if name == "pictures":
            value = True  # whoever draws it looks the samples up
        elif isinstance(value, np.ndarray) and value.dtype == bool and value.ndim == 1:
            value = packed(value)
        elif isinstance(value, np.generic):
            value = value.item()
        elif not isinstance(value, (str, int, float, bool)):
            raise ParameterError(f"figure option {name}: a {type(value).__name__} cannot be kept in a basket")
        found[name] = value
    if isinstance(result, Scatter):
        found["colour"] = result.colour
    return found


def packed(mask: np.ndarray) -> dict:
    """A mask (n,) as text."""
    return {"points": len(mask), "packed": base64.b64encode(np.packbits(mask).tobytes()).decode()}


def _gives(workspace, recipe: dict, options: dict, result: Result) -> bool:
    """Whether the recipe leads to these numbers, by what is kept of it: nothing is computed for this."""
    try:
        found = from_recipe(workspace, recipe, options, cached=True)
    except LoupeError:
        return False
    return found is not None and digest_of(found) == digest_of(result)
