"""Which rows make up a pair of groups: two values of a sample column, one value cut in two, or packed selections."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.rows.membership import unpack
from analysis.compute.rows.samples import known_labels, listed
from analysis.errors import NotFound
from analysis.spec import param


@dataclass(frozen=True)
class PairParams:
    """How a person names two groups; the first parameters of every method about one pair. Unlike those of a concept
    (`groups.concept`) they always mean two groups: empty values are the two most frequent ones."""

    column: str = param("label", "Sample column that names the two groups.", column=True)
    first: str = param(
        "",
        "Value of that column in the first group; empty: its most frequent value.",
        label="first group: value",
    )
    second: str = param(
        "",
        "Value in the second group; empty: the most frequent other value. The same twice: a control.",
        label="second group: value",
    )
    inside: str = param(
        "",
        "Membership of the first group, packed by a lasso; replaces the column.",
        label="first group: selection",
    )
    outside: str = param(
        "",
        "Membership of the second group, packed likewise; empty: all other rows.",
        label="second group: selection",
    )


def asked_pair(
    activations: Activations, ask: PairParams, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[str, str]]:
    """Side (rows,) 1, -1 or 0, and the names of both groups. Raises as the two below."""
    if ask.inside:
        return pair_by_selection(ask.inside, ask.outside, activations.shape[0])
    return pair_by_column(activations, ask.column, ask.first, ask.second, rng)


def pair_by_column(
    activations: Activations, column: str, first: str, second: str, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[str, str]]:
    """Side (rows,) 1, -1 or 0, and the names of both groups. Empty names: the most frequent value, and the most
    frequent other one. The same value twice: its samples are cut in two at random.

    Raises NotFound, listing the values.
    """
    labels = sample_column(activations, column)
    known, values = known_labels(labels), labels.astype(str)
    kinds, counts = np.unique(values[known], return_counts=True)
    order = [str(kinds[i]) for i in np.argsort(-counts, kind="stable")]
    first = first or next((v for v in order if v != second), "")
    second = second or next((v for v in order if v != first), "")
    for value in (first, second):
        if value not in order:
            raise NotFound(
                f"{activations.name} has no two groups {column} = {first!r} and {second!r}",
                "two values of it (samples each): " + listed(kinds, counts),
                "Name other values or another column",
            )
    mine = known & (values == first)
    if first == second:
        side = np.zeros(len(values), np.int64)
        of = rng.permutation(np.flatnonzero(mine))
        side[of[::2]], side[of[1::2]] = 1, -1
        names = (f"{column} {first}, one half", f"{column} {first}, the other half")
    else:
        side = np.where(mine, 1, np.where(known & (values == second), -1, 0))
        names = (f"{column} {first}", f"{column} {second}")
    return np.repeat(side, np.diff(activations.layout.offsets)), names


def pair_by_selection(inside: str, outside: str, n_rows: int) -> tuple[np.ndarray, tuple[str, str]]:
    """The same for packed memberships; without `outside`, all other rows. Rows in both count for neither.

    Raises ParameterError for a membership of another length.
    """
    one = unpack(inside, n_rows)
    other = unpack(outside, n_rows) if outside else ~one
    side = np.where(one == other, 0, np.where(one, 1, -1))
    return side, ("the first selection", "the second selection" if outside else "all other rows")
