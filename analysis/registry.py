"""Finds every METHODS tuple under analysis/methods/ and refuses anything that is wrong with one."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil

import analysis.methods
from analysis.errors import NotFound
from analysis.results import KINDS
from analysis.spec import Method, params_of


@functools.cache
def methods() -> dict[str, Method]:
    """All methods by id, ordered by family and id. Raises at the first faulty declaration."""
    found: dict[str, Method] = {}
    for module_info in pkgutil.walk_packages(analysis.methods.__path__, "analysis.methods."):
        if module_info.ispkg:
            continue
        module = importlib.import_module(module_info.name)
        for method in getattr(module, "METHODS", ()):
            _refuse_faulty(method, module_info.name, found)
            found[method.id] = method
    return dict(sorted(found.items(), key=lambda item: (item[1].family, item[0])))


def method(id: str) -> Method:
    """One method. Raises NotFound listing the ids."""
    try:
        return methods()[id]
    except KeyError:
        raise NotFound(f"no method {id!r}", "one of " + ", ".join(methods())) from None


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
