"""The similarities of representations that a page can lay out as taps x taps, in the order a person meets them."""

from __future__ import annotations

from analysis import registry
from analysis.results import Matrix
from analysis.spec import Method, params_of

FIRST = (
    "cka", "procrustes", "cca", "svcca", "pwcca", "heldout_cca", "rsa", "mutual_neighbours", "linear_predictivity",
    "shape_distance",
)  # fmt: skip
ARRANGEMENT = "arrangement"  # the parameter that says which taps are rows; the page sets it


def measures() -> dict[str, Method]:
    """Methods of the family that take any number of taps and give a matrix; one that no list names stands last."""
    found = [
        m for m in registry.methods().values()
        if m.family == "similarity" and m.result is Matrix and m.more_inputs
        and ARRANGEMENT in [p.name for p in params_of(m.params)]
    ]  # fmt: skip
    place = {id: k for k, id in enumerate(FIRST)}
    return {m.id: m for m in sorted(found, key=lambda m: (place.get(m.id, len(place)), m.id))}
