"""What a map over the tokens of a sample lies on, and what its tokens are called."""

from __future__ import annotations

import numpy as np

from analysis.sources.input_picture import picture_of
from analysis.tokens.attention.heads import HeadReader, token_name

MOST_BESIDE = 24  # tokens that are not on a picture and are told


def drawn(
    reader: HeadReader, at: int
) -> tuple[tuple[int, int] | None, int, np.ndarray | None, tuple[str, ...]]:
    """(grid where the patches fill it, tokens that are none, picture, words) of the sample at `at`, whose tokens are
    drawn in the order of `patches_last`; words are in their own order."""
    there, layout = reader.layout.present[at], reader.layout
    cell, grid = layout.cell[at][there][patches_last(reader, at)], layout.grid
    leading = int((cell < 0).sum())
    if grid is None or list(cell[leading:]) != list(range(grid[0] * grid[1])):
        grid, leading = None, 0
    if not getattr(reader.who, "is_network", False):
        return grid, leading, None, ()
    place = int(reader.places[at])
    words = reader.who.opened.words(place)
    picture = picture_of(reader.who.opened.prepared(place, place + 1)) if grid else None
    return grid, leading, picture, words if len(words) == there.sum() else ()


def patches_last(reader: HeadReader, at: int) -> np.ndarray:
    """(m,) the tokens of a sample as a map has them: those without a place on the grid, then patches, which stand among
    words where a picture is asked about."""
    placed = reader.layout.cell[at][reader.layout.present[at]] >= 0
    return np.argsort(placed, kind="stable")


def beside_the_picture(reader: HeadReader, at: int, words, values: np.ndarray) -> str:
    """What the tokens that are not on the picture are, with their `values` (m,) of all tokens there."""
    tokens = np.flatnonzero(reader.layout.present[at])
    none = [t for t in range(len(tokens)) if reader.layout.cell[at, tokens[t]] < 0]
    said = [f"{asker_name(reader, at, int(tokens[t]), words)} {values[t]:.2g}" for t in none[:MOST_BESIDE]]
    more = f" and {len(none) - MOST_BESIDE} more" if len(none) > MOST_BESIDE else ""
    return f"Not on the picture, in multiples of an even share: {', '.join(said)}{more}."


def asker_name(reader: HeadReader, at: int, token: int, words: tuple[str, ...] = ()) -> str:
    """A token in a sentence: a word in quotes, or what it is."""
    place = int(reader.layout.present[at][:token].sum())
    name = token_name(reader.layout, at, token)
    if words and not name.startswith("patch"):
        return repr(words[place])
    return name if name.startswith("token") else f"the {name}"


def listed_name(reader: HeadReader, at: int, token: int, words: tuple[str, ...] = ()) -> str:
    """The same in a list to choose from: a word behind its number, as the same one may stand there twice."""
    name = asker_name(reader, at, token, words).removeprefix("the ")
    return f"{token} {name}" if name.startswith(("'", '"')) else name


def short_name(reader: HeadReader, at: int, token: int, words: tuple[str, ...] = ()) -> str:
    """The same where there is little room: of a patch its row and column, from 1."""
    cell, grid = reader.layout.cell[at, token], reader.layout.grid
    if grid is not None and cell >= 0:
        return f"({cell // grid[1] + 1}, {cell % grid[1] + 1})"
    return asker_name(reader, at, token, words).removeprefix("the ")
