"""What a page remembers: the only place that touches `st.session_state` and `st.query_params`.

Whatever decides what a page shows is in its URL, so that a colleague who opens the link sees the same. A
value that comes from a URL is a stranger's: anything unknown, too long or of the wrong type silently becomes
the default. Only what concerns nobody else (a text half typed) is kept in the session.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin

import streamlit as st
from streamlit.runtime.scriptrunner_utils.script_run_context import get_script_run_ctx

from analysis import access
from dashboard.addresses import page_address, words_of
from dashboard.hosting import host
from dashboard.pages import page as page_info

if TYPE_CHECKING:
    from analysis.workspace import Workspace

LONGEST = 8000  # characters of one URL value that are looked at
WORKSPACE = "ws"  # of the URL, on a host of several
_PAGE, _KEPT, _TAP, _KNOWN, _MISSING = "page", "kept", "tap", "known", "missing_tap"
OF_LINKS = ("link", "then", "tour", "step", WORKSPACE)  # of how one came here, not of what the page shows


# ---------------------------------------------------------------------------- the workspace
def workspace() -> Workspace:
    """The workspace of this server (environment variable LOUPE_WORKSPACE, else ./workspace), opened once; on a host
    the one that the URL names, for whoever may look at it. Raises Forbidden for others."""
    serving = host.current()
    if serving is None:
        return _open_workspace(os.environ.get("LOUPE_WORKSPACE") or "workspace")
    name = workspace_name()
    access.require("viewer", f"open the workspace {name}")
    return _open_workspace(str(serving.workspaces[name]))


def workspace_name() -> str:
    """On a host the name of the workspace that is looked at: of the URL, else the one last looked at, else the first
    that is open to the visitor; "" on one's own machine."""
    serving = host.current()
    if serving is None:
        return ""
    names = list(serving.workspaces)
    if len(names) == 1 or not has_visitor():
        return names[0]
    asked = st.query_params.get_all(WORKSPACE)[-1:]
    chosen = asked[0] if asked and asked[0] in names else get(WORKSPACE)
    return chosen if chosen in names else _first_open(serving, names)


def _first_open(serving: host.Host, names: list[str]) -> str:
    try:
        found = host.identity()
    except host.NotLetIn:
        found = None
    return next(iter(serving.open_to(found.email) if found else ()), names[0])


def change_workspace(name: str) -> None:
    """Look at another workspace of the host: nothing of the address means anything there."""
    clear_params("")
    set_params(**{WORKSPACE: name})


def has_visitor() -> bool:
    """Whether a page asks, and not a thread of the server."""
    return get_script_run_ctx(suppress_warning=True) is not None


def came_from() -> str:
    """Where the visitor's request came from, as the server sees it; "" where no page asks."""
    return str(st.context.ip_address or "127.0.0.1") if has_visitor() else ""


@functools.cache  # Streamlit's own cache takes 0.2 ms a call, and a page asks dozens of times
def _open_workspace(path: str) -> Workspace:
    from analysis.workspace import Workspace

    return Workspace.create(Path(path).resolve())  # opens what is already there


def current_tap() -> tuple[str, str] | None:
    """(store name, tap name): from the URL, else the one last looked at, else the first store's deepest tap.

    The answer is written into the URL, so that the link means the same when more stores have been added.
    None where the workspace has no store with a tap.
    """
    known = tap_references()
    if not known:
        return None
    last = get(_TAP)
    reference = param(_TAP, last if last in known else opening_tap(known), known)
    asked = param(_TAP, "")
    if asked and asked not in known:
        put(_MISSING, (asked, reference))
    put(_TAP, reference)
    set_params(tap=reference)
    store, _, tap = reference.partition(":")
    return store, tap


def missing_tap() -> str:
    """What the URL asked for and the workspace has not, as long as what is shown instead is; else ""."""
    asked, instead = get(_MISSING) or ("", "")
    return asked if asked and instead == param(_TAP, "") else ""


def tap_references() -> list[str]:
    """Every "store:tap" that can be looked at, in the order of the workspace; the same throughout one run of a page."""
    known = get(_KNOWN)
    if known:
        return known
    entries = [entry for entry in workspace().stores() if entry.store is not None]
    found = [f"{entry.name}:{tap}" for entry in entries for tap in entry.store.taps]
    if known is not None:
        put(_KNOWN, found)
    return found


