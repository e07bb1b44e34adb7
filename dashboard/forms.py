"""Param → widget: the form of any method, drawn from what the method says about its parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType

import streamlit as st

from analysis.spec import Param, params_of
from dashboard import state
from dashboard.words import count

PREFIX = "p."  # a parameter "k" is the URL's "p.k"
FEW = 6  # parameters shown at once; the rest wait behind a line
LARGEST = (1 << 53) - 1  # a browser's largest exact integer


def draw(
    params: type,
    columns: Sequence[str] = (),
    *,
    across: int = 2,
    without: Sequence[str] = (),
    layers: Mapping[str, str] = MappingProxyType({}),
    few: int = FEW,
    prefix: str = PREFIX,
) -> dict:
    """Draw a form for a params dataclass; returns the values that differ from their defaults.

    `columns`: the sample columns that exist, offered wherever a parameter names one; `layers` likewise, with what each
    is called, the first to begin with. `without`: names of those that the page asks for in another way. `few`: how many
    are shown at once. Everything is kept in the URL under `p.<name>`, or another `prefix` where a page has two forms.
    """
    listed = [p for p in params_of(params) if p.name not in without]
    values = _grid(listed[:few], columns, across, layers, prefix)
    if listed[few:]:
        with st.expander(count(len(listed) - few, "more setting")):
            values |= _grid(listed[few:], columns, across, layers, prefix)
    return {p.name: values[p.name] for p in listed if values[p.name] != p.default}


def chosen(params: type, names: Collection[str], across: int = 2, prefix: str = PREFIX) -> dict:
    """Widgets for some parameters of a dataclass alone, in the order of `names`; returns all their values."""
    known = {p.name: p for p in params_of(params)}
    listed = [known[name] for name in names]
    wide = [p for p in listed if p.kind == "choice"]  # choices need the room
    return _grid(wide, (), 1, {}, prefix) | _grid(
        [p for p in listed if p not in wide], (), across, {}, prefix
    )


def _grid(
    params: Sequence[Param], columns: Sequence[str], across: int, layers: Mapping[str, str], prefix: str
) -> dict:
    values = {}
    for start in range(0, len(params), across):
        cells = st.columns(across, vertical_alignment="bottom")
        for cell, p in zip(cells, params[start : start + across], strict=False):
            with cell:
                values[p.name] = (
                    _layer(p, layers, prefix) if p.layer and layers else widget(p, columns, prefix)
                )
    return values


def widget(p: Param, columns: Sequence[str] = (), prefix: str = PREFIX) -> object:
    """One parameter's widget; returns its value. The kind decides which."""
    if p.column:
        return _column(p, columns, prefix)
    return _DRAWN[p.kind](p, prefix)


def _number(p: Param, kind: type, prefix: str) -> object:
    low, high = (None if bound is None else kind(bound) for bound in (p.low, p.high))
    if kind is int:
        low = max(-LARGEST, low if low is not None else -LARGEST)
        high = min(LARGEST, high if high is not None else LARGEST)
    return st.number_input(
        label(p),
        min_value=low,
        max_value=high,
        value=None if p.default is None else "min",  # the URL's value comes through the key
        step=1 if kind is int else _step(p),
        format=None if kind is int else "%.6g",
        placeholder="automatic" if p.default is None else None,
        help=_help(p),
        **state.bound(prefix + p.name, p.default, _or_automatic(p, state.between(low, high, kind))),
    )


def _flag(p: Param, prefix: str) -> object:
    return st.toggle(label(p), help=_help(p), **state.bound(prefix + p.name, bool(p.default)))


def _choice(p: Param, prefix: str) -> object:
    options = list(p.choices) if p.default is not None else [None, *p.choices]
    tie = state.bound(prefix + p.name, p.default, options)
    return st.selectbox(label(p), options, format_func=_option, help=_help(p), **tie)


def _column(p: Param, columns: Sequence[str], prefix: str) -> object:
    none = [] if p.default in columns else [p.default]
    options = [*none, *columns]
    tie = state.bound(prefix + p.name, p.default, options)
    return st.selectbox(label(p), options, format_func=_option, help=_help(p), **tie)


def _layer(p: Param, layers: Mapping[str, str], prefix: str) -> str:
    offered = {"": p.empty, **layers} if p.empty else layers
    tie = state.bound(prefix + p.name, next(iter(offered)), list(offered))
    return st.selectbox(label(p), list(offered), format_func=offered.get, help=_help(p), **tie)


def _text(p: Param, prefix: str) -> object:
    tie = state.bound(prefix + p.name, p.default or "", None)
    given = st.text_input(label(p), max_chars=state.LONGEST, help=_help(p), **tie)
    return p.default if p.default is None and not given else given


_DRAWN: dict[str, Callable[[Param, str], object]] = {
    "int": lambda p, prefix: _number(p, int, prefix),
    "float": lambda p, prefix: _number(p, float, prefix),
    "bool": _flag,
    "choice": _choice,
    "str": _text,
}


def _or_automatic(p: Param, read: Callable) -> Callable:
    """Reads a number; "None" is acceptable where the method can choose by itself."""
    return lambda text: None if p.default is None and text in ("None", "auto", "") else read(text)


def label(p: Param) -> str:
    """What a parameter is called on a page; a Greek letter at its beginning is a symbol, and stays as it is."""
    return (p.label[:1].upper() if p.label[:1].isascii() else p.label[:1]) + p.label[1:]


def _help(p: Param) -> str:
    """The help text with the range and the default, as a tooltip."""
    parts = [p.help.rstrip(".") + "."]
    if p.low is not None and p.high is not None:
        parts.append(f"From {_bound(p.low)} to {_bound(p.high)}.")
    elif p.low is not None:
        parts.append(f"At least {_bound(p.low)}.")
    elif p.high is not None:
        parts.append(f"At most {_bound(p.high)}.")
    parts.append(f"Default: {_option(p.default)}.")
    return " ".join(parts)


def _option(value: object) -> str:
    if value is None or value == "":
        return "automatic" if value is None else "none"
    return f"{value:,}" if type(value) is int else str(value)


def _bound(value: float) -> str:
    """Whole numbers in full: 1,048,576 says more than 1.04858e+06."""
    return f"{value:,.0f}" if float(value).is_integer() and 1e4 <= abs(value) < 1e12 else f"{value:g}"


def _step(p: Param) -> float:
    """A step of the size of the default's first digit."""
    size = abs(p.default) if isinstance(p.default, (int, float)) and p.default else 0.1
    return 10.0 ** math.floor(math.log10(size)) if math.isfinite(size) else 0.1
