"""What a language model is told of a feature: examples of one half of the samples to name it by, of the other to judge.

Of the samples where it is active and of the others, half go to each side at random, anew for each feature.

A row is active where the feature is not 0; of a tap that is kept densely where the unit is in the upper tenth of its
values. An example is the text around a row, its active tokens between ⟦ and ⟧, one for each sample: the strongest, some
between the median and the weakest, and stretches without an active token. Where rows have no text of their own (images,
tables) an example is the sample's label, prediction and columns and the place of the patch: pictures are not sent.
Sample ids, paths, losses and confidences are not told.

For judging there are as many active as silent examples, without marks. The active ones are spread evenly over the
feature's strengths, not the strongest only. An example whose text the model has been told is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.errors import NotEnoughData, NotFound

STRONGEST, WEAK, SILENT = 8, 4, 6
JUDGED = 10  # active examples to judge by, and as many silent ones
FEWEST_JUDGED = 4
BEFORE, AFTER = (24, 60), (8, 20)  # tokens around a row, and as many more as make so many characters
LONGEST = 500  # characters of an example
OPEN, CLOSE = "⟦", "⟧"
UPPER = 0.9
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


@dataclass(frozen=True)
class Evidence:
    """`kind`: TEXT or COLUMNS. `held_out`: to be judged by, in a random order; too few where it is empty, `few` says
    how many there were. `words`: what the examples are, to be shown."""

    kind: str
    strongest: tuple[Example, ...]
    weak: tuple[Example, ...]
    silent: tuple[Example, ...]
    held_out: tuple[Example, ...]
    few: str = ""
    marked: bool = True

    @property
    def words(self) -> str:
        if self.kind == TEXT:
            return (
                "a few words of text around each place"
                if self.marked
                else f"texts up to {LONGEST} characters"
            )
        return "labels and columns of the samples and the places of patches; no picture and no file name"


def evidence(store, tap: str, feature: int, seed: int = 0) -> Evidence:
    """Read one feature. The same for the same tap, feature and seed.

    Raises NotFound for a feature that there is not, NotEnoughData for one that is never active, or where samples have
    neither text nor columns.
    """
    activations = store.activations(tap)
    if not 0 <= feature < activations.shape[1]:
        raise NotFound(f"{activations.name} has no feature {feature}", f"0 … {activations.shape[1] - 1}")
    told = _Told(store, tap)
    rows, values, gaps = active_rows(activations, feature)
    rng = np.random.default_rng([seed, feature])
    keep = told.has_text(rows)
    rows, values = rows[keep], values[keep]
    peaks = _peaks(activations.layout, rows, values)
    if not peaks:
        raise NotEnoughData(f"feature {feature} of {activations.name} is never active", "a feature that is")
    first = named_by(activations.layout.n_samples, [p[0] for p in peaks], rng)
    own = sorted((p for p in peaks if first[p[0]]), key=lambda p: (-p[2], p[1]))
    most = own[0][2] or 1.0
    shown = [told.example(row, value, most, rows) for _, row, value in own[:STRONGEST]]
    below = own[max(STRONGEST, len(own) // 2) :]
    weak = [told.example(row, value, most, rows) for _, row, value in _spread(below, WEAK)]
    quiet = told.silent(np.flatnonzero(first), rows, gaps, rng, SILENT)
    held, few = _held_out(told, peaks, first, rows, gaps, rng, {e.plain for e in (*shown, *weak, *quiet)})
    return Evidence(told.kind, tuple(shown), tuple(weak), tuple(quiet), held, few, told.marked)


def active_rows(activations, feature: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, values, gaps): where a feature is active and how strongly, rising, and rows of which nothing is known."""
    if hasattr(activations, "entries_of"):
        rows, values = activations.entries_of(feature)
        on = values > 0
        return rows[on], values[on].astype(np.float64), activations.gaps
    x = np.asarray(activations.unit(feature), np.float64)
    good = np.isfinite(x)
    if not good.any():
        return np.zeros(0, np.int64), np.zeros(0), np.flatnonzero(~good)
    least = np.quantile(x[good], UPPER)
    rows = np.flatnonzero(good & (x > least))
    return rows, x[rows] - least, np.flatnonzero(~good)


def named_by(n_samples: int, active: list[int], rng: np.random.Generator) -> np.ndarray:
    """(n,) bool: the samples to name a feature by, half of the `active` ones and half of the others; the first of them
    where their number is odd."""
    first = np.zeros(n_samples, bool)
    for group in (np.asarray(active, np.int64), np.setdiff1d(np.arange(n_samples), active)):
        first[rng.permutation(group)[: (len(group) + 1) // 2]] = True
    return first


def _peaks(layout, rows: np.ndarray, values: np.ndarray) -> list[tuple[int, int, float]]:
    """(sample, row, value) of the strongest active row of each sample that has one."""
    of = layout.sample_of(rows)
    order = np.lexsort((rows, -values, of))
    head = order[np.flatnonzero(np.diff(of[order], prepend=-1))]
    return [(int(of[i]), int(rows[i]), float(values[i])) for i in head]


def _spread(items: list, most: int) -> list:
    """At most so many, evenly over the list, both ends among them."""
    if len(items) <= most:
        return items
    return [items[i] for i in np.round(np.linspace(0, len(items) - 1, most)).astype(int)]


def _held_out(told, peaks, first, rows, gaps, rng, known: set[str]) -> tuple[tuple[Example, ...], str]:
    """As many active as silent examples that the model has not been told, shuffled; else why there are too few."""
    there = sorted((p for p in peaks if not first[p[0]]), key=lambda p: (-p[2], p[1]))
    active = [replace(told.example(row, 0.0, 1.0, rows), active=True) for _, row, _ in _spread(there, JUDGED)]
    silent = told.silent(np.flatnonzero(~first), rows, gaps, rng, JUDGED)
    if told.kind == TEXT:  # columns of different samples are often the same, and rightly so
        active, silent = ([e for e in each if e.plain not in known] for each in (active, silent))
    n = min(len(active), len(silent))
    if n < FEWEST_JUDGED:
        what = "active" if len(active) < FEWEST_JUDGED else "silent"
        return (), f"only {min(len(active), len(silent))} held-out examples in which it is {what}"
    both = [*_spread(active, n), *silent[:n]]
    return tuple(both[i] for i in rng.permutation(len(both))), ""


class _Told:
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
