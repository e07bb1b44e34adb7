"""Names of lines made short without becoming alike: what all of them share goes first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from dashboard.figures.text import plain, shorten

_PARTS = re.compile(r"(?<=[./:_ -])")  # module paths, files, words


def told_apart(names: Sequence[str], limit: int) -> list[str]:
    """`names` of at most `limit` characters each, different wherever the names are. Where one is too long, leading and
    closing parts that all share become "…" (a name that fits and begins otherwise than most, such as "input" among
    layers, has no say in that); what is still too long is cut in the middle, or at its start where that
    would make two alike, and numbered where nothing else helps."""
    names = [plain(name) for name in names]
    if all(len(name) <= limit for name in names):
        return names
    tries = [_shortened(among, context) for among in (names, _alike(names, limit)) for context in (1, 0)]
    tries = [{name: t.get(name, name) for name in names} for t in tries]
    short = next((t for t in tries if all(len(text) <= limit for text in t.values())), tries[-1])
    for cut in (lambda text: shorten(text, limit), lambda text: _end(text, limit)):
        found = {name: cut(text) for name, text in short.items()}
        if len(set(found.values())) == len(found):
            return [found[name] for name in names]
    seen: Counter[str] = Counter()
    numbered = {}
    for name in found:
        text = _end(short[name], limit - 6)
        seen[text] += 1
        numbered[name] = f"{text} ({seen[text]})"
    return [numbered[name] for name in names]


def _shortened(names: list[str], context: int) -> dict[str, str]:
    return dict(zip(names, _without_shared(names, context), strict=True))


def _alike(names: list[str], limit: int) -> list[str]:
    """Those that begin as most do, and whatever is too long."""
    first = [_PARTS.split(name)[0] for name in names]
    most = Counter(first).most_common(1)[0][0]
    return [name for name, own in zip(names, first, strict=True) if own == most or len(name) > limit]


def _without_shared(names: list[str], context: int) -> list[str]:
    """The names without the parts that every one of them begins or ends with, where these are worth leaving out; but
    with so many of the parts before the first that differs."""
    parts = [_PARTS.split(name) for name in names]
    if len({*names}) < 2:
        return names
    fewest = min(map(len, parts)) - 1  # something of each stays
    first = next((k for k in range(fewest) if len({p[k] for p in parts}) > 1), fewest)
    left = fewest - first
    first = max(0, first - context)
    last = next((k for k in range(left) if len({p[-1 - k] for p in parts}) > 1), left)
    found = []
    for own in parts:
        head, tail = "".join(own[:first]), "".join(own[len(own) - last :])
        middle = "".join(own[first : len(own) - last])
        found.append(("…" if len(head) > 1 else head) + middle + ("…" if len(tail) > 1 else tail))
    return found


def _end(text: str, limit: int) -> str:
    return text if len(text) <= limit else "…" + text[len(text) - limit + 1 :]
