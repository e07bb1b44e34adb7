"""The results of a basket's panels: from the cache, from the basket itself, or made again by their recipes."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.errors import InputError, LoupeError, NotFound
from analysis.results import Result
from analysis.sharing.baskets.basket import Basket, Panel
from analysis.sharing.baskets.shelf import digest_of, kept_result
from analysis.sharing.recipes import usable
from analysis.spec import Progress, no_progress
from dashboard.browse.pictured import looks
from dashboard.colouring import coloured

MOST_POINTS = 50_000_000


@dataclass(frozen=True)
class Ready:
    """A panel with its result (None where it is not computed yet, or refused, as `problem` says) and the options of its
    drawing; `said` is what has changed since it was added."""

    panel: Panel
    letter: str
    stem: str
    result: Result | None = None
    options: dict | None = None
    problem: str = ""
    said: str = ""

    @property
    def named(self) -> str:
        return self.letter or self.stem


def ready(workspace, basket: Basket, folder: Path, *, cached: bool = False, progress: Progress = no_progress):
    """Every panel of a basket in the folder, in order; with `cached` nothing is computed.

    A panel that is refused says why; the others are there."""
    found = []
    for place, panel in enumerate(basket.panels):
        progress(place / max(len(basket.panels), 1), f"panel {basket.letter(place)}")
        names = (panel, basket.letter(place), basket.stem(place))
        try:
            result = _result(workspace, panel, folder, cached)
            if result is None:
                found.append(Ready(*names))
                continue
            options = drawing_options(workspace, panel, result)
            found.append(Ready(*names, result, options, said=_changed(panel, result)))
        except LoupeError as refusal:
            found.append(Ready(*names, problem=str(refusal)))
    return found


def _result(workspace, panel: Panel, folder: Path, cached: bool) -> Result | None:
    if panel.kept:
        return kept_result(folder, panel)
    return from_recipe(workspace, panel.recipe, panel.options, cached=cached)


def from_recipe(workspace, recipe: dict, options: dict, *, cached: bool = False) -> Result | None:
    """What a recipe gives in this workspace, coloured as the options say; None where it is not computed (`cached`).

    Raises InputError where an input has changed since, and what the method raises."""
    given = (recipe["method"], usable(workspace, recipe), recipe.get("params") or {})
    seed = recipe.get("seed", 0)
    result = workspace.cached(*given, seed=seed) if cached else workspace.run(*given, seed=seed)
    colour = options.get("colour")
    if result is None or not colour:
        return result
    found = coloured(result, workspace, str(colour))
    if getattr(found, "colour", colour) != colour and found is result:
        raise NotFound(
            f"the colour {str(colour)[:60]!r} of the figure",
            "a column of the samples that is there",
            "Add it again",
        )
    return found


def drawing_options(workspace, panel: Panel, result: Result) -> dict:
    """The options as the drawing takes them: masks unpacked, pictures looked up. Raises InputError."""
    options = dict(panel.options)
    for name, value in options.items():
        if isinstance(value, dict):
            options[name] = _unpacked(value)
    if options.pop("pictures", False):
        options["pictures"] = looks(workspace, result)
    if "colour" in options:
        options["colour"] = getattr(result, "colour", "")
    return options


def _unpacked(value: dict) -> np.ndarray:
    try:
        n = int(value["points"])
        if not 0 <= n <= MOST_POINTS:
            raise ValueError(n)
        bits = np.frombuffer(base64.b64decode(value["packed"], validate=True), np.uint8)
        if len(bits) != -(-n // 8):
            raise ValueError(n)
        return np.unpackbits(bits, count=n).astype(bool)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise InputError("the basket marks points in a way that cannot be read", "a packed mask") from None


def _changed(panel: Panel, result: Result) -> str:
    if not panel.digest or digest_of(result) == panel.digest:
        return ""
    then = (panel.recipe or {}).get("version")
    now = None if result.origin is None else result.origin.version
    if then != now:
        return f"made by version {then} of its method when it was added, now by version {now}: its numbers differ"
    return (
        "its numbers differ from those when it was added (another version of a library, or another selection)"
    )
