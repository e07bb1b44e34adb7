"""The heat map: a component of our own (heatmap/*.js), and what comes back from it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st

from dashboard.browse.heat_picture import MOST_CELLS, Box, HeatPicture
from dashboard.browse.picture import Column
from dashboard.components.browser_code import HEAT as CODE
from dashboard.components.buffers import HIDDEN_CSS, HIDDEN_HTML, publish
from dashboard.components.source import joined

_VERSION = f"const CODE = {json.dumps(hashlib.blake2b(CODE.encode(), digest_size=8).hexdigest())};\n"

# the code travels once, as an element of its own: see sample_map.py
_code = st.components.v2.component(
    "loupe_heat_code",
    html=HIDDEN_HTML,
    css=HIDDEN_CSS,
    js=_VERSION + CODE + joined("map", "code.js"),
    isolate_styles=False,
)
_heat = st.components.v2.component("loupe_heat", js=_VERSION + joined("map", "loader.js"))
_KEY = re.compile(r"[0-9a-f]{32}")
LEAST_CELLS = 64


@dataclass(frozen=True)
class Ask:
    """A block that the browser needs: its rows and columns, at most `most` gathered cells a side, under `key`."""

    key: str
    box: Box
    most: int


@dataclass(frozen=True)
class HeatEvent:
    """What a person did since the last run, each None when not.

    moved : whether the view is another; `view` is it then, None for everything. ask : the block that it needs.
    opened : the box of the cell that was clicked. fades : whether what is not significant is to be faded.
    """

    moved: bool = False
    view: Box | None = None
    ask: Ask | None = None
    opened: Box | None = None
    fades: bool | None = None


@dataclass(frozen=True)
class _Answer:
    """A column under the key that the browser made up for it."""

    key: str
    data: bytes


def heat_map(
    picture: HeatPicture,
    *,
    key: str,
    block: Callable[[Ask], Column | None],
    view: Box | None = None,
    fades: bool = True,
    marked: tuple[int, int] | None = None,
    height: int = 640,
) -> HeatEvent:
    """Draw a heat map and return what a person did. Where finer cells are asked for, `block` makes them and they are
    sent in the same run: a zoom costs one run and one block."""
    _code(key=f"code-{key}")
    rows, columns = picture.names
    names = [publish(f"{key}-rows", rows)]
    names.append(names[0] if rows.key == columns.key else publish(f"{key}-columns", columns))
    trees = {
        side: tree and {"key": publish(f"{key}-tree-{side}", tree.column), "height": tree.height}
        for side, tree in zip(("rows", "columns"), picture.trees, strict=True)
    }
    data = {
        **picture.said,
        "shape": list(picture.shape),
        "cells": publish(f"{key}-cells", picture.cells),
        "names": names,
        "trees": trees,
        "view": None if view is None else list(view),
        "fades": fades,
        "marked": None if marked is None else list(marked),
        "height": height,
    }
    answer = _heat(key=key, data=data, **{f"on_{name}_change": _nothing for name in ("view", "open", "fade")})
    event = _event(answer, picture.shape)
    if event.ask is not None and (column := block(event.ask)) is not None:
        publish(f"{key}-block", _Answer(event.ask.key, column.data))
    return event


def _nothing() -> None:
    """A trigger is only returned when it has a callback."""


def _event(answer, shape: tuple[int, int]) -> HeatEvent:
    """Read the triggers; what came from a browser is checked like anything else from outside."""
    view, opened, fade = answer.get("view"), answer.get("open"), answer.get("fade")
    seen = view if isinstance(view, dict) else None
    on = fade.get("on") if isinstance(fade, dict) else None
    return HeatEvent(
        moved=seen is not None,
        view=_box(seen.get("box"), shape) if seen else None,
        ask=_ask(seen, shape) if seen else None,
        opened=_cell(opened, shape) if isinstance(opened, dict) else None,
        fades=on if isinstance(on, bool) else None,
    )


def _ask(view: dict, shape: tuple[int, int]) -> Ask | None:
    key, box, most = view.get("ask"), _box(view.get("block"), shape), view.get("most")
    good = isinstance(key, str) and _KEY.fullmatch(key) and _whole(most)
    return Ask(key, box, min(max(most, LEAST_CELLS), MOST_CELLS)) if good and box else None


def _cell(opened: dict, shape: tuple[int, int]) -> Box | None:
    rows, columns = opened.get("rows"), opened.get("columns")
    both = [*rows, *columns] if isinstance(rows, list) and isinstance(columns, list) else None
    return _box(both, shape)


def _box(value, shape: tuple[int, int]) -> Box | None:
    """Four whole numbers inside the matrix, none of it empty; otherwise None."""
    if not isinstance(value, list) or len(value) != 4 or not all(_whole(v) for v in value):
        return None
    r0, r1, c0, c1 = value
    return (r0, r1, c0, c1) if 0 <= r0 < r1 <= shape[0] and 0 <= c0 < c1 <= shape[1] else None


def _whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
