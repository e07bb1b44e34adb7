"""Any analysis: choose it, see what it costs, run it, read it, doubt it, take it away."""

from __future__ import annotations

import streamlit as st

from dashboard import errors, state
from dashboard.components import cell_painter, match_lines, nothing_yet, sample_gallery
from dashboard.parts import doubts, figure_block, method_picker, method_run, on_demand


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
        fixed = cell_painter.asked(method)
        params, seed = method_run.form(method, references, without=list(fixed))
        asked = (references, on_demand.understood(method.id, fixed) | params, seed)
        result = method_run.run(method, *asked)
        work = asked  # not before: what is refused has nothing to run and nothing to watch
    with right, errors.shown():
        if result is not None:
            samples, first = sample_gallery.of(result, method.id), match_lines.of(result, method.id)
            figure_block.draw(result, key=method.id, samples=samples, first=first)
        elif work is not None:
            method_run.progress(method, *work)
    with right:
        doubts.draw(method)


draw()
