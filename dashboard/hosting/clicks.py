"""Seconds of a click: from its message's arrival to the last message of its answer, all waits included.

A click is a message that asks for a run of a page. Its answer begins with the first run that starts afterwards (several
clicks may share one) and ends when a run says that it is complete; a run that gives way to the next one says that too,
and counts as nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

LARGE = 1 << 16  # bytes: neither of the two messages that are looked for is as large
EARLY = 2  # how a run ended that gave way to the next one


class Clicks:
    """Those of one open page.

    Parameters
    ----------
    seen : called with (name of the page, seconds) at the end of each.
    names : {Streamlit's digest of a page: its name}
    """

    def __init__(
        self, seen: Callable[[str, float], None], names: Mapping[str, str], clock=time.monotonic
    ) -> None:
        self.seen, self.names, self.clock = seen, names, clock
        self.waiting: list[float] = []  # when those arrived of which no run has started yet
        self.answering: list[float] = []
        self.page = ""

    def arrived(self, data: bytes) -> None:
        """A message of the browser."""
        from google.protobuf.message import DecodeError
        from streamlit.proto.BackMsg_pb2 import BackMsg

        try:
            message = BackMsg.FromString(data)
        except DecodeError:  # Streamlit says so
            return
        if message.WhichOneof("type") == "rerun_script":
            self.waiting.append(self.clock())

    def sent(self, data: bytes) -> None:
        """A message to the browser, after it has been sent."""
        if len(data) > LARGE or not (self.waiting or self.answering) or is_part(data):
            return
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        message = ForwardMsg.FromString(data)
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self.answering += self.waiting
            self.waiting = []
            self.page = self.names.get(message.new_session.page_script_hash, "other")
        elif kind == "navigation":  # a page that was asked for by its name is known from here on
            self.page = self.names.get(message.navigation.page_script_hash, self.page)
        elif kind == "script_finished" and message.script_finished != EARLY:
            now = self.clock()
            for since in self.answering:
                self.seen(self.page, now - since)
            self.answering = []


# how a message's fields 1, 2 and 5 (`delta`) begin, each followed by its length
HASH, METADATA, PART = b"\x0a\x12\x2a"


def is_part(data: bytes) -> bool:
    """Whether a message is a part of the page, as nine of ten are: seen from its first bytes, without reading it."""
    at = 0
    while at + 1 < len(data) and data[at] in (HASH, METADATA):
        if data[at + 1] > 127:  # a length of several bytes: read it whole
            return False
        at += 2 + data[at + 1]
    return at < len(data) and data[at] == PART


def page_names(pages) -> dict[str, str]:
    """{Streamlit's digest of a page: its name} of what `dashboard.pages.pages` gives."""
    from streamlit.util import calc_hash

    return {calc_hash("" if page.default else page.name): page.name for page in pages}
