"""The address of a page with all that it shows, for pages and notebooks alike. No Streamlit here."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from analysis.errors import ParameterError
from analysis.results import Result
from dashboard.pages import page as page_info


def page_address(page: str, **values: Any) -> str:
    """Relative URL of a page with its parameters; KeyError for a name that no page has."""
    info = page_info(page)
    query = urlencode([(n, t) for n, v in values.items() for t in words_of(v)])
    return ("./" if info.default else info.name) + (f"?{query}" if query else "")


def of_result(result: Result) -> str:
    """Relative URL of the Analyses page that shows this result. Raises ParameterError for one without a recipe."""
    from analysis import registry
    from analysis.spec import params_of

    origin = result.origin
    method = registry.methods().get(origin.method) if origin else None
    if method is None:
        raise ParameterError(
            "a result that no method of this installation made", "one that `run` gave", "Run the method again"
        )
    names = [str(given.get("name", "")) for given in origin.inputs]
    taps: dict[str, Any] = {"tap": names[0]}
    if method.more_inputs:
        taps["with"] = names
    else:
        taps |= {f"tap{k}": name for k, name in enumerate(names[1:], 2)}
    usual = {p.name: p.default for p in params_of(method.params)}
    asked = {f"p.{n}": v for n, v in origin.params.items() if n not in usual or usual[n] != v}
    return page_address("analyses", method=origin.method, **taps, **asked, seed=origin.seed or None)


def words_of(value: Any) -> list[str]:
    """A value as it stands in a URL: none, one, or the same parameter several times."""
    if value is None:
        return []
    several = value if isinstance(value, (list, tuple)) else [value]
    return [str(v).lower() if isinstance(v, bool) else str(v) for v in several]
