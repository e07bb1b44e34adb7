"""Directions that a person names: the grammar of an axis, and the groups or vectors behind it.

class:cat        mean of class cat minus mean of all other classes       class:   the two most frequent classes
class:cat-dog    mean of class cat minus mean of class dog
selection:A      mean of selection A minus mean of everything else       selection:A-B   minus mean of B
unit:12          the unit itself, by number or name                      unit:12-40      unit 12 minus unit 40
pc:1             a principal axis, counted from 1
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, row_column
from analysis.compute.linear.linalg import principal_components
from analysis.compute.rows.samples import known_labels
from analysis.errors import ParameterError

KINDS = ("class", "selection", "unit", "pc")


@dataclass(frozen=True)
class NamedAxis:
    """`label` for the picture; either `side` (n,) int8 of every point (1 first group, -1 second, 0 neither)
    with the `groups`' names, or a fixed `vector` (d,) of unit length with the `offset` of its zero."""

    label: str
    side: np.ndarray | None = None
    groups: tuple[str, str] = ("", "")
    vector: np.ndarray | None = None
    offset: float = 0.0


def named_axis(
    text: str,
    activations: Activations,
    x: np.ndarray,
    rows: np.ndarray,
    column: str,
    selections: dict[str, np.ndarray],
) -> NamedAxis:
    """Read one axis.

    Parameters
    ----------
    x, rows : (n, d) points and (n,) their rows in the tap.
    column : the sample column that holds the classes.
    selections : membership (all rows,) bool by name.

    Raises
    ------
    ParameterError
        An unknown kind of axis, or no such unit, class, selection or component (what there is, is listed).
    NotFound
        A class axis without the column.
    """
    kind, colon, rest = text.strip().partition(":")
    kind, rest = kind.strip().lower(), rest.strip()
    if not colon or kind not in KINDS:
        raise ParameterError(
            f"axis {text!r}", "class:A, class:A-B, selection:A, selection:A-B, unit:12, unit:12-40 or pc:1"
        )
    if kind == "class":
        return _class_axis(rest, row_column(activations, column)[rows])
    if kind == "selection":
        return _selection_axis(rest, {name: mask[rows] for name, mask in selections.items()})
    return unit_axis(rest, activations.unit_names) if kind == "unit" else _component_axis(rest, x)


def _class_axis(rest: str, labels: np.ndarray) -> NamedAxis:
    known = known_labels(labels)
    words = np.where(known, labels.astype(str), "")
    names, counts = np.unique(words[known], return_counts=True)
    if not rest:
        if len(names) < 2:
            raise ParameterError(f"{len(names)} class(es)", "two classes for an axis", "Name units instead")
        first, second = names[np.argsort(-counts, kind="stable")[:2]]
    else:
        first, second = _one_or_two(rest, names, "class")
    side = (words == first).astype(np.int8)
    side[(words == second) if second else (known & (words != first))] = -1
    return NamedAxis(_words("class", first, second), side, (str(first), str(second or "other classes")))


def _selection_axis(rest: str, masks: dict[str, np.ndarray]) -> NamedAxis:
    first, second = _one_or_two(rest, masks, "selection")
    inside = masks[first]
    other = masks[second] if second else ~inside
    side = inside.astype(np.int8) - other.astype(np.int8)  # a point in both selections counts for neither
    return NamedAxis(_words("selection", first, second), side, (first, second or "all others"))


def unit_axis(rest: str, names: tuple[str, ...]) -> NamedAxis:
    """ "12", "12-40" or names: the unit, or the first minus the second. Raises ParameterError."""
    numbers = {str(j): j for j in range(len(names))}
    numbers |= {name: j for j, name in enumerate(names)}
    first, second = _one_or_two(rest, numbers, "unit")
    vector = np.zeros(len(names))
    vector[numbers[first]] = 1.0
    if not second:
        return NamedAxis(f"unit {first}", vector=vector)
    if numbers[first] == numbers[second]:
        raise ParameterError(f"axis unit:{rest}", "two different units")
    vector[numbers[second]] = -1.0
    return NamedAxis(f"(unit {first} - unit {second}) / √2", vector=vector / np.sqrt(2))


def _component_axis(rest: str, x: np.ndarray) -> NamedAxis:
    most = min(x.shape[1], len(x) - 1)
    if not rest.isdecimal() or not 1 <= int(rest) <= most:
        raise ParameterError(f"axis pc:{rest}", f"a component from 1 to {most}")
    mean, directions, _ = principal_components(x, int(rest))
    if len(directions) < int(rest):
        raise ParameterError(f"axis pc:{rest}", f"a component from 1 to {len(directions)} (the rank)")
    vector = directions[int(rest) - 1]
    return NamedAxis(f"PC {rest}", vector=vector, offset=float(mean @ vector))


def _one_or_two(text: str, known: Iterable[str], kind: str) -> tuple[str, str]:
    """ "A" or "A-B", where the names themselves may hold hyphens; the second is empty for one name."""
    names = {str(name) for name in known}
    if text in names:
        return text, ""
    cuts = [i for i, c in enumerate(text) if c == "-"]
    found = [(text[:i].strip(), text[i + 1 :].strip()) for i in cuts]
    found = [pair for pair in found if pair[0] in names and pair[1] in names]
    if len(found) == 1 and found[0][0] != found[0][1]:
        return found[0]
    listed = ", ".join(sorted(names)[:20]) or "none"
    problem = "can be read in two ways" if len(found) > 1 else "is not known"
    raise ParameterError(f"axis {kind}:{text} {problem}", f"one {kind}, or two with a hyphen, of: {listed}")


def _words(kind: str, first: str, second: str) -> str:
    return f"{kind} {first} - {kind} {second}" if second else f"{kind} {first} - the rest"
