"""Rows of a tap in words, as a language model is told them.

A row is the text around it, active tokens between ⟦ and ⟧. Where rows have no text of their own (images, tables) it is
the sample's label, prediction and columns and the place of the patch: pictures are not told, nor are sample ids, paths
of media, losses and confidences.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.errors import NotEnoughData

BEFORE, AFTER = (24, 60), (8, 20)  # tokens around a row, and as many more as make so many characters
LONGEST = 500  # characters of an example
OPEN, CLOSE = "⟦", "⟧"
TRIES = 8  # tokens of a sample that are tried for a silent stretch
NOT_TOLD = ("id", "text", "media_path", "media_digest", "correct", "confidence", "loss")
MOST_COLUMNS = 6
TEXT, COLUMNS = "texts", "columns"


@dataclass(frozen=True)
class Example:
    """`text` with marks, `plain` without; `strength` 0 to 10, of the strongest value to be named by. `sample` is not
    told."""

    text: str
    plain: str
    sample: int
    strength: int = 0
    active: bool = False


class RowWords:
    """Rows of a tap in words."""

    def __init__(self, store, tap: str) -> None:
        self.store, self.spec, self.layout = store, store.taps[tap], store.activations(tap).layout
        has_tokens = store.n_samples and store.tokens(0) is not None
        self.columns = [c for c in ("label", "predicted") if c in store.samples]
        rest = sorted(c for c in store.samples if c not in (*NOT_TOLD, *self.columns))
        self.columns = [*self.columns, *rest][:MOST_COLUMNS]
        self.kind = TEXT if has_tokens or "text" in store.samples else COLUMNS
        self.marked = bool(has_tokens) and not self.layout.is_pooled and self._fits(store.tokens(0), 0)
        if self.kind == COLUMNS and not self.columns:
            raise NotEnoughData(
                f"{store.name} has neither texts, labels nor columns", "something that can be said in words",
                "Record with labels or metadata",
            )  # fmt: skip

    def has_text(self, rows: np.ndarray) -> np.ndarray:
        """(m,) bool: leading tokens have no text of their own."""
        if not self.marked:
            return np.ones(len(rows), bool)
        return self.layout.token_of(rows) >= self.layout.leading

    def example(self, row: int, value: float, most: float, active: np.ndarray) -> Example:
        strength = max(1, round(10 * value / most))
        sample = int(self.layout.sample_of(row))
        if self.kind == COLUMNS:
            return self._columns(sample, row, strength)
        tokens = self._tokens(sample)
        if tokens is None:
            text = self._whole(sample)
            return Example(text, text, sample, strength)
        start = int(self.layout.offsets[sample]) + self.layout.leading
        low, high = _window(tokens, row - start)
        on = set((active[slice(*np.searchsorted(active, (start + low, start + high)))] - start).tolist())
        text, plain = (_cut(tokens, low, high, marked, row - start) for marked in (on, set()))
        return Example(text, plain, sample, strength)

    def silent(
        self, samples: np.ndarray, active: np.ndarray, gaps: np.ndarray, rng, most: int
    ) -> list[Example]:
        """One for each of at most so many samples, in a random order: a stretch without an active row."""
        found: list[Example] = []
        for sample in rng.permutation(samples):
            if len(found) == most:
                break
            start, stop = (int(v) for v in self.layout.offsets[sample : sample + 2])
            start += self.layout.leading if self.marked else 0
            for row in rng.permutation(np.arange(start, stop))[:TRIES]:
                low, high = self._span(int(row), start, stop)
                if not _any_between(active, low, high) and not _any_between(gaps, low, high):
                    found.append(self.example(int(row), 0.0, 1.0, active[:0]))
                    break
        return [replace(e, strength=0) for e in found]

    def _span(self, row: int, start: int, stop: int) -> tuple[int, int]:
        """Rows that an example of `row` shows: all of the sample where rows and texts are not the same."""
        if self.kind == COLUMNS:
            return row, row + 1
        tokens = self._tokens(int(self.layout.sample_of(row)))
        if tokens is None:
            return start, stop
        low, high = _window(tokens, row - start)
        return start + low, start + high

    def _tokens(self, sample: int) -> list[str] | None:
        """Texts of the sample's rows; None where there is not one for each row."""
        if not self.marked:
            return None
        tokens = self.store.tokens(sample)
        return tokens if self._fits(tokens, sample) else None

    def _fits(self, tokens: list[str] | None, sample: int) -> bool:
        count = int(np.diff(self.layout.offsets[sample : sample + 2])[0])
        return tokens is not None and len(tokens) == count - self.layout.leading

    def _whole(self, sample: int) -> str:
        tokens = self.store.tokens(sample)
        text = "".join(tokens) if tokens is not None else str(self.store.samples["text"][sample])
        return _bare(text)[:LONGEST]

    def _columns(self, sample: int, row: int, strength: int) -> Example:
        said = [f"{c}: {self._value(c, sample)}" for c in self.columns]
        token = int(self.layout.token_of(row)) - self.spec.leading
        if not self.layout.is_pooled and self.spec.grid:
            high, wide = self.spec.grid
            place = f"patch in row {token // wide + 1} of {high}, column {token % wide + 1} of {wide}"
            said.append(place if token >= 0 else "not a patch, the class token")
        text = "; ".join(said)[:LONGEST]
        return Example(text, text, sample, strength)

    def _value(self, column: str, sample: int) -> str:
        value = np.asarray(self.store.samples[column])[sample]
        if column in ("label", "predicted") and np.asarray(value).dtype.kind in "iu" and self.store.classes:
            return self.store.classes[int(value)] if 0 <= int(value) < len(self.store.classes) else "none"
        return f"{value:.3g}" if isinstance(value, float | np.floating) else str(value)[:100]


def _window(tokens: list[str], at: int) -> tuple[int, int]:
    """First token that an example of token `at` shows, and the one after its last."""
    low, high, size = at, at + 1, 0
    while low > 0 and (at - low < BEFORE[0] or size < BEFORE[1]):
        low -= 1
        size += len(tokens[low])
    size = 0
    while high < len(tokens) and (high - at <= AFTER[0] or size < AFTER[1]):
        size += len(tokens[high])
        high += 1
    return low, high


def _cut(tokens: list[str], low: int, high: int, marked: set[int], at: int) -> str:
    """The tokens low … high - 1 as one text; of a long one the part around token `at`."""
    said = [f"{OPEN}{_bare(tokens[i])}{CLOSE}" if i in marked else _bare(tokens[i]) for i in range(low, high)]
    before, rest = "".join(said[: at - low]), "".join(said[at - low :])
    rest = rest[:LONGEST]
    return before[-max(LONGEST - len(rest), 1) :] + rest


def _bare(text: str) -> str:
    """Without signs that would look like marks."""
    return text.replace(OPEN, "[").replace(CLOSE, "]")


def _any_between(rows: np.ndarray, low: int, high: int) -> bool:
    first, last = np.searchsorted(rows, (low, high))
    return bool(last > first)
