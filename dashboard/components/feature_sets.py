"""The feature sets of the workspace: a table, what is wrong with them, and the one looked at more closely."""

from __future__ import annotations

import streamlit as st

from analysis.features.shelf import SetFacts
from dashboard import allowed, errors, state, table_cells
from dashboard.browse.feature_sets import Encoded, architecture, encoded_taps, of_its_kind, origin
from dashboard.components import nothing_yet
from dashboard.parts import encode_form, tap_picker
from dashboard.words import count, size


def draw() -> None:
    """Table, problems, details; or how to begin."""
    found, encoded = state.workspace().features.facts(), encoded_taps(state.workspace())
    if state.current_tap() is None:
        nothing_yet.draw()
    if not found:
        st.info(
            "There is no feature set here yet. **Train** one on a tap, or **Import** a dictionary that you have as "
            "weights (both in the row above); then encode a tap with it.",
            icon=":material/waving_hand:",
        )
    for facts in found:
        if facts.problem:
            errors.notice({"found": f"{facts.name} cannot be used: {facts.problem}"}, refused=True)
    if found:
        chosen = _table(found, encoded)
        if chosen is not None:
            _details(chosen, [e for e in encoded if e.digest == chosen.digest])
    _orphans(found, encoded)


def _table(found: list[SetFacts], encoded: list[Encoded]) -> SetFacts | None:
    """One line per set; the one that is ticked, or named in the URL."""
    names = [facts.name for facts in found]
    good = [facts.name for facts in found if not facts.problem]
    asked = state.param("set", None, good)
    drawn = st.dataframe(
        table_cells.safe([_row(facts, encoded) for facts in found]),
        hide_index=True, key="feature sets", on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [names.index(asked)] if asked else []}},
        alt=f"{count(len(found), 'feature set')} of this workspace",
    )  # fmt: skip
    ticked = [found[row] for row in drawn.selection.rows if row < len(found)]
    shown = next((f for f in ticked if not f.problem), None)
    shown = shown or next((f for f in found if f.name == (asked or (good or [""])[0])), None)
    if asked or ticked:
        state.set_params(set=shown.name if shown else None)
    return shown


def _row(facts: SetFacts, encoded: list[Encoded]) -> dict:
    if facts.problem:
        return {"Set": facts.name, "Architecture": "cannot be read"}
    taps = [tap_picker.shown(e.of_reference) for e in encoded if e.digest == facts.digest]
    return {
        "Set": facts.name,
        "Architecture": architecture(facts),
        "Features": facts.n_features,
        "Units of its tap": facts.n_units,
        "k": f"{facts.active:,}" if facts.active else "",
        "From": origin(facts),
        "Encoded": ", ".join(taps) or "no tap yet",
        "Size": size(facts.n_bytes),
    }


def _details(facts: SetFacts, encoded: list[Encoded]) -> None:
    """One set: its settings, the taps it has encoded, and what can be done with it."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"#### {errors.escape(facts.name)}", width="content")
            st.space("stretch")
            if st.button(
                "Encode a tap with it", type="primary", icon=":material/transform:", key="encode with"
            ):
                encode_form.go(facts.name)
            with st.popover("Delete", icon=":material/delete:", **allowed.to("owner")):
                _delete(facts, encoded)
        left, right = st.columns(2)
        narrow = {"What": st.column_config.Column(width=130)}
        left.dataframe(
            table_cells.safe(_lines(facts)), hide_index=True, key="set facts", column_config=narrow, height="content",
            alt="Settings and origin of this set",
        )  # fmt: skip
        with right:
            _taps(encoded)


def _lines(facts: SetFacts) -> list[dict]:
    lines = {
        "Architecture": architecture(facts),
        "Features": f"{facts.n_features:,}, each a direction in {facts.n_units:,} units",
        "Scale": f"activations are multiplied with {facts.scale:.4g} first" if facts.scale != 1 else "",
        "Rows": {"layer norm": "each less its mean, over its deviation", "norm": "each to one length"}.get(
            facts.normalise, ""
        ),
        "Levels": ", ".join(f"{level:,}" for level in facts.levels),
        "Encoder": "the decoder turned round (tied)" if facts.about.get("tied") else "",
        **of_its_kind(facts),
        "Made for": str(facts.about.get("hook") or facts.about.get("tap") or ""),
        "From": origin(facts),
        "Digest": facts.digest,
    }
    return [{"What": name, "Value": value} for name, value in lines.items() if value]


def _taps(encoded: list[Encoded]) -> None:
    """Links to the features of the taps that it has encoded."""
    if not encoded:
        st.caption("No tap is encoded with it yet.")
        return
    st.caption("Taps encoded with it: open one to browse its features")
    lines = [
        f"- [{errors.escape(tap_picker.shown(e.reference))}]({state.link('features', tap=e.reference)})"
        + (f", {e.active['mean']:.3g} features active in a row" if e.active else "")
        for e in encoded
    ]
    st.markdown("\n".join(lines))


def _delete(facts: SetFacts, encoded: list[Encoded]) -> None:
    stay = f" {count(len(encoded), 'tap')} encoded with it stay." if encoded else ""
    st.markdown(f"Deletes the weights of {errors.escape(facts.name)} from this workspace.{stay}")
    if st.button("Delete it", key=f"delete set:{facts.name}", icon=":material/delete:"):
        state.workspace().features.delete(facts.name)
        state.set_params(set=None, job=None)
        st.rerun()


def _orphans(found: list[SetFacts], encoded: list[Encoded]) -> None:
    """Encoded taps whose set is not here any more."""
    known = {facts.digest for facts in found}
    lost = [e for e in encoded if e.digest not in known]
    if lost:
        named = ", ".join(tap_picker.shown(e.reference) for e in lost)
        st.caption(errors.escape(f"Encoded with sets that are not here any more, and still whole: {named}."))
