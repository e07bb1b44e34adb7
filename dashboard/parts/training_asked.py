"""What a training form asks for, as a job has it; or why it cannot be, said beside the fields."""

from __future__ import annotations

import re

from analysis.errors import LoupeError, ParameterError
from analysis.features.asking import asked
from analysis.features.sweep import asked_values
from analysis.features.unfinished import PLACE, refuse_to_lose
from dashboard import errors, state
from dashboard.browse.training_kinds import CLASSICAL

NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9 ._=+-]+")
MOST_VALUES = 20


def work(form) -> dict | None:
    """The arguments of the job; None where what is asked is refused, which is said here."""
    found = {"input": form.reference, "name": form.name, "params": form.params, "seed": form.seed}
    labels: list[str] = []
    try:
        if form.kind.group == CLASSICAL:
            found["kind"] = form.kind.name
        else:
            found |= {"architecture": form.kind.name, "training": form.training}
            labels = _sound(form, found)
        _free(form, labels)
    except LoupeError as refusal:
        said = {n: getattr(refusal, n) for n in ("found", "expected", "remedy")}
        if " = " not in said["found"]:  # the name of a parameter stays as it is
            said["found"] = said["found"][:1].upper() + said["found"][1:]
        errors.notice(said, refused=True)
        return None
    return found


def values_of(text: str) -> list[float]:
    """ "4, 8; 16" as numbers. Raises ParameterError."""
    parts = [part for part in re.split(r"[,;\s]+", text.strip()) if part]
    try:
        found = [float(part) for part in parts]
    except ValueError:
        bad = next(part for part in parts if not _is_number(part))
        raise ParameterError(f"{bad!r} in the list of values", "numbers such as 4, 8, 16") from None
    if not found:
        raise ParameterError("the list of values is empty", "numbers such as 4, 8, 16", "Type at least one")
    if len(found) > MOST_VALUES:
        raise ParameterError(f"{len(found)} values", f"at most {MOST_VALUES}", "Train them in several sweeps")
    return [int(v) if v == int(v) and abs(v) < 1e9 else v for v in found if v == v and abs(v) != float("inf")]


def free_name(wanted: str) -> str:
    """A name that no set and no unfinished training has."""
    name = NOT_IN_A_NAME.sub("-", wanted)[:80].lstrip(" ._=+-") or "set"
    place = state.workspace().path / PLACE
    taken = {*state.workspace().features.names(), *(p.name for p in place.glob("*"))}
    return next(n for n in (name, *(f"{name} {i}" for i in range(2, 10_000))) if n not in taken)


def _sound(form, found: dict) -> list[str]:
    """The labels of the sets of a sweep."""
    if form.values is None:
        asked(form.kind.name, form.params, form.training)
        return []
    found |= {"values": values_of(form.values), "keep": form.keep}
    return list(asked_values(form.kind.name, found["values"], form.params, form.training))


def _free(form, labels: list[str]) -> None:
    workspace = state.workspace()
    if not form.name:
        raise ParameterError("the name is empty", "a name for the set")
    workspace.features.refuse_taken(form.name)
    refuse_to_lose(workspace.path / PLACE / form.name)
    for label in labels:
        workspace.features.refuse_taken(f"{form.name} {label}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
