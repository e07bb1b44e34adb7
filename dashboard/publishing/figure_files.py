"""A figure as files: SVG from the drawing for paper, its numbers as CSV, its recipe; words for caption and ears.

Plotly's figures are interactive, but its library alone is five megabytes and its numbers are locked in a script; the
drawing for paper is what the paper shows, always has the same bytes, and needs no script to be seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analysis.results import Result, Scatter
from analysis.workspace import Workspace
from dashboard import figures
from dashboard.colouring import coloured
from dashboard.figures.text import plain
from dashboard.publishing.map_data import said
from dashboard.publishing.plan import KeptPlan

LARGE = 20_000_000  # bytes of a CSV file that stays out
_WIDTH, _HEIGHT = (re.compile(rb"<svg[^>]*?\s" + side + rb'="([0-9.]+)pt"') for side in (b"width", b"height"))


def drawn_figure(workspace: Workspace, plan: KeptPlan, result: Result, *, pictures: bool) -> Iterator[tuple]:
    """("svg" | "csv" | "json", bytes) of a kept result. Raises as `figures.export`."""
    options = {"width": "double", **plan.figure}
    if isinstance(result, Scatter) and (colour := options.get("colour") or _usual(result)):
        result = coloured(result, workspace, str(colour))
        options["colour"] = result.colour
    if pictures and "pictures" not in options:
        from analysis.results import Gallery
        from dashboard.browse.pictured import looks

        if isinstance(result, Gallery) and (look := looks(workspace, result)) is not None:
            options["pictures"] = look
    yield "svg", figures.export(result, "svg", **options)
    yield "csv", figures.export(result, "csv", **options)
    yield "json", figures.export(result, "json", **options)


def _usual(result: Scatter) -> str:
    return "label" if result.of == "rows" else ""


def words(plan: KeptPlan, result: Result) -> dict:
    """Title, caption and alt text, with what cannot be concluded."""
    return {
        "title": plain(result.title), "kind": result.kind, "caption": figures.caption(result),
        "alt": figures.alt_text(result), "anchor": anchor(plan), **said(result),
    }  # fmt: skip


def anchor(plan: KeptPlan) -> str:
    """The figure's own word in a link: the same as long as the result is."""
    return f"figure-{plan.key[:16]}"


def size_of(svg: bytes) -> tuple[float, float]:
    """Width and height in points, so that a page keeps room for a picture that is still on its way."""
    found = [side.search(svg[:4000]) for side in (_WIDTH, _HEIGHT)]
    return tuple(float(one[1]) for one in found) if all(found) else (518.4, 360.0)
