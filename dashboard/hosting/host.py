"""What this process is a host of: told once when it starts, asked by pages and by whoever writes.

Nothing here on one's own machine: `current()` is None, everybody is the owner, and pages look as they always did.
"""

from __future__ import annotations

import os

from analysis.access import Person
from dashboard.hosting import settings as reading
from dashboard.hosting.settings import Settings

HOSTED = "LOUPE_HOSTED"  # workers inherit it: they refuse paths outside the roots, and code
_current: Settings | None = None


def begin(settings: Settings | None = None) -> Settings:
    """Make this process a host, of `settings` or of what the environment says."""
    global _current
    _current = settings or reading.read()
    os.environ[HOSTED] = "1"
    os.environ["LOUPE_ROOTS"] = os.pathsep.join(map(str, _current.roots))
    return _current


def current() -> Settings | None:
    """The host's settings; None on one's own machine."""
    return _current


def visitor() -> Person:
    """Whoever asks now, with her role in the workspace that she looks at. For `access.told_by`."""
    return Person("", "none")
