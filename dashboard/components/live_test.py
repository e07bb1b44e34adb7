"""On the card of a feature: try a text or a picture of one's own."""

from __future__ import annotations

import base64

import streamlit as st

from analysis.errors import LoupeError
from analysis.recording.live import MOST_TEXT, input_kind
from dashboard import allowed, errors, jobs, state
from dashboard.browse import live
from dashboard.browse.unit import Unit
from dashboard.components.tiles import tiles
from dashboard.hosting import host
from dashboard.parts import outcome


def draw(unit: Unit) -> None:
    """The expander; nothing for a unit."""
    if unit.word == "unit":
        return
    box = st.expander("Try it on your own input", icon=":material/edit_note:", **state.bound("own", False))
    if not box.open:
        return
    with box:
        try:
            kind = input_kind(unit.store, unit.tap)
        except LoupeError as refusal:
            st.caption(errors.escape(f"The network cannot be run again here: {refusal}"))
            return
        _form(unit, kind)
        outcome.draw("try_input", lambda result: _shown(unit, result))


def _form(unit: Unit, kind: str) -> None:
    word = "text" if kind == "text" else "picture"
    st.caption(
        f"The network is opened again and reads your {word}, the same set encodes what this tap then holds. It stays "
        "on this machine. The first time takes a while: the network has to be loaded."
    )
    if kind != "text" and not host.takes_uploads():
        st.caption("Whoever runs this host has not allowed uploads.")
        return
    with st.form("own input", border=False):
        work = {"input": unit.reference, "feature": unit.number}
        if kind == "text":
            work["text"] = st.text_area("Your text", key="own text", max_chars=MOST_TEXT, height=100)
        else:
            file = st.file_uploader(
                "Your picture", type=["png", "jpg", "jpeg"], key="own picture", max_upload_size=4
            )
            work["picture"] = "" if file is None else base64.b64encode(file.getvalue()).decode()
        if st.form_submit_button(
            "Run the network on it", icon=":material/play_arrow:", **allowed.to("editor")
        ):
            title = f"{unit.word.capitalize()} {unit.name} on your own {word}"
            state.set_params(job=jobs.start("try_input", work, title, patience=1.0))
            st.rerun()


def _shown(unit: Unit, result: dict) -> None:
    """Of this feature only: after “Next” the answer is another's."""
    if (result.get("input"), result.get("feature")) != (unit.reference, unit.number):
        st.caption("The last answer is about another feature: run the network again for this one.")
        return
    made = live.tile(unit, result, base64.b64decode(result.get("picture") or ""))
    tiles([made], key="own tile", leads=False)
    st.markdown(errors.escape(live.sentence(unit, result)))
    names = unit.activations.unit_names
    if result["others"]:
        titles = {j: errors.escape(f"{names[j]} {unit.called(j)}".strip()) for j, _ in result["others"]}
        links = [
            f"[{title}]({state.link('features', tap=unit.reference, unit=j)})" for j, title in titles.items()
        ]
        st.caption("Strongest features over the whole input: " + ", ".join(links))
