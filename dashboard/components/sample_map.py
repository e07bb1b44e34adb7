"""The map of samples, tokens or units: a component of our own (map/*.js), and what comes back from it."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass

import streamlit as st

from dashboard.browse.picture import MapPicture
from dashboard.components.browser_code import MAP as CODE
from dashboard.components.buffers import HIDDEN_CSS, HIDDEN_HTML, publish, sendable
from dashboard.components.source import joined

_VERSION = f"const CODE = {json.dumps(hashlib.blake2b(CODE.encode(), digest_size=8).hexdigest())};\n"

# Streamlit sends a component's script again with each changed message, but not an element that has not changed:
# the map's code is such an element, and the map itself carries a loader of a few lines.
_code = st.components.v2.component(
    "loupe_map_code",
    html=HIDDEN_HTML,
    css=HIDDEN_CSS,
    js=_VERSION + CODE + joined("map", "code.js"),
    isolate_styles=False,
)
_map = st.components.v2.component("loupe_map", js=_VERSION + joined("map", "loader.js"))
_TOLD = ("select", "hover", "click", "view", "step")
# Columns that a recolouring or a selection does not change. Streamlit reads them anew at every run to see that, tens of
# milliseconds for a million points: they come after the map, which by then is on its way.
_LASTING = ("positions", "members", "cards", "frame ")


@dataclass(frozen=True)
class MapEvent:
    """What a person did since the last run, each None when not.

    selected : base64 of packed bits, "" for nothing. stamp : goes back to the map, so that it knows which answer
    is to which gesture. hovered, clicked : a point. view : {"box", "hidden"} and, where they are not the usual
    ones, "mode", "camera" and "step" (see map/map.js). step : the series rests at this step.
    """

    selected: str | None = None
    stamp: int = 0
    hovered: int | None = None
    clicked: int | None = None
    view: dict | None = None
    step: int | None = None


def sample_map(picture: MapPicture, *, key: str, height: int = 560, compact: bool = False) -> MapEvent:
    """Draw a map and return what a person did. Sends only columns that the browser does not have yet."""
    _code(key=f"code-{key}")
    columns = {n: c for n, c in picture.columns().items() if c is not None and not (compact and n == "cards")}
    lasting = {name: columns.pop(name) for name in list(columns) if name.startswith(_LASTING)}
    keys = {name: sendable(f"{key}-{name}", column) for name, column in lasting.items()}
    keys |= {name: publish(f"{key}-{name}", column) for name, column in columns.items()}
    data = {
        "n": picture.n,
        "label": picture.label,
        "of": picture.of,
        "dims": picture.dims,
        "grid": picture.grid,
        "greys": picture.greys,
        "density": picture.density,
        "mode": picture.mode,
        "positions": keys["positions"],
        "members": keys.get("members"),
        "cards": keys.get("cards"),
        "colour": {**picture.colour, "key": keys.get("colour")} if picture.colour else None,
        "mask": {"key": keys["mask"]} if "mask" in keys else None,
        "card": picture.card,
        "focus": picture.focus,
        "labels": list(picture.labels),
        "series": _series(picture, keys),
        "edges": _overlay(picture.edges, keys.get("edges"), values=keys.get("edge values")),
        "ellipses": _overlay(picture.ellipses, keys.get("ellipses")),
        "link": picture.link,
        "linkView": picture.link_view,
        "rows": picture.rows,
        "view": picture.view,
        "axes": picture.axes,
        "compact": compact,
        "height": height,
        **picture.extra,
    }
    told = {f"on_{name}_change": _nothing for name in _TOLD}
    answer = _map(key=key, data=data, height=height, **told)
    for name, column in lasting.items():
        publish(f"{key}-{name}", column)
    return _event(answer, picture.n)


def _nothing() -> None:
    """A trigger is only returned when it has a callback."""


def _series(picture: MapPicture, keys: dict) -> dict | None:
    series = picture.series
    if series is None:
        return None
    frames = [keys[f"frame {k}"] for k in range(len(series.frames))]
    return {"keys": frames, "names": list(series.names), "note": series.note, "step": series.step}


def _overlay(overlay, key: str | None, **more) -> dict | None:
    return None if overlay is None else {**overlay.said, "key": key, **more}


def _event(answer, n: int) -> MapEvent:
    """Read the triggers; what came from a browser is checked like anything else from outside."""
    select, view, step = answer.get("select"), answer.get("view"), answer.get("step")
    mask = select.get("mask") if isinstance(select, dict) and select.get("n") == n else None
    return MapEvent(
        selected=mask if isinstance(mask, str) else None,
        stamp=_stamp(select) if isinstance(select, dict) else 0,
        hovered=_row(answer.get("hover"), n),
        clicked=_row(answer.get("click"), n),
        view=_view(view) if isinstance(view, dict) else None,
        step=_whole(step.get("step")) if isinstance(step, dict) else None,
    )


def _stamp(select: dict) -> int:
    value = select.get("stamp")
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _row(value, n: int) -> int | None:
    row = value.get("row") if isinstance(value, dict) else None
    return row if isinstance(row, int) and not isinstance(row, bool) and 0 <= row < n else None


def _whole(value) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10_000 else None


def _view(value: dict) -> dict:
    box, hidden = value.get("box"), value.get("hidden")
    good = isinstance(box, list) and len(box) == 4 and all(isinstance(v, (int, float)) for v in box)
    codes = [c for c in hidden if isinstance(c, int)] if isinstance(hidden, list) else []
    seen = {"box": [float(v) for v in box] if good else None, "hidden": codes[:64]}
    return seen | {name: v for name, v in _unusual(value).items() if v is not None}


def _unusual(value: dict) -> dict:
    """Mode, camera and step, where they were sent and mean something."""
    mode, camera = value.get("mode"), value.get("camera")
    angles = [camera.get(name) for name in ("yaw", "pitch")] if isinstance(camera, dict) else []
    turned = angles and all(isinstance(a, (int, float)) and math.isfinite(a) for a in angles)
    return {
        "mode": mode if mode in ("points", "density", "both") else None,
        "camera": {"yaw": float(angles[0]), "pitch": float(angles[1])} if turned else None,
        "step": _whole(value.get("step")),
    }
