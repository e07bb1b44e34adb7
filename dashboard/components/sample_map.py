"""The map of samples, tokens or units: a component of our own (map/*.js), and what comes back from it."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from dashboard.browse.picture import MapPicture
from dashboard.components.buffers import publish
from dashboard.components.source import joined

_FILES = ("geometry.js", "renderer_gl.js", "renderer_canvas.js", "colours.js", "card.js", "map.js")
_map = st.components.v2.component(
    "loupe_map", css=joined("map", "map.css"), js=joined("map", "../dom.js", *_FILES)
)


@dataclass(frozen=True)
class MapEvent:
    """What a person did since the last run, each None when not.

    selected : base64 of packed bits, "" for nothing. stamp : goes back to the map, so that it knows which answer
    is to which lasso. hovered, clicked : a point. view : {"box", "hidden"}.
    """

    selected: str | None = None
    stamp: int = 0
    hovered: int | None = None
    clicked: int | None = None
    view: dict | None = None


def sample_map(picture: MapPicture, *, key: str, height: int = 560, compact: bool = False) -> MapEvent:
    """Draw a map and return what a person did. Sends only columns that the browser does not have yet."""
    keys = {
        name: publish(f"{key}-{name}", column)
        for name, column in (
            ("positions", picture.positions),
            ("members", picture.members),
            ("cards", None if compact else picture.cards),
            ("colour", picture.colour_column),
            ("mask", picture.mask),
        )
    }
    data = {
        "n": picture.n,
        "label": picture.label,
        "of": picture.of,
        "greys": picture.greys,
        "positions": keys["positions"],
        "members": keys["members"],
        "cards": keys["cards"],
        "colour": {**picture.colour, "key": keys["colour"]} if picture.colour else None,
        "mask": {"key": keys["mask"]} if keys["mask"] else None,
        "card": picture.card,
        "focus": picture.focus,
        "view": picture.view,
        "axes": picture.axes,
        "compact": compact,
        "height": height,
        **picture.extra,
    }
    told = {f"on_{name}_change": _nothing for name in ("select", "hover", "click", "view")}
    answer = _map(key=key, data=data, height=height, **told)
    return _event(answer, picture.n)


def _nothing() -> None:
    """A trigger is only returned when it has a callback."""


def _event(answer, n: int) -> MapEvent:
    """Read the triggers; what came from a browser is checked like anything else from outside."""
    select, view = answer.get("select"), answer.get("view")
    mask = select.get("mask") if isinstance(select, dict) and select.get("n") == n else None
    return MapEvent(
        selected=mask if isinstance(mask, str) else None,
        stamp=_stamp(select) if isinstance(select, dict) else 0,
        hovered=_row(answer.get("hover"), n),
        clicked=_row(answer.get("click"), n),
        view=_view(view) if isinstance(view, dict) else None,
    )


def _stamp(select: dict) -> int:
    value = select.get("stamp")
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _row(value, n: int) -> int | None:
    row = value.get("row") if isinstance(value, dict) else None
    return row if isinstance(row, int) and not isinstance(row, bool) and 0 <= row < n else None


def _view(value: dict) -> dict:
    box, hidden = value.get("box"), value.get("hidden")
    good = isinstance(box, list) and len(box) == 4 and all(isinstance(v, (int, float)) for v in box)
    codes = [c for c in hidden if isinstance(c, int)] if isinstance(hidden, list) else []
    return {"box": [float(v) for v in box] if good else None, "hidden": codes[:64]}
