"""The last few figures, kept between reruns: Plotly needs 50 to 100 ms to build what did not change.

Only figures of kept results with plain options are kept: their recipe says everything that made them. Figures
are shared between sessions and must not be changed by whoever draws them.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from analysis.results import Result

MOST = 32
_kept: OrderedDict[str, object] = OrderedDict()
_lock = Lock()


def figure(what: str, result: Result, make: Callable[[], object], **options: object) -> object:
    """The figure called `what` of a result: the kept one, or what `make` gives."""
    name = _name(what, result, options)
    if name is None:
        return make()
    with _lock:
        if name in _kept:
            _kept.move_to_end(name)
            return _kept[name]
    made = make()
    with _lock:
        _kept[name] = made
        while len(_kept) > MOST:
            _kept.popitem(last=False)
    return made


def _name(what: str, result: Result, options: dict) -> str | None:
    """Text that differs whenever the figure would; None where that cannot be said."""
    if result.origin is None or not all(isinstance(v, (str, int, float, bool)) for v in options.values()):
        return None
    columns = list(getattr(result, "columns", None) or ())
    parts = [what, result.origin.recipe(), getattr(result, "colour", ""), columns, options]
    return json.dumps(parts, sort_keys=True, default=str)
