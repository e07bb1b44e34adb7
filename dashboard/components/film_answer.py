"""What the network says with the tokens of a film really removed, and what went wrong on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from analysis.tokens.fault import BIASED, FAULT, NONE, UNSEEN
from dashboard import errors, state
from dashboard.browse import token_rules as browse
from dashboard.words import count

SIGNS = {FAULT: ":material/error:", BIASED: ":material/help:"}


def draw(
    asked: Callable, reference: str, sample: int, name: str, settings: browse.Settings, share: float, one
) -> None:
    """The answer, faults, and the way to the film with its null. `asked` starts a job of the open network and gives
    what it found, None while it runs."""
    work = {"input": reference, "sample": sample, "rule": name, "share": share}
    work |= {"settings": dict(settings)} if settings else {}
    answer = asked("token_run", work, "Tokens: the network answers", f"token run {name}{settings}")
    for note in dict.fromkeys([*one.notes, *(answer or {}).get("notes", ())]):
        st.caption(errors.escape(note))
    if answer is not None:
        st.markdown(
            " ".join([browse.answer_sentence(answer, one.rule.title), browse.agreement_sentence(answer, one)])
        )
        _faults(answer, one.rule.title)
    if st.button(
        "This film with its null, to be cited", icon=":material/open_in_new:", key=f"cite:{name}{settings}"
    ):
        given = {"sample": sample, "rule": name, "share": share, "settings": browse.text_of(settings)}
        state.go(
            "tokens", view="rules", ask="token_film", tap=reference, **{f"p.{k}": v for k, v in given.items()}
        )


def _faults(answer: Mapping, title: str) -> None:
    """Faults of this sample in full, what was looked for and is not there by name, and what cannot be seen with why."""
    found = answer.get("faults") or ()
    if not found:
        return
    by = {
        verdict: [line for line in found if line[1] == verdict] for verdict in (FAULT, BIASED, NONE, UNSEEN)
    }
    said = count(len(by[FAULT]), "fault") if by[FAULT] else "no fault"
    with st.expander(
        f"Fault report of {errors.escape(title)}: {said} in this sample", expanded=bool(by[FAULT])
    ):
        lines = [f"- {SIGNS[v]} **{what}**: {errors.escape(why)}" for v in SIGNS for what, _, why in by[v]]
        lines.append(
            f"- :material/check: Looked for and not there: {', '.join(what for what, *_ in by[NONE])}."
        )
        lines += [f"- Not seen: {what}. {errors.escape(why)}" for what, _, why in by[UNSEEN]]
        st.markdown("\n".join(lines))
        st.caption("Of one sample. Over many: the view Rules, question “What goes wrong with a rule?”.")
