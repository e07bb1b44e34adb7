"""What a map over the tokens of a sample lies on, and what its tokens are called."""

from __future__ import annotations

import numpy as np

from analysis.sources.input_picture import picture_of
from analysis.tokens.attention.heads import HeadReader, token_name


def drawn(
    reader: HeadReader, at: int
) -> tuple[tuple[int, int] | None, int, np.ndarray | None, tuple[str, ...]]:
    """(grid where the patches fill it, tokens before them, picture, words) of the sample at `at`."""
    there, layout = reader.layout.present[at], reader.layout
    cell, grid = layout.cell[at][there], layout.grid
    leading = int((cell < 0).sum())
    if grid is None or list(cell[leading:]) != list(range(grid[0] * grid[1])):
        grid, leading = None, 0
    if not getattr(reader.who, "is_network", False):
        return grid, leading, None, ()
    place = int(reader.places[at])
    words = reader.who.opened.words(place)
    picture = picture_of(reader.who.opened.prepared(place, place + 1)) if grid else None
    return grid, leading, picture, words if len(words) == there.sum() else ()


def asker_name(reader: HeadReader, at: int, token: int, words: tuple[str, ...] = ()) -> str:
    """A token in a sentence: a word in quotes, or what it is."""
    place = int(reader.layout.present[at][:token].sum())
    name = token_name(reader.layout, at, token)
    return repr(words[place]) if words else name if name.startswith("token") else f"the {name}"


def short_name(reader: HeadReader, at: int, token: int, words: tuple[str, ...] = ()) -> str:
    """The same where there is little room: of a patch its row and column, from 1."""
    cell, grid = reader.layout.cell[at, token], reader.layout.grid
    if grid is not None and cell >= 0 and not words:
        return f"({cell // grid[1] + 1}, {cell % grid[1] + 1})"
    return asker_name(reader, at, token, words).removeprefix("the ")
