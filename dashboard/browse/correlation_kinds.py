"""What can be correlated with what, each by a method; what the registry does not have is not offered."""

from __future__ import annotations

from dataclasses import dataclass

from analysis import registry
from analysis.spec import Method


@dataclass(frozen=True)
class Kind:
    """A question about pairs. method : its id. takes_other : whether the columns may be another tap's units. pairs :
    the methods that list the strongest pairs of one tap and of two, "" where there are none. rows_are_units : of a
    matrix that is drawn whole."""

    name: str
    title: str
    method: str
    takes_other: bool = False
    pairs: tuple[str, str] = ("", "")
    rows_are_units: bool = False


KINDS = (
    Kind("units", "Units", "correlation_map", True, ("strongest_pairs", "strongest_pairs_across")),
    Kind("columns", "Units with sample columns", "unit_metadata_correlation", rows_are_units=True),
    Kind("classes", "Classes", "class_correlation"),
    Kind("samples", "Samples", "sample_similarity"),
)
SHOWN = (
    "measure",
    "method",
    "order",
)  # the parameters that stand beside the question; the others wait in the settings


def offered(samples) -> dict[str, Kind]:
    """The kinds by name, for a tap with these sample columns."""
    methods = registry.methods()
    found = [k for k in KINDS if k.method in methods and set(methods[k.method].needs) <= set(samples)]
    return {kind.name: kind for kind in found}


def strongest_method(kind: Kind, across: bool) -> Method | None:
    """The method that lists the strongest pairs, where there is one."""
    return registry.methods().get(kind.pairs[1 if across else 0])
