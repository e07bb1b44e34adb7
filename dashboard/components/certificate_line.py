"""The certificate of a feature as a badge, and that of a tap in a line."""

from __future__ import annotations

import streamlit as st

from analysis import certificates as kept
from analysis.results import Table
from dashboard import errors, state
from dashboard.browse import certificates
from dashboard.browse.unit import Unit


def badge(unit: Unit) -> None:
    """On a card: nothing for a unit that was recorded."""
    badge_of(unit.store, unit.reference, unit.number)


def badge_of(store, reference: str, number: int) -> None:
    """The badge of one feature; what each test says is shown when it is pointed at."""
    tap = reference.partition(":")[2]
    if tap in store.recorded:
        return
    found = certificates.of(store, tap)
    out = kept.stale(state.workspace(), reference, found) if found is not None else ""
    shown = certificates.badge(found, number, out)
    st.badge(shown.word, icon=f":material/{shown.icon}:", color="gray", help=errors.escape(shown.hover))


def draw(store, reference: str) -> None:
    """Above the list of an encoded tap: what its certificate says, that it is out of date, or how to get one."""
    tap = reference.partition(":")[2]
    if tap in store.recorded:
        return
    found = certificates.of(store, tap)
    way = state.link("dictionaries", view="certify", tap=reference)
    if found is None:
        st.caption(f"These features are not certified yet: [test how reproducible they are]({way}).")
        return
    if not stale(reference, found, f" [Certify again]({way})"):
        st.caption(f"{errors.escape(found.reading)} [The tests]({way})")


def stale(reference: str, found: Table, more: str = "") -> bool:
    """Whether a certificate is out of date; if so it is said."""
    out = kept.stale(state.workspace(), reference, found)
    if out:
        st.warning(f"The certificate is out of date. {errors.escape(out)}{more}", icon=":material/update:")
    return bool(out)
