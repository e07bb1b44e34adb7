"""Which rows a query finds, and what matched: text in ids, metadata and tokens, values of columns, units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.token_texts import token_rows
from analysis.errors import NotFound, ParameterError
from analysis.search.numbers import by_number, by_unit_value, has_classes, of_classes
from analysis.search.query import Both, Compare, Either, Node, Not, Text, parse
from analysis.search.texts import Joined, joined_column

UNSEARCHED = ("media_path", "media_digest")  # a word is not looked for there; name the column to do so
MOST_TOKEN_SAMPLES = 50_000  # beyond, tokens are searched only where `token:` asks for it


@dataclass(frozen=True)
class Match:
    """One condition of the query, as read: `condition`, `where` it matched ("caption", "token", "unit 412", …) and
    how many `rows` it matches by itself."""

    condition: str
    where: tuple[str, ...]
    rows: int


@dataclass(frozen=True)
class Found:
    """`mask` (rows,) bool; `matches`, one per condition in the order of the query; `notes` to show beside it."""

    mask: np.ndarray
    matches: tuple[Match, ...]
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> np.ndarray:
        """Indices of the rows found, rising."""
        return np.flatnonzero(self.mask)


@dataclass
class _Search:
    activations: Activations
    tokens: Callable[[int], list[str] | None] | None
    classes: tuple[str, ...]
    matches: list[Match] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    token_texts: tuple[Joined, np.ndarray] | None = None


def search(
    activations: Activations,
    query: str,
    *,
    tokens: Callable[[int], list[str] | None] | None = None,
    classes: tuple[str, ...] = (),
) -> Found:
    """The rows of a tap that a query finds; the language is described in `analysis.search.query`.

    Parameters
    ----------
    activations : Activations
    query : str
    tokens : callable, optional
        Sample number -> token texts; by default those of the store behind the activations. A token that matches
        finds its own row at a tap with tokens.
    classes : names of the classes in the columns "label" and "predicted", where those hold numbers.

    Raises
    ------
    ParameterError
        A query that cannot be read (with the position), a text compared by size, a value of another type.
    NotFound
        An unknown column or unit, listing what there is.

    Notes
    -----
    A missing value (NaN, an empty text, a negative class) matches no condition. A word costs one pass over the texts
    (made ready once), a unit condition one read of that unit.
    """
    asked = _Search(activations, tokens or getattr(activations, "tokens", None), tuple(classes))
    mask = _rows(parse(query), asked)
    return Found(mask, tuple(asked.matches), tuple(dict.fromkeys(asked.notes)))


def search_store(store, tap: str, query: str) -> Found:
    """`search` at a tap of a store, with its tokens and class names."""
    return search(store.activations(tap), query, classes=store.classes)


def _rows(node: Node, asked: _Search) -> np.ndarray:
    if isinstance(node, Not):
        return ~_rows(node.part, asked)
    if isinstance(node, (Both, Either)):
        combine = np.logical_and if isinstance(node, Both) else np.logical_or
        return combine.reduce([_rows(part, asked) for part in node.parts])
    if isinstance(node, Text):
        mask, where, shown = *_anywhere(node.text, asked), node.text
    elif node.unit:
        mask, where, shown = *_by_unit(node, asked), node.shown
    else:
        mask, where, shown = *_by_column(node, asked), node.shown
    asked.matches.append(Match(shown, where, int(mask.sum())))
    return mask


def _spread(samples: np.ndarray, activations: Activations) -> np.ndarray:
    """(samples,) bool as (rows,) bool."""
    layout = activations.layout
    return samples if layout.is_pooled else np.repeat(samples, np.diff(layout.offsets))


# ---------------------------------------------------------------------------- words anywhere
def _anywhere(words: str, asked: _Search) -> tuple[np.ndarray, tuple[str, ...]]:
    samples, where = np.zeros(asked.activations.layout.n_samples, bool), []
    for column in asked.activations.samples:
        if column in UNSEARCHED:
            continue
        found = _holding(words, column, asked)
        if found is not None and found.any():
            samples |= found
            where.append(column)
    mask = _spread(samples, asked.activations)
    if asked.tokens is not None:
        if len(samples) > MOST_TOKEN_SAMPLES:
            asked.notes.append(f"Tokens of {len(samples):,} samples are searched only by token:{words}.")
        else:
            inside = _by_token(words, asked)
            where += ["token"] if inside.any() else []
            mask = mask | inside
    return mask, tuple(where)


def _holding(words: str, column: str, asked: _Search) -> np.ndarray | None:
    """(samples,) bool: texts of a column that contain the words; None for a column without text."""
    values = np.asarray(asked.activations.samples[column])
    if has_classes(column, values, asked.classes):
        return of_classes([words.casefold() in name.casefold() for name in asked.classes], values)
    if values.dtype.kind in "biuf":
        return None
    return joined_column(asked.activations, column).containing(words)


def _by_token(words: str, asked: _Search) -> np.ndarray:
    """(rows,) bool: the rows of tokens that contain the words; at a pooled tap the rows of their samples."""
    if asked.tokens is None:
        raise NotFound(
            f"{asked.activations.name} has no token texts", "a store that was recorded with tokens"
        )
    if asked.token_texts is None:
        asked.token_texts = _token_texts(asked)
    joined, rows = asked.token_texts
    layout = asked.activations.layout
    mask = np.zeros(layout.n_rows, bool)
    mask[rows[joined.containing(words)]] = True
    return mask


def _token_texts(asked: _Search) -> tuple[Joined, np.ndarray]:
    """All token texts and the row of each: its own where a sample has as many rows as tokens (after leading ones),
    otherwise one text per sample, once for each of its rows."""
    texts, rows = [], []
    for first, stop, mine, each in token_rows(asked.activations.layout, asked.tokens):
        texts += mine if each else ["".join(mine)] * (stop - first)
        rows += range(first, stop)
    return Joined.of(texts), np.array(rows, np.int64)


# ---------------------------------------------------------------------------- values and units
def _by_column(node: Compare, asked: _Search) -> tuple[np.ndarray, tuple[str, ...]]:
    column = _column_named(node.name, asked)
    if column is None:
        return _by_token(node.value, asked), ("token",)
    values = np.asarray(asked.activations.samples[column])
    if values.dtype.kind in "biuf":
        samples = by_number(node, column, values, asked.classes)
    elif node.operator == ":":
        samples = joined_column(asked.activations, column).containing(node.value)
    elif node.operator in ("=", "!="):
        texts = joined_column(asked.activations, column)
        same = texts.equal(node.value)
        samples = same if node.operator == "=" else ~same & ~texts.equal("")
    else:
        raise ParameterError(
            f"column '{column}' holds text, which {node.operator} cannot compare", "=, != or :",
            f"Write {node.name} = {node.value}",
        )  # fmt: skip
    return _spread(samples, asked.activations), (column,)


def _column_named(name: str, asked: _Search) -> str | None:
    """The column, exactly or whatever the case; None for the tokens. Raises NotFound."""
    there = list(asked.activations.samples)
    alike = [c for c in there if c == name] or [c for c in there if c.casefold() == name.casefold()]
    if alike:
        return alike[0]
    if name.casefold() in ("token", "tokens") and asked.tokens is not None:
        return None
    more = [*sorted(there), *(["token"] if asked.tokens is not None else []), "unit N"]
    raise NotFound(f"{asked.activations.name} has no column '{name}'", "one of " + ", ".join(more))


def _by_unit(node: Compare, asked: _Search) -> tuple[np.ndarray, tuple[str, ...]]:
    names, n_units = asked.activations.unit_names, asked.activations.shape[1]
    if node.name in names:
        j = names.index(node.name)
    elif node.name.isascii() and node.name.isdigit() and int(node.name) < n_units:
        j = int(node.name)
    else:
        raise NotFound(
            f"{asked.activations.name} has no unit {node.name!r}", f"0 … {n_units - 1}, or a unit's name"
        )
    return by_unit_value(node, np.asarray(asked.activations.unit(j))), (f"unit {node.name}",)
