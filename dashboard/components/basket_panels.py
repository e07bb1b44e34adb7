"""The panels of a basket in order: moved, renamed, taken out, captioned; computed where their results are missing."""

from __future__ import annotations

from functools import partial

import streamlit as st

from analysis import access, registry
from analysis.sharing.baskets.basket import Basket
from analysis.sharing.baskets.shelf import rewritten
from dashboard import errors, state
from dashboard.baskets.captions import draft
from dashboard.baskets.panels import Ready
from dashboard.components.basket_choice import change, shelf
from dashboard.components.basket_preview import thumbnail
from dashboard.parts import on_demand


def draw(basket: Basket, panels: list[Ready]) -> None:
    """A box for each panel."""
    st.markdown("**Panels**")
    for place, one in enumerate(panels):
        with st.container(border=True), errors.shown():
            _panel(basket, one, place, len(panels))


def _panel(basket: Basket, one: Ready, place: int, count: int) -> None:
    editor, id = access.may("editor"), one.panel.id
    left, right = st.columns([1, 1.35], gap="small")
    with right:
        st.markdown(f"**{errors.escape(one.named)}** {errors.escape(_name(one))}")
        with st.container(
            horizontal=True, gap=None, key=f"icons:{id}"
        ):  # frame.css hides what they are called
            _button(
                "arrow_upward", "Earlier", id, not editor or place == 0, partial(_move, basket.name, id, -1)
            )
            last = place == count - 1
            _button("arrow_downward", "Later", id, not editor or last, partial(_move, basket.name, id, 1))
            _button("close", "Take out", id, not editor, partial(_take_out, basket.name, id))
    with left:
        if one.result is not None and (picture := thumbnail(basket, one)) is not None:
            st.image(picture, width="stretch", alt=f"{one.named}: {one.result.title}")
    if one.problem:
        errors.notice({"found": one.problem}, refused=True)
    elif one.result is None:
        _compute(one)
    elif one.said:
        st.caption(f":material/warning: {errors.escape(one.said)}")
    _words(basket, one, editor)


def _words(basket: Basket, one: Ready, editor: bool) -> None:
    """Title, letter, width and caption."""
    panel, id = one.panel, one.panel.id
    box = st.expander("Title and caption", **state.bound(f"open.{id}", False))
    if not box.open:
        return
    with box:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input(
                "Title beside the letter", max_chars=200, disabled=not editor, **_text(basket, id, "title")
            )
            st.text_input(
                "Own letter", max_chars=8, width=100, disabled=not editor, **_text(basket, id, "letter")
            )
            st.number_input(
                "Columns", 1, basket.columns, width=100, disabled=not editor,
                **_tied(basket, id, "span", panel.span, min(panel.span, basket.columns)),
            )  # fmt: skip
        drafted = "" if one.result is None else draft(one)
        shown = drafted if panel.caption is None else panel.caption
        st.text_area(
            "Caption", height=160, max_chars=4000, disabled=not editor,
            **_tied(basket, id, "caption", panel.caption, shown),
        )  # fmt: skip
        if panel.caption is not None and st.button(
            "Back to the draft", key=f"draft:{id}", disabled=not editor
        ):
            change(lambda: shelf().change(basket.name, rewritten("caption", panel.caption, None, id)))
            st.rerun()


def _text(basket: Basket, id: str, field: str) -> dict:
    was = getattr(basket.panel(id), field)
    return _tied(basket, id, field, was, was)


def _tied(basket: Basket, id: str, field: str, was, shown) -> dict:
    """A widget that writes a field of the panel, unless somebody else has changed it since the page was drawn."""

    def write(value) -> None:
        if value != shown:
            change(lambda: shelf().change(basket.name, rewritten(field, was, value, id)))

    return state.tied(f"{field}:{id}", shown, write)


def _name(one: Ready) -> str:
    if one.result is not None:
        return one.result.title
    return str((one.panel.recipe or {}).get("method", "a figure"))


def _button(icon: str, help: str, id: str, disabled: bool, do) -> None:
    look = {"icon": f":material/{icon}:", "type": "tertiary", "help": help}
    if st.button(help, key=f"{help}:{id}", disabled=disabled, **look):
        change(do)
        st.rerun()


def _move(name: str, id: str, by: int) -> None:
    shelf().change(name, lambda now: now.moved(id, by))


def _take_out(name: str, id: str) -> None:
    shelf().change(name, lambda now: now.without(id))


def _compute(one: Ready) -> None:
    """The result is not in the cache: made again from its recipe, as a job."""
    recipe = one.panel.recipe
    method = registry.method(recipe["method"])
    names = [given["name"] for given in recipe["inputs"]]
    found = on_demand.result(
        method.id, names, recipe.get("params") or {}, seed=recipe.get("seed", 0), key=f"panel:{one.panel.id}",
        ask=f"Compute panel {one.named}", title=f"{method.title} for panel {one.named}",
    )  # fmt: skip
    if found is not None:
        st.rerun()
