"""The composed figure as it will be printed, and its files."""

from __future__ import annotations

import dataclasses
import re
from functools import partial
from pathlib import Path

import streamlit as st

from analysis.errors import LoupeError
from analysis.sharing.baskets.basket import Basket
from dashboard import errors, state
from dashboard.baskets.panels import Ready
from dashboard.browse.kept import Kept
from dashboard.components.basket_choice import shelf
from dashboard.hosting import host

SEEN, SMALL = 120, 55  # dots per inch on the page
MIMES = {"pdf": "application/pdf", "svg": "image/svg+xml", "png": "image/png"}
_pictures = Kept(60)


def draw(basket: Basket, panels: list[Ready]) -> None:
    """The picture, what is to be said of it, and the buttons."""
    missing = [one.named for one in panels if one.result is None]
    if missing:
        st.info(
            f"Without panel {errors.escape(', '.join(missing))} there is no figure yet: compute it, or take it out."
        )
        return
    with errors.shown():
        with st.spinner("Drawing the figure as it will be printed"):
            picture, said = _pictures.get(("page", *_key(basket, panels)), lambda: _drawn(basket, panels))
        alt = " ".join(f"{one.named}: {one.result.title}." for one in panels)
        said_of = f"{basket.name}, as printed. {alt}"[:300]
        st.image(picture, width="stretch", caption=errors.escape(said_of), alt=said_of)
        for sentence in said:
            st.caption(f":material/info: {errors.escape(sentence)}")
        _files(basket, panels)


def _drawn(basket: Basket, panels: list[Ready]) -> tuple[bytes, tuple[str, ...]]:
    from dashboard.baskets.page import pictures
    from dashboard.figures.style import INCHES

    wide = INCHES[basket.sheet.get("width", "double")]
    files, said = pictures(basket, panels, ("png",), dpi=min(SEEN * 2, 1800 / wide))
    return files["png"], said


def thumbnail(basket: Basket, one: Ready) -> bytes | None:
    """A panel alone, small; None where it cannot be drawn."""
    options = {k: v for k, v in (one.options or {}).items()}
    look = {"width": "single", "dpi": SMALL * 2, "greyscale": bool(basket.sheet.get("greyscale"))}

    def make() -> bytes:
        from dashboard.figures import export

        return export(one.result, "png", **{**options, **look})

    try:
        return _pictures.get(("panel", look["greyscale"], *_own(one)), make)
    except LoupeError as refusal:
        errors.notice({k: getattr(refusal, k) for k in ("found", "expected", "remedy")})
        return None


def _files(basket: Basket, panels: list[Ready]) -> None:
    """Bytes are made when somebody clicks."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", basket.name).strip("-.") or "figure"
    workspace, folder = state.workspace(), shelf().path(basket.name)  # a click is answered elsewhere
    with st.container(horizontal=True):
        for format, mime in MIMES.items():
            name = f"{stem}.{format}"
            st.download_button(
                format.upper(), host.exporting(partial(_file, basket, panels, format), name), file_name=name,
                mime=mime, key=f"basket:{format}", on_click="ignore",
            )  # fmt: skip
        make = partial(_zip, workspace, basket, panels, folder, stem)
        st.download_button(
            "Everything (zip)", host.exporting(make, f"{stem}.zip"), file_name=f"{stem}.zip", mime="application/zip",
            key="basket:zip", on_click="ignore", icon=":material/folder_zip:", type="primary",
            help="The figure, each panel, the numbers, tables, recipes, captions, methods and references.",
        )  # fmt: skip
    st.caption("The same in a shell, from the workspace's folder:")
    st.code(f'loupe render "baskets/{basket.name}" --out {stem}.zip', language="bash")


def _file(basket: Basket, panels: list[Ready], format: str) -> bytes:
    from dashboard.baskets.page import pictures

    return pictures(basket, panels, (format,))[0][format]


def _zip(workspace, basket: Basket, panels: list[Ready], folder: Path, stem: str) -> bytes:
    from dashboard.baskets.folder import as_zip, files_of

    return as_zip(files_of(workspace, basket, panels, folder)[0], stem)


def _key(basket: Basket, panels: list[Ready]) -> tuple:
    said = dataclasses.replace(basket, revision=0, caption="").as_json()
    return (said, *(_own(one) for one in panels))


def _own(one: Ready) -> tuple:
    """What a panel's picture depends on: its numbers, and how they are drawn."""
    from analysis.sharing.baskets.shelf import digest_of

    return one.panel.id, digest_of(one.result), repr(sorted(one.panel.options.items()))
