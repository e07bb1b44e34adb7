"""Binary columns for components: sent once, named by their content.

A component's `data` is one message: were positions and colours in it, every recolouring would send both.
Instead each column is an invisible element of its own. Streamlit does not re-send an element that has not
changed, so only what is new travels; the component finds it by key (see buffer.js).
"""

from __future__ import annotations

import streamlit as st

from analysis.errors import InputError
from dashboard.browse.picture import Column
from dashboard.components.source import joined

# The elements must take no room: a hidden element still adds a gap in Streamlit's layout.
HIDDEN_CSS = ".stElementContainer:has(.loupe-buffer) { display: none; }"
HIDDEN_HTML = '<i class="loupe-buffer"></i>'
MESSAGE_ROOM = 4096  # bytes of a message beside the column itself
_buffer = st.components.v2.component(
    "loupe_buffer",
    html=HIDDEN_HTML,
    css=HIDDEN_CSS,
    js=joined(".", "buffer.js"),
    isolate_styles=False,
)


def publish(name: str, column: Column) -> str:
    """Make a column available to components under its key, which is returned. `name` is unique on the page.

    Raises InputError when the column is larger than the server's message limit.
    """
    key = sendable(name, column)
    _buffer(key=f"buffer-{name}", data=key.encode() + column.data)
    return key


def sendable(name: str, column: Column) -> str:
    """The key of a column that can be published. Raises InputError like `publish`."""
    limit = int(st.get_option("server.maxMessageSize")) * 10**6  # Streamlit counts megabytes in thousands
    if len(column.data) + MESSAGE_ROOM > limit:
        raise InputError(
            f"{name}: a column of {len(column.data):,} bytes",
            f"at most {limit:,} bytes, the server's message limit",
            "Draw fewer points, or raise server.maxMessageSize (in megabytes)",
        )
    return column.key
