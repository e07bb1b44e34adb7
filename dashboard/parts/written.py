"""What people wrote on one thing, wherever it is shown: star, name, tags, note, thread and history. Redrawn alone."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from analysis import access
from analysis.errors import LoupeError
from analysis.people import About, EditConflict, Entry, Thing
from analysis.people.things import LONGEST
from dashboard import errors, state
from dashboard.browse import written
from dashboard.parts import change_list, edit_conflict, thread
from dashboard.words import count

HINT = "What you think it shows, and what speaks against it"


def draw(thing: Thing, key: str, *, starred: bool = True, named: bool = True, hint: str = HINT) -> None:
    """Draw it. `key` tells the panels of one page apart. `starred`, `named` : whether it has a star and a name here; a
    new name redraws the page."""
    st.fragment(_panel)(thing, key, starred, named, hint)


def folded(thing: Thing, key: str, title: str) -> None:
    """The same behind a line that opens and says what there is, for what is shown beside other things."""
    with errors.shown():
        about = state.workspace().people.about(thing)
        label = _title(title, about, written.remade(thing, about))
        box = st.expander(label, icon=":material/edit_note:", key=f"written:{key}:{thing.id}",
                          on_change="rerun")  # fmt: skip
        if box.open:
            with box:
                draw(thing, key, named=False)


def _title(title: str, about: About, remade: str = "") -> str:
    there = ["★"] if about.star else []
    there += ["a note"] if about.note else []
    there += [count(len(about.replies), "reply", "replies")] if about.replies else []
    there += [errors.escape(", ".join(tag.part for tag in about.tags))] if about.tags else []
    there += ["made again with other versions since"] if remade else []
    return f"{title}: {', '.join(there)}" if there else title


def _panel(thing: Thing, key: str, starred: bool, named: bool, hint: str) -> None:
    if state.get(f"page:{key}"):
        state.put(f"page:{key}", None)
        st.rerun()
    with errors.shown():
        about = state.workspace().people.about(thing)
        _refusal(key)
        if not access.may("editor"):
            _to_read(about)
        else:
            with st.container(horizontal=True, vertical_alignment="bottom"):
                if named:
                    _name(thing, key, about)
                _tags(thing, key, about)
                if starred:
                    _star(thing, key, about)
            _note(thing, key, about.note, hint)
        if remade := written.remade(thing, about):
            st.caption(errors.escape(remade))
        thread.draw(thing, key, about, lambda write: attempt(thing, key, write))
        change_list.draw(thing, key, lambda write: attempt(thing, key, write))


def attempt(thing: Thing, key: str, write: Callable[[], object]) -> bool:
    """Write; a conflict or refusal is kept for the panel's next drawing. Whether it was written."""
    try:
        write()
    except EditConflict as conflict:
        state.put(f"conflict:{key}", {"thing": thing.id, "conflict": conflict})
    except LoupeError as refusal:
        state.put(f"refused:{key}", {k: getattr(refusal, k) for k in ("found", "expected", "remedy")})
    else:
        return True
    return False


def _refusal(key: str) -> None:
    refused = state.get(f"refused:{key}")
    if refused:
        state.put(f"refused:{key}", None)
        errors.notice(refused)


def _to_read(about: About) -> None:
    """For whoever may not write."""
    words = [f"**{errors.escape(about.name.text)}**"] if about.name else []
    words += [f"tagged {errors.escape(', '.join(t.part for t in about.tags))}"] if about.tags else []
    words += ["starred"] if about.star else []
    if words:
        st.markdown(" · ".join(words))
    if about.note:
        st.markdown(thread.lines(about.note.text))
        st.caption(errors.escape(written.by(about.note)))


def _name(thing: Thing, key: str, about: About) -> None:
    version = about.name.version if about.name else 0

    def write(text: str) -> None:
        attempt(thing, key, lambda: state.workspace().people.write(thing, "name", text, version=version))
        state.put(f"page:{key}", True)

    shown = about.name.text if about.name else ""
    said = (
        errors.escape(f"Given by {written.by(about.name)}") if about.name else "Shown wherever it is listed"
    )
    st.text_input(
        "Name", max_chars=LONGEST["name"], width=250, help=said, **state.tied(f"name:{key}", shown, write)
    )


