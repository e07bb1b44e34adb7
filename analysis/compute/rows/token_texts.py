"""Which rows of a tap stand for which tokens of its samples' texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from analysis.activations import Layout


def token_rows(
    layout: Layout, tokens: Callable[[int], list[str] | None], samples: Iterable[int] | None = None
) -> Iterator[tuple[int, int, list[str], bool]]:
    """Yield (first row, stop row, token texts, whether each row is one of the tokens) of every sample with tokens, or
    of some: a sample has as many rows as tokens, after the layout's leading ones, or its rows stand for the whole
    text."""
    for i in range(layout.n_samples) if samples is None else samples:
        first, stop = int(layout.offsets[i]), int(layout.offsets[i + 1])
        texts = tokens(i)
        if not texts:
            continue
        leading = stop - first - len(texts)
        if leading in (0, layout.leading):
            yield first + leading, stop, texts, True
        else:
            yield first, stop, texts, False
