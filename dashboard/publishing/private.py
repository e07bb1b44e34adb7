"""What a bundle must not tell: where on this machine its workspace, networks and data lie."""

from __future__ import annotations

import os
import re
from pathlib import Path

from analysis.workspace import Workspace

SHOWN = "…"


class Private:
    """Takes the paths of this machine out of texts: those of the workspace, of what its stores were recorded from, and
    of the person's own folder."""

    def __init__(self, workspace: Workspace) -> None:
        roots = sorted({r for r in _roots(workspace) if _is_telling(r)}, key=len, reverse=True)
        self._roots = re.compile("|".join(map(re.escape, roots))) if roots else None

    def __call__(self, text: str) -> str:
        return text if self._roots is None else self._roots.sub(SHOWN, text)


def _roots(workspace: Workspace):
    places = [workspace.path, Path.home(), Path.cwd()]
    for entry in workspace.stores():
        for part in ("checkpoint", "data"):
            about = entry.store.manifest.get(part) if entry.store is not None else None
            if path := str((about or {}).get("path") or ""):
                places.append(Path(path))
    for place in places:
        for path in {os.path.abspath(place), os.path.realpath(place)}:
            yield path
            yield os.path.dirname(path)


def _is_telling(path: str) -> bool:
    """Not a folder that every machine has, of which data may speak."""
    return len(Path(path).parts) > 2 or path == str(Path.home()) != "/"
