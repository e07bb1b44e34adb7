"""The samples that a result speaks of, as what they are: their pictures or texts, group by group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import Layout
from analysis.errors import LoupeError
from analysis.results import Gallery, Result, Scatter, Table, TokenMap
from dashboard.browse import focus
from dashboard.browse.cards import label_words
from dashboard.figures.text import number, plain

MOST_GROUPS, MOST_TABLE, AROUND = 20, 12, 28
MOST_MAPS = 24
OF_SAMPLES = (
    "similar_heat",
    "augmentation_occlusion",
    "masked_retrieval",
)  # whose named maps lie over samples
PER_GROUP = {"pictures": 12, "texts": 3}


@dataclass(frozen=True)
class Pictured:
    """`groups`: name to (rows of the tap, what is said below each); the `layout` of the tap says whose rows they are;
    `kind`: pictures or texts; `reference` the tap."""

    groups: dict[str, tuple[list[int], list[str]]]
    store: object
    reference: str
    layout: Layout
    kind: str
    whole: bool = False  # a row stands for its sample, no token of it is meant

    @property
    def tap(self) -> str:
        return self.reference.partition(":")[2]

    def tiles(self) -> list[dict]:
        """Groups with the tiles of their first samples, as `components.tiles.gallery` draws them."""
        most = PER_GROUP[self.kind]
        return [
            {"name": plain(name), "more": max(0, len(rows) - most),
             "tiles": [self._tile(row, word) for row, word in zip(rows[:most], words[:most], strict=True)]}
            for name, (rows, words) in list(self.groups.items())[:MOST_GROUPS]
        ]  # fmt: skip

    def _tile(self, row: int, word: str) -> dict:
        made = focus.tile(self.store, self.tap, self.layout, row, AROUND)
        sample = made["sample"]
        if self.whole:
            made |= {"where": "", "box": None} | ({"marked": -1} if "marked" in made else {})
        return made | {
            "row": row,
            "value": word,
            "table": None,
            "facts": label_words(self.store, sample) or made["title"],
        }

    def look(self, row: int) -> np.ndarray | str | None:
        """The picture (height, width[, 3]) of a row's sample, or the text around the row, for paper."""
        sample = int(self.layout.sample_of(row))
        if self.kind == "pictures":
            return _array(self.store.thumbnail(sample))
        return "".join(focus.tile(self.store, self.tap, self.layout, row, AROUND).get("tokens", ()))


def pictured(workspace, result: Result) -> Pictured | None:
    """What there is to see of a result's samples; None where it names none, or they have no picture or text."""
    if result.origin is None or not result.origin.inputs or not isinstance(result, (Gallery, Table, Scatter)):
        return None
    reference = str(result.origin.inputs[0].get("name", ""))
    try:
        store = workspace.store(reference.partition(":")[0])
        layout = workspace.activations(reference).layout
    except LoupeError:  # an array, or a store that is gone
        return None
    if layout.n_samples == 0:
        return None
    pictures = store.thumbnail(0) is not None
    if not pictures and not store.tokens(0):
        return None
    groups = _groups(result, store, layout)
    whole = isinstance(result, Gallery) and result.of == "samples"
    kind = "pictures" if pictures else "texts"
    return Pictured(groups, store, reference, layout, kind, whole) if groups else None


def _groups(result: Result, store, layout: Layout) -> dict[str, tuple[list[int], list[str]]]:
    n = int(layout.offsets[-1])
    if isinstance(result, Gallery):
        found = {}
        for name, rows in result.groups.items():
            values = result.values.get(name)
            words = (
                [number(v) for v in values]
                if values is not None and len(values) == len(rows)
                else [""] * len(rows)
            )
            kept = [(int(r), w) for r, w in zip(rows, words, strict=True) if 0 <= r < n]
            if kept:
                found[name] = ([r for r, _ in kept], [w for _, w in kept])
        return found
    if isinstance(result, Table):
        return _first_of_table(result, store, layout)
    return _corners(result, n)


def _first_of_table(result: Table, store, layout: Layout) -> dict:
    if result.index != "sample" or "sample" not in result.columns:
        return {}
    place = {str(id): i for i, id in enumerate(store.samples["id"])}
    ids = [str(id) for id in result.columns["sample"][:MOST_TABLE]]
    values = result.columns.get(result.sort, np.zeros(0))
    words = (
        [number(v) for v in values[: len(ids)]]
        if values.dtype.kind in "iuf" and len(values)
        else [""] * len(ids)
    )
    known = [(int(layout.offsets[place[id]]), w) for id, w in zip(ids, words, strict=True) if id in place]
    if not known:
        return {}
    name = f"the first {len(known)} of the table" + (f", with their {result.sort}" if result.sort else "")
    return {name: ([r for r, _ in known], [w for _, w in known])}


def _corners(result: Scatter, n: int) -> dict:
    who = result.columns.get("exemplar")
    if who is None or result.of != "rows":
        return {}
    at = [i for i in np.argsort(np.asarray(who).astype(str), kind="stable") if str(who[i])]
    rows, words = [int(result.rows[i]) for i in at], [str(who[i]) for i in at]
    return {"the samples at the corners": (rows, words)} if rows and max(rows) < n else {}


def with_pictures(workspace, result: Result) -> Result:
    """A map over places of samples with the pictures of these samples below it, where it has none of its own; for the
    page, as the workspace is needed for it."""
    if (
        not isinstance(result, TokenMap)
        or result.grid is None
        or result.pictures is not None
        or result.origin is None
    ):
        return result
    if result.words or (result.names and result.origin.method not in OF_SAMPLES) or not result.origin.inputs:
        return result
    try:
        store = workspace.store(str(result.origin.inputs[0].get("name", "")).partition(":")[0])
        samples = np.asarray(result.samples)[:MOST_MAPS]
        found = [_array(store.thumbnail(int(s))) for s in samples if 0 <= s < store.n_samples]
    except LoupeError:
        return result
    if len(found) < len(samples) or any(p is None or p.shape != found[0].shape for p in found):
        return result
    return replace(result, pictures=np.stack(found))


def looks(workspace, result: Result) -> Callable[[int], np.ndarray | str | None] | None:
    """What `figures.export` draws for each row of a gallery, or None."""
    found = pictured(workspace, result) if isinstance(result, Gallery) else None
    return None if found is None else found.look


def _array(png: bytes | None) -> np.ndarray | None:
    if png is None:
        return None
    from analysis.sources.pictures import thumbnail

    return np.asarray(thumbnail(png))
