"""Which ways there are to draw a tap as a map, in the groups and words of a person who chooses one."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence

import numpy as np

from analysis import registry
from analysis.errors import LoupeError
from analysis.results import Scatter
from analysis.spec import Method, make_params, params_of
from dashboard.browse.kept import Kept

DEFAULT = "pca"  # quick, and its axes mean something
LINEAR, NEIGHBOURS, TARGET, SEVERAL = "Linear", "Neighbours", "Target", "Several taps"
GROUPS = {
    LINEAR: ("pca", "rotated_pca", "sparse_pca", "exemplar_axes", "directions"),
    NEIGHBOURS: ("localmap", "pacmap", "umap", "tsne", "laplacian_eigenmaps", "local_linear_maps"),
    TARGET: ("discriminant", "partial_least_squares", "response_maps", "expected_order", "against_control"),
    SEVERAL: ("aligned_series", "graph_fusion"),
}
MEANING = {
    LINEAR: "straight axes that can be read: distances and directions are those of the data, seen from one side",
    NEIGHBOURS: "points that are alike lie together; distances between groups and empty space mean little",
    TARGET: "axes made to show a column that you choose, drawn on samples that did not make them",
    SEVERAL: "one picture of several layers or networks",
}
SHORT = {
    "pca": "PCA", "umap": "UMAP", "tsne": "t-SNE", "localmap": "LocalMAP", "pacmap": "PaCMAP",
}  # fmt: skip
RECOMMENDED = (
    "localmap",
    "pacmap",
    "umap",
)  # the neighbour map to begin with: the first of these that is there
WHY = {
    "localmap": "the neighbour map to begin with: the quickest here, and it keeps as many neighbours as UMAP",
    "pacmap": "the neighbour map to begin with: quick, and as true to the neighbours as UMAP",
    "umap": "the neighbour map to begin with",
}
ASIDE = ("map_null", "map_stability", "spanning_tree", "separation")  # make a map too, but about another
HIDDEN = (
    "of",
    "components",
    "selections",
    "inside",
    "outside",
)  # parameters with a place of their own on the page
ELSEWHERE = ("of", "selections", "inside", "outside")  # of these, what a link says in another way
PREFIX = "p."  # as in forms.py: the parameter "k" is the URL's "p.k"
_NUMBERS = re.compile(r"(\d+)")
_alike = Kept(64)


def methods() -> dict[str, Method]:
    """The methods that make a map, in the order of the groups; one that no group names stands last in its own."""
    return dict(_ordered(tuple(registry.family("projection").values())))


@functools.lru_cache(maxsize=4)  # a page asks thirty times
def _ordered(family: tuple[Method, ...]) -> tuple[tuple[str, Method], ...]:
    found = {m.id: m for m in family if m.result is Scatter and m.id not in ASIDE}
    place = {id: k for k, id in enumerate(id for ids in GROUPS.values() for id in ids)}
    return tuple(sorted(found.items(), key=lambda item: (place.get(item[0], len(place)), item[0])))


def group_of(method: Method) -> str:
    """What sort of map a method makes."""
    named = next((group for group, ids in GROUPS.items() if method.id in ids), None)
    return named or (SEVERAL if method.inputs > 1 else NEIGHBOURS if method.worker else LINEAR)


def short_name(method: Method) -> str:
    """A projection as the field writes it, others by their title."""
    return SHORT.get(method.id, method.title)


def recommended() -> str | None:
    """The neighbour map to begin with; None where there is none."""
    known = methods()
    return next((id for id in RECOMMENDED if id in known), None)


def listed_name(method: Method) -> str:
    """As the choice lists it: "Neighbours: UMAP"."""
    mark = " ★" if method.id == recommended() else ""
    return f"{group_of(method)}: {short_name(method)}{mark}"


def about(method: Method) -> str:
    """One sentence or two on what the chosen one is for."""
    meaning = MEANING[group_of(method)]
    return f"{method.summary.rstrip('.')}. {meaning[:1].upper()}{meaning[1:]}."


def why() -> str:
    """Which neighbour map to begin with, and why; "" where there is none."""
    id = recommended()
    return f"★ {SHORT[id]} is {WHY[id]}." if id else ""


def has(method: Method, name: str) -> bool:
    """Whether a method has a parameter of this name."""
    return name in [p.name for p in params_of(method.params)]


def settings_of(method: Method) -> list:
    """The parameters for the settings box: all but those with a place of their own."""
    return [p for p in params_of(method.params) if p.name not in HIDDEN]


def given(method: Method, texts: Mapping[str, str], columns: Sequence[str] | None = None) -> dict:
    """The parameters in a link that differ from the defaults; a value that the method cannot take is left out.

    `texts`: by name, as the URL has them. `columns`: the sample columns that exist (None: not looked at).
    """
    found = {}
    for p in params_of(method.params):
        if p.name not in texts or p.name in ELSEWHERE:
            continue
        try:
            value = getattr(make_params(method.params, {p.name: texts[p.name]}), p.name)
        except LoupeError:
            continue
        unknown = p.column and columns is not None and value not in columns
        if value != p.default and not unknown:
            found[p.name] = value
    return found


# ---------------------------------------------------------------------------- taps that go together
def alike(workspace, reference: str, known: Sequence[str]) -> list[str]:
    """The taps among `known` with the same rows of the same samples as this one, itself included."""
    first, stores = workspace.activations(reference), {}
    for name in {r.partition(":")[0] for r in known}:
        stores[name] = workspace.store(name)
    taps = ((r, stores[r.partition(":")[0]].activations(r.partition(":")[2])) for r in known)
    return [r for r, tap in taps if _same_rows(first, tap)]


def _same_rows(a, b) -> bool:
    return _alike.get((a.digest, b.digest), lambda: _compared(a, b))


def _compared(a, b) -> bool:
    if a.shape[0] != b.shape[0] or not np.array_equal(a.layout.offsets, b.layout.offsets):
        return False
    return np.array_equal(*(np.asarray(t.samples["id"]).astype(str) for t in (a, b)))


def usual_inputs(method: Method, reference: str, fitting: Sequence[str]) -> list[str]:
    """The taps that a method of several is given until a person chooses: the hidden layers of this store in order.

    A store with a single one is set beside the same tap of the others.
    """
    store, _, tap = reference.partition(":")
    layers = [r for r in fitting if r.partition(":")[0] == store and not is_output(r)]
    if len(layers) < 2 or reference not in layers:
        layers = [reference, *[r for r in fitting if r.partition(":")[2] == tap and r != reference]]
    if len(layers) < 2:
        layers = list(dict.fromkeys([reference, *fitting]))
    if method.most_inputs:
        layers = list(dict.fromkeys([reference, *layers]))[: method.inputs]
    return layers if method.more_inputs else layers[: method.inputs]


def is_output(reference: str) -> bool:
    """Whether a tap is an output of the network (logits, losses), not one of its layers."""
    return reference.partition(":")[2].startswith("outputs.")


def same_tap_elsewhere(reference: str, fitting: Sequence[str]) -> list[str]:
    """This tap in every store of the same samples (checkpoints, seeds), by name, numbers in them as numbers."""
    tap = reference.partition(":")[2]
    return sorted((r for r in fitting if r.partition(":")[2] == tap), key=_by_number)


def same_tap_in_series(reference: str, fitting: Sequence[str]) -> list[str]:
    """Of these, the stores whose names differ from this one's in one number at most (checkpoints of one run, seeds)."""
    own = _NUMBERS.split(reference.partition(":")[0])
    found = []
    for other in same_tap_elsewhere(reference, fitting):
        parts = _NUMBERS.split(other.partition(":")[0])
        if parts[::2] == own[::2] and sum(a != b for a, b in zip(parts, own, strict=True)) <= 1:
            found.append(other)
    return found


def _by_number(reference: str) -> list[tuple[str, int]]:
    parts = _NUMBERS.split(reference.partition(":")[0])
    return [(text, int(digits)) for text, digits in zip(parts[::2], [*parts[1::2], "0"], strict=True)]
