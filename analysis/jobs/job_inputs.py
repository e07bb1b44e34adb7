"""What a job may read and run on a host: files under its roots, and no code that somebody names."""

from __future__ import annotations

import os
from collections.abc import Mapping

from analysis import access
from analysis.errors import Forbidden, UnsafeFile
from analysis.roots import readable, refuse_links_out

CODE = ("model", "allow_code")  # a Python class of one's own: only from one's own command line
PATHS = ("checkpoint", "data", "path")
OPTIONS = ("labels", "metadata")  # of data: a file, or the name of a column or array
SIGNS = ("/", "\\", "~", "..")


def refuse(arguments: Mapping, *, deeply: bool = False) -> None:
    """Raises UnsafeFile for code, Forbidden and NotFound for paths; nothing on one's own machine. `deeply`: also look
    for links inside directories (by the worker, right before it opens them)."""
    if not access.hosted():
        return
    if named := [name for name in CODE if arguments.get(name)]:
        raise UnsafeFile(
            f"the work names {named[0]} = {str(arguments[named[0]])[:80]!r}", "weights only",
            "A host runs no code of its visitors",
        )  # fmt: skip
    for name in PATHS:
        if arguments.get(name):
            found = readable(arguments[name])
            if deeply:
                refuse_links_out(found)
    options = arguments.get("data_options") or {}
    for value in (arguments.get("labels"), *(options.get(name) for name in OPTIONS)):
        if value and _is_path(str(value)):
            readable(value)
    pattern = str(options.get("pattern") or "")
    if pattern.startswith(("/", "\\")) or ".." in pattern or "~" in pattern:
        raise Forbidden("the pattern of files leads out of the folder", "one inside it", "Leave it out")


def _is_path(value: str) -> bool:
    """Whether a reader could take it for a file: any sign of a path, or a file of that name where workers run."""
    return any(sign in value for sign in SIGNS) or os.path.lexists(value)
