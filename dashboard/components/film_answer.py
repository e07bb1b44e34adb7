"""What the network says with the tokens of a film really removed, and what went wrong on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from analysis.tokens.fault import BIASED, FAULT, NONE
from dashboard import errors, state
from dashboard.browse import token_rules as browse
from dashboard.words import count

SIGNS = {FAULT: ":material/error:", BIASED: ":material/help:", NONE: ":material/check:"}


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
    """A line for everything that was looked for in this sample, faults first; what cannot be seen is said as well."""
    found = answer.get("faults") or ()
    if not found:
        return
    wrong = sum(verdict == FAULT for _, verdict, _ in found)
    order = {FAULT: 0, BIASED: 1, NONE: 2}
    lines = sorted(found, key=lambda line: order.get(line[1], 3))
    said = count(wrong, "fault") if wrong else "no fault"
    with st.expander(f"Fault report of {errors.escape(title)}: {said} in this sample", expanded=bool(wrong)):
        st.markdown("\n".join(_line(*line) for line in lines))
        st.caption("Of one sample. Over many: the view Rules, question “What goes wrong with a rule?”.")


def _line(what: str, verdict: str, sentence: str) -> str:
    sign = SIGNS.get(verdict, ":material/visibility_off:")
    return f"- {sign} **{errors.escape(what)}** ({errors.escape(verdict)}): {errors.escape(sentence)}"
