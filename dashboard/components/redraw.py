"""Drawing anew what has just changed."""

from __future__ import annotations

import streamlit as st
from streamlit.errors import StreamlitAPIException


def here() -> None:
    """Redraw this fragment only; the whole page where the run is not a fragment's own."""
    try:
        st.rerun(scope="fragment")
    except StreamlitAPIException:
        st.rerun()
