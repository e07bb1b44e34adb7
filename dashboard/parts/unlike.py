"""A link may ask for a comparison that cannot be made: what it asked for, why it is not shown, and what is instead."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st

from dashboard import errors, state
from dashboard.browse import comparable
from dashboard.words import count


def say_tap(first: str, fitting: Collection[str]) -> None:
    """Where the URL's `tap2` is not among the taps that fit `first` ("store:tap")."""
    asked = state.param("tap2", "", str)
    if asked and asked not in fitting:
        known = asked in state.tap_references()
        _say(asked, first, _why(first, asked) if known else "there is no such tap in this workspace")


def say_store(first: str, fitting: Collection[str]) -> None:
    """Where the URL's `other` is not among the stores that fit the store `first`."""
    asked = state.param("other", "", str)
    if asked and asked not in fitting and asked != first:
        known = {r.partition(":")[0] for r in state.tap_references()}
        _say(
            asked, first, _why(first, asked) if asked in known else "there is no such store in this workspace"
        )


def _why(first: str, asked: str) -> str:
    names = (text.partition(":")[0] for text in (first, asked))
    n = comparable.common_samples(state.workspace(), *names)
    return f"the two have {count(n, 'sample')} in common by id, and at least {comparable.FEWEST} are needed"


def _say(asked: str, first: str, why: str) -> None:
    text = f"{asked} is not compared with {first}: {why}. Shown instead is the comparison named above."
    st.warning(errors.escape(text), icon=":material/warning:")
