"""Which files a host reads for its visitors: those that really lie under the directories of LOUPE_ROOTS.

On one's own machine everything may be read. On a host a path that somebody typed is followed through every link first,
and the place where it ends decides; what lies outside is refused with the same words whether it is there or not, so
that nobody learns what else the machine holds. A folder is refused when a link anywhere in it leads out.

What is between this look and the opening of a file belongs to whoever can write under the roots: no visitor can.
"""

from __future__ import annotations

import os
from pathlib import Path

from analysis import access
from analysis.errors import Forbidden, NotFound, ParameterError

ROOTS = "LOUPE_ROOTS"
LONGEST = 4096  # characters of a path


def roots() -> tuple[Path, ...] | None:
    """The directories whose files may be read; None where all may (one's own machine)."""
    if not access.hosted():
        return None
    return tuple(Path(one) for one in os.environ.get(ROOTS, "").split(os.pathsep) if one)


def readable(path: str | os.PathLike) -> Path:
    """The file or directory itself, without links. Raises ParameterError for what is no path, Forbidden outside the
    roots, NotFound. Cost: one look for each part of the path."""
    given = os.fspath(path)
    if "\0" in given or len(given) > LONGEST or not given.strip():
        raise ParameterError(f"{given[:60]!r} is no path", "the full path of a file or directory")
    try:
        found = Path(given).expanduser().resolve()
        inside = is_readable(found)
    except (OSError, RuntimeError):  # a name that is too long, a loop of links, ~somebody
        inside, found = roots() is None, Path(given)
    if not inside:
        raise Forbidden(
            f"{given!r} is not among the files that this host reads",
            "a path under one of its directories",
            "Ask whoever runs this host to put it there",
        )
    if not (found.is_dir() or found.is_file()):  # a device or a pipe would be waited for without end
        raise NotFound(f"There is no {given!r} on this machine", "", "Type the full path")
    return found


def is_readable(found: Path) -> bool:
    """Whether a path without links lies under the roots."""
    allowed = roots()
    return allowed is None or any(found.is_relative_to(root) for root in allowed)


def refuse_links_out(path: Path) -> None:
    """Raises Forbidden where a link inside the directory `path` leads out of the roots. Nothing to do on one's own
    machine or for a file. Cost: one look for each entry, about a second for 300,000."""
    if roots() is None or not path.is_dir():
        return
    for folder, names, files in os.walk(path):
        for name in (*names, *files):
            full = os.path.join(folder, name)
            if os.path.islink(full) and not is_readable(Path(os.path.realpath(full))):
                raise Forbidden(
                    f"{os.path.relpath(full, path)!r} in {str(path)!r} is a link out of what this host reads",
                    "links that stay inside",
                    "Put the file itself there",
                )
