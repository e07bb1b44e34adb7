"""The figure as files: made only when somebody clicks, and the same bytes every time.

How it is printed (preset, letters, dpi, grey) is in the URL and in the recipe.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import streamlit as st

from analysis.results import Result, Scatter
from dashboard import errors, figures, state
from dashboard.figures.sheet import MOST_ACROSS, SMALLEST, largest
from dashboard.figures.style import DPI, INCHES, POINTS
from dashboard.hosting import host
from dashboard.parts import basket_button, figure_cache

WIDTHS = {
    "single": "One column (3.5 in)",
    "double": "Two columns (7.2 in)",
    "slide": "Slide (10 in)",
    "poster": "Poster (16 in)",
}
FACES = {"sans": "Sans serif", "serif": "Serif"}
PARTS = {"figure": "The figure", "estimates": "Its numbers with their nulls"}
PICTURES = {"pdf": "application/pdf", "svg": "image/svg+xml", "png": "image/png"}
NUMBERS = {
    "csv": ("CSV", "text/csv", "The plotted numbers, as text"),
    "parquet": (
        "Parquet",
        "application/vnd.apache.parquet",
        "The plotted numbers, small and fast for many rows",
    ),
    "tex": ("LaTeX", "text/x-tex", "The numbers as a LaTeX table (booktabs)"),
    "json": (
        "Recipe",
        "application/json",
        "What makes the same file again: loupe render recipe.json --out figure.pdf",
    ),
}
LEAST_DPI, MOST_DPI = 50, 1200
LONGEST_STEM = 80  # characters of the taps in a file's name


def draw(result_of: Callable[[], Result], key: str, **options: object) -> None:
    """A button that opens the menu; the result is asked for then. `options` of the figure go into all files."""
    menu = st.popover("Export", icon=":material/download:", key=f"export:{key}", on_change="rerun")
    if not menu.open:
        return
    result = result_of()
    with menu:
        print_as = {**sheet_form(result, key), **options}
        with st.container(horizontal=True):
            for format, mime in PICTURES.items():
                _button(result, key, format, format.upper(), mime, **print_as)
        with st.container(horizontal=True):
            for format, (label, mime, help) in NUMBERS.items():
                _button(result, key, format, label, mime, help=help, **print_as)
        basket_button.draw(result, key, {**options, "part": print_as.get("part", "figure")})
        in_grey(result, **print_as)
        st.caption("Draft of a caption")
        st.code(figures.caption(result, show=options.get("show", "value")), language=None, wrap_lines=True)
        if rest := figures.besides(result):
            st.caption("To say in the text")
            st.code(rest, language=None, wrap_lines=True)


def sheet_form(result: Result, key: str) -> dict:
    """What is asked for the printed picture; options of `figures.export` without those that the preset has anyway."""
    width = st.segmented_control(
        "Printed as", list(WIDTHS), format_func=WIDTHS.get, required=True,
        **state.bound("width", "single", list(WIDTHS), where=key, resets=("pt", "dpi")),
    )  # fmt: skip
    found: dict = {"width": width}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        face = st.segmented_control(
            "Letters", list(FACES), format_func=FACES.get, required=True,
            **state.bound("font", "sans", list(FACES), where=key),
        )  # fmt: skip
        most_dpi = min(MOST_DPI, int(MOST_ACROSS / INCHES[width]))
        points = _number("Text, in points", "pt", POINTS[width], SMALLEST, largest(width), 0.5, key,
                         "The size of names as printed; ticks and legends are half a point smaller.")  # fmt: skip
        dpi = _number("Dots per inch", "dpi", DPI[width], LEAST_DPI, most_dpi, 50, key,
                      "Of PNG, and of what is an image in PDF and SVG: pictures, points above 3,000.")  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center"):
        grey = st.toggle("Greyscale", **state.bound("grey", False, where=key))
        title = st.toggle("With its title", **state.bound("heading", False, where=key))
        part = "figure"
        if result.estimates:
            part = st.selectbox(
                "What", list(PARTS), format_func=PARTS.get, label_visibility="collapsed", width=260,
                **state.bound("part", "figure", list(PARTS), where=key),
            )  # fmt: skip
    asked = {"font": face, "font_size": points, "dpi": dpi, "greyscale": grey, "title": title, "part": part}
    usual = {"font": "sans", "font_size": POINTS[width], "dpi": DPI[width], "greyscale": False, "title": False,
             "part": "figure"}  # fmt: skip
    return {**found, **{name: value for name, value in asked.items() if value != usual[name]}}


def _number(
    label: str, name: str, usual: float, low: float, high: float, step: float, key: str, help: str
) -> float:
    """A number of the URL; one that is out of range there is the usual one."""
    of = type(usual)

    def within(text: str) -> float:
        value = of(text)
        if not low <= value <= high:
            raise ValueError(text)
        return value

    return st.number_input(
        label, min_value=of(low), max_value=of(high), step=of(step), width=130, help=help,
        format="%.1f" if of is float else "%d", **state.bound(name, usual, within, where=key),
    )  # fmt: skip


def in_grey(result: Result, **options: object) -> None:
    """Say what a copy in grey would lose."""
    with errors.shown():
        lost = figure_cache.figure("grey", result, lambda: figures.grey_check(result, **options), **options)
        for sentence in lost:
            more = "" if options.get("greyscale") else " Greyscale uses marks, dashes and lightness instead."
            st.caption(errors.escape(sentence + more))


def _button(
    result: Result, key: str, format: str, label: str, mime: str, *, help: str = "", **options: object
) -> None:
    st.download_button(
        label,
        host.exporting(_bytes_of(result, format, **options), f"{file_stem(result)}.{format}"),
        file_name=f"{file_stem(result)}.{'recipe.json' if format == 'json' else format}",
        mime=mime,
        key=f"export:{key}:{format}",
        help=help or f"{label}, {WIDTHS[options['width']].lower()}",
        on_click="ignore",
    )


def _bytes_of(result: Result, format: str, **options: object) -> Callable[[], bytes]:
    if format == "json" and isinstance(
        result, Scatter
    ):  # so that the recipe's figure has the colours of the screen
        options = {**options, "colour": result.colour}
    if format == "json" and options.get("pictures") is not None:
        options = {**options, "pictures": True}  # whoever renders the recipe looks the samples up
    return lambda: figures.export(result, format, **options)


def file_stem(result: Result) -> str:
    """ "pca-digits-vit-vit.layers.2": a file name from what was run on what; of many taps, their stores and number; of
    what no method made, its title."""
    if result.origin is None:
        words = [result.kind, result.title]
    else:
        inputs = [str(given.get("name", "")) for given in result.origin.inputs]
        stores = dict.fromkeys(name.partition(":")[0] for name in inputs)
        many = len("-".join(inputs)) > LONGEST_STEM
        words = [result.origin.method, *([*stores, f"{len(inputs)}-taps"] if many else inputs)]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(words))[:120].strip("-.")
