"""Which named selections and which layers' weights a method compares: any number of each, chosen by name.

The URL has the names (`p.groups=the 4s`); the method is given packed memberships, and layers with commas between.
"""

from __future__ import annotations

import streamlit as st

from analysis.compute.rows.membership import pack_named
from analysis.spec import Method, params_of
from dashboard import errors, forms, state
from dashboard.browse import axis_choice, selections

PARAMETERS = ("groups", "layers")


def takes_parts(method: Method) -> bool:
    """Whether a method takes any number of selections and layers."""
    return {p.name for p in params_of(method.params)} >= set(PARAMETERS)


def draw(reference: str) -> dict[str, str]:
    """A box for the selections of this store and one for the layers of its network; what was chosen."""
    workspace = state.workspace()
    known, found = selections.usable(workspace, reference), {}
    if known:
        names = st.multiselect(
            "Named selections", list(known), placeholder="Add a selection",
            help="Groups of samples that you lassoed on the map and named.",
            **state.bound(f"{forms.PREFIX}groups", [], list(known)),
        )  # fmt: skip
        if names:
            found["groups"] = pack_named({name: known[name] for name in names})
    else:
        st.caption("Lassoed groups can be compared, too: draw one on the **Map** and give it a name.")
    layers, why = axis_choice.layers(workspace.activations(reference))
    if not layers:
        st.caption(f"Weights cannot be compared here: {errors.escape(why)}")
        return found
    words = {axis_choice.whole(layer): layer.words for layer in layers}
    chosen = st.multiselect(
        "Weights of layers", list(words), format_func=words.get, placeholder="Add a layer",
        help="What a layer reads from this tap's units, or writes into them.",
        **state.bound(f"{forms.PREFIX}layers", [], list(words)),
    )  # fmt: skip
    return found | ({"layers": ", ".join(chosen)} if chosen else {})
