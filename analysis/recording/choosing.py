"""Choosing among the taps of a dry run by name or glob.

"vit.layers.3"              one module
"vit.layers.*"              a glob: as in paths, "*" stays between two dots ("vit.layers.*" is the four layers and
                            nothing inside them), "**" crosses them, and a glob without any dot ("*attn*") does too
"*blocks*" or "blocks"      the network's blocks, with what goes in and the last hidden vector before the head
"vit.layernorm@tokens=cls"  another choice of tokens for this tap than for the rest
"relu@call=0"               a module called several times: which call (from 0; the last one otherwise)
"enc.4@leading=5"           tokens before the image grid, where the guess is wrong
"enc.4@types=class:1+patch:4x4+head:4"   what its tokens are, where some stand behind the patches (`token_types`)
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from analysis.errors import InputError, NotFound, ParameterError
from analysis.recording.pooling import check_choice
from analysis.recording.tap_info import TapInfo
from analysis.sources.token_types import token_types

DEFAULT = ("*blocks*",)


def choose_taps(infos: Sequence[TapInfo], globs: str | Iterable[str] = DEFAULT) -> list[TapInfo]:
    """The taps that names or globs choose, in the network's order, with their "@" choices filled in.

    Raises
    ------
    NotFound
        A name or glob that matches no tap, with the nearest names.
    InputError
        It matches only taps that cannot be recorded; the reason is theirs.
    """
    chosen: dict[str, TapInfo] = {}
    for text in (globs,) if isinstance(globs, str) else tuple(globs):
        pattern, _, choices = text.partition("@")
        found = _matching(infos, pattern)
        usable = [i for i in found if not i.problem]
        if not usable:
            raise InputError(
                f"tap '{found[0].name}' cannot be recorded: {found[0].problem}", "", "Choose another one"
            )
        for info in usable:
            chosen[info.name] = _with_choices(info, choices, text)
    if not chosen:
        raise NotFound("no tap was chosen", "at least one name or glob", "Look at the dry run")
    return [chosen[i.name] for i in infos if i.name in chosen]


def matches(name: str, pattern: str) -> bool:
    """Whether a module's name fits a glob, part by part between the dots."""
    if "." not in pattern:
        return fnmatchcase(name, pattern)
    return _fits(name.split("."), pattern.split("."))


def _fits(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_fits(parts[k:], patterns[1:]) for k in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _fits(parts[1:], patterns[1:])


def _matching(infos: Sequence[TapInfo], pattern: str) -> list[TapInfo]:
    exact = [i for i in infos if i.name == pattern]
    if exact:
        return exact
    if pattern in ("*blocks*", "blocks"):
        found = [i for i in infos if i.is_default]
    else:
        found = [i for i in infos if matches(i.name, pattern)]
    if not found:
        names = [i.name for i in infos if not i.problem]
        near = difflib.get_close_matches(pattern.replace("*", ""), names, n=5, cutoff=0.4)
        near = near or [i.name for i in infos if i.is_default][:5] or names[:5]
        raise NotFound(
            f"no tap matches '{pattern}'",
            "a module name or a glob, such as " + ", ".join(f"'{n}'" for n in near)
            if near
            else "a module name",
            "The dry run lists all taps",
        )
    return found


def _with_choices(info: TapInfo, choices: str, text: str) -> TapInfo:
    changes: dict = {}
    for choice in filter(None, choices.split(",")):
        key, _, value = choice.partition("=")
        if key == "tokens":
            changes["tokens"] = check_choice(value)
        elif key == "call" and (value == "last" or (value.isdecimal() and int(value) < info.calls)):
            changes["call"] = -1 if value == "last" else int(value)
        elif key == "leading" and value.isdecimal() and int(value) < max(info.n_tokens, 1):
            changes.update(leading=int(value), class_token="said by the user" if int(value) else "")
            if info.grid and info.grid[0] * info.grid[1] != info.n_tokens - int(value):
                changes["grid"] = None
        elif key == "types":
            changes.update(_of_types(info, value))
        else:
            raise ParameterError(
                f"'{choice}' in '{text}'",
                f"tokens=..., call=last or 0..{max(info.calls - 1, 0)}, leading=0..{max(info.n_tokens - 1, 0)}, "
                "types=class:1+patch:4x4+head:4",
            )
    return dataclasses.replace(info, **changes)


def _of_types(info: TapInfo, text: str) -> dict:
    """What a token-type map changes of a tap."""
    found = token_types(text, info.n_tokens)
    return {
        "grid": found.grid, "leading": found.leading, "order": found.order, "types": text,
        "class_token": "said by the user" if found.has_class else "",
        "note": "; ".join(filter(None, (info.note, found.told))),
    }  # fmt: skip
