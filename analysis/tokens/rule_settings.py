"""A rule with settings of its own, as one writes it: "pitome(margin = 0.8, energy = elu)".

What stands between the brackets are fields of the rule's settings; the others keep their defaults. Such a rule is one
like any other, so that everything that takes rules takes it, and it goes by another name than the rule as it is.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping

from analysis.errors import ParameterError
from analysis.spec import make_params, params_of
from analysis.tokens.rule import Rule, rule

SETTINGS_HELP = "The rule's own, as name = value with commas between them; empty: its defaults."
OUTSIDE = re.compile(r",(?![^(]*\))")  # commas that are not between brackets
NAMED = re.compile(r"\s*([\w-]+)\s*(?:\((.*)\))?\s*", re.DOTALL)


def given_in(text: str) -> dict[str, str]:
    """Names and values of "margin = 0.8, energy = elu". Raises ParameterError."""
    out = {}
    for part in (p for p in text.split(",") if p.strip()):
        name, equals, value = part.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise ParameterError(
                f"{part.strip()!r}", "settings of a rule as name = value, with commas between them"
            )
        out[name.strip().replace(" ", "_")] = value.strip()
    return out


def written(one: Rule, given: Mapping[str, object]) -> str:
    """The text that `given_in` reads, of the settings that are not the rule's defaults."""
    return ", ".join(f"{p.name}={given[p.name]}" for p in params_of(one.settings)
                     if p.name in given and given[p.name] != p.default)  # fmt: skip


def with_settings(one: Rule, given: Mapping[str, object]) -> Rule:
    """The rule with these settings, values or text. Raises ParameterError naming the one that is wrong."""
    if not given:
        return one
    known = [p.name for p in params_of(one.settings)]
    if not known:
        raise ParameterError(f"settings of {one.title}", "none: it has no settings of its own")
    try:
        made = make_params(one.settings, dict(given))
    except ParameterError as error:
        raise ParameterError(f"{one.title}: {error.found}", error.expected, error.remedy) from None
    said = written(one, dataclasses.asdict(made))
    if not said:
        return one
    return dataclasses.replace(
        one, id=f"{one.id}({said})", title=f"{one.title} ({said.replace('=', ' ').replace('_', ' ')})",
        settings=functools.partial(one.settings, **dataclasses.asdict(made)),
    )  # fmt: skip


def rule_with(name: str, settings: str) -> Rule:
    """The rule of this id with settings as text. Raises NotFound, ParameterError."""
    return with_settings(rule(name), given_in(settings))


def rule_written(text: str) -> Rule:
    """The rule that "pitome" or "pitome(margin = 0.8)" stands for. Raises NotFound, ParameterError."""
    found = NAMED.fullmatch(text)
    return rule_with(found[1], found[2] or "") if found else rule(text.strip())


def names_in(text: str) -> list[str]:
    """The rules of a text with commas between them, each once."""
    return list(dict.fromkeys(part.strip() for part in OUTSIDE.split(text) if part.strip()))
