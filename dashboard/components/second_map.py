"""A second map beside the first: another projection, another tap or network, or the same method on noise."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import streamlit as st

from analysis import registry
from analysis.results import Scatter
from analysis.spec import Method, params_of
from dashboard import errors, state
from dashboard.browse import colour_sources, projections, row_identity
from dashboard.browse.map_state import Look
from dashboard.components import map_panel, projection
from dashboard.components.map_panel import Shown, Side
from dashboard.parts import on_demand, tap_picker

NULL, NULL_WORD = "map_null", "null"
BY, AT = "by:", "at:"
NAME = "2"  # tells the second map's URL parameters from the first's
HEIGHT = 470


@dataclass(frozen=True)
class Second:
    """What is beside: `word` is the URL's; `result` None while it is computed; `title` in words."""

    word: str
    title: str
    want: projection.Wanted
    together: bool


def controls(at: Shown, first: projection.Wanted) -> Second | None:
    """The box that chooses it; what was chosen."""
    options = _options(at, first)
    word = state.param("second", "", list(options))
    label = "Beside it" if word else "Second map"
    with st.popover(label, icon=":material/splitscreen_right:"):
        st.selectbox(
            "Show beside this map",
            list(options),
            format_func=options.get,
            **state.bound("second", "", list(options), resets=("view2", "turn2", "hide2", "step2")),
        )
        st.toggle(
            "Move and zoom both together",
            help="For maps whose places correspond, such as two frames of a series.",
            **state.bound("together", False),
        )
        st.caption("A selection made on one lights up on the other, wherever both show the same samples.")
    if not word:
        return None
    return Second(word, options[word], _wanted(at, first, word), state.param("together", False))


def _options(at: Shown, first: projection.Wanted) -> dict[str, str]:
    found = {"": "nothing"}
    if registry.find(NULL) and len(first.references) == 1:
        found[NULL_WORD] = "What noise looks like: this method on shuffled data"
    known = projections.methods()
    single = [m for m in known.values() if m.inputs == 1 and m.id != first.method]
    if at.result.of == "units":
        single = [m for m in single if projections.has(m, "of")]
    found |= {BY + m.id: f"Projection: {projections.short_name(m)}" for m in single}
    if known[first.method].inputs == 1:
        fitting = projections.alike(state.workspace(), at.reference, state.tap_references())
        found |= {AT + r: f"Tap: {tap_picker.shown(r)}" for r in fitting if r != at.reference}
    return found


def _wanted(at: Shown, first: projection.Wanted, word: str) -> projection.Wanted:
    if word.startswith(BY):
        return projection.Wanted(word.removeprefix(BY), at.result.of, (at.reference,))
    if word.startswith(AT):
        return dataclasses.replace(first, references=(word.removeprefix(AT),))
    return first


def first_side(at: Shown, layers: dict, second: Second | None) -> Side:
    """How the first map is drawn: alone, or linked to the second."""
    if second is None:
        return Side(layers=layers)
    rows = row_identity.rows_word(
        at.result, at.store, at.activations.layout, at.only.digest if at.only else ""
    )
    return Side(layers=layers, rows=rows, link=True, together=second.together, height=HEIGHT)


def title_of_first(at: Shown) -> None:
    """What the first map is, on the line where the second says it."""
    method = projections.methods().get(at.whole.origin.method) if at.whole.origin else None
    name = f"{projections.short_name(method)} of " if method else ""
    st.markdown(f"**{errors.escape(name + tap_picker.shown(at.reference))}**")


def draw(at: Shown, look: Look, second: Second) -> None:
    """The second map, with what it is; or the way to compute it."""
    st.markdown(f"**{errors.escape(second.title)}**")
    if second.word == NULL_WORD:
        _null(at, second)
        return
    result = projection.result_of(second.want, key="second")
    if result is None:
        return
    reference = second.want.references[0]
    other = map_panel.shown(result, reference)
    if other.store_name != at.store_name:
        other = _elsewhere(other, at)
    source = look.source
    if source.id not in [s.id for s in colour_sources.sources(other.store, other.result)]:
        known = colour_sources.sources(other.store, other.result)
        if source.group not in ("selection", "cluster"):
            source = next(s for s in known if s.id == colour_sources.default_source(known))
    dims = map_panel.map_state.dims_of(other.result)
    unit = min(look.unit, other.activations.shape[1] - 1)
    same = dataclasses.replace(look, source=source, unit=unit, dims=dims, only=other.only)
    part = other.only.digest if other.only else ""
    rows = row_identity.rows_word(other.result, other.store, other.activations.layout, part)
    map_panel.draw(other, same, Side(NAME, rows=rows, link=True, together=second.together, height=HEIGHT))
    with st.expander("What can be read off this one"):
        st.markdown(errors.escape(other.whole.reading))


def _elsewhere(other: Shown, at: Shown) -> Shown:
    """Selection and focus of the first store as the same samples of another."""
    carried = map_panel.selections.carried
    selection = at.selection and carried(at.selection, at.store, other.store)
    return dataclasses.replace(other, selection=selection, focus=at.focus)


def params_for(method: Method, result: Scatter) -> dict | None:
    """The parameters by which a method about maps is told which map is meant; None where it does not know it."""
    for p in params_of(method.params):
        if p.name in ("projection", "method") and p.choices:
            if result.origin.method not in p.choices:
                return None
            found = {p.name: result.origin.method} if result.origin.method != p.default else {}
            names = [q.name for q in params_of(method.params)]
            return found | ({"of": result.of} if "of" in names and result.of != "rows" else {})
    return None


def _null(at: Shown, second: Second) -> None:
    """The same method on data whose units are shuffled: no point of it is a sample, so nothing is linked."""
    params = params_for(registry.method(NULL), at.whole)
    if params is None:
        st.info("For this projection there is no null picture yet. Choose PCA or a neighbour map.")
        return
    found = on_demand.result(
        NULL, [at.reference], params, ask="Draw what noise looks like", title="The map of shuffled data",
        key="null", at_once=1.0, patience=1.0, starts_below=on_demand.STARTS,
    )  # fmt: skip
    if found is None:
        return
    plain = colour_sources.Source(colour_sources.PLAIN, "One colour", "none")
    dims = map_panel.map_state.dims_of(found)
    beside = dataclasses.replace(at, result=found, whole=found, selection=None, focus=None, only=None)
    side = Side(NAME, link=second.together, together=second.together, selects=False, height=HEIGHT)
    map_panel.draw(beside, Look(plain, theme=state.theme(), dims=dims), side)
    st.markdown(errors.escape(found.reading))
