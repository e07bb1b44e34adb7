"""Where a person looks at a map, as short text for the URL and back: a stranger's text is only ever ignored."""

from __future__ import annotations

import math
from collections.abc import Mapping

MODES = ("points", "density", "both")
MOST_HIDDEN = 300


def view_params(view: Mapping) -> dict[str, str | int | None]:
    """What the map told ({"box", "hidden", "mode", "camera", "step"}) as URL parameters; None removes one."""
    box, hidden, camera = view.get("box"), view.get("hidden"), view.get("camera")
    return {
        "view": None if box is None else "_".join(f"{v:.5g}" for v in box),
        "hide": "_".join(str(int(c)) for c in hidden or ()) or None,
        "draw": view.get("mode"),
        "turn": None if camera is None else f"{camera['yaw']:.4g}_{camera['pitch']:.4g}",
        "step": view.get("step"),
    }


def view_from(
    view: str = "", hide: str = "", draw: str = "", turn: str = "", step: int | None = None
) -> dict | None:
    """The inverse; None for the usual view."""
    found: dict = {
        "box": _box(view),
        "hidden": [int(c) for c in hide.split("_") if c.isdecimal() and len(c) < 5],
    }
    found["hidden"] = found["hidden"][:MOST_HIDDEN]
    if not found["box"] and not found["hidden"] and draw not in MODES and not _camera(turn) and step is None:
        return None
    if draw in MODES:
        found["mode"] = draw
    if _camera(turn):
        found["camera"] = _camera(turn)
    if step is not None:
        found["step"] = step
    return found


def _numbers(text: str, count: int) -> list[float] | None:
    try:
        numbers = [float(v) for v in text.split("_")]
    except ValueError:
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def _box(text: str) -> list[float] | None:
    box = _numbers(text, 4)
    return box if box and box[0] < box[2] and box[1] < box[3] else None


def _camera(text: str) -> dict | None:
    angles = _numbers(text, 2)
    return (
        None
        if angles is None or max(map(abs, angles)) > 100
        else dict(zip(("yaw", "pitch"), angles, strict=True))
    )