def opening_tap(references: list[str]) -> str:
    """What to open with: the last hidden tap of the first store, where most of what was learned has come together; one
    that was recorded, where there is one."""
    store = references[0].partition(":")[0]
    hidden = [r for r in references if r.startswith(f"{store}:") and not r.startswith(f"{store}:outputs.")]
    hidden = [r for r in hidden if r.partition(":")[2] in workspace().store(store).recorded] or hidden
    return (hidden or references)[-1 if hidden else 0]


# ---------------------------------------------------------------------------- the URL
def param(name: str, default: Any, allowed: Collection | Callable[[str], Any] | None = None) -> Any:
    """The value of URL parameter `name`, or `default` when it is absent or not acceptable.

    `default` gives the type (bool, int, float, str; a list means a repeated parameter). `allowed` is a
    collection of acceptable values, or a function that turns the text into a value or raises.
    """
    texts = st.query_params.get_all(name)
    if not texts or any(len(text) > LONGEST for text in texts):
        return default
    if isinstance(default, (list, tuple)):
        good = [v for v in (_understood(t, "", allowed) for t in texts) if v is not _BAD]
        return list(dict.fromkeys(good)) or list(default)
    value = _understood(texts[-1], default, allowed)
    return default if value is _BAD else value


def set_params(**values: Any) -> None:
    """Write values into the URL; None or an empty list removes one."""
    for name, value in values.items():
        texts = words_of(value)
        if texts == st.query_params.get_all(name):
            continue
        if texts:
            st.query_params[name] = texts
        else:
            st.query_params.pop(name, None)


def params(prefix: str) -> dict[str, str]:
    """The raw URL values whose names begin with `prefix`, by the rest of the name."""
    found = {n.removeprefix(prefix): v for n, v in st.query_params.items() if n.startswith(prefix)}
    return {name: value for name, value in found.items() if len(value) <= LONGEST}


def kept(*names: str) -> dict[str, list[str]]:
    """Those of these URL parameters that are there, to be taken along by `go` or `link`."""
    return {name: st.query_params.get_all(name) for name in names if name in st.query_params}


def clear_params(prefix: str) -> None:
    """Remove every URL parameter whose name begins with `prefix`."""
    for name in [n for n in st.query_params if n.startswith(prefix)]:
        del st.query_params[name]


def between(low: float | None, high: float | None, kind: type = float) -> Callable[[str], Any]:
    """An `allowed` for `param`: a number of type `kind` in [low, high] (None: unbounded)."""

    def read(text: str):
        number = kind(text)
        if (low is not None and number < low) or (high is not None and number > high):
            raise ValueError(text)
        return number

    return read


def bound(
    name: str, default: Any, allowed=None, *, where: str = "", resets: tuple[str, ...] = (),
    keeps: Callable[[Any], Collection[str]] | None = None,
) -> dict:  # fmt: skip
    """Arguments that tie a widget to URL parameter `name`:

        colour = st.selectbox("Colour", columns, **state.bound("colour", "label", columns))

    The widget shows the URL's value and writes back what the user chooses (the default leaves the URL short).
    `where` tells two widgets of one parameter apart. `resets`: prefixes of parameters that lose their meaning
    when this one changes; `keeps` names those among them that keep it with the new value. Not for use in `st.form`.
    """

    def write(value: Any) -> None:
        held = kept(*keeps(value)) if keeps else {}
        for prefix in resets:
            clear_params(prefix)
        set_params(**held)
        set_params(**{name: None if value == default else value})

    return tied(f"{where}:{name}", param(name, default, allowed), write)


def tied(key: str, shown: Any, write: Callable[[Any], None]) -> dict:
    """Arguments that make a widget show `shown` and hand what the user chooses to `write`."""
    key = f"tied:{st.session_state.get(_PAGE, '')}:{key}"
    st.session_state[key] = shown
    return {"key": key, "on_change": lambda: write(st.session_state.get(key, shown))}


def typed(key: str) -> Any:
    """What stands in the widget of this key, for the callback of a form's button."""
    return st.session_state.get(key)


def picked(key: str, write: Callable[[Any], None]) -> dict:
    """Arguments that make a chart hand what a user picks in it to `write`, before the page is drawn again."""
    key = f"picked:{st.session_state.get(_PAGE, '')}:{key}"
    return {"key": key, "on_select": lambda: write(st.session_state.get(key))}


