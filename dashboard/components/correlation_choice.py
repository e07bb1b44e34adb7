"""What the Correlations view shows: what is correlated with what, by which measure, in which order. All in the URL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import streamlit as st

from analysis import registry
from analysis.spec import Method, Param, params_of
from dashboard import errors, forms, state
from dashboard.browse import comparable, correlation_kinds
from dashboard.browse.correlation_kinds import SHOWN, Kind
from dashboard.parts import method_run, pair_of_taps, tap_picker

RESETS = ("range", "cell")  # what belongs to the picture before
ITSELF = ""


@dataclass(frozen=True)
class Asked:
    """A method on one tap or two, with what differs from its defaults."""

    kind: Kind
    references: tuple[str, ...]
    params: dict
    seed: int

    @property
    def method(self) -> Method:
        return registry.method(self.kind.method)

    @property
    def sides(self) -> tuple[str, str]:
        """The taps of the rows and of the columns."""
        return self.references[0], self.references[-1]


def draw() -> Asked | None:
    """The choices, side by side; None where no method is installed."""
    first = ":".join(state.current_tap())
    kinds = correlation_kinds.offered(state.workspace().activations(first).samples)
    if not kinds:
        st.info("No correlation is installed: the folder analysis/methods/correlation has none.")
        return None
    asked = state.param("what", next(iter(kinds)), list(kinds))
    method = registry.method(kinds[asked].method)
    beside = [p for name in SHOWN for p in params_of(method.params) if p.name == name]
    widths = [1.3, *([1.6] if kinds[asked].takes_other else []), *(1.1 for _ in beside), 0.7]
    cells = iter(st.columns([*widths, max(0.01, 5.8 - sum(widths))], vertical_alignment="bottom"))
    with next(cells):
        kind = _kind(kinds)
    references = (first,)
    if kind.takes_other:
        with next(cells):
            other = _other(first)
        references = (first, other) if other else references
    if kind.takes_other:
        pair_of_taps.say_unlike()
    return _settings(kind, references, beside, cells)


def _settings(kind: Kind, references: tuple[str, ...], beside: Sequence[Param], cells: Iterator) -> Asked:
    """The parameters that stand beside the question, and the box with the others."""
    columns = sorted(set.intersection(*(set(state.workspace().activations(r).samples) for r in references)))
    params, seed = {}, 0
    for p in beside:
        with next(cells):
            value = forms.widget(p, columns)
        params |= {p.name: value} if value != p.default else {}
    with next(cells), st.popover("Settings", icon=":material/tune:", width="stretch"), errors.shown():
        without = [p.name for p in beside]
        more, seed = method_run.form(registry.method(kind.method), references, without=without)
        params |= more
    return Asked(kind, references, params, seed)


def _kind(kinds: dict[str, Kind]) -> Kind:
    first = next(iter(kinds))
    name = st.selectbox(
        "Correlate",
        list(kinds),
        format_func=lambda name: kinds[name].title,
        help="Of the tap chosen in the sidebar.",
        **state.bound("what", first, list(kinds), resets=(*RESETS, forms.PREFIX)),
    )
    return kinds[name]


def _other(first: str) -> str:
    """Another tap, or "" for the same one."""
    known = comparable.comparable(state.workspace(), first, state.tap_references())
    options = [ITSELF, *(r for r in known if r != first)]
    own = f"{first.partition(':')[0]}:"

    def shown(reference: str) -> str:
        if reference == ITSELF:
            return "each other"
        return reference.removeprefix(own) if reference.startswith(own) else tap_picker.shown(reference)

    return st.selectbox(
        "with",
        options,
        format_func=shown,
        help="Taps of every network that was recorded on some of the same samples; these are matched by id.",
        **state.bound("tap2", ITSELF, options, resets=(*RESETS, "pair")),
    )
