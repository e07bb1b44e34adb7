"""Pictures, sounds and downloads only for those whose pages showed them.

Streamlit serves them by digest to whoever asks; on a host of several workspaces a digest that somebody passed on, or
knew from her own copy of a file, would say that it lies in a workspace that is closed to her. What a page shows is in
the messages to its browser, so they are read as they pass: an address in them is that person's from then on. Others,
and addresses that there never were, get the same answer.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict

MARK = b"/media/"
ADDRESS = re.compile(rb"/media/([0-9a-f]{32,128})")
FILE = re.compile(r"/media/([0-9a-f]{32,128})(\.[A-Za-z0-9]{1,10})?")
MOST_FILES, MOST_PEOPLE = (
    5_000,
    2_000,
)  # the least recently shown are forgotten; loading the page shows them again


class ShownFiles:
    """Who was shown which files. Any thread may ask."""

    def __init__(self, files: int = MOST_FILES, people: int = MOST_PEOPLE) -> None:
        self._files, self._people, self._lock = files, people, threading.Lock()
        self._shown: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()

    def note(self, person: str, data: bytes) -> None:
        """A message to her browser. Cost: one search through its bytes."""
        if MARK not in data:
            return
        found = [name.decode() for name in ADDRESS.findall(data)]
        with self._lock:
            own = self._shown.setdefault(person, OrderedDict())
            self._shown.move_to_end(person)
            for name in found:
                own[name] = None
                own.move_to_end(name)
            while len(own) > self._files:
                own.popitem(last=False)
            while len(self._shown) > self._people:
                self._shown.popitem(last=False)

    def may(self, person: str, path: str) -> bool:
        """Whether this path, below the base, is a file that she was shown."""
        found = FILE.fullmatch(path)
        with self._lock:
            return found is not None and found[1] in self._shown.get(person, ())
