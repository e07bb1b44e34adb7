"""What can be said of a row in words: of its sample, of its token, and of where it is.

    class, column    the sample's class; its value in a column of at most 64 different texts
    character        what the token is made of: line break, indentation, opening bracket, quotation mark, digit, …
    token            the commonest token texts
    word             the token lies inside one of the commonest words; it is the last of such a word
    after            the token follows one of the above characters
    place            a leading row such as a class token; the edges of an image

An attribute is kept where at least `FEWEST` rows have it and as many lack it; of several that the same rows have, one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.token_texts import token_rows

if TYPE_CHECKING:
    from scipy.sparse import csc_array

FEWEST = 5  # rows
MOST_VALUES = 64  # of a column
WORDS = 60
CHARACTERS = {
    "line break": r"\n",
    "indentation": r"(?m)^[ \t]+",
    "space between words": r"(?<=\S)[ \t]+",
    "opening bracket": r"[(\[{]",
    "closing bracket": r"[)\]}]",
    "quotation mark": r"[\"'`«»“”]",
    "quoted text": r"\"[^\"\n]+\"|'[^'\n]+'",
    "comma": r",",
    "full stop": r"\.",
    "colon": r":",
    "other punctuation": r"[^\w\s()\[\]{}\"'`«»“”,.:]",
    "digit": r"\d",
    "capital letter": r"[A-Z]",
    "underscore": r"_",
    "start of the text": r"(?s)\A.",
}
PREFERRED = ("own", "class", "column", "place", "character", "word", "token", "end of a word", "after")
AFTER = (
    "line break",
    "opening bracket",
    "quotation mark",
    "full stop",
    "comma",
    "underscore",
    "space between words",
)
WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class RowAttributes:
    """`hot` (rows, C) bool, sparse: who has which; `names` and `sorts` (C,) of attributes: "word 'self'", "word"."""

    hot: csc_array
    names: np.ndarray
    sorts: np.ndarray

    def only(self, rows: np.ndarray) -> RowAttributes:
        """Of some rows, without what these do not tell apart."""
        hot = self.hot[rows]
        size = np.asarray(hot.sum(axis=0)).ravel()
        kept = np.flatnonzero((size >= FEWEST) & (len(rows) - size >= FEWEST))
        hot = hot[:, kept].tocsc()
        hot.sort_indices()
        seen: dict[bytes, int] = {}
        order = np.argsort([PREFERRED.index(s) for s in self.sorts[kept]], kind="stable")
        for i in order:
            seen.setdefault(hot.indices[hot.indptr[i] : hot.indptr[i + 1]].tobytes(), int(i))
        one = sorted(seen.values())
        return RowAttributes(hot[:, one], self.names[kept][one], self.sorts[kept][one])


def row_attributes(
    activations: Activations, samples: np.ndarray, own: dict[str, tuple[str, ...]] | None = None
) -> tuple[np.ndarray, RowAttributes]:
    """(rows, their attributes): all rows of `samples` (rising) and what samples, texts and layout say of them. `own` :
    more groups of words by name; a token has one where it lies inside any of its words. O(characters), O(rows) for
    each column value."""
    from scipy.sparse import coo_array

    found: dict[tuple[str, str], list[np.ndarray]] = {}
    _of_samples(activations, found)
    _of_places(activations, found)
    tokens = getattr(activations, "tokens", None)
    if tokens is not None:
        _of_texts(list(token_rows(activations.layout, tokens, samples)), own or {}, found)
    rows = [np.unique(np.concatenate(parts)) for parts in found.values()]
    n = activations.shape[0]
    at = np.concatenate(rows) if rows else np.zeros(0, np.int64)
    which = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    hot = coo_array((np.ones(len(at)), (at, which)), shape=(n, len(rows))).tocsc()
    names, sorts = (np.array([key[i] for key in found], dtype=str) for i in (1, 0))
    own_rows = np.flatnonzero(np.isin(activations.layout.sample_of(np.arange(n)), samples))
    return own_rows, RowAttributes(hot.tocsr(), names, sorts).only(own_rows)


def _of_samples(activations: Activations, found: dict) -> None:
    sizes = np.diff(activations.layout.offsets)
    for column, values in activations.samples.items():
        values = np.asarray(values)
        if column in ("id", "text", "media_path", "media_digest") or values.dtype.kind not in "USObiu":
            continue
        texts = values.astype(str)
        names, of = np.unique(texts, return_inverse=True)
        if not 2 <= len(names) <= MOST_VALUES:
            continue
        rows = np.repeat(of, sizes)
        for i, name in enumerate(names):
            sort = "class" if column == "label" else "column"
            found[sort, f"{column} {name}"] = [np.flatnonzero(rows == i)]


def _of_places(activations: Activations, found: dict) -> None:
    layout = activations.layout
    if layout.is_pooled or layout.grid is None:
        return
    place = layout.token_of(np.arange(layout.n_rows))
    if layout.leading:
        found["place", "leading token"] = [np.flatnonzero(place < layout.leading)]
    high, wide = layout.grid
    row, column = np.divmod(place - layout.leading, wide)
    inside = place >= layout.leading
    for name, on in {"top edge": row == 0, "bottom edge": row == high - 1, "left edge": column == 0,
                     "right edge": column == wide - 1}.items():  # fmt: skip
        found["place", name] = [np.flatnonzero(on & inside)]


def _of_texts(spans: list, own: dict[str, tuple[str, ...]], found: dict) -> None:
    """Attributes of tokens by the characters that they hold."""
    texts = ["".join(tokens) for _, _, tokens, _ in spans]
    counted = Counter(word for text in texts for word in WORD.findall(text))
    common = [word for word, count in counted.most_common(WORDS) if count >= FEWEST and len(word) > 1]
    groups = {("word", f"word '{w}'"): (w,) for w in common} | {
        ("own", name): words for name, words in own.items()
    }
    inside = {key: _any_of(words) for key, words in groups.items() if words}
    kinds = {("character", name): re.compile(pattern) for name, pattern in CHARACTERS.items()}
    known = Counter(token for _, _, tokens, each in spans if each for token in tokens)
    shown = {t for t, count in known.most_common(WORDS) if count >= FEWEST and (t.strip() or len(t) > 1)}
    for (first, stop, tokens, each), text in zip(spans, texts, strict=True):
        of = np.repeat(np.arange(len(tokens)), [len(t) for t in tokens])  # token of each character
        for key, pattern in (kinds | inside).items():
            on = np.zeros(len(text) + 1, bool)
            for hit in pattern.finditer(text):
                on[hit.start() : hit.end()] = True
            _note(found, key, np.unique(of[on[:-1]]), first, stop, each)
            if key[0] in ("word", "own") and each:
                last = np.flatnonzero(on[:-1] & ~on[1:])
                _note(found, ("end of a word", f"end of {key[1]}"), np.unique(of[last]), first, stop, each)
            if key[0] == "character" and key[1] in AFTER:
                follows = on[:-2] & (of[1:] != of[:-1])  # a token does not follow what is in itself
                _note(found, ("after", f"after {key[1]}"), np.unique(of[1:][follows]), first, stop, each)
        for i, token in enumerate(tokens if each else ()):
            if token in shown:
                found.setdefault(("token", f"token {token!r}"), []).append(np.array([first + i]))


def _note(found: dict, key: tuple[str, str], tokens: np.ndarray, first: int, stop: int, each: bool) -> None:
    if len(tokens):
        found.setdefault(key, []).append(first + tokens if each else np.arange(first, stop))


def _any_of(words: Sequence[str]) -> re.Pattern:
    """Any of the words, whole where it begins or ends with a letter."""
    parts = [
        (r"(?<!\w)" if re.match(r"\w", w) else "")
        + re.escape(w)
        + (r"(?!\w)" if re.search(r"\w\Z", w) else "")
        for w in words
    ]
    return re.compile("|".join(parts))