# ---------------------------------------------------------------------------- going elsewhere
def link(page: str, **values: Any) -> str:
    """Relative URL of a page with its parameters, to be copied, mailed or put into a href."""
    return page_address(page, **{**values, **_where()})


def here() -> str:
    """Relative URL of the page as it is now."""
    name = st.session_state.get(_PAGE)
    return link(name, **{n: st.query_params.get_all(n) for n in st.query_params}) if name else "./"


def full_address(relative: str) -> str:
    """The whole address of a relative one, as this visitor's browser calls the server."""
    return urljoin(st.context.url or "", relative)


def short(id: str) -> str:
    """Relative URL of a short link."""
    return "./?" + urlencode({"link": id, **_where()})


def page() -> str:
    """The name of the page that is being drawn."""
    return st.session_state.get(_PAGE, "")


def shown_params() -> dict[str, list[str]]:
    """The URL's parameters that decide what the page shows, each as a list."""
    return {n: st.query_params.get_all(n) for n in st.query_params if n not in (*OF_LINKS, WORKSPACE)}


def go(page: str, **values: Any) -> None:
    """Leave for another page now, with these parameters."""
    given = {**values, **_where()}
    st.switch_page(
        page_info(page).file, query_params={n: words_of(v) for n, v in given.items() if words_of(v)}
    )


def go_on(page: str) -> None:
    """Leave for another page now, with all that the address says."""
    st.switch_page(
        page_info(page).file, query_params={n: st.query_params.get_all(n) for n in st.query_params}
    )


def _where() -> dict[str, str]:
    """What every address says on a host of several workspaces: which one."""
    serving = host.current()
    return {} if serving is None or len(serving.workspaces) == 1 else {WORKSPACE: workspace_name()}


def enter_page(name: str) -> None:
    """Called by the frame before a page runs: coming back by the sidebar finds the page as it was left."""
    _enter_workspace()
    kept = st.session_state.setdefault(_KEPT, {})
    if name != st.session_state.get(_PAGE) and not shown_params() and "link" not in st.query_params:
        for key, texts in kept.get(name, {}).items():
            st.query_params[key] = texts
        if get(_TAP) and "tap" in st.query_params:  # but the tap is the one chosen last, wherever that was
            st.query_params["tap"] = get(_TAP)
    st.session_state[_PAGE] = name
    put(_KNOWN, [])  # from here on asked once: it takes a millisecond


def _enter_workspace() -> None:
    """The URL says which workspace; what is remembered of another one is forgotten."""
    for name, chosen in _where().items():
        if get(name) not in (None, chosen):
            st.session_state[_KEPT] = {}
            put(_TAP, None)
        put(name, chosen)
        set_params(**{name: chosen})


def leave_page(name: str) -> None:
    """Called by the frame after a page has run: remember its URL for this session."""
    st.session_state.setdefault(_KEPT, {})[name] = shown_params()
    put(_KNOWN, None)


# ---------------------------------------------------------------------------- the session
def get(key: str, default: Any = None) -> Any:
    """A value of this session only (lost when the tab closes)."""
    return st.session_state.get(f"own:{key}", default)


def put(key: str, value: Any) -> None:
    """Keep a value in this session only."""
    st.session_state[f"own:{key}"] = value


def theme() -> str:
    """'light' or 'dark', as the browser shows the page."""
    return "dark" if st.context.theme.type == "dark" else "light"


# ---------------------------------------------------------------------------- text and values
_BAD = object()


def _understood(text: str, default: Any, allowed) -> Any:
    """The value that `text` stands for, or _BAD."""
    try:
        if callable(allowed):
            value = allowed(text)
        elif isinstance(allowed, range):
            value = int(text) if int(text) in allowed else _BAD
        elif allowed is not None:
            value = text if text in allowed else next((c for c in allowed if words_of(c) == [text]), _BAD)
        else:
            value = _of_type(text, default)
    except Exception:  # whatever a hostile value makes `allowed` raise
        return _BAD
    return _BAD if isinstance(value, float) and not math.isfinite(value) else value


def _of_type(text: str, default: Any) -> Any:
    if isinstance(default, bool):
        return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
    return type(default)(text) if isinstance(default, (int, float)) else text