def _tags(thing: Thing, key: str, about: About) -> None:
    people, have = state.workspace().people, [tag.part for tag in about.tags]

    def write(words: list[str]) -> None:
        chosen = dict.fromkeys(" ".join(word.split()) for word in words)
        for word in [w for w in chosen if w and w not in have]:
            attempt(thing, key, lambda word=word: people.tag(thing, word))
        for word in [w for w in have if w not in chosen]:
            attempt(thing, key, lambda word=word: people.tag(thing, word, on=False))

    st.multiselect("Tags", sorted({*people.all_tags(), *have}), accept_new_options=True, width=250,
                   placeholder="Choose, or type a new one", **state.tied(f"tags:{key}", have, write))  # fmt: skip


def _star(thing: Thing, key: str, about: About) -> None:
    label, icon = ("Starred", ":material/star:") if about.star else ("Star", ":material/star_outline:")
    said = (
        errors.escape(f"Starred by {written.by(about.star)}")
        if about.star
        else "For everybody who opens this workspace"
    )

    def write() -> None:
        attempt(thing, key, lambda: state.workspace().people.set_star(thing, about.star is None))

    kind = "primary" if about.star else "secondary"
    st.button(label, icon=icon, key=f"star:{key}", help=errors.escape(said), type=kind, on_click=write)


def _note(thing: Thing, key: str, now: Entry | None, hint: str) -> None:
    """The text as it was when this person began: what others write meanwhile is said, and never written over."""
    people, pin = state.workspace().people, state.get(f"pin:{key}")
    if not pin or pin["thing"] != thing.id:
        pin = _pinned(thing, key, now)

    def write(text: str, version: int) -> None:
        if attempt(
            thing, key, lambda: _pinned(thing, key, people.write(thing, "note", text, version=version))
        ):
            state.put(f"conflict:{key}", None)
            state.put(f"kept:{key}", True)  # said by the run that follows: nothing is drawn before it

    if state.get(f"kept:{key}"):
        state.put(f"kept:{key}", None)
        st.toast("Kept. It is shown here to everybody who opens this workspace.")
    conflict = state.get(f"conflict:{key}")
    if conflict is not None and conflict["thing"] == thing.id:
        edit_conflict.draw(conflict["conflict"], key, write, lambda: _taken(thing, key))
        return
    typed = f"note:{thing.id}:{pin['version']}"
    with st.form(f"note:{key}", border=False):
        st.text_area("Note", pin["text"], key=typed, height=100, placeholder=hint,
                     max_chars=max(LONGEST["note"], len(pin["text"])))  # fmt: skip
        st.form_submit_button("Keep the note", icon=":material/save:",
                              on_click=lambda: write(state.typed(typed), pin["version"]))  # fmt: skip
    if (now.version if now else 0) != pin["version"]:
        _meanwhile(thing, key, now)
    elif now:
        st.caption(errors.escape(written.by(now)))


def _pinned(thing: Thing, key: str, now: Entry | None) -> dict:
    pin = {"thing": thing.id, "version": now.version if now else 0, "text": now.text if now else ""}
    state.put(f"pin:{key}", pin)
    return pin


def _taken(thing: Thing, key: str) -> None:
    """Theirs is what is there."""
    state.put(f"conflict:{key}", None)
    _pinned(thing, key, state.workspace().people.about(thing).note)


def _meanwhile(thing: Thing, key: str, now: Entry | None) -> None:
    words = f"{written.by(now)} has another text" if now else "Somebody has removed this note"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            errors.escape(f"{words}. Yours is not lost: when you keep it, you can choose."), width="content"
        )
        st.button(
            "Show the new text", key=f"newer:{key}", type="tertiary", on_click=lambda: _taken(thing, key)
        )
