"""The pages of a bundle, and the list of what there is that their scripts begin with."""

from __future__ import annotations

from collections.abc import Iterator

from dashboard.figures.style import DARK, LIGHT, Theme
from dashboard.figures.text import plain
from dashboard.publishing import provenance, sample_data, static_pages, written_data
from dashboard.publishing.pages import NAMES, Frame, needs_script

CARDS = 24  # in a file
_KEPT = {
    "map": "maps",
    "heatmaps": "heatmaps",
    "figures": "figures",
}  # pages that are there where there is something
_NO_SCRIPT = (
    'The <a href="index.html">overview</a> needs none, and has all features of each tap as a CSV table.'
)
_BY_SCRIPT = {
    "map": '<h1>Map</h1><div id="map-page"></div>'
    + needs_script("The map is drawn by a script.", _NO_SCRIPT),
    "features": '<div id="features-page"><h1>Features</h1></div>'
    + needs_script("The list and the cards are drawn by a script.", _NO_SCRIPT),
    "heatmaps": '<h1>Heat maps</h1><div id="heat-page"></div>'
    + needs_script("Heat maps are drawn by a script.", _NO_SCRIPT),
}
_LOADS = {
    "map": ("parts-map", "data/site", "sample", "map"),
    "features": ("parts-card", "parts-map", "data/site", "sample", "list", "card", "features"),
    "heatmaps": ("parts-heat", "data/site", "heatmaps"),
}


def site(writer) -> dict:
    """What the scripts of all pages know; `writer` as of `bundle`."""
    shown = {name: lines for name, lines in writer.shown.items() if name != "figures"}
    return {"title": plain(writer.title), "stores": list(writer.stores), "themes": _themes(), "cards": CARDS,
            "pictures": writer.asked.pictures, "samples": sample_data.PER_FILE, **shown}  # fmt: skip


def pages(writer) -> Iterator[tuple[str, bytes]]:
    """(name of the file, page) of every page for which there is something."""
    title, shown = plain(writer.title), writer.shown
    names = [name for name in NAMES if name not in _KEPT or shown[_KEPT[name]]]
    foot = (
        f"Made with Feature Loupe {version()}. All of it is in this folder; nothing is loaded from elsewhere."
    )
    frame = Frame(title, tuple(names), foot)
    for name in names:
        yield f"{name}.html", frame.page(name, _body(writer, name), tuple(map(_place, _LOADS.get(name, ()))))


def _body(writer, name: str) -> str:
    if name in _BY_SCRIPT:
        return _BY_SCRIPT[name]
    if name == "figures":
        return static_pages.figure_page(writer.shown["figures"])
    if name == "notes":
        said = written_data.notes(writer.workspace, writer.plan, writer.asked.who)
        return static_pages.note_page(*said, writer.shown["figures"])
    made = [(store, provenance.of_store(writer.workspace, store, writer.plan)) for store in writer.stores]
    line = "The checksum of the whole is the digest in manifest.json."
    return static_pages.overview(plain(writer.title), writer.asked, writer.plan, made, line, version())


def _place(script: str) -> str:
    return f"{script}.js" if "/" in script else f"assets/{script}.js"


def _themes() -> dict:
    """The colours that scripts draw with."""

    def of(look: Theme) -> dict:
        return {"text": look.text, "muted": look.muted, "accent": look.accent, "categories": look.categories,
                "greys": [look.accent, look.missing, look.dimmed], "sequential": look.sequential,
                "diverging": look.diverging}  # fmt: skip

    return {"light": of(LIGHT), "dark": of(DARK)}


def version() -> str:
    """Of this program."""
    from analysis import __version__

    return __version__
