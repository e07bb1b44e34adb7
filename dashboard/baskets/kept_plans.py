"""Plans of composed pages that were decided lately: the next export of the same panels, in whatever format, decides
nothing again, and where one panel has changed only that one is drawn to decide. By the content of everything that a
plan depends on, so nothing here can be out of date."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from analysis import results
from dashboard.browse.kept import Kept
from dashboard.figures.composed import Arrangement, Part, Plan, plan_of
from dashboard.figures.sheet import Sheet

_plans = Kept(64)  # numbers only: some kilobytes each
_panels = Kept(512)  # what the drawing of one panel tells: less than that


def kept_plan(parts: list[Part], sheet: Sheet, arrangement: Arrangement, *, greyscale: bool) -> Plan:
    """As `plan_of`, within `paper_style(sheet)`: from what is kept where that is possible."""
    contents = [_content_of(part) for part in parts]

    def keep(place: int, of, make):
        own = contents[place]
        return make() if own is None else _panels.get((own, of), make)

    def decide() -> Plan:
        return plan_of(parts, sheet, arrangement, greyscale=greyscale, keep=keep)

    key = _key(parts, contents, sheet, arrangement, greyscale)
    return decide() if key is None else _plans.get(key, decide)


def _key(
    parts: list[Part], contents: list[str | None], sheet: Sheet, arrangement: Arrangement, greyscale: bool
) -> str | None:
    """64 hexadecimal characters; None where a panel has no content that can be compared."""
    if None in contents:
        return None
    said = (sheet, arrangement, bool(greyscale), [(p.letter, p.span) for p in parts], contents)
    return hashlib.sha256(repr(said).encode("utf-8", "replace")).hexdigest()


def _content_of(part: Part) -> str | None:
    """Of what is drawn in a panel; None where an option has no content of its own (a function that looks up
    pictures)."""
    header, arrays = results.to_parts(part.result)
    try:
        said = json.dumps([header, part.options], sort_keys=True, default=_content)
    except TypeError:
        return None
    found = hashlib.sha256(said.encode("utf-8", "replace"))
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype.str} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _content(value):
    """What JSON has no word for. Raises TypeError for what is no value."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray) and value.dtype != object:
        return [
            value.dtype.str,
            value.shape,
            hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest(),
        ]
    raise TypeError(f"{type(value).__name__} has no content to compare")
