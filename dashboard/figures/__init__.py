"""Figures: one file per kind of result, on screen (Plotly) and on paper (Matplotlib). No Streamlit here."""

from __future__ import annotations

from analysis.results import Result
from dashboard.figures.captions import besides, caption
from dashboard.figures.estimates import estimates_table
from dashboard.figures.export import FORMATS, export, on_paper
from dashboard.figures.grey import grey_check
from dashboard.figures.kinds import drawer
from dashboard.figures.options import checked
from dashboard.figures.screen import screen_sentence
from dashboard.figures.strip_on_page import strip_on_page
from dashboard.figures.style import theme_named
from dashboard.figures.words import alt_text, table_twin

__all__ = [
    "FORMATS",
    "alt_text",
    "besides",
    "caption",
    "estimates_table",
    "export",
    "grey_check",
    "null_strip",
    "on_paper",
    "on_screen",
    "table_twin",
]


def on_screen(result: Result, *, theme: str = "light", **options):
    """A Plotly figure of any kind of result; a sentence where there is nothing to draw.

    Show it with `theme=None` in Streamlit: the figure brings its own fonts and colours. Options of every kind:
    `height` (pixels), `title` (False where the page has its own heading; notes stay). Options by kind:

    - scatter: colour (a column, an array (n,), "" for none), colour_name, categorical, dimmed or selected (a mask
      (n,) or indices), point_size, hover (n,) texts
    - matrix: aggregate ("auto", "max", "mean"), show ("value", "excess" over the null); spectrum: log; distribution:
      mode ("auto", "overlay", "stack"), log_y; table: rows; token_map: tokens (texts per sample)
    """
    look = theme_named(theme)
    module = drawer(result)
    checked(result, options)
    why = module.empty(result)
    if why:
        return screen_sentence(look, result.title, why, show_title=options.get("title", True))
    return module.screen(result, look, **options)


def null_strip(result: Result, theme: str = "light") -> str:
    """HTML: each estimate on a line, value and interval over the grey band of its null."""
    return strip_on_page(result, theme_named(theme))
