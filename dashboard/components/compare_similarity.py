"""Layer x layer: how alike the layers of one network are to each other, or to those of another network."""

from __future__ import annotations

import streamlit as st

from analysis.compute.similarity.similarity_grid import NETWORKS
from analysis.results import Matrix
from analysis.spec import Method
from dashboard import errors, state
from dashboard.browse import comparable, measures, projections
from dashboard.browse.feature_sets import recorded_among
from dashboard.figures.targets import MOST as CLICKABLE
from dashboard.parts import doubts, figure_block, method_run, readable_taps, tap_picker, unlike
from dashboard.words import count

ITSELF = ""
BACK = ("measure", "other", "with")  # what this view finds again when one comes back from a pair
AT_ONCE = 1.5  # seconds of computing that the page waits for
HEIGHT, FEW = 560, 24  # pixels of a heat map with so few lines: all of it is seen without scrolling
PATIENCE = 1.0  # and of a job before there is a bar


def draw() -> None:
    """Settings on the left, the heat map on the right; a click on a cell opens the pair."""
    left, right = st.columns([1, 1.9], gap="medium")
    known = measures.measures()
    method = known[state.param("measure", next(iter(known)), list(known))]
    result = asked = None
    with left, errors.shown():
        references, other = _taps()
        method = _measure(known, method)
        asked = (references, *_settings(method, references, other))
    with right, errors.shown():
        if asked is not None and len(asked[0]) < 2:
            st.info(
                "This network has one tap only: choose another network to compare it with.",
                icon=":material/info:",
            )
        elif asked is not None:
            result, references = _result(method, asked)
        if result is not None:
            if result.values.size <= CLICKABLE:
                st.caption("Click a cell to ask in which sense these two are the same.")
            shown = figure_block.null_switch(result, method.id)
            st.markdown(errors.escape(result.reading))
            figure_block.picture(
                result,
                method.id,
                targets=True,
                clicked=lambda at: _open_pair(result, references, at),
                height=None if max(result.values.shape) > FEW else HEIGHT,
                **shown,
            )
            figure_block.files(result, method.id, **shown)
            figure_block.caveats(result)
            figure_block.beside(result, method.id)
    with right:
        doubts.draw(method, "Check this measure")


def _result(method: Method, asked: tuple) -> tuple[Matrix | None, list[str]]:
    """The result, and the taps that it is of: one that cannot be read is left out."""
    references, params, seed = asked
    networks = {r.partition(":")[0] for r in references}

    def enough(rest: list[str]) -> bool:
        return len(rest) > 1 and {r.partition(":")[0] for r in rest} == networks

    return readable_taps.result(
        method.id, references, params, enough=enough, seed=seed, ask="Compare", title=method.title, key="similarity",
        at_once=AT_ONCE, patience=PATIENCE,
    )  # fmt: skip


def _taps() -> tuple[list[str], str]:
    """The taps, those of the first network first, and the store of the other network ("" for none)."""
    store, _ = state.current_tap()
    known = state.tap_references()
    others = [s for s in comparable.comparable_stores(state.workspace(), store, known) if s != store]
    other = st.selectbox(
        f"Compare the layers of {store} with", [ITSELF, *others], format_func=lambda s: s or "each other",
        help="Networks that were recorded on some of the same samples; these are matched by id. Another first network "
        "is chosen in the sidebar.",
        **state.bound("other", ITSELF, [ITSELF, *others], resets=("with",)),
    )  # fmt: skip
    unlike.say_store(store, [ITSELF, *others])
    fitting = [r for name in (store, other) if name for r in known if r.partition(":")[0] == name]
    layers = [r for r in fitting if not projections.is_output(r)]
    usual = recorded_among(state.workspace(), layers)
    usual = usual if _enough(usual, store, other) else fitting
    chosen = state.param("with", usual, fitting)
    chosen = [r for r in fitting if r in chosen] if _enough(chosen, store, other) else usual
    own = f"{store}:"
    with st.expander(count(len(chosen), "tap"), icon=":material/layers:"):
        st.multiselect(
            "Taps, in order", fitting, label_visibility="collapsed",
            format_func=lambda r: r.removeprefix(own) if not other else tap_picker.shown(r),
            **state.tied("with", chosen, lambda picked: state.set_params(**{"with": picked or None})),
        )  # fmt: skip
    if other:
        st.caption(f"{comparable.common_samples(state.workspace(), store, other):,} samples in common")
    return chosen, other


def _enough(chosen: list[str], store: str, other: str) -> bool:
    """Two taps or more, of both networks where there are two."""
    stores = {r.partition(":")[0] for r in chosen}
    return len(chosen) > 1 and (not other or stores == {store, other})


def _measure(known: dict[str, Method], method: Method) -> Method:
    st.selectbox(
        "Measure", list(known), format_func=lambda id: known[id].title,
        **state.bound("measure", next(iter(known)), list(known), resets=("p.", "seed")),
    )  # fmt: skip
    st.caption(errors.escape(method.summary))
    st.caption(f"**Invariance**: {errors.escape(method.invariance)}.")
    return method


def _settings(method: Method, references: list[str], other: str) -> tuple[dict, int]:
    with st.expander("Settings", icon=":material/tune:"):
        params, seed = method_run.form(method, references, without=(measures.ARRANGEMENT,))
    return (params | {measures.ARRANGEMENT: NETWORKS} if other else params), seed


def _open_pair(result: Matrix, references: list[str], at: int) -> None:
    """The pair of taps of a cell; a tap with itself has nothing to say."""
    names = [given["name"] for given in result.origin.inputs] if result.origin else references
    rows, columns = names, names
    if result.origin and result.origin.params.get(measures.ARRANGEMENT) == NETWORKS:
        first = names[0].partition(":")[0]
        rows = [n for n in names if n.partition(":")[0] == first]
        columns = [n for n in names if n not in rows]
    i, j = divmod(at, len(columns))
    if rows[i] != columns[j]:
        state.go("compare", view="pair", tap=rows[i], tap2=columns[j], **state.kept(*BACK))
