"""The figure as files: made only when somebody clicks, and the same bytes every time."""

from __future__ import annotations

import re
from collections.abc import Callable

import streamlit as st

from analysis.results import Result, Scatter
from dashboard import figures, state

WIDTHS = {"single": "One column (3.5 in)", "double": "Two columns (7.2 in)", "slide": "Slide (10 in)"}
PICTURES = {"pdf": "application/pdf", "svg": "image/svg+xml", "png": "image/png"}
NUMBERS = {
    "csv": ("CSV", "text/csv", "The plotted numbers"),
    "tex": ("LaTeX", "text/x-tex", "The numbers as a LaTeX table"),
    "json": (
        "Recipe",
        "application/json",
        "What makes the same file again: loupe render recipe.json --out figure.pdf",
    ),
}


def draw(result_of: Callable[[], Result], key: str, **options: object) -> None:
    """A button that opens the menu; the result is asked for then. `options` of the figure go into pictures and
    recipe."""
    menu = st.popover("Export", icon=":material/download:", key=f"export:{key}", on_change="rerun")
    if not menu.open:
        return
    result = result_of()
    with menu:
        width = st.segmented_control(
            "Width of the picture",
            list(WIDTHS),
            format_func=WIDTHS.get,
            required=True,
            **state.bound("width", "single", list(WIDTHS), where=key),
        )
        with st.container(horizontal=True):
            for format, mime in PICTURES.items():
                _button(result, key, format, format.upper(), mime, width=width, **options)
        with st.container(horizontal=True):
            for format, (label, mime, help) in NUMBERS.items():
                if format == "json" and result.origin is None:  # drawn straight from the store by no method
                    continue
                more = {"width": width, **options} if format == "json" else {}
                _button(result, key, format, label, mime, help=help, **more)
        st.caption("Draft of a caption")
        st.code(figures.caption(result, show=options.get("show", "value")), language=None, wrap_lines=True)


def _button(
    result: Result, key: str, format: str, label: str, mime: str, *, help: str = "", **options: object
) -> None:
    st.download_button(
        label,
        _bytes_of(result, format, **options),
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
    """ "pca-digits-vit-vit.layers.2": a file name from what was run on what."""
    if result.origin is None:
        words = [result.kind]
    else:
        words = [result.origin.method, *(str(given.get("name", "")) for given in result.origin.inputs)]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(words)).strip("-.")[:120]
