"""The selections that a person names as axes of the map, as memberships that the method can read."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.compute.rows.membership import pack_named
from dashboard.browse import selections

KIND, PARAMETER = "selection:", "selections"
AXES = ("horizontal", "vertical", "control")  # parameters that may name a selection


def memberships(workspace, reference: str, given: Mapping) -> dict[str, str]:
    """{"selections": memberships of every named selection that an axis could mean}; {} where none is named."""
    asked = [str(v).strip() for n, v in given.items() if n in AXES]
    rests = [text[len(KIND) :].strip() for text in asked if text.lower().startswith(KIND)]
    if not rests:
        return {}
    name, _, tap = reference.partition(":")
    store, found = workspace.store(name), {}
    for selection in workspace.selections(name):
        if any(_mentions(rest, selection.name) for rest in rests):
            mask = selections.rows_of(selection, store, tap)
            if mask is not None:
                found[selection.name] = mask
    return {PARAMETER: pack_named(found)} if found else {}


def _mentions(rest: str, name: str) -> bool:
    """Whether "A" or "A-B" may name this selection: names may hold hyphens themselves."""
    return rest == name or rest.startswith(f"{name}-") or rest.startswith(f"{name} -") or rest.endswith(name)
