"""Everything of a basket as files: the composed figure, each panel, the numbers, the texts, and what makes it again.

The same basket in the same workspace gives the same bytes, in a folder and in a zip.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

from analysis.errors import InputError
from analysis.results import Matrix, Table
from analysis.sharing.baskets.basket import FILE, KEPT, Basket
from analysis.sharing.beside import beside
from analysis.sharing.bibliography import bibtex
from dashboard.baskets.captions import captions_markdown, captions_tex
from dashboard.baskets.methods_text import cited, methods_markdown, methods_paragraphs, methods_tex
from dashboard.baskets.page import PICTURES, pictures, sheet_of
from dashboard.baskets.panels import Ready
from dashboard.figures import export, table_twin
from dashboard.figures.latex import MOST_TEX_CELLS

LARGE = 10_000  # rows, from which on a panel's numbers are also written as parquet
SUMS, ABOUT = "SHA256SUMS", "README.txt"


def files_of(
    workspace, basket: Basket, panels: list[Ready], folder: Path
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """All files by their names, and what is to be said of the arrangement. `folder` is the basket's own.

    Raises NotFound, InputError, ParameterError where a panel cannot be drawn."""
    drawn, said = pictures(basket, panels)
    files = {f"figure.{format}": drawn[format] for format in PICTURES}
    for one in panels:
        files |= _panel(basket, one, folder)
    paragraphs = methods_paragraphs(workspace, panels)
    files |= {
        "captions.md": captions_markdown(basket, panels, said).encode("utf-8", "replace"),
        "captions.tex": captions_tex(basket, panels).encode("utf-8", "replace"),
        "methods.md": methods_markdown(paragraphs).encode("utf-8", "replace"),
        "methods.tex": methods_tex(paragraphs).encode("utf-8", "replace"),
        "references.bib": bibtex(cited(paragraphs)).encode("utf-8", "replace"),
        FILE: replace(basket, revision=0).as_json(),
    }
    files[ABOUT] = _about(files).encode()
    sums = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return {**files, SUMS: sums.encode()}, said


def _panel(basket: Basket, one: Ready, folder: Path) -> dict[str, bytes]:
    """A panel alone, its numbers, its table and its recipe."""
    sheet, options = sheet_of(basket), dict(one.options or {})
    width = sheet.width
    if width == "double" and basket.columns > 1 and one.panel.span < basket.columns:
        width = "single"
    look = {"width": width, "font": sheet.font, "greyscale": bool(basket.sheet.get("greyscale")), **options}
    if width == sheet.width:
        look |= {name: basket.sheet[name] for name in ("font_size", "dpi") if basket.sheet.get(name)}
    found = {f"panels/{one.stem}.{format}": export(one.result, format, **look) for format in PICTURES}
    found[f"data/{one.stem}.csv"] = export(one.result, "csv", **options)
    kind = {name: v for name, v in options.items() if name not in ("part", "font", "greyscale")}
    if max((len(v) for v in table_twin(one.result, **kind).values()), default=0) > LARGE:
        found[f"data/{one.stem}.parquet"] = export(one.result, "parquet", **options)
    if one.result.estimates:
        found[f"data/{one.stem}.estimates.csv"] = export(
            one.result, "csv", **{**options, "part": "estimates"}
        )
    if _tabular(one):
        found[f"tables/{one.stem}.tex"] = export(one.result, "tex", **options)
    if one.panel.recipe is not None:
        recipe = {**one.panel.recipe, "figure": {**one.panel.options, "width": width}}
        text = json.dumps(recipe, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        found[f"recipes/{one.stem}.recipe.json"] = text.encode("utf-8", "replace")
    if one.panel.kept:
        found[f"{KEPT}/{one.panel.kept}"] = (folder / KEPT / one.panel.kept).read_bytes()
    return found


def _tabular(one: Ready) -> bool:
    """Whether there is a table to print: rows, estimates, or the cells of a small matrix."""
    small = isinstance(one.result, Matrix) and max(one.result.values.shape, default=0) <= MOST_TEX_CELLS
    return bool(one.result.estimates) or isinstance(one.result, Table) or small


def _about(files: dict[str, bytes]) -> str:
    lines = {
        "figure.*": "the composed figure, as PDF and SVG with text and fonts, and as PNG",
        "panels/": "each panel alone",
        "data/": "the plotted numbers of each panel, and its numbers with intervals and nulls (.estimates.csv)",
        "tables/": "tables for LaTeX (booktabs), to be corrected by hand",
        "captions.*": "the caption",
        "methods.*": "the methods paragraph, out of the recipes",
        "references.bib": "the papers behind the methods and the software; complete the entries that lack authors",
        "recipes/": "what makes each panel again: loupe render a.recipe.json --out a.pdf",
        FILE: "the arrangement: loupe render THIS_FOLDER --out ANOTHER makes all of this again",
        f"{KEPT}/": "results that no recipe makes",
        SUMS: "checksums: sha256sum -c SHA256SUMS",
    }
    there = [
        name for name in lines
        if any(file.startswith(name.rstrip("*")) for file in files) or name == SUMS
    ]  # fmt: skip
    return "Made with Feature Loupe.\n\n" + "".join(f"{name:<16}{lines[name]}\n" for name in there)


def as_zip(files: dict[str, bytes], name: str) -> bytes:
    """One zip with a folder called `name`, sorted, without times."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as made:
        for file in sorted(files):
            info = zipfile.ZipInfo(f"{name}/{file}", (1980, 1, 1, 0, 0, 0))
            info.create_system, info.external_attr, info.compress_type = 3, 0o644 << 16, zipfile.ZIP_DEFLATED
            made.writestr(info, files[file])
    return out.getvalue()


def write(files: dict[str, bytes], out: Path, name: str) -> None:
    """Into the folder `out`, which is new or empty, or a zip file: whole or not at all. Raises InputError."""
    try:
        if out.suffix.lower() == ".zip":
            with beside(out) as place:
                place.write_bytes(as_zip(files, name))
                place.chmod(0o644)
                place.replace(out)
            return
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(
                f"{out} is there and not empty", "a new folder", "Remove it, or choose another name"
            )
        with beside(out, folder=True) as place:
            for file, data in files.items():
                (place / file).parent.mkdir(parents=True, exist_ok=True)
                (place / file).write_bytes(data)
            if out.exists():
                out.rmdir()
            place.rename(out)
    except OSError as error:
        raise InputError(f"{out} cannot be written ({error.strerror})", "a writable path with room") from None
