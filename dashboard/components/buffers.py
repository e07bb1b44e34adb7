"""Binary columns for components: sent once, named by their content.

A component's `data` is one message: were positions and colours in it, every recolouring would send both.
Instead each column is an invisible element of its own. Streamlit does not re-send an element that has not
changed, so only what is new travels; the component finds it by key (see buffer.js).
"""

from __future__ import annotations

import streamlit as st

from dashboard.browse.picture import Column
from dashboard.components.source import joined

# The elements must take no room: a hidden element still adds a gap in Streamlit's layout.
_CSS = ".stElementContainer:has(.loupe-buffer) { display: none; }"
_buffer = st.components.v2.component(
    "loupe_buffer",
    html='<i class="loupe-buffer"></i>',
    css=_CSS,
    js=joined(".", "buffer.js"),
    isolate_styles=False,
)


def publish(name: str, column: Column | None) -> str | None:
    """Make a column available to components under its key. `name` is unique on the page."""
    if column is None:
        return None
    _buffer(key=f"buffer-{name}", data=column.key.encode() + column.data)
    return column.key
