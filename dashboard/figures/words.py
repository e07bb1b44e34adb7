"""A figure in words and as a table: alt text, and the table twin."""

from __future__ import annotations

import re

import numpy as np

from analysis.results import Result
from dashboard.figures.estimates import sentence
from dashboard.figures.kinds import drawer
from dashboard.figures.plurals import counted
from dashboard.figures.text import plain

_IN_ALT_TEXT = 8
_WORD = re.compile(r"[a-z]+(?=[ ,:;])")


def table_twin(result: Result, **options) -> dict[str, np.ndarray]:
    """The plotted numbers as named columns of one length, in drawing order."""
    return drawer(result).table(result, **options)


def alt_text(result: Result, *, show: str = "value") -> str:
    """What a blind colleague needs: the kind, the axes with their ranges, how many, and every estimate with its
    interval and its null. `show` as the picture has it."""
    module = drawer(result)
    parts = [
        ended(plain(result.title)),
        module.empty(result) or whole(module.words(result)),
        *beyond(show),
    ]
    parts.append(estimates_words(result))
    parts += [whole(text) for text in result.caveats[:3]]
    return counted(" ".join(" ".join(parts).split()))


def estimates_words(result: Result) -> str:
    """The null strip for ears: the first estimates with interval and null, and how many more there are."""
    if not result.estimates:
        return ""
    said = "; ".join(sentence(e) for e in result.estimates[:_IN_ALT_TEXT])
    more = len(result.estimates) - _IN_ALT_TEXT
    return f"Estimates: {said}{f'; and {more:,} more' if more > 0 else ''}."


def beyond(show: str) -> list[str]:
    return ["Each cell is drawn as its value less its null."] if show == "excess" else []


def whole(text: str) -> str:
    """Ended, and begun with a capital where it begins with a word: names of taps and files stay as they are."""
    text = ended(plain(text))
    return text[0].upper() + text[1:] if _WORD.match(text) else text


def ended(text: str) -> str:
    text = text.strip()
    return text if not text or text[-1] in ".!?" else text + "."
