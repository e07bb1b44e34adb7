"""What a page says when something goes wrong: found, expected, remedy; never a traceback."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence

import streamlit as st

from analysis.errors import Forbidden, LoupeError
from analysis.installed import not_installed
from dashboard.figures.plurals import counted

log = logging.getLogger("loupe.dashboard")


@contextlib.contextmanager
def shown() -> Iterator[None]:
    """Turn any failure of the enclosed part of a page into a notice; the rest of the page goes on.

    A refusal (`LoupeError`) is shown in its own words. Anything else is a fault of ours: the traceback goes
    to the log under an id, and the page shows the id. Streamlit's own control flow passes through (it does
    not derive from Exception).
    """
    try:
        yield
    except LoupeError as refusal:
        said = {k: getattr(refusal, k) for k in ("found", "expected", "remedy")}
        notice(said, refused=isinstance(refusal, Forbidden))
    except Exception as error:
        if (refusal := not_installed(error)) is not None:
            notice({k: getattr(refusal, k) for k in ("found", "expected", "remedy")})
            return
        id = uuid.uuid4().hex[:8]
        log.error("error %s", id, exc_info=error)
        remedy = "The details are in the server's log under that number. Reloading the page is safe"
        notice({"found": f"This part of the page failed unexpectedly, error {id}", "remedy": remedy})


@contextlib.contextmanager
def said() -> Iterator[None]:
    """As `shown`, where a refusal breaks nothing: a link that leads nowhere is no fault of the page below it."""
    with shown():
        try:
            yield
        except LoupeError as refusal:
            notice({k: getattr(refusal, k) for k in ("found", "expected", "remedy")}, refused=True)


def notice(error: Mapping[str, str | None], *, refused: bool = False) -> None:
    """Draw one error with its three parts (`refused`: yellow, nothing is broken)."""
    lines = [f"**{escape(_sentence(error.get('found') or 'Something went wrong'))}**"]
    if error.get("expected"):
        lines.append(f"Expected: {escape(_sentence(str(error['expected'])))}")
    if error.get("remedy"):
        lines.append(f"What to do: {escape(_sentence(str(error['remedy'])))}")
    box, icon = (st.warning, ":material/warning:") if refused else (st.error, ":material/error:")
    box("  \n".join(lines), icon=icon)


def left_out(taps: Sequence[str], refusal: LoupeError) -> None:
    """Say that these taps cannot be used, and why; what is shown is of the others."""
    text = f"**{escape(', '.join(taps))} left out**: {escape(_sentence(refusal.found))}"
    st.warning(
        f"{text}  \n{escape(_sentence(refusal.remedy))}" if refusal.remedy else text,
        icon=":material/warning:",
    )


def escape(text: str) -> str:
    """Text of unknown origin (file names, labels) as it is, not as Markdown."""
    text = counted(text)
    for sign in "\\`*_[]$<>#~|":
        text = (
            text.replace(sign, "\\" + sign)
            if sign not in "<>"
            else text.replace(sign, {"<": "&lt;", ">": "&gt;"}[sign])
        )
    return text.replace(":", "\\:")


def _sentence(text: str) -> str:
    text = text.strip().rstrip(".")
    return f"{text}." if text else ""
