"""Finds every METHODS tuple under analysis/methods/ and refuses anything that is wrong with one."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import os
import pkgutil
from collections.abc import Sequence

import analysis.methods
from analysis.activations import Activations
from analysis.errors import NotFound
from analysis.results import KINDS
from analysis.spec import Method, params_of


@functools.cache
def methods() -> dict[str, Method]:
    """All methods by id, ordered by family and id. Raises at the first faulty declaration. Imports every method."""
    found: dict[str, Method] = {}
    for name in _folders():
        for id, one in family(name).items():
            if id in found:
                raise ValueError(f"method {id!r} is declared twice")
            found[id] = one
    return dict(sorted(found.items(), key=lambda item: (item[1].family, item[0])))


@functools.cache
def family(name: str) -> dict[str, Method]:
    """The methods of one family by id, ordered by id; {} for a family that there is not. Imports these only: a page
    that needs one family does not wait for all others. Raises at the first faulty declaration."""
    found: dict[str, Method] = {}
    for module in _folders().get(name, ()):
        full = f"analysis.methods.{name}.{module}"
        for one in getattr(importlib.import_module(full), "METHODS", ()):
            _refuse_faulty(one, full, found)
            found[one.id] = one
    return dict(sorted(found.items()))


@functools.cache
def _folders() -> dict[str, tuple[str, ...]]:
    """The files of each family, by their names; nothing is imported."""
    root = analysis.methods.__path__[0]
    names = [m.name for m in pkgutil.iter_modules([root]) if m.ispkg]
    return {name: tuple(m.name for m in pkgutil.iter_modules([os.path.join(root, name)])) for name in names}


def find(id: str) -> Method | None:
    """One method, or None; imports its family only, where a file has its name."""
    for name, files in _folders().items():
        if id in files and id in family(name):
            return family(name)[id]
    return methods().get(id)


def method(id: str) -> Method:
    """One method. Raises NotFound, naming those that are called much the same."""
    found = find(id)
    if found is None:
        like = difflib.get_close_matches(str(id), methods(), 5, 0.5)
        expected = f"one such as {', '.join(like)}" if like else f"one of the {len(methods())} that there are"
        raise NotFound(f"no method {str(id)[:80]!r}", expected, "`loupe methods` lists them all")
    return found


def beside(one: Method, tap: Activations) -> Sequence[Activations]:
    """Taps of the same store that the method reads beside one that it is given: `BESIDE` of its family's package."""
    if one.family not in _folders():
        return ()
    rule = getattr(importlib.import_module(f"analysis.methods.{one.family}"), "BESIDE", None)
    return () if rule is None else rule(tap)


def families() -> dict[str, tuple[Method, ...]]:
    """The methods by family."""
    grouped: dict[str, list[Method]] = {}
    for m in methods().values():
        grouped.setdefault(m.family, []).append(m)
    return {family: tuple(members) for family, members in grouped.items()}


def _refuse_faulty(m: Method, module: str, found: dict[str, Method]) -> None:
    where = f"{module}: method {m.id!r}"
    if m.id in found:
        raise ValueError(f"{where} is declared twice")
    if m.family != module.split(".")[2]:
        raise ValueError(f"{where} says family {m.family!r} but lies under {module.split('.')[2]!r}")
    if m.result.kind not in KINDS:
        raise ValueError(f"{where} returns an unknown kind of result")
    if not dataclasses.is_dataclass(m.params) or not m.params.__dataclass_params__.frozen:
        raise ValueError(f"{where}: params must be a frozen dataclass")
    if not (m.title and m.summary and m.function.__doc__):
        raise ValueError(f"{where} needs a title, a summary and a docstring")
    for p in params_of(m.params):
        if not p.help:
            raise ValueError(f"{where}: parameter {p.name!r} has no help text")
