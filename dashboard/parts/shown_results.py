"""The results that the page shows now, for whoever makes a link to it: what a colleague may want to see as it was."""

from __future__ import annotations

from analysis import pipeline
from analysis.results import Result
from dashboard import state

_SHOWN = "results shown"


def begin() -> None:
    """The page is drawn anew: nothing is shown yet."""
    state.put(_SHOWN, {})


def note(result: Result) -> None:
    """This result is on the page."""
    if result.origin is not None:
        shown = state.get(_SHOWN)
        if shown is not None:
            shown[id(result.origin)] = (result.origin, result.title)


def noted() -> dict[str, str]:
    """{cache key: title} of the results on the page, in the order in which they were drawn."""
    keys = [(pipeline.key_of(origin), title) for origin, title in (state.get(_SHOWN) or {}).values()]
    return {key: title for key, title in keys if key is not None}
