"""What rules say of themselves, in as few lines as can be: a note that several rules share is one line."""

from __future__ import annotations

from collections.abc import Iterable

from analysis.tokens.rule import Rule, rules


def notes_of(one: Rule) -> tuple[str, ...]:
    """Of one rule, each line beginning with its name."""
    return tuple(f"{one.title}: {note}" for note in ([one.trained] if one.trained else []) + list(one.notes))


def grouped(lines: Iterable[str]) -> tuple[str, ...]:
    """Lines in their order, those of several rules that say the same as one behind all their names."""
    titles, found = {one.title for one in rules().values()}, {}
    for line in lines:
        title, _, note = line.partition(": ")
        said, named = (note, [title]) if title in titles and note else (line, [])
        found.setdefault((said, bool(named)), []).extend(named)
    return tuple(f"{_listed(named)}: {said}" if named else said for (said, _), named in found.items())


def _listed(names: list[str]) -> str:
    every = list(dict.fromkeys(names))
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}"
