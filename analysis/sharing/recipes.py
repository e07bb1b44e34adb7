"""A recipe that somebody else wrote, or this program in other versions: what of it can be made here, said in words."""

from __future__ import annotations

import base64
import binascii

from analysis import registry, results
from analysis.errors import InputError, LoupeError, NewerSchema, NotFound, StoreDamaged
from analysis.people import figure_things
from analysis.results import SCHEMA, Result

SHORT = 12  # characters of a digest in a message


PLOTTED = "plotted"  # where a recipe has the numbers themselves


def of_numbers(result: Result) -> dict:
    """The recipe of what no analysis made, such as a histogram straight from a store: it holds the plotted numbers
    (npz as base64), so that the same file can be made again without any workspace."""
    return {
        "recipe": SCHEMA, "kind": result.kind, "title": result.title,
        PLOTTED: base64.b64encode(results.packed(result)).decode(),
    }  # fmt: skip


def numbers_in(recipe) -> Result | None:
    """The result that `of_numbers` put into a recipe, None where a method makes it. Raises NewerSchema, InputError."""
    if not isinstance(recipe, dict) or PLOTTED not in recipe:
        return None
    schema = recipe.get("recipe", SCHEMA)
    if isinstance(schema, int) and schema > SCHEMA:
        raise NewerSchema(f"the recipe has schema {schema}", f"at most {SCHEMA}", "Update Feature Loupe")
    try:
        return results.unpacked(base64.b64decode(recipe[PLOTTED], validate=True), "the numbers of the recipe")
    except (binascii.Error, TypeError, ValueError, StoreDamaged) as error:
        raise InputError(
            f"the numbers of the recipe cannot be read ({str(error)[:120]})",
            "what was exported",
            "Export the recipe again from the page of the figure",
        ) from None


def usable(workspace, recipe: dict) -> list[str]:
    """The names of the inputs, where they are what the recipe was made from.

    Raises NewerSchema, NotFound for a method or an input that is not here, InputError where an input is another one
    than then or the method was a later version of itself.
    """
    schema, version = recipe.get("recipe", SCHEMA), recipe.get("version")
    if isinstance(schema, int) and schema > SCHEMA:
        raise NewerSchema(f"the recipe has schema {schema}", f"at most {SCHEMA}", "Update Feature Loupe")
    method = registry.method(recipe["method"])
    if isinstance(version, int) and version > method.version:
        raise InputError(
            f"the recipe is of version {version} of '{method.title}', and here is version {method.version}",
            "the same version or a later one",
            "Update Feature Loupe",
        )
    for one in taps_read(recipe):
        _refuse_another(workspace, one)
    return [given["name"] for given in recipe["inputs"]]


def taps_read(recipe: dict) -> list[dict]:
    """{"name", "digest"} of the inputs and of what was read beside them, as far as a stranger's recipe can be read."""
    found = []
    for given in recipe["inputs"]:
        beside = given.get("beside")
        told = beside if isinstance(beside, list | tuple) else ()
        found += [given, *(one for one in told if isinstance(one, dict) and isinstance(one.get("name"), str))]
    return found


def remade(recipe: dict, result: Result) -> str:
    """What made the figure then and makes it now, where these differ; "" where they do not or it is not known."""
    if result.origin is None or not isinstance(recipe.get("versions"), dict):
        return ""
    then = figure_things.as_text(recipe.get("version"), recipe["versions"])
    told = [
        f"version {was} of the analysis then, {now} now"
        if name == "method"
        else f"{name} {was} then, {now} now"
        for name, was, now in figure_things.remade(then, figure_things.made_with(result.origin))
    ]
    return (
        f"made with other versions than the recipe ({'; '.join(told)}): its numbers may differ"
        if told
        else ""
    )


def _refuse_another(workspace, given: dict) -> None:
    name, then = given["name"], given.get("digest")
    try:
        now = workspace.activations(name).digest
    except NotFound as missing:
        raise NotFound(missing.found, missing.expected, _elsewhere(workspace, then)) from None
    if then not in (None, now):
        raise InputError(
            f"{name} has changed since the recipe was made (digest {now[:SHORT]}, in the recipe {str(then)[:SHORT]})",
            "the same activations",
            _elsewhere(workspace, then),
        )


def _elsewhere(workspace, digest: str | None) -> str:
    """Where the activations are under another name, or what else to do."""
    for entry in workspace.stores():
        for tap in entry.store.taps if entry.store is not None else ():
            try:
                found = workspace.activations(f"{entry.name}:{tap}")
            except LoupeError:
                continue  # a damaged tap is not the one
            if digest and found.digest == digest:
                return f"{entry.name}:{tap} holds the activations of the recipe: write this name into it"
    return "Open the workspace that the recipe was made in (--workspace), or record the same again"
