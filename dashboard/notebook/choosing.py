"""Ids, colours and masks that a person types in a notebook, checked against what is there."""

from __future__ import annotations

import numpy as np

from analysis.errors import NotFound, ParameterError
from analysis.results import Result, Scatter
from analysis.selection import KINDS, Selection
from dashboard import colouring
from dashboard.figures.text import listed


def found(workspace, ids, at: str, of: str) -> Selection:
    """An unnamed selection of `ids` (a sequence or a mask) at "store" or "store:tap"."""
    if of not in KINDS:
        raise ParameterError(f"of = {of!r}", "one of " + ", ".join(KINDS))
    name, _, tap = (at or _only_store(workspace)).partition(":")
    store, given = workspace.store(name), np.asarray(ids)
    if of == "samples":
        known = np.asarray(store.samples["id"])
        chosen = known[_mask(given, len(known))] if given.dtype == bool else given.astype(str)
        _there(chosen, np.isin(chosen, known.astype(str)), f"samples of {name}")
        return Selection("", of, name, "", chosen)
    taken = workspace.activations(f"{name}:{tap}" if tap else name)
    count = taken.shape[0 if of == "rows" else 1]
    chosen = np.flatnonzero(_mask(given, count)) if given.dtype == bool else given
    if chosen.dtype.kind in "iu":
        _there(chosen, (chosen >= 0) & (chosen < count), f"{of} of {name}:{tap} (0 to {count - 1:,})")
    return Selection("", of, name, tap, chosen)


def coloured(result: Result, workspace, colour: str) -> Result:
    """The result in these colours. Raises NotFound for what it cannot be coloured by."""
    drawn = colouring.coloured(result, workspace, colour)
    if drawn is result:
        known = [source.name for source in colouring.offered(result, workspace)]
        raise NotFound(f"nothing called {colour!r} to colour by", "one of " + (listed(known, 12) or "none"))
    return drawn


def covered(result: Result, workspace, selection: Selection) -> np.ndarray:
    """(points,) bool: which points a selection covers. Raises ParameterError where it covers none."""
    mask = colouring.covered(result, workspace, selection) if isinstance(result, Scatter) else None
    if mask is None:
        raise ParameterError(f"{selection.described}", "a selection that covers points of this figure")
    return mask


def _only_store(workspace) -> str:
    names = [e.name for e in workspace.stores() if e.store]
    if len(names) != 1:
        raise ParameterError("no store is named", 'at="STORE" or at="STORE:TAP", one of ' + listed(names, 12))
    return names[0]


def _mask(mask: np.ndarray, count: int) -> np.ndarray:
    if mask.shape != (count,):
        raise ParameterError(f"a mask of shape {mask.shape}", f"({count},): one entry each")
    return mask


def _there(chosen: np.ndarray, good: np.ndarray, what: str) -> None:
    if not good.all():
        lost = chosen[~good]
        raise NotFound(f"{listed(map(str, lost), 4)} ({len(lost):,} in all)", what)
