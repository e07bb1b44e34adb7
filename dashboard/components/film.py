"""A film of steps: a slider over the frames of a result that is there already, and the samples of the chosen one.

Nothing is computed when the slider moves: the frame, its samples and its numbers are taken out of the one result.
"""

from __future__ import annotations

import streamlit as st

from analysis.results import Scatter
from dashboard import colouring, errors, figures, state
from dashboard.browse import films, selections
from dashboard.browse.pictured import pictured
from dashboard.components.tiles import gallery
from dashboard.parts import export_menu, figure_block, figure_cache


def draw(result: Scatter, key: str) -> None:
    """The slider, the frame beside its samples, its numbers; redrawn alone when the slider moves."""
    st.fragment(_frame)(result, key)


def _frame(result: Scatter, key: str) -> None:
    names = result.frame_names
    places = list(range(len(names)))
    if len(places) > 1:
        at = st.select_slider(
            "Step", places, format_func=lambda k: films.short(names[k]),
            help="Every step is computed already: drag, or use the arrow keys.",
            **state.bound("step", films.largest(result), places),
        )  # fmt: skip
    else:
        at = 0
    shown = films.frame(colouring.coloured(result, state.workspace(), names[at]), at)
    st.markdown(errors.escape(films.words(shown)))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        look = {"colour_name": films.PART, **figure_block.highlight_box(shown, key)}
        _onto_map(shown)
    left, right = st.columns([1.5, 1], gap="small")
    with left:
        st.markdown(
            f"**{errors.escape(shown.title)}**"
        )  # beside the samples there is no room for names in a picture
        figure_block.picture(shown, key, title=False, **look)
        _speed(result, shown, at, key)
    with right, errors.shown():
        _samples(shown, key)
    figure_block.files(shown, key, **look)
    figure_block.reading(shown)
    figure_block.beside(shown, key)


def _speed(result: Scatter, shown: Scatter, at: int, key: str) -> None:
    """How fast it goes over all steps, with this one marked."""
    theme = state.theme()
    curve = films.speed(result, at)
    if curve is None:
        return
    figure = figure_cache.figure(
        "speed", shown, lambda: figures.on_screen(curve, theme=theme, height=230), theme=theme
    )
    alt = figures.alt_text(curve)
    st.plotly_chart(figure, theme=None, key=f"speed:{key}", alt=alt, config={"displayModeBar": False})
    export_menu.draw(lambda: curve, f"speed:{key}")


def _onto_map(shown: Scatter) -> None:
    """The samples that moved in this step, as a selection on the map."""
    workspace = state.workspace()
    chosen = films.moved(workspace, shown)
    count = 0 if chosen is None else len(chosen)
    label = f"Show the {count:,} that moved on the map" if count else "No sample moved more than chance here"
    if st.button(label, icon=":material/scatter_plot:", key="film:map", disabled=not count):
        reference = str(shown.origin.inputs[0]["name"])
        state.go("map", tap=reference, sel=selections.keep(workspace, chosen))


def _samples(shown: Scatter, key: str) -> None:
    """Those with the largest part in this step; a click leads to the map."""
    found = pictured(state.workspace(), films.strongest(shown))
    if found is None:
        return
    st.markdown("**Samples with the largest part in this step**")
    st.caption("Below each: its part. Click a sample to see it on the map.")
    row = gallery(found.tiles(), texts=found.kind == "texts", key=f"film:{key}")
    if row is not None:
        state.go("map", tap=found.reference, focus=row)
