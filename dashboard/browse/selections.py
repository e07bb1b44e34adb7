"""Selections between pages: named ones by name, a lasso by the digest of its points.

A lasso that nobody has named yet must survive in a link too, so it is kept as a small result in the cache under
the digest of what it holds, and the URL says `sel=~digest`. A selection of samples lights up at every tap; one
of tokens lights up their samples where the points are samples; one of units lights up on maps of units.
"""

from __future__ import annotations

import base64
import binascii
import re

import numpy as np

from analysis.activations import Layout
from analysis.errors import LoupeError
from analysis.results import Gallery, Scatter
from analysis.selection import KINDS, Selection, row_mask, sample_mask
from dashboard.browse.kept import Kept

UNNAMED = re.compile(r"~[0-9a-f]{16}")
_unnamed, _masks = Kept(32), Kept(16)


def unpacked(text: str, n: int) -> np.ndarray | None:
    """The points that the map sent (base64 of packed bits) as (n,) bool; None when it cannot be that."""
    try:
        bits = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
    except (binascii.Error, ValueError):
        return None
    return np.unpackbits(bits, count=n).astype(bool) if len(bits) == (n + 7) // 8 else None


def of_points(
    mask: np.ndarray, result: Scatter, layout: Layout | None, store, tap: str, name: str = ""
) -> Selection:
    """The selection that a mask over the points of a map stands for."""
    rows = np.asarray(result.rows)[mask]
    if result.of == "units":
        return Selection(name, "units", store.path.name, tap, rows)
    if layout.is_pooled:
        ids = np.asarray(store.samples["id"])[layout.sample_of(rows)]
        return Selection(name, "samples", store.path.name, tap, ids)
    return Selection(name, "rows", store.path.name, tap, rows)


def keep(workspace, selection: Selection) -> str:
    """Keep an unnamed selection and return its URL word, "~" and a digest."""
    word = "~" + selection.digest[:16]
    key = _key(word)
    if not workspace.cache.has(key):
        head = f"{selection.of}\n{selection.store}\n{selection.tap}"
        kept = Gallery(title=head, reading=selection.note, groups={"ids": selection.ids})
        workspace.cache.put(key, kept)
    return word


def find(workspace, word: str) -> Selection | None:
    """The selection a URL names; None when there is no such one."""
    if not word:
        return None
    if not UNNAMED.fullmatch(word):
        try:
            return workspace.selection(word)
        except LoupeError:
            return None
    return _unnamed.get(word, lambda: _read(workspace, word)) if workspace.cache.has(_key(word)) else None


def _read(workspace, word: str) -> Selection | None:
    kept = workspace.cache.get(_key(word))
    if kept is None:
        return None
    of, store, tap = kept.title.split("\n")
    return Selection(word, of, store, tap, kept.groups["ids"], note=kept.reading)


def _key(word: str) -> str:
    return f"lasso-{word.removeprefix('~')}"


def rows_of(selection: Selection | None, store, tap: str) -> np.ndarray | None:
    """(rows,) bool: the rows of a tap that a selection covers; None when it says nothing about them."""
    if selection is None:
        return None
    key = ("rows", selection.digest, store.digest, tap)
    return _masks.get(key, lambda: row_mask(selection, store, tap))


def usable(workspace, reference: str) -> dict[str, np.ndarray]:
    """The named selections of a store that cover rows of this "store:tap", each with its membership (rows,)."""
    name, _, tap = reference.partition(":")
    store, found = workspace.store(name), {}
    for selection in workspace.selections(name):
        mask = rows_of(selection, store, tap)
        if mask is not None and mask.any():
            found[selection.name] = mask
    return found


def samples_of(selection: Selection | None, store) -> np.ndarray | None:
    """(samples,) bool: the samples that a selection covers, by id or by their rows."""
    if selection is None:
        return None
    return _masks.get(("samples", selection.digest, store.digest), lambda: sample_mask(selection, store))


def points_of(
    selection: Selection | None, result: Scatter, layout: Layout | None, store, tap: str
) -> np.ndarray | None:
    """(points,) bool: which points of a map a selection covers; None when none."""
    rows = np.asarray(result.rows)
    if selection is not None and result.of == "units":
        if selection.of != "units" or (selection.store, selection.tap) != (store.path.name, tap):
            return None
        mask = np.isin(rows, selection.ids)
    else:
        covered = rows_of(selection, store, tap) if layout is not None else None
        mask = None if covered is None else covered[rows]
    return mask if mask is not None and mask.any() else None


def in_words(selection: Selection | None) -> str:
    """ "37 samples", or the name of a named one."""
    if selection is None:
        return "none"
    count = f"{len(selection):,} {KINDS[selection.of]}{'' if len(selection) == 1 else 's'}"
    return count if UNNAMED.fullmatch(selection.name) or not selection.name else f"{selection.name} ({count})"


def title(selection: Selection) -> str:
    """What to call it among others: its name, or what it holds."""
    unnamed = UNNAMED.fullmatch(selection.name) or not selection.name
    return in_words(selection) if unnamed else selection.name


def is_named(selection: Selection | None) -> bool:
    """Whether somebody gave it a name (it is then in the workspace)."""
    return selection is not None and bool(selection.name) and not UNNAMED.fullmatch(selection.name)


def carried(selection: Selection, of, to) -> Selection:
    """The same samples (by id) in another store: what a lasso on the map of another network means here."""
    mask = samples_of(selection, of)
    if mask is None:
        return selection
    ids = np.asarray(of.samples["id"]).astype(str)[mask]
    here = np.intersect1d(ids, np.asarray(to.samples["id"]).astype(str))
    return Selection("", "samples", to.path.name, "", here, note=f"drawn on a map of {of.path.name}")
