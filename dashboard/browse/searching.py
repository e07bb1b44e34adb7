"""Search on the map: text in, a kept selection and a sentence out; faults are words too, for beside the box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.errors import LoupeError
from analysis.search import more_like, search_store
from analysis.selection import KINDS, Selection, selection_of_rows
from dashboard.browse import selections
from dashboard.browse.unit_words import word_of
from dashboard.words import count

EXAMPLE = "Search: a word, label = 4, loss > 1, unit 12 > 3"
HELP = (
    "What it finds becomes the selection and lights up.\n\n"
    '- `cat` or `"new york"`: ids, labels, texts and tokens that hold it\n'
    "- `label = 4`, `loss > 2`, `caption:beach`: by the value of a column\n"
    "- `unit 12 > 3`: rows on which that unit is above 3\n"
    "- joined by `and`, `or`, `not` and brackets: `label = 4 and not (unit 12 > 3)`\n\n"
    "For more points like one of them, click it and press **More like this**."
)
ALIKE = 20


@dataclass(frozen=True)
class Found:
    """`words` for beside the box; `selection` the URL's word for the hits, "" where there are none; `fault`: what was
    typed cannot be used."""

    words: str
    selection: str = ""
    fault: bool = False


def found(workspace, reference: str, text: str, *, of: str = "rows") -> Found:
    """Search a tap for what a person typed; nothing that can be typed raises."""
    name, _, tap = reference.partition(":")
    store = workspace.store(name)
    if of == "units":
        said = f"The points are {word_of(store, tap)}s here: search samples with “Points are” at samples."
        return Found(said, fault=True)
    try:
        hits = search_store(store, tap, text)
    except LoupeError as refusal:
        return Found(_fault(refusal), fault=True)
    if not hits.mask.any():
        return Found(" ".join(["Nothing found.", *_parts(hits), *hits.notes]), fault=True)
    chosen = selection_of_rows(hits.mask, store, tap, f"search: {text}")
    return Found(_words(hits, chosen), selections.keep(workspace, chosen))


def _fault(refusal: LoupeError) -> str:
    parts = [refusal.found, refusal.expected and f"Expected: {refusal.expected}", refusal.remedy]
    return " ".join(f"{part.rstrip('.')}." for part in parts if part)


def _words(hits, chosen: Selection) -> str:
    where = ", ".join(dict.fromkeys(place for match in hits.matches for place in match.where))
    said = f"{count(len(chosen), KINDS[chosen.of])} found" + (f", in {where}" if where else "")
    return " ".join([f"{said}.", *_parts(hits), *hits.notes])


def _parts(hits) -> list[str]:
    """How many rows each condition has by itself, where there are several."""
    if len(hits.matches) < 2:
        return []
    return ["; ".join(f"{match.condition}: {match.rows:,}" for match in hits.matches) + "."]


def alike(workspace, reference: str, row: int, k: int = ALIKE) -> Found:
    """The rows nearest to one in the original space, with itself, kept as a selection."""
    name, _, tap = reference.partition(":")
    store = workspace.store(name)
    activations = store.activations(tap)
    try:
        near = more_like(activations, row, k)
    except LoupeError as refusal:
        return Found(_fault(refusal), fault=True)
    mask = np.zeros(activations.shape[0], bool)
    mask[np.append(near.rows, row)] = True
    sample = store.samples["id"][int(activations.layout.sample_of(row))]
    chosen = selection_of_rows(mask, store, tap, f"the {len(near.rows)} most like {sample}")
    return Found(near.sentence, selections.keep(workspace, chosen))
