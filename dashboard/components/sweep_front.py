"""A sweep over sparsity: the front, the sets of it, and which of them are kept."""

from __future__ import annotations

import streamlit as st

from analysis.features.feature_set import FeatureSet
from analysis.features.sweep import PointFacts, read_points, set_folder
from analysis.features.unfinished import Unfinished, drop
from analysis.jobs.training import keep_point
from dashboard import allowed, errors, figures, state, table_cells
from dashboard.browse import sweep_points
from dashboard.browse.kept import Kept
from dashboard.components import training_curves
from dashboard.parts import export_menu

_figures = Kept(16)


def draw(one: Unfinished) -> None:
    """Picture, sentence, table with the sets to keep, curves."""
    points = read_points(one.path)
    asked = len(one.arguments.get("values", ()))
    st.markdown(f"#### {errors.escape(one.name)}: what sparsity costs")
    if len(points) < asked:
        st.caption(f"{len(points)} of {asked} sets are finished.")
    title = f"{one.arguments.get('architecture', '')} on {one.arguments.get('input', '')}"
    result, beaten = sweep_points.front(points, title)
    theme, facts = (
        state.theme(),
        tuple((p.name, p.label, p.l0, p.explained_variance, p.on_front) for p in points),
    )
    figure, alt = _figures.get((title, theme, facts), lambda: _figure(points, result, beaten, theme))
    st.plotly_chart(figure, theme=None, key=f"front:{one.name}", alt=alt, config={"displaylogo": False})
    export_menu.draw(lambda: result, f"front:{one.name}")
    st.markdown(errors.escape(sweep_points.in_words(points)))
    _keep(one, points)
    box = st.expander("Curves of each training", key=f"curves:{one.name}", on_change="rerun")
    if box.open:
        with box:
            training_curves.draw(training_curves.of_sweep(one.path), key=f"sweep:{one.name}")
    if len(points) == asked and not one.busy:
        _done_with(one, points)


def _figure(points: list[PointFacts], result, beaten, theme: str) -> tuple[object, str]:
    """The picture and its words: tens of milliseconds of work that no click changes."""
    dimmed = {"dimmed": beaten} if beaten.any() else {}
    hover = [f"{p.name}: L0 {p.l0:.3g}, {p.explained_variance:.1%} explained" for p in points]
    look = {"theme": theme, "height": 330, "point_size": 11, "hover": hover, **dimmed}
    return figures.on_screen(result, **look), figures.alt_text(result)


def _keep(one: Unfinished, points: list[PointFacts]) -> None:
    """The table; what is ticked can be kept."""
    kept = set(state.workspace().features.names())
    drawn = st.dataframe(
        table_cells.safe([_row(p, kept, one) for p in points]),
        hide_index=True, key=f"points:{one.name}", on_select="rerun",
        selection_mode="multi-row", alt="The sets of this sweep",
        column_config={"Explained variance": st.column_config.NumberColumn(format="percent"),
                       "Dead": st.column_config.NumberColumn(format="percent"),
                       "L0": st.column_config.NumberColumn(format="%.3g")},
    )  # fmt: skip
    ticked = [points[i] for i in drawn.selection.rows if i < len(points)]
    new = [p for p in ticked if p.name not in kept and set_folder(one.path, p.label).exists()]
    label = f"Keep {len(new)} ticked" if new else "Tick sets to keep them"
    if st.button(
        label,
        icon=":material/bookmark_add:",
        key=f"keep:{one.name}",
        **allowed.to("editor", disabled=not new),
    ):
        for point in new:
            keep_point(state.workspace(), FeatureSet.open(set_folder(one.path, point.label)))
        st.rerun()


def _row(point: PointFacts, kept: set[str], one: Unfinished) -> dict:
    there = set_folder(one.path, point.label).exists()
    there = "yes" if point.name in kept else "not yet" if there else "deleted"
    return {
        "Set": point.label, "L0": point.l0, "Explained variance": point.explained_variance, "Dead": point.dead,
        "No set beats it": point.on_front, "Kept": there,
    }  # fmt: skip


def _done_with(one: Unfinished, points: list[PointFacts]) -> None:
    kept = set(state.workspace().features.names())
    lost = [p.label for p in points if p.name not in kept and set_folder(one.path, p.label).exists()]
    with st.container(horizontal=True):
        for point in [p for p in points if p.name in kept][:1]:
            if st.button("See the kept sets", icon=":material/list:", key=f"see:{one.name}"):
                state.set_params(view="sets", set=point.name, job=None)
                st.rerun()
        with st.popover("Close this sweep", icon=":material/close:", **allowed.to("editor")):
            st.markdown(
                f"The sets that are not kept are deleted: {errors.escape(', '.join(lost) or 'none')}."
            )
            if st.button("Close it", key=f"close:{one.name}", icon=":material/delete:"):
                drop(one.path)
                state.set_params(job=None)
                st.rerun()
