"""What a film costs: multiply-adds as a staircase over depth, and layer by layer as a table."""

from __future__ import annotations

import streamlit as st

from dashboard import figures, state
from dashboard.browse import token_rules as browse
from dashboard.parts import export_menu, figure_block


def draw(found: list, path: str) -> None:
    """Of all rules that are shown, beside the network without removal."""
    kept = browse.opened(path)
    curve, table = browse.staircase(found, kept), browse.layer_table(found, kept)
    drawn = figures.on_screen(curve, theme=state.theme(), height=240)
    drawn.update_traces(line_shape="hvh")  # a layer costs what it costs: nothing lies between two
    drawn.update_yaxes(range=[0, 1.08 * max(float(line.max()) for line in curve.series.values())])
    st.plotly_chart(
        drawn, theme=None, key="staircase", alt=figures.alt_text(curve), config={"displayModeBar": False}
    )
    export_menu.draw(lambda: curve, "staircase")
    figure_block.table(table, "layers")
    for said in table.caveats:
        st.caption(said)
    export_menu.draw(lambda: table, "layers")
