"""Choosing what to look at: a store, and one of its taps. The choice is the URL's `tap=store:tap`."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.browse.projections import is_output


def draw() -> None:
    """Two boxes for the sidebar; nothing where the workspace is empty (the page says what to do then)."""
    chosen = state.current_tap()
    if chosen is None:
        return
    store, tap = chosen
    taps = _taps_by_store()
    with st.container(gap="small"):
        if missing := state.missing_tap():
            st.warning(f"The address asked for **{errors.escape(missing)}**, which is not in this workspace. What is "
                       "shown is another tap.", icon=":material/link_off:")  # fmt: skip
        st.selectbox(
            "Store",
            list(taps),
            help="What one network computed on one data set. Record more on the Workspace page.",
            **state.tied("sidebar:store", store, lambda name: _change_store(name, tap, taps)),
        )
        st.selectbox(
            "Tap",
            taps[store],
            help="The module of the network whose output is shown.",
            **state.tied("sidebar:tap", tap, lambda name: state.set_params(tap=f"{store}:{name}")),
        )


def extra_input(name: str, label: str, known: list[str], *, elsewhere: bool = False) -> str:
    """A further "store:tap" among `known` for methods that compare several, in URL parameter `name`; to begin with the
    next layer, or the same tap `elsewhere`."""
    current = state.current_tap()
    first = ":".join(current) if current else ""
    default = _elsewhere(first, known) if elsewhere else _beside(first, known)
    return st.selectbox(label, known, format_func=shown, **state.bound(name, default, known))


def shown(reference: str) -> str:
    """A reference as a person reads it."""
    store, _, tap = reference.partition(":")
    return f"{store} › {tap}"


def _elsewhere(first: str, known: list[str]) -> str:
    """The same tap of another checkpoint, else of another store, else another tap."""
    tap = first.partition(":")[2]
    others = [r for r in known if r != first and r.partition(":")[2] == tap]
    unlike = [r for r in others if _checkpoint(r) != _checkpoint(first)]
    return next(iter(unlike or others or [_beside(first, known)]))


def _checkpoint(reference: str) -> str:
    """What says which weights a store was recorded from; "" where it does not say."""
    about = state.workspace().store(reference.partition(":")[0]).manifest.get("checkpoint") or {}
    return str(about.get("path") or about.get("name") or "")


def _beside(first: str, known: list[str]) -> str:
    """The layer after this one in its store, else the one before it, else any other."""
    own = [r for r in known if _same_store(r, first) and (r == first or not is_output(r))]
    at = own.index(first) if first in own else -1
    near = [*own[at + 1 :], *reversed(own[: max(at, 0)])]
    return next(iter(near or [r for r in known if r != first] or known))


def _same_store(a: str, b: str) -> bool:
    return a.partition(":")[0] == b.partition(":")[0]


def _change_store(name: str, tap: str, taps: dict[str, list[str]]) -> None:
    """Another store keeps the tap of the same name where it has one, else opens like any store."""
    known = [f"{name}:{one}" for one in taps[name]]
    state.set_params(tap=f"{name}:{tap}" if tap in taps[name] else state.opening_tap(known))


def _taps_by_store() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for reference in state.tap_references():
        store, _, tap = reference.partition(":")
        found.setdefault(store, []).append(tap)
    return found
