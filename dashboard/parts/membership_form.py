"""Named selections as the groups of a method: chosen by name, handed over as packed memberships.

The URL has the name (`p.inside=the 4s`); the bits of every row would make it unreadable and far too long.
"""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from analysis.compute.rows.membership import pack
from analysis.spec import Method, Param, params_of
from dashboard import forms, state
from dashboard.browse import axis_choice, named_directions, selections
from dashboard.parts import part_form


def packed(method: Method) -> tuple[Param, ...]:
    """The parameters that hold memberships of rows: nobody types those."""
    words = ("membership", "packed")
    return tuple(
        p
        for p in params_of(method.params)
        if p.kind == "str"
        and p.name not in (*axis_choice.PARAMETERS, *part_form.PARAMETERS)
        and any(word in p.help.lower() for word in words)
    )


def draw(method: Method, reference: str, given: Mapping) -> dict[str, str]:
    """A box for each group; the memberships of those that were chosen, by the parameter's name.

    `given`: the method's other parameters, among which an axis may name selections by itself.
    """
    groups = [p for p in packed(method) if p.name != named_directions.PARAMETER]
    found = {}
    if any(p.name == named_directions.PARAMETER for p in packed(method)):
        found |= named_directions.memberships(state.workspace(), reference, given)
        st.caption("An axis can be a named selection: write `selection:its name`.")
    if not groups:
        return found
    options = selections.usable(state.workspace(), reference)
    if not options:
        st.caption(
            "Groups can be named selections of this store: draw one on the **Map** and give it a name."
        )
        return found
    for p in groups:
        name = st.selectbox(
            forms.label(p),
            ["", *options],
            format_func=lambda name: name or "no selection",
            help="A named selection of this store.",
            **state.bound(forms.PREFIX + p.name, "", options),
        )
        if name:
            found[p.name] = pack(options[name])
    return found
