"""What can be laid over the points: distortion, the spanning tree, names of clusters. All of it is in the URL."""

from __future__ import annotations

from dataclasses import dataclass, field

import streamlit as st

from analysis import registry
from analysis.results import Partition
from dashboard import errors, state
from dashboard.browse import cluster_labels, clusters, colour_sources, overlays
from dashboard.components import map_clusters
from dashboard.components.map_panel import Shown
from dashboard.parts import on_demand

TREE = "spanning_tree"  # the method for maps that are too large to wait for
BY = clusters.BY_LABEL


@dataclass(frozen=True)
class Layers:
    """`fields` of the picture; `clusters` that are named or colour the points (None while they are computed)."""

    fields: dict = field(default_factory=dict)
    clusters: Partition | None = None


def controls(at: Shown) -> None:
    """The box with the switches."""
    names = _names(at)
    on = sum(
        [
            state.param("ellipses", False),
            state.param("tree", False),
            bool(state.param("names", "", list(names))),
        ]
    )
    with st.popover(f"Layers ({on})" if on else "Layers", icon=":material/layers:"):
        st.selectbox(
            "Names on the map",
            list(names),
            format_func=names.get,
            help="Clusters are looked for in the data itself, not in this picture. Finer names appear with the zoom.",
            **state.bound("names", "", list(names)),
        )
        _colour_button(at)
        flat = overlays.has_ellipses(at.whole)
        st.toggle(
            "Distortion ellipses",
            disabled=not flat,
            help=f"Ellipses are {overlays.ELLIPSES_ARE}." if flat else "For plane maps of one tap only.",
            **state.bound("ellipses", False),
        )
        st.toggle("Spanning tree", help=f"Lines are {overlays.TREE_IS}.", **state.bound("tree", False))


def _names(at: Shown) -> dict[str, str]:
    """What the names can be of, by the URL's word."""
    found = {"": "none"} | clusters.methods(at.whole)
    if at.result.of == "units":
        return found
    known = colour_sources.sources(at.store, at.result)
    return found | {
        BY + s.id: f"By {s.name.lower()}" for s in known if s.group == "sample" and _is_text(at, s.id)
    }


def _is_text(at: Shown, column: str) -> bool:
    return column in ("label", "predicted") or at.store.samples[column].dtype.kind in "UO"


def _colour_button(at: Shown) -> None:
    how = state.param("names", "", list(clusters.methods(at.whole)))
    if how and state.param("colour", "") != colour_sources.CLUSTERS + how:
        word = colour_sources.CLUSTERS + how
        st.button(
            "Colour by these clusters", icon=":material/palette:", on_click=state.set_params,
            kwargs={"colour": word, "hide": None}, key="colour by clusters",
        )  # fmt: skip


def chosen(at: Shown, colour: str) -> Layers:
    """What the URL asks for; where something takes time, its button or bar is drawn here."""
    names = state.param("names", "", list(_names(at)))
    by_colour = (
        colour.removeprefix(colour_sources.CLUSTERS) if colour.startswith(colour_sources.CLUSTERS) else ""
    )
    found = {
        how: map_clusters.found(at, how)
        for how in dict.fromkeys((names, by_colour))
        if how in clusters.METHODS
    }
    fields: dict = {}
    with errors.shown():
        fields |= _labels(at, names, found.get(names))
    if state.param("ellipses", False) and overlays.has_ellipses(at.whole):
        with errors.shown():
            fields |= _field(
                "ellipses", overlays.ellipses_on(overlays.distortion(at.whole, at.activations), at.result)
            )
    with errors.shown():
        if state.param("tree", False):
            fields |= _field("edges", _tree(at))
        elif at.whole.edges is not None:
            fields |= _field("edges", overlays.own_lines(at.whole, at.result, state.theme()))
    return Layers(fields, found.get(by_colour))


def _field(name: str, overlay) -> dict:
    return {} if overlay is None else {name: overlay}


def _labels(at: Shown, names: str, found: Partition | None) -> dict:
    if found is not None:
        return {"labels": cluster_labels.cluster_labels(found, at.result)}
    if not names.startswith(BY):
        return {}
    source = next(s for s in colour_sources.sources(at.store, at.result) if s.id == names.removeprefix(BY))
    key = (source.id, at.store.digest, at.only.digest if at.only else "")
    made = clusters.column_labels(
        lambda: colour_sources.values_of(source, at.store, at.result, at.activations)[0], at.result, key
    )
    if not made:
        st.caption(
            f"“{errors.escape(source.name)}” has too many different values, each on too few points, to name."
        )
    return {"labels": made}


def _tree(at: Shown):
    """The tree as an overlay; for many points by a job."""
    tree = overlays.tree_at_once(at.whole, at.activations)
    if tree is None and registry.find(TREE):
        result = on_demand.result(
            TREE, [at.reference], _tree_params(at), ask="Find the spanning tree", title="Spanning tree", key="tree",
            starts_below=on_demand.STARTS,
        )  # fmt: skip
        tree = None if result is None else overlays.tree_of(result)
    elif tree is None:
        st.caption(
            f"The spanning tree of {len(at.whole.rows):,} points takes too long here: show fewer points."
        )
    return None if tree is None else overlays.tree_on(tree, at.result, state.theme())


def _tree_params(at: Shown) -> dict:
    """That the tree is of the points of this map, in its metric, as far as the method can be told."""
    asked = at.whole.origin.params if at.whole.origin else {}
    return on_demand.understood(TREE, {"of": at.whole.of, "metric": asked.get("metric", "euclidean")})
