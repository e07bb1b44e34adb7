"""The colours that every run of a page tells its browser, read once.

Streamlit reads some three hundred options six times at the start of each run, on the one thread that serves everybody:
a tenth of the processor time of a click. On a host they do not change while it runs. This stands in for the function
that does so, where this version of Streamlit has it, and gives the same message byte for byte (a test compares).
"""

from __future__ import annotations

READ_BY = "_populate_theme_msg"


def begin() -> None:
    """From now on, in this process. What is read first is kept: call it before the server runs, not before its options
    are known to it."""
    from streamlit.runtime import app_session

    reads = getattr(app_session, READ_BY, None)
    if reads is not None and not hasattr(reads, "reads"):
        setattr(app_session, READ_BY, kept(reads))


def kept(reads):
    """`reads(message, section)` that fills in a message as the first time."""
    made: dict[str, object] = {}

    def fill(message, section: str = "theme") -> None:
        if section not in made:
            first = type(message)()
            reads(first, section)
            made[section] = first
        if made[section].ByteSize():  # nothing said is not the same as something empty
            message.MergeFrom(made[section])

    fill.reads = reads
    return fill
