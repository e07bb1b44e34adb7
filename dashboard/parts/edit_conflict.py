"""Two people wrote one text: both are shown, and whoever came second keeps hers, the other, or both in one."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from analysis.people import EditConflict
from dashboard import errors, state
from dashboard.browse import written


def draw(
    conflict: EditConflict, key: str, write: Callable[[str, int], None], take: Callable[[], None]
) -> None:
    """`write` is given a text and the version that it replaces; `take` is called where theirs is kept."""
    theirs, mine = conflict.theirs, conflict.mine or ""
    who = (theirs.author or "somebody") if theirs is not None else "somebody"
    did = f"changed {conflict.what}" if theirs is not None else f"removed {conflict.what}"
    st.warning(errors.escape(f"{who} {did} while you were writing. Neither text is lost: choose what is kept."),
               icon=":material/call_split:")  # fmt: skip
    left, right = st.columns(2)
    with left:
        st.markdown("**Yours**")
        st.code(mine or "(removed)", language=None, wrap_lines=True)
        st.button("Keep mine", key=f"mine:{key}", on_click=lambda: write(mine, conflict.version))
    with right:
        st.markdown(f"**{errors.escape(written.by(theirs) if theirs is not None else 'Theirs')}**")
        st.code(theirs.text if theirs is not None else "(removed)", language=None, wrap_lines=True)
        st.button("Keep theirs", key=f"theirs:{key}", on_click=take)
    typed = f"merged:{key}:{conflict.version}"
    with st.form(f"merge:{key}", border=False):
        st.text_area(
            "Or make one of both",
            merged(mine, theirs.text if theirs is not None else ""),
            key=typed,
            height=140,
        )
        st.form_submit_button("Keep the merged text", type="primary",
                              on_click=lambda: write(state.typed(typed), conflict.version))  # fmt: skip


def merged(mine: str, theirs: str) -> str:
    """To begin with: one of them where it holds the other, else theirs and then mine."""
    for text, other in ((mine, theirs), (theirs, mine)):
        if other.strip() in text:
            return text
    return f"{theirs}\n\n{mine}"
