"""How a basket is printed and arranged: in the URL, on top of what the basket itself says, until it is kept there."""

from __future__ import annotations

import dataclasses

import streamlit as st

from analysis import access
from analysis.sharing.baskets.basket import LETTERS, MOST_COLUMNS, Basket
from dashboard import state
from dashboard.components.basket_choice import change, shelf
from dashboard.figures.sheet import SMALLEST, largest
from dashboard.figures.style import DPI, INCHES, POINTS
from dashboard.parts.export_menu import FACES, LEAST_DPI, MOST_DPI, WIDTHS

SHORT = {"single": "One column", "double": "Two columns", "slide": "Slide", "poster": "Poster"}


def draw(basket: Basket) -> Basket:
    """The basket as it is to be printed now."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        width = st.segmented_control(
            "Printed as", list(WIDTHS), format_func=SHORT.get, required=True,
            **state.bound("width", basket.sheet.get("width", "double"), list(WIDTHS), resets=("pt", "dpi")),
        )  # fmt: skip
        columns = st.segmented_control(
            "Columns", list(range(1, MOST_COLUMNS + 1)), required=True,
            **state.bound("columns", basket.columns, range(1, MOST_COLUMNS + 1)),
        )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="bottom"):
        widths = _ratios("Widths", "widths", basket.widths, "Of the columns, as 2:1. Empty: all the same.")
        heights = _ratios("Heights", "heights", basket.heights, "Of the rows. Empty: what each row needs.")
        face = st.segmented_control(
            "Type", list(FACES), format_func=FACES.get, required=True,
            **state.bound("font", basket.sheet.get("font") or "sans", list(FACES)),
        )  # fmt: skip
        points, dpi = _numbers(basket, width)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        letters = st.selectbox(
            "Letters", list(LETTERS), format_func=LETTERS.get, width=130,
            **state.bound("letters", basket.letters, list(LETTERS)),
        )  # fmt: skip
        help = "Equal legends and colour scales stand once for all panels; others are kept apart."
        share = st.toggle("Share legends", help=help, **state.bound("share", basket.share))
        grey = st.toggle("Greyscale", **state.bound("grey", bool(basket.sheet.get("greyscale"))))
        sheet = {"width": width, "font": face, "font_size": points, "dpi": dpi, "greyscale": grey}
        arranged = dataclasses.replace(
            basket, sheet=_short(sheet, width), columns=columns, widths=widths, heights=heights, letters=letters,
            share=share,
        )  # fmt: skip
        _keep(basket, arranged)
    return arranged


def _numbers(basket: Basket, width: str) -> tuple[float, float]:
    same = basket.sheet.get("width", "double") == width
    points = float((same and basket.sheet.get("font_size")) or POINTS[width])
    dpi = int((same and basket.sheet.get("dpi")) or DPI[width])
    most = min(MOST_DPI, int(12_000 / INCHES[width]))
    return (
        st.number_input(
            "Points", SMALLEST, largest(width), step=0.5, width=110, format="%.1f",
            **state.bound("pt", points, state.between(SMALLEST, largest(width))),
        ),
        st.number_input(
            "Dots per inch", LEAST_DPI, most, step=50, width=130,
            **state.bound("dpi", dpi, state.between(LEAST_DPI, most, int)),
        ),
    )  # fmt: skip


def _ratios(label: str, name: str, given: tuple[float, ...], help: str) -> tuple[float, ...]:
    """Numbers with colons between; what cannot be read counts as empty."""
    usual = ":".join(f"{v:g}" for v in given)
    text = st.text_input(label, width=110, help=help, max_chars=40, **state.bound(name, usual))
    try:
        found = tuple(float(part) for part in text.split(":")) if text.strip() else ()
        if all(0.1 <= v <= 10 for v in found):
            return found
    except ValueError:
        pass
    st.caption("Ratios are numbers from 0.1 to 10, as 2:1.")
    return ()


def _short(sheet: dict, width: str) -> dict:
    """Without what the preset has anyway."""
    usual = {"font": "sans", "font_size": POINTS[width], "dpi": DPI[width], "greyscale": False}
    return {name: value for name, value in sheet.items() if usual.get(name) != value}


def _keep(basket: Basket, arranged: Basket) -> None:
    """A button that writes the arrangement into the basket, where it differs."""
    fields = ("sheet", "columns", "widths", "heights", "letters", "share")
    changed = {
        name: getattr(arranged, name) for name in fields if getattr(arranged, name) != getattr(basket, name)
    }
    if (
        set(changed) == {"sheet"}
        and _short(basket.sheet, basket.sheet.get("width", "double")) == arranged.sheet
    ):
        return
    if changed and st.button(
        "Keep for everybody", icon=":material/save:", disabled=not access.may("editor"),
        help="This arrangement is in the link so far. Kept in the basket, everybody sees it.",
    ):  # fmt: skip
        change(lambda: shelf().change(basket.name, lambda now: dataclasses.replace(now, **changed)))
        state.set_params(**dict.fromkeys(("width", "columns", "widths", "heights", "font", "pt", "dpi", "letters",
                                          "share", "grey")))  # fmt: skip
        st.rerun()
