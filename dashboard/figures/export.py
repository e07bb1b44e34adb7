"""Out of the dashboard: PDF, SVG, PNG, CSV, LaTeX and the recipe; the same result gives the same bytes.

Dates, versions of the drawing library and random identifiers are left out of the files, whatever
SOURCE_DATE_EPOCH says.
"""

from __future__ import annotations

import csv
import io
import json

import numpy as np

from analysis.errors import ParameterError
from analysis.results import Matrix, Partition, Result, Table
from dashboard.figures import strip
from dashboard.figures.estimates import estimates_table
from dashboard.figures.kinds import drawer
from dashboard.figures.options import checked
from dashboard.figures.paper import TALLEST, new_page, paper_sentence, paper_style
from dashboard.figures.style import INCHES
from dashboard.figures.table import is_number, on_page, shown
from dashboard.figures.text import cell, plain, tex
from dashboard.figures.words import alt_text, caption

FORMATS = ("pdf", "svg", "png", "csv", "tex", "json")
_PICTURE = ("width", "dpi", "greyscale", "title")
MOST_TEX_ROWS = 60
MOST_TEX_CELLS = 14  # along one side of a matrix


def on_paper(
    result: Result, *, width="single", dpi=300, greyscale=False, title=False, part="figure", **options
):
    """Draw for print; returns a Matplotlib figure of exactly `width` ("single" 3.5 in, "double" 7.2 in, "slide"
    10 in). `part="estimates"` draws the null strip. Save it with `export`, which fixes fonts and dates.

    Raises ParameterError for an option that this kind of result does not have."""
    look = {"width": width, "dpi": dpi, "greyscale": greyscale, "title": title, "part": part}
    checked(result, {**look, **options})
    options.pop("layout", None)  # of the CSV file of a matrix
    with paper_style(width):
        return _drawn(result, width, dpi, greyscale, title, part, options)


def _drawn(result: Result, width: str, dpi: int, greyscale: bool, title: bool, part: str, options: dict):
    module, why = drawer(result), ""
    look = {"greyscale": greyscale, "show_title": title or width == "slide"}
    if part == "estimates":
        why = "" if result.estimates else strip.NOTHING
        page = new_page(width, strip.strip_height(result, width), result.title, **look)
    else:
        why = module.empty(result)
        said = () if why else _notes(module, result, width, options)
        height = _height(module, result, width, options, why, look)
        page = new_page(width, height, result.title, said, **look)
    page.figure.set_dpi(dpi)
    if why:
        paper_sentence(page, why)
    elif part == "estimates":
        strip.strip_on_paper(result, page)
    else:
        module.paper(result, page, **options)
    return page.figure


def _notes(module, result: Result, width: str, options: dict):
    if isinstance(result, Table):
        return on_page(result, width)[3]
    fits = "pictures" in options or isinstance(result, Partition)  # how much is shown depends on the width
    return module.notes(result, **options, **({"width": width} if fits else {}))


def _height(module, result: Result, width: str, options: dict, why: str, look: dict) -> float:
    """Inches: as the kind asks, or by its shape; slides keep 16 : 9 at most."""
    scale = 2 if width == "slide" else 1
    if why:
        return 0.9 * scale
    height = module.paper_height(result, width, **options) if hasattr(module, "paper_height") else None
    if height is None:
        ratio = module.shape(result) if hasattr(module, "shape") else module.PAPER_SHAPE
        height = INCHES[width] * ratio * (0.62 if width == "double" else 1)
    height += 0.3 * scale * look["show_title"]
    return float(min(height, 5.625 if width == "slide" else TALLEST))


def export(result: Result, format: str, **options) -> bytes:
    """The file as bytes. `format` is one of pdf, svg, png, csv, tex, json; options as of `on_paper` and of the kind.

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
    return csv_bytes(columns) if format == "csv" else _tex(result, columns, part).encode()


def _picture(result: Result, format: str, options: dict) -> bytes:
    dpi, width = options.get("dpi", 300), options.get("width", "single")
    about = {"Title": plain(result.title), "Creator": "Feature Loupe"}
    said = alt_text(result, show=options.get("show", "value"))
    if format == "pdf":
        about |= {"Subject": said, "Producer": None, "CreationDate": None}
    elif format == "svg":
        about |= {"Description": said, "Date": None}
    else:
        about = {"Title": about["Title"], "Description": said, "Software": "Feature Loupe"}
    out = io.BytesIO()
    with paper_style(width):
        figure = on_paper(result, **options)
        figure.savefig(out, format=format, dpi=dpi, metadata=about)
    return out.getvalue()


def csv_bytes(columns: dict) -> bytes:
    """UTF-8 with a header line. Numbers in full precision, NaN as an empty cell; text that a spreadsheet would
    run as a formula gets a leading apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([cell(name) for name in columns])
    writer.writerows(zip(*(_cells(values) for values in columns.values()), strict=True))
    return out.getvalue().encode("utf-8", "replace")


def _cells(values) -> list[str]:
    values = np.asarray(values)
    if values.dtype.kind == "f":
        text = values.astype(str)
        return np.where(np.isnan(values), "", text).tolist()
    if values.dtype.kind in "iub":
        return values.astype(str).tolist()
    return [cell(v) for v in values.tolist()]


def _recipe(result: Result, options: dict) -> bytes:
    """The recipe, with the drawing options that are plain values under "figure"."""
    if result.origin is None:
        raise ParameterError(
            "this result has no recipe", "one that the pipeline made", "Run it from the page or the CLI"
        )
    recipe = result.origin.recipe()
    drawing = {k: v for k, v in options.items() if isinstance(v, (str, int, float, bool))}
    if drawing:
        recipe["figure"] = drawing
    text = json.dumps(
        recipe, indent=2, sort_keys=True, ensure_ascii=False, default=lambda v: np.asarray(v).tolist()
    )
    return (text + "\n").encode("utf-8", "replace")


def _tex(result: Result, columns: dict, part: str) -> str:
    """A booktabs table. A table gives its rows, a small matrix its cells, anything else its estimates (or its
    numbers, when it has none)."""
    small = isinstance(result, Matrix) and max(np.asarray(result.values).shape, default=0) <= MOST_TEX_CELLS
    if part == "figure" and result.estimates and not isinstance(result, Table) and not small:
        table = estimates_table(result)
        columns = {k: v for k, v in table.items() if k in ("name", "value", "low", "high", "null", "n", "d")}
    n = min((len(v) for v in columns.values()), default=0)
    keep, cut = slice(0, MOST_TEX_ROWS), ""
    if n > MOST_TEX_ROWS:  # in the caption: a comment would not be printed
        cut = f" The first {MOST_TEX_ROWS} of {n:,} rows; the CSV file has them all."
    cells = [[tex(text) for text in shown(np.asarray(v)[keep], 40)] for v in columns.values()]
    sides = "".join("r" if is_number(v) else "l" for v in columns.values())
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{tex(caption(result) + cut)}}}",
        f"\\begin{{tabular}}{{{sides}}}",
        "\\toprule",
        " & ".join(tex(k) for k in columns) + r" \\",
        "\\midrule",
    ]
    lines += [" & ".join(row) + r" \\" for row in zip(*cells, strict=True)]
    lines += ["\\bottomrule", "\\end{tabular}"]
    return "\n".join([*lines, "\\end{table}", ""])
