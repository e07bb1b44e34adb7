"""What a link's page was made of, and whether it still is: digests of the taps and selections that its address names,
and the results that it showed.

    seen = contents(workspace, params, results)      # when the link is made: {"tap digits-vit:…": digest, …}
    changes(workspace, seen)                         # when it is opened: what is different, in sentences
    kept_results(workspace, seen)                    # the results of then that are still kept
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from analysis.errors import LoupeError
from analysis.results import Result
from analysis.workspace import Workspace

TAP, SELECTION, RESULT = "tap ", "selection ", "result "
KEY = re.compile(r"[0-9a-f]{32}")
MOST_RESULTS = 20  # of one page


def contents(
    workspace: Workspace, params: Mapping[str, Sequence[str]], results: Mapping[str, str]
) -> dict[str, str]:
    """Digests of what a page with these URL parameters shows. `results` : {cache key: title} of what it drew."""
    words = {text for values in params.values() for text in values}
    found = {}
    for word in sorted(words):
        store, colon, tap = word.partition(":")
        if colon and (digest := _tap_digest(workspace, store, tap)) is not None:
            found[TAP + word] = digest
    for selection in workspace.selections():
        if selection.name in words:
            found[SELECTION + selection.name] = selection.digest
    for key, title in list(results.items())[-MOST_RESULTS:]:
        found[RESULT + key] = title
    return found


def changes(workspace: Workspace, seen: Mapping[str, str]) -> list[str]:
    """What is no longer as it was, one sentence each; empty where everything is."""
    said = []
    named = any(name.startswith(SELECTION) for name in seen)
    there = {s.name: s.digest for s in workspace.selections()} if named else {}
    for name, digest in seen.items():
        if name.startswith(TAP):
            tap = name.removeprefix(TAP)
            now = _tap_digest(workspace, *tap.split(":", 1)) if ":" in tap else None
            if now is None:
                said.append(f"The activations {tap} are gone.")
            elif now != digest:
                said.append(f"The activations {tap} are other ones now.")
        elif name.startswith(SELECTION):
            selection = name.removeprefix(SELECTION)
            if selection not in there:
                said.append(f"The selection {selection} is gone.")
            elif there[selection] != digest:
                said.append(f"The selection {selection} holds other points now.")
    return said


def kept_results(workspace: Workspace, seen: Mapping[str, str]) -> tuple[list[Result], int]:
    """The results that the page showed and that are still kept, and how many are not."""
    keys = [name.removeprefix(RESULT) for name in seen if name.startswith(RESULT)]
    found = [_kept(workspace, key) for key in keys]
    kept = [result for result in found if result is not None]
    return kept, len(keys) - len(kept)


def _kept(workspace: Workspace, key: str) -> Result | None:
    if not KEY.fullmatch(key):  # a link may come in a pack from a stranger: it names no file
        return None
    try:
        return workspace.cache.get(key)
    except LoupeError:  # damaged: as good as gone
        return None


def _tap_digest(workspace: Workspace, store: str, tap: str) -> str | None:
    try:
        return workspace.store(store).activations(tap).digest
    except LoupeError:
        return None
