"""The last few figures, kept between reruns: Plotly needs 50 to 100 ms to build what did not change.

Only figures of kept results with plain options are kept: their recipe says everything that made them. Figures
are shared between sessions and must not be changed by whoever draws them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

from analysis.results import Result
from dashboard.browse.kept import Kept

T = TypeVar("T")
_kept = Kept(48)


def figure(what: str, result: Result, make: Callable[[], T], **options: object) -> T:
    """The figure (or its words) called `what` of a result: the kept one, or what `make` gives."""
    name = _name(what, result, options)
    return make() if name is None else _kept.get(name, make)


def _name(what: str, result: Result, options: dict) -> str | None:
    """Text that differs whenever the figure would; None where that cannot be said."""
    if result.origin is None or not all(isinstance(v, (str, int, float, bool)) for v in options.values()):
        return None
    columns = list(getattr(result, "columns", None) or ())
    parts = [what, result.origin.recipe(), getattr(result, "colour", ""), columns, options]
    return json.dumps(parts, sort_keys=True, default=str)
