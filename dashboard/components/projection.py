"""Which projection the map shows: chosen in the URL, taken from the cache, computed now, or started as a job."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from analysis import pipeline
from analysis.results import Scatter
from analysis.spec import Method, params_of
from dashboard import errors, state
from dashboard.browse import named_directions, projections
from dashboard.browse.projections import DEFAULT, PREFIX
from dashboard.browse.unit_words import word_of
from dashboard.components import projection_settings
from dashboard.parts import on_demand, tap_list

RESETS = ("view", "turn", "step", PREFIX, "with")  # what belongs to the projection before


@dataclass(frozen=True)
class Wanted:
    """A projection: a method, whether points are rows or units, the taps, and what differs from the defaults."""

    method: str
    of: str
    references: tuple[str, ...]
    given: tuple[tuple[str, object], ...] = ()

    @property
    def params(self) -> dict:
        """The parameters for the pipeline."""
        return dict(self.given) | ({} if self.of == "rows" else {"of": self.of})


def wanted(reference: str) -> Wanted:
    """Read the URL: whatever in it cannot be used is as if it were not there."""
    known = projections.methods()
    method = known[state.param("by", DEFAULT, list(known))]
    of = state.param("of", "rows", ["rows", "units"]) if projections.has(method, "of") else "rows"
    columns = list(state.workspace().activations(reference).samples)
    given = projections.given(method, state.params(PREFIX), columns)
    if projections.has(method, "selections"):
        given |= named_directions.memberships(state.workspace(), reference, given)
    return Wanted(method.id, of, tuple(tap_list.inputs(method, reference)), tuple(sorted(given.items())))


def controls(reference: str) -> None:
    """The choices, side by side in whatever container they are drawn."""
    known = projections.methods()
    help = "\n\n".join(f"**{name}**: {meaning}." for name, meaning in projections.MEANING.items())
    id = st.selectbox(
        "Projection",
        list(known),
        format_func=lambda id: projections.listed_name(known[id]),
        help=f"{help}\n\n{projections.why()}",
        width=225,
        **state.bound("by", DEFAULT, list(known), resets=RESETS),
    )
    projection_settings.draw(known[id], reference, tap_list.inputs(known[id], reference))
    if projections.has(known[id], "components"):
        _dimensions(known[id])
    if projections.has(known[id], "of"):
        _points_are(reference)


def _dimensions(method: Method) -> None:
    usual = next(p.default for p in params_of(method.params) if p.name == "components")
    st.segmented_control(
        "View",
        [2, 3],
        format_func={2: "2-D", 3: "3-D"}.get,
        required=True,
        help="In 3-D drag to turn the points.",
        **state.bound(f"{PREFIX}components", usual, [2, 3], resets=("view", "turn")),
    )


def _points_are(reference: str) -> None:
    store, _, tap = reference.partition(":")
    pooled = state.workspace().activations(reference).layout.is_pooled
    word = word_of(state.workspace().store(store), tap) + "s"
    words = {"rows": "Samples" if pooled else "Tokens", "units": word.capitalize()}
    st.segmented_control(
        "Points are",
        list(words),
        format_func=words.get,
        required=True,
        help=f"Samples (or their tokens) near each other look alike to the network; {word} near each other "
        "respond to the same samples.",
        **state.bound("of", "rows", list(words), resets=("view", "turn", "hide", "focus", "colour", "only")),
    )


def about(result: Scatter) -> None:
    """What the projection on the screen shows and what not, in a line; where to begin, if one begins here."""
    method = projections.methods().get(result.origin.method) if result.origin else None
    if method is not None:
        begins = method.id == DEFAULT or projections.group_of(method) == projections.NEIGHBOURS
        why = f" {projections.why()}" if begins else ""
        st.caption(errors.escape(projections.about(method) + why), width="stretch")


def chosen(want: Wanted) -> Scatter | None:
    """The projection that the URL asks for; a substitute while a job computes it; None when there is none."""
    with errors.shown():
        found = result_of(want)
        if found is not None:
            return found
    substitute = Wanted(DEFAULT, want.of, want.references[:1])
    if (want.method, want.params) == (DEFAULT, substitute.params):
        return None
    found = result_of(substitute)
    if found is not None:
        st.caption(f"Meanwhile: {projections.SHORT[DEFAULT]}.")
    return found


def result_of(want: Wanted, key: str = "map") -> Scatter | None:
    """The kept result, or a new one where that is quick; otherwise a job, with its bar (None meanwhile)."""
    method = projections.methods()[want.method]
    pipeline.validate(method, [state.workspace().activations(r) for r in want.references])
    name = projections.short_name(method)
    title = f"{name} of {want.references[0]}"
    return on_demand.result(
        method.id,
        want.references,
        want.params,
        ask=f"Compute {name}",
        title=title,
        key=f"{key}:{method.id}",
        at_once=on_demand.AT_ONCE,
        starts_below=on_demand.STARTS,  # choosing it was asking for it
    )
