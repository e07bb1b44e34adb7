"""A figure in words and as a table: alt text, a caption draft, and the table twin."""

from __future__ import annotations

import re

import numpy as np

from analysis.results import Origin, Result
from dashboard.figures.estimates import how_sentence, sentence
from dashboard.figures.kinds import drawer
from dashboard.figures.plurals import counted
from dashboard.figures.text import listed, number, plain

_IN_ALT_TEXT = 8
IN_CAPTION = 4  # estimates
_WORD = re.compile(r"[a-z]+(?=[ ,:;])")


def table_twin(result: Result, **options) -> dict[str, np.ndarray]:
    """The plotted numbers as named columns of one length, in drawing order."""
    return drawer(result).table(result, **options)


def alt_text(result: Result, *, show: str = "value") -> str:
    """What a blind colleague needs: the kind, the axes with their ranges, how many, and every estimate with its
    interval and its null. `show` as the picture has it."""
    module = drawer(result)
    parts = [
        _ended(plain(result.title)),
        module.empty(result) or _sentence(module.words(result)),
        *_beyond(show),
    ]
    parts.append(estimates_words(result))
    parts += [_sentence(text) for text in result.caveats[:3]]
    return counted(" ".join(" ".join(parts).split()))


def estimates_words(result: Result) -> str:
    """The null strip for ears: the first estimates with interval and null, and how many more there are."""
    if not result.estimates:
        return ""
    said = "; ".join(sentence(e) for e in result.estimates[:_IN_ALT_TEXT])
    more = len(result.estimates) - _IN_ALT_TEXT
    return f"Estimates: {said}{f'; and {more:,} more' if more > 0 else ''}."


def caption(result: Result, *, show: str = "value", made: bool = True) -> str:
    """A caption draft: title, reading, estimates and how they were made, method with its parameters, seed and input
    digests (not with `made` False: a methods paragraph says it). `show` as the picture has it."""
    parts = [_ended(plain(result.title)), *_beyond(show)]
    if result.reading:
        parts.append(_sentence(result.reading))
    if result.estimates:
        told = result.estimates[:IN_CAPTION]
        parts.append(_sentence("; ".join(sentence(e, sizes=made) for e in told)))
        parts.append(_ended(how_sentence(told)) if made else "")
    parts += [_sentence(text) for text in result.caveats]
    if made:
        parts.append(_made_by(result.origin) if result.origin else "Drawn without a recorded recipe.")
    return counted(" ".join(part for part in parts if part))


def _beyond(show: str) -> list[str]:
    return ["Each cell is drawn as its value less its null."] if show == "excess" else []


def _made_by(origin: Origin) -> str:
    from analysis import registry

    given = [
        f"{plain(k).replace('_', ' ')} = {_value(v)}" for k, v in origin.params.items() if v not in (None, "")
    ]
    method = registry.methods().get(origin.method)
    named = plain(origin.method).replace("_", " ") if method is None else plain(method.title)
    text = f"Method: “{named}” (version {origin.version})"
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


def _sentence(text: str) -> str:
    """Ended, and begun with a capital where it begins with a word: names of taps and files stay as they are."""
    text = _ended(plain(text))
    return text[0].upper() + text[1:] if _WORD.match(text) else text


def _ended(text: str) -> str:
    text = text.strip()
    return text if not text or text[-1] in ".!?" else text + "."
