"""Plans of composed pages that were decided lately: the next export of the same panels, in whatever format, decides
nothing again. By the content of everything that a plan depends on, so nothing here can be out of date."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from analysis import results
from dashboard.browse.kept import Kept
from dashboard.figures.composed import Arrangement, Part, Plan, plan_of
from dashboard.figures.sheet import Sheet

_plans = Kept(64)  # numbers only: some kilobytes each


def kept_plan(parts: list[Part], sheet: Sheet, arrangement: Arrangement, *, greyscale: bool) -> Plan:
    """As `plan_of`, within `paper_style(sheet)`: from what is kept where that is possible."""
    key = _key(parts, sheet, arrangement, greyscale)
    if key is None:
        return plan_of(parts, sheet, arrangement, greyscale=greyscale)
    return _plans.get(key, lambda: plan_of(parts, sheet, arrangement, greyscale=greyscale))


def _key(parts: list[Part], sheet: Sheet, arrangement: Arrangement, greyscale: bool) -> str | None:
    """64 hexadecimal characters; None where an option has no content of its own (a function that looks up pictures)."""
    found = hashlib.sha256(repr((sheet, arrangement, bool(greyscale))).encode())
    for part in parts:
        header, arrays = results.to_parts(part.result)
        try:
            said = json.dumps(
                [header, part.options, part.letter, part.span], sort_keys=True, default=_content
            )
        except TypeError:
            return None
        found.update(said.encode("utf-8", "replace"))
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
