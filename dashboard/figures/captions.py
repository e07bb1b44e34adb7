"""A caption draft as papers have it: what is drawn, what it means in a sentence, the number that tells it, how it was
made. What a reader should know besides stands in `besides`: it belongs into the text."""

from __future__ import annotations

import re

from analysis.results import Origin, Result
from dashboard.figures.estimates import how_sentence, sentence
from dashboard.figures.kinds import drawer
from dashboard.figures.plurals import counted
from dashboard.figures.text import listed, number, plain
from dashboard.figures.words import beyond, ended, whole

MOST_BESIDES = 8  # estimates
_NEXT = re.compile(r"(?<=[.!?])\s+")
_ABBREVIATED = re.compile(r"(?:\b(?:e\.g|i\.e|et al|cf|vs|p|pp|Fig|Eq|No|St|approx)|\b[A-Z])\.$")


def caption(result: Result, *, show: str = "value", made: bool = True) -> str:
    """A caption draft: title, what is drawn, the first sentence of its reading, the first estimate with interval, null
    and n, and the method with what of its parameters is not usual, seed and input digests (not with `made` False: a
    methods paragraph says it). `show` as the picture has it."""
    parts = [ended(plain(result.title)), _drawn(result), *beyond(show)]
    if result.reading:
        parts.append(whole(first_sentence(result.reading)))
    if result.estimates:
        parts.append(whole(sentence(result.estimates[0], sizes=made)))
    if made:
        parts.append(_made_by(result.origin) if result.origin else "Drawn without a recorded recipe.")
    return counted(" ".join(part for part in parts if part))


def besides(result: Result) -> str:
    """What the caption leaves out: the rest of the reading, the other estimates, how intervals and nulls were made,
    and what cannot be concluded. "" where there is nothing."""
    rest = _sentences(result.reading)[1:] if result.reading else []
    told = result.estimates[1:MOST_BESIDES]
    parts = [whole(text) for text in rest] + [whole("; ".join(map(sentence, told)))] * bool(told)
    more = len(result.estimates) - MOST_BESIDES
    parts += [f"{more:,} more estimates are in the table."] * (more > 0)
    parts.append(ended(how_sentence(result.estimates[:MOST_BESIDES])))
    parts += [whole(text) for text in result.caveats]
    return counted(" ".join(part for part in parts if part))


def first_sentence(text: str) -> str:
    """Up to the first full stop that ends a sentence."""
    return _sentences(text)[0]


def _sentences(text: str) -> list[str]:
    found: list[str] = []
    for piece in _NEXT.split(plain(text).strip()):
        if found and _ABBREVIATED.search(found[-1]):
            found[-1] += " " + piece
        else:
            found.append(piece)
    return found


def _drawn(result: Result) -> str:
    """What is to be seen, of what size."""
    module = drawer(result)
    return module.empty(result) or whole(first_sentence(module.words(result)))


def _made_by(origin: Origin) -> str:
    from analysis import registry
    from analysis.spec import params_of

    method = registry.methods().get(origin.method)
    usual = {} if method is None else {p.name: p.default for p in params_of(method.params)}
    given = [
        f"{plain(k).replace('_', ' ')} = {_value(v)}"
        for k, v in origin.params.items()
        if v not in (None, "") and (k not in usual or usual[k] != v)
    ]
    named = plain(origin.method).replace("_", " ") if method is None else plain(method.title)
    text = f"Method: “{named}” (version {origin.version})"
    text += f" with {', '.join(given)}" if given else ""
    text += f", seed {origin.seed}"
    inputs = [
        f"{plain(i.get('name', 'input'))} (digest {plain(i.get('digest', 'unknown'))[:12]})"
        for i in origin.inputs
    ]
    return ended(text + (f"; input {listed(inputs)}" if inputs else ""))


def _value(value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return number(value, 4) if isinstance(value, (int, float)) else plain(value)
