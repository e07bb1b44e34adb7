"""Out of the dashboard: PDF, SVG, PNG, CSV, parquet, LaTeX and the recipe; the same result gives the same bytes.

Dates, versions of the drawing library and random identifiers are left out of the files, whatever
SOURCE_DATE_EPOCH says.
"""

from __future__ import annotations

import json

import numpy as np

from analysis.errors import ParameterError
from analysis.results import Heatmap, Ledger, Matrix, Partition, Result, Scatter, Table, TokenFilm, TokenMap
from dashboard.figures import strip
from dashboard.figures.columns import csv_bytes, parquet_bytes
from dashboard.figures.estimates import estimates_table
from dashboard.figures.kinds import drawer
from dashboard.figures.latex import tabular
from dashboard.figures.options import checked
from dashboard.figures.paper import Page, find_places, new_page, paper_sentence, paper_style
from dashboard.figures.raster import rasterise
from dashboard.figures.saving import saved
from dashboard.figures.sheet import Sheet, sheet
from dashboard.figures.table import on_page
from dashboard.figures.text import plain
from dashboard.figures.words import alt_text

FORMATS = ("pdf", "svg", "png", "csv", "parquet", "tex", "json")
_SHEET = {"width": "single", "font_size": None, "font": "sans", "dpi": None}
_PICTURE = ("width", "dpi", "greyscale", "title", "font_size", "font")


def on_paper(result: Result, **options):
    """Draw for print; returns a Matplotlib figure. Save it with `export`, which fixes fonts and dates.

    width : "single" 3.5 in, "double" 7.2 in, "slide" 10 in, "poster" 16 in. font_size : points as printed, None for
    the preset's. font : "sans" or "serif". dpi : of what is an image, None for the preset's. greyscale, title :
    switches. part : "figure" or "estimates" (the null strip). Others as of the kind.

    Raises ParameterError for an option that this kind of result does not have."""
    return page_of(result, **options).figure


def page_of(
    result: Result,
    *,
    width="single",
    dpi=None,
    greyscale=False,
    title=False,
    part="figure",
    font_size=None,
    font="sans",
    **options,
) -> Page:
    """What `on_paper` draws, with what is known of the drawing."""
    look = {"width": width, "dpi": dpi, "greyscale": greyscale, "title": title, "part": part}
    checked(result, {**look, "font_size": font_size, "font": font, **options})
    options.pop("layout", None)  # of the CSV file of a matrix
    given = sheet(width, font_size, font, dpi)
    with paper_style(given):
        page = _drawn(result, given, greyscale, title, part, options)
        rasterise(page.figure)
        return page


def _drawn(result: Result, given: Sheet, greyscale: bool, title: bool, part: str, options: dict):
    look = {"greyscale": greyscale, "show_title": title or given.width == "slide"}
    return drawn(result, given, part, options, **look)


def drawn(
    result: Result,
    given: Sheet,
    part: str,
    options: dict,
    *,
    greyscale=False,
    show_title=False,
    on=None,
    shared=(),
    draft=False,
) -> Page:
    """Draw a result, within `paper_style`; `on` a part of a composed page, where one is given, without what several
    panels `shared` there ("legend", "bar"); a `draft` only to find where its axes lie."""
    module, why, said = drawer(result), "", ()
    if part == "estimates":
        why = "" if result.estimates else strip.NOTHING
        height = strip.strip_height(result, given)
    else:
        why = module.empty(result)
        said = () if why else _notes(module, result, given, options, greyscale)
        height = _height(module, result, given, options, why, show_title)
    page = new_page(given, height, result.title, said, greyscale=greyscale, show_title=show_title, on=on,
                    shared=frozenset(shared), draft=draft)  # fmt: skip
    if on is None:
        page.figure.set_dpi(given.dpi)
    if why:
        paper_sentence(page, why)
    elif part == "estimates":
        strip.strip_on_paper(result, page)
    else:
        module.paper(result, page, **options)
    return page


def _notes(module, result: Result, given: Sheet, options: dict, greyscale: bool):
    if isinstance(result, Table):
        return on_page(result, given)[3]
    if greyscale and isinstance(result, (Heatmap, Matrix, TokenFilm, TokenMap)):  # some is said of colours
        options = {**options, "greyscale": True}
    fits = "pictures" in options or isinstance(
        result, (Ledger, Partition, Scatter, TokenMap)
    )  # how much is shown depends on the width
    return module.notes(result, **options, **({"sheet": given} if fits else {}))


def _height(module, result: Result, given: Sheet, options: dict, why: str, show_title: bool) -> float:
    """Inches: as the kind asks, or by its shape; slides keep 16 : 9 at most."""
    if why:
        return 0.9 * given.scale
    height = module.paper_height(result, given, **options) if hasattr(module, "paper_height") else None
    if height is None:
        ratio = module.shape(result) if hasattr(module, "shape") else module.PAPER_SHAPE
        height = given.inches * ratio * (0.62 if given.width == "double" else 1)
    height += 0.3 * given.scale * show_title
    return float(min(height, given.highest))


def export(result: Result, format: str, **options) -> bytes:
    """The file as bytes. `format` is one of pdf, svg, png, csv, parquet, tex, json; options as of `on_paper` and of
    the kind.

    Raises ParameterError for an unknown format, and for an option that this kind of result does not have.
    """
    if format not in FORMATS:
        raise ParameterError(f"format = {format!r}", "one of " + ", ".join(FORMATS))
    checked(result, options)
    if format in ("pdf", "svg", "png"):
        return _picture(result, format, options)
    if format == "json":
        return _recipe(result, options)
    kept = {k: v for k, v in options.items() if k not in _PICTURE}
    part = kept.pop("part", "figure")
    if format == "tex" and isinstance(result, Matrix):
        kept.setdefault("layout", "wide")  # a page has no room for a line per cell
    columns = estimates_table(result) if part == "estimates" else drawer(result).table(result, **kept)
    if format == "tex":
        return tabular(result, columns, part).encode("utf-8", "replace")
    return csv_bytes(columns) if format == "csv" else parquet_bytes(columns)


def _picture(result: Result, format: str, options: dict) -> bytes:
    about = {"Title": plain(result.title), "Creator": "Feature Loupe"}
    said = alt_text(result, show=options.get("show", "value"))
    if format == "pdf":
        about |= {"Subject": said, "Producer": None, "CreationDate": None}
    elif format == "svg":
        about |= {"Description": said, "Date": None}
    else:
        about = {"Title": about["Title"], "Description": said, "Software": "Feature Loupe"}
    given = sheet(*(options.get(name, default) for name, default in _SHEET.items()))
    with paper_style(given):
        return saved(laid_out(page_of(result, **options).figure), format, given.dpi, about)


def laid_out(figure):
    """The figure with every panel in its place. Saving with a layout engine, even one that does nothing ("none"), would
    draw everything once more only to find the places."""
    find_places(figure)
    figure.set_layout_engine(None)
    return figure


def _recipe(result: Result, options: dict) -> bytes:
    """The recipe, with the drawing options that are plain values under "figure"."""
    from analysis.sharing.recipes import of_numbers

    recipe = of_numbers(result) if result.origin is None else result.origin.recipe()
    drawing = {k: v for k, v in options.items() if isinstance(v, (str, int, float, bool))}
    if drawing:
        recipe["figure"] = drawing
    text = json.dumps(
        recipe, indent=2, sort_keys=True, ensure_ascii=False, default=lambda v: np.asarray(v).tolist()
    )
    return (text + "\n").encode("utf-8", "replace")
