"""Encoding: what a feature set does on a tap, written as a tap of its own, with time and disk said beforehand."""

from __future__ import annotations

import streamlit as st

from dashboard import allowed, errors, jobs, state
from dashboard.browse import feature_sets
from dashboard.parts import outcome, tap_picker
from dashboard.words import about, size

AT_ONCE = 256 << 20  # bytes of weights that the page reads for an estimate without being asked


def go(name: str) -> None:
    """To the form, with this set chosen, and a tap that it reads where the chosen one is of another width."""
    workspace, current = state.workspace(), state.current_tap()
    width = next((f.n_units for f in workspace.features.facts() if f.name == name), 0)
    fits = feature_sets.fitting(workspace, width)
    if fits and current is not None:
        source = feature_sets.source_of(workspace.store(current[0]), current[1])
        if f"{current[0]}:{source}" not in fits:
            state.set_params(tap=state.opening_tap(fits))
    state.set_params(view="tap", set=name, job=None, **{"as": None})
    st.rerun()


def draw(store_name: str, tap: str) -> None:
    """Set, name, estimate, and the button, for a recorded tap."""
    store = state.workspace().store(store_name)
    known = {f.name: f for f in state.workspace().features.facts() if not f.problem}
    if not known:
        st.info(
            "There is no feature set in this workspace yet: **train** or **import** one first (in the row above).",
            icon=":material/input:",
        )
        return
    if not store.complete:
        errors.notice(
            {"found": f"{store_name} is still being recorded", "expected": "a store that is finished",
             "remedy": "Wait for the recording, or resume it on the Workspace page"}, refused=True,
        )  # fmt: skip
        return
    width = store.taps[tap].n_units
    offered = sorted(
        known, key=lambda name: (known[name].n_units != width, f"{tap}@{name}" in store.taps, name)
    )
    chosen = st.selectbox(
        "Feature set", offered, format_func=lambda name: _offered(known[name], width),
        **state.bound("set", offered[0], offered, resets=("as", "job")),
    )  # fmt: skip
    if not _fits(known[chosen], f"{store_name}:{tap}", width):
        return
    name = st.text_input(
        "Name of the new tap", max_chars=200, **state.bound("as", _free(store, f"{tap}@{chosen}"))
    ).strip()
    if name in store.taps:
        errors.notice(
            {"found": f"{store_name} has a tap {name!r} already", "remedy": "Type another name"}, refused=True
        )
        return
    _cost(f"{store_name}:{tap}", known[chosen])
    if st.button(
        "Encode",
        type="primary",
        icon=":material/transform:",
        width="stretch",
        **allowed.to("editor", disabled=not name),
    ):
        work = {"input": f"{store_name}:{tap}", "features": chosen, "name": name}
        state.set_params(job=jobs.start("encode", work, f"Encode {tap} with {chosen}", patience=1.0))


def _offered(facts, width: int) -> str:
    other = "" if facts.n_units == width else f" (for {facts.n_units:,} units)"
    return f"{facts.name} · {facts.n_features:,} features{other}"


def _fits(facts, reference: str, width: int) -> bool:
    """Whether the set reads this tap; otherwise what it does read."""
    if facts.n_units == width:
        return True
    taps = feature_sets.fitting(state.workspace(), facts.n_units)
    shown = ", ".join(tap_picker.shown(r) for r in taps[:3]) + (" …" if len(taps) > 3 else "")
    errors.notice(
        {"found": f"{tap_picker.shown(reference)} has {width:,} units",
         "expected": f"{facts.n_units:,}, the width that '{facts.name}' was made for",
         "remedy": f"Choose another set, or one of {shown} in the sidebar" if taps else "Choose another set"},
        refused=True,
    )  # fmt: skip
    return False


def _free(store, wanted: str) -> str:
    """A name that no tap of the store has."""
    return next(n for n in (wanted, *(f"{wanted} {i}" for i in range(2, 10_000))) if n not in store.taps)


def _cost(reference: str, facts) -> None:
    """Time and disk, at once where the weights are small."""
    if facts.n_bytes > AT_ONCE and not st.button("Estimate time and disk", icon=":material/timer:"):
        return
    found = feature_sets.cost(state.workspace(), reference, facts)
    st.caption(
        f"{found.rows:,} rows × {facts.n_features:,} features: {about(found.seconds)}, {size(found.disk)} on disk; "
        f"about {found.active:.3g} features active in a row (tried on a few rows of this tap)."
    )


def done(result: dict) -> None:
    """A tap is encoded: open it."""
    reference = str(result.get("tap", ""))
    st.success(f"**{errors.escape(tap_picker.shown(reference))}** is ready.", icon=":material/check_circle:")


def progress() -> None:
    """The bar of the encoding under way, why it failed, or what it made."""
    outcome.draw("encode", done)
