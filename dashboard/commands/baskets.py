"""`loupe render` of a basket: everything of it in a folder or a zip, or the composed figure alone."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

from analysis.errors import NotFound, ParameterError
from analysis.sharing.baskets.basket import FILE, Basket, Panel
from analysis.sharing.baskets.shelf import open_basket
from analysis.workspace import Workspace
from dashboard.baskets.folder import files_of, write
from dashboard.baskets.page import PICTURES, pictures
from dashboard.baskets.panels import ready
from dashboard.commands import figure_options
from dashboard.commands.output import Bar, one_line, print_json, workspace_of, write_whole

OF_THE_SHEET = ("width", "font_size", "font", "dpi", "greyscale")
RECIPES = "*.json"


def render_basket(given) -> int:
    """All files of a basket, or the composed figure. Raises NotFound, InputError, ParameterError."""
    folder, out = given.recipe, given.out
    asked = figure_options.of(given)
    if given.check_grey or asked.keys() & {"title", "part"}:
        raise ParameterError("--title, --part and --check-grey are of single figures", "options of the sheet")
    if out.suffix and out.suffix.lower() not in (".zip", *(f".{format}" for format in PICTURES)):
        raise ParameterError(f"{out} ends in {out.suffix!r}", "a new folder, or .zip .pdf .svg .png")
    basket = _basket(folder)
    sheet = {**basket.sheet, **{name: asked[name] for name in OF_THE_SHEET if name in asked}}
    basket = replace(basket, sheet=sheet).checked()
    workspace, bar = _workspace(given, folder), Bar(given)
    panels = ready(workspace, basket, folder, progress=bar)
    bar.end()
    if out.suffix.lower().lstrip(".") in PICTURES:
        format = out.suffix.lower().lstrip(".")
        drawn, said = pictures(basket, panels, (format,))
        written = {out.name: drawn[format]}
        write_whole(drawn[format], out)
    else:
        written, said = files_of(workspace, basket, panels, folder)
        write(written, out, basket.name)
    said = (*said, *(f"Panel {one.named}: {one.said}" for one in panels if one.said))
    if given.json:
        return print_json({"written": str(out), "files": sorted(written), "said": list(said)})
    for sentence in said:
        print(one_line(sentence), file=sys.stderr)
    return 0


def _workspace(given, folder: Path) -> Workspace:
    """The one that was asked for, else the one whose basket it is, else the sample workspace."""
    around = folder.resolve().parent.parent
    if given.workspace is None and (around / "workspace.json").exists():
        return Workspace.open(around)
    return workspace_of(given)


def _basket(folder: Path) -> Basket:
    """The basket in a folder; of a folder with recipes alone, one panel for each, by their names."""
    if (folder / FILE).exists():
        return open_basket(folder)
    from dashboard.commands.analyses import read_recipe

    at = folder / "recipes" if (folder / "recipes").is_dir() else folder
    paths = sorted(at.glob(RECIPES))
    if not paths:
        raise NotFound(
            f"{folder} holds no basket", f"{FILE}, or recipes (*.json)", "Export a basket, or its recipes"
        )
    panels = [_of_recipe(path.name, read_recipe(path)) for path in paths]
    return Basket(folder.resolve().name, tuple(panels)).checked()


def _of_recipe(name: str, recipe: dict) -> Panel:
    options = {k: v for k, v in (recipe.get("figure") or {}).items() if k not in (*OF_THE_SHEET, "title")}
    id = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
    return Panel(id, {k: v for k, v in recipe.items() if k != "figure"}, options=options)
