"""A page's list of questions: which method answers the chosen one, on which taps, and the answer.

What takes a moment is answered at once; what takes longer says how long and waits for a click.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

import streamlit as st

from analysis import registry
from analysis.errors import LoupeError
from analysis.results import Result
from analysis.spec import Method
from dashboard import errors, state
from dashboard.browse import before_asking
from dashboard.components import match_lines, sample_gallery
from dashboard.parts import cost_line, doubts, figure_block, method_run, on_demand, readable_taps, tap_list

AT_ONCE = 1.5  # seconds of computing that the page waits for
PATIENCE = 1.0  # and of a job before there is a bar
RESETS = ("p.", "seed", "tap2", "step", "guess")  # what belongs to the question before


def draw(
    asks: Mapping[str, str],
    key: str,
    more: Mapping[str, Callable] = MappingProxyType({}),
    answers: Mapping[str, Callable] = MappingProxyType({}),
    given: Callable[[Method], dict] | None = None,
    starts_below: float = 0.0,
    keeps: Callable[[Method], Collection[str]] | None = None,
) -> None:
    """Questions and settings on the left, the answer on the right. `asks`: method by question; `key` names the view;
    `more`: by method, what is drawn below its settings, given the taps and the settings; `answers`: by method, what
    draws its result, given that and a key, where it is not drawn as every result is. `given` draws what a page asks for
    above the settings and returns it, {} for a method that takes none of it. Work of less than `starts_below`
    seconds starts without another click. `keeps`: which parameters of the URL outlast a change of question, by the
    method that answers the new one."""
    installed = registry.methods()
    known = {id: question for question, id in asks.items() if id in installed}
    left, right = st.columns([1, 1.9], gap="medium")
    asked = None
    with left, errors.shown():
        method = _question(known, keeps)
        references = method_run.inputs(method)
        fixed = {} if given is None else given(method)
        with st.expander("Settings", icon=":material/tune:", **state.bound("settings", False)):
            params, seed = method_run.form(method, references, without=list(fixed))
            asked = (references, on_demand.understood(method.id, fixed) | params, seed)
        _passes(method, *asked[:2])
        if method.id in more:
            more[method.id](references, asked[1])
    with right, errors.shown():
        result = None if asked is None else _answer(method, *asked, key, starts_below)
        if result is not None and method.id in answers:
            answers[method.id](result, method.id)
        elif result is not None:
            samples, first = sample_gallery.of(result, method.id), match_lines.of(result, method.id)
            figure_block.draw(result, key=method.id, samples=samples, first=first)
    with right:
        doubts.draw(method)


def _question(known: Mapping[str, str], keeps: Callable[[Method], Collection[str]] | None) -> Method:
    first = next(iter(known))
    held = keeps and (lambda id: keeps(registry.method(id)))
    chosen = st.selectbox(
        "Question", list(known), format_func=known.get,
        **state.bound("ask", first, list(known), resets=RESETS, keeps=held),
    )  # fmt: skip
    method = registry.method(chosen)
    st.caption(f"**{errors.escape(method.title)}**: {errors.escape(method.summary)}")
    if method.invariance:
        st.caption(f"**Invariance**: {errors.escape(method.invariance)}.")
    return method


def _passes(method: Method, references: list[str], params: dict) -> None:
    """How often a network will be run, and what is more than this machine can hold; nothing of taps that the method
    refuses, as it says itself."""
    try:
        cost = on_demand.cost_of(method.id, references, params)
    except LoupeError:
        return
    if cost.passes:
        st.caption(f"{cost_line.passes_words(cost.passes)}, where this method can run it.")
    cost_line.too_much(cost)


def _answer(
    method: Method, references: list[str], params: dict, seed: int, key: str, starts_below: float
) -> Result | None:
    how = {"ask": "Compute", "title": method.title, "key": key, "at_once": AT_ONCE, "patience": PATIENCE,
           "starts_below": starts_below}  # fmt: skip
    if len(references) < method.inputs:
        tap_list.too_few(method, ":".join(state.current_tap()), references)
        return None
    if tap_list.too_few_checkpoints(method, references, params):
        return None
    before_asking.refuse(method.id, state.workspace().activations(references[0]), params)
    if not method.more_inputs:
        return on_demand.result(method.id, references, params, seed=seed, **how)
    fewest = method.inputs
    result, _ = readable_taps.result(
        method.id, references, params, seed=seed, enough=lambda rest: len(rest) >= fewest, **how
    )
    return result
