"""A figure in words and as a table: alt text, a caption draft, and the table twin."""

from __future__ import annotations

import numpy as np

from analysis.results import Origin, Result
from dashboard.figures.estimates import sentence
from dashboard.figures.kinds import drawer
from dashboard.figures.text import listed, number, plain

_IN_ALT_TEXT = 8


def table_twin(result: Result, **options) -> dict[str, np.ndarray]:
    """The plotted numbers as named columns of one length, in drawing order."""
    return drawer(result).table(result, **options)


def alt_text(result: Result, *, show: str = "value") -> str:
    """What a blind colleague needs: the kind, the axes with their ranges, how many, and every estimate with its
    interval and its null. `show` as the picture has it."""
    module = drawer(result)
    parts = [_ended(plain(result.title)), module.empty(result) or module.words(result), *_beyond(show)]
    parts.append(estimates_words(result))
    parts += [_ended(plain(text)) for text in result.caveats[:3]]
    return " ".join(part for part in parts if part)


def estimates_words(result: Result) -> str:
    """The null strip for ears: the first estimates with interval and null, and how many more there are."""
    if not result.estimates:
        return ""
    said = "; ".join(sentence(e) for e in result.estimates[:_IN_ALT_TEXT])
    more = len(result.estimates) - _IN_ALT_TEXT
    return f"Estimates: {said}{f'; and {more:,} more' if more > 0 else ''}."


def caption(result: Result, *, show: str = "value", made: bool = True) -> str:
    """A caption draft: title, reading, estimates, method with its parameters, seed and input digests (not with `made`
    False: a methods paragraph says it). `show` as the picture has it."""
    parts = [_ended(plain(result.title)), *_beyond(show)]
    if result.reading:
        parts.append(_ended(plain(result.reading)))
    if result.estimates:
        parts.append(_ended("; ".join(sentence(e) for e in result.estimates[:4])))
    parts += [_ended(plain(text)) for text in result.caveats]
    if made:
        parts.append(_made_by(result.origin) if result.origin else "Drawn without a recorded recipe.")
    return " ".join(part for part in parts if part)


def _beyond(show: str) -> list[str]:
    return ["Each cell is drawn as its value less its null."] if show == "excess" else []


def _made_by(origin: Origin) -> str:
    given = [
        f"{plain(k).replace('_', ' ')} {_value(v)}" for k, v in origin.params.items() if v not in (None, "")
    ]
    text = f"Method {plain(origin.method)} (version {origin.version})"
    text += f" with {', '.join(given)}" if given else ""
    text += f", seed {origin.seed}"
    inputs = [
        f"{plain(i.get('name', 'input'))} (digest {plain(i.get('digest', 'unknown'))[:12]})"
        for i in origin.inputs
    ]
    return _ended(text + (f"; input {listed(inputs)}" if inputs else ""))


def _value(value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return number(value, 4) if isinstance(value, (int, float)) else plain(value)


def _ended(text: str) -> str:
    text = text.strip()
    return text if not text or text[-1] in ".!?" else text + "."
