"""Any analysis: choose it, see what it costs, run it, read it, doubt it, take it away."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.components import nothing_yet, sample_gallery
from dashboard.parts import doubts, figure_block, method_picker, method_run


def draw() -> None:
    """Settings on the left, the result on the right."""
    st.title("Analyses")
    if state.current_tap() is None:
        nothing_yet.draw()
        return
    method = method_picker.draw()
    if method is None:
        return
    left, right = st.columns([1, 1.9], gap="medium")
    result, work = None, None
    with left, errors.shown():
        references = method_run.inputs(method)
        asked = (references, *method_run.form(method, references))
        result = method_run.run(method, *asked)
        work = asked  # not before: what is refused has nothing to run and nothing to watch
    with right, errors.shown():
        if result is not None:
            figure_block.draw(result, key=method.id, samples=sample_gallery.of(result, method.id))
        elif work is not None:
            method_run.progress(method, *work)
    with right:
        doubts.draw(method)


draw()
