"""The workspace: what has been recorded, and recording or importing more."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.hosting import host
from dashboard.parts import import_form, job_list, people_form, record_form, selections, stores

SECTIONS = {
    "stores": ("Stores", stores.draw),
    "record": ("Record a network", record_form.draw),
    "import": ("Import activations", import_form.draw),
    "selections": ("Selections", selections.draw),
    "jobs": ("Jobs", job_list.draw),
}
if host.current() is not None:
    SECTIONS["people"] = ("People", people_form.draw)

st.title("Workspace")
st.caption(
    "A store holds what one network computed on one data set. The other pages show what is in the stores."
)
shown = st.segmented_control(
    "Section",
    list(SECTIONS),
    format_func=lambda name: SECTIONS[name][0],
    label_visibility="collapsed",
    required=True,
    **state.bound("show", "stores", list(SECTIONS)),
)
with errors.shown():
    SECTIONS[shown][1]()
