"""The thread below a note: replies in their order, one more, and whether it is settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from analysis import access
from analysis.people import About, Entry, Thing
from analysis.people.things import LONGEST
from dashboard import errors, state
from dashboard.browse import written
from dashboard.words import count

FEW = 4  # replies of a long thread that are shown at once, its last


def draw(thing: Thing, key: str, about: About, attempt: Callable[[Callable[[], object]], bool]) -> None:
    """Open where somebody replied and it is not settled."""
    n, settled = len(about.replies), about.resolved
    title = f"Thread: {count(n, 'reply', 'replies')}" if n else "Reply"
    title += f", settled by {errors.escape(settled.author or 'somebody')}" if settled else ""
    if not n and not access.may("editor"):
        return
    with st.expander(title, icon=":material/forum:", expanded=bool(n and not settled)):
        earlier, last = about.replies[:-FEW], about.replies[-FEW:]
        if earlier:
            with st.expander(count(len(earlier), "earlier reply", "earlier replies")):
                _said(earlier)
        _said(last)
        if access.may("editor"):
            _reply(thing, key, about, attempt)


def _said(replies: Sequence[Entry]) -> None:
    for reply in replies:
        st.markdown(f"**{errors.escape(written.by(reply))}**  \n{lines(reply.text)}")


def _reply(thing: Thing, key: str, about: About, attempt: Callable[[Callable[[], object]], bool]) -> None:
    people, n = state.workspace().people, len(about.replies)
    typed = f"reply:{thing.id}:{about.replies[-1].part if n else ''}"  # another box, and empty, after each
    with st.form(f"reply:{key}", border=False):
        st.text_area("Reply", key=typed, height=70, max_chars=LONGEST["reply"], label_visibility="collapsed",
                     placeholder="What you think of it")  # fmt: skip
        st.form_submit_button("Reply", icon=":material/reply:",
                              on_click=lambda: attempt(lambda: people.reply(thing, state.typed(typed))))  # fmt: skip
    if n:
        settled = about.resolved is not None
        st.button("Open it again" if settled else "Mark as settled", key=f"settle:{key}", type="tertiary",
                  icon=":material/undo:" if settled else ":material/check:",
                  on_click=lambda: attempt(lambda: people.resolve(thing, not settled)))  # fmt: skip


def lines(text: str) -> str:
    """A text with its own lines, as text and not as Markdown."""
    return "  \n".join(errors.escape(line) for line in text.splitlines())
