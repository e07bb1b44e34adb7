"""A concept, however it was named: classes of a sample column, a number, one value against others, two selections.

    column                          its classes (text, truth values, whole numbers with few values), or the number it is
    column, first                   that value against all others
    column, first and second        that value against that other one
    inside (and outside)            two selections, packed; without `outside` all other samples

Everything is per sample: tokens are pooled by their mean, and a sample whose tokens lie in both selections is in
neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.groups.class_pairs import pair_by_column, pair_by_selection
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.rows.known_factors import factor_of
from analysis.compute.rows.samples import known_labels
from analysis.errors import InputError, NotFound, ParameterError, TooLarge
from analysis.spec import param

MOST_CLASSES = 50


@dataclass(frozen=True)
class ConceptParams:
    """How a person names a concept; the first parameters of every method about one."""

    column: str = param("label", "Sample column that holds the concept: classes, or a number.", column=True)
    first: str = param(
        "",
        "One value of the column, for a concept of two groups; empty: all its values.",
        label="first group: value",
    )
    second: str = param(
        "", "The value it is set against; empty: all other values.", label="set against: value"
    )
    inside: str = param(
        "",
        "Membership of a selection, packed by a lasso; replaces the column.",
        label="first group: selection",
    )
    outside: str = param(
        "",
        "Membership of the selection it is set against; empty: all other samples.",
        label="set against: selection",
    )


@dataclass(frozen=True)
class Concept:
    """`name`; over n samples either class numbers `of` (n,) with their `classes`, or a number `values` (n,)."""

    name: str
    of: np.ndarray | None
    classes: tuple[str, ...]
    values: np.ndarray | None

    @property
    def is_number(self) -> bool:
        return self.of is None

    @property
    def n(self) -> int:
        return len(self.values if self.is_number else self.of)

    @property
    def rank(self) -> int:
        """Dimensions that a linear probe of the concept reads at most."""
        return 1 if self.is_number else len(self.classes) - 1

    @property
    def keys(self) -> np.ndarray:
        """(n,) int: what a split keeps in proportion."""
        return np.zeros(self.n, np.int64) if self.is_number else self.of

    def only(self, at: np.ndarray) -> Concept:
        """The same concept of the samples `at`, a mask or positions."""
        if self.is_number:
            return Concept(self.name, None, (), self.values[at])
        return Concept(self.name, self.of[at], self.classes, None)

    def shuffled(self, rng: np.random.Generator) -> Concept:
        """The same values, exchanged between the samples."""
        return self.only(rng.permutation(self.n))

    @property
    def described(self) -> str:
        if self.is_number:
            return f"{self.name}, a number"
        return f"{self.name} ({', '.join(self.classes[:4])}{' …' if len(self.classes) > 4 else ''})"


def asked_concept(
    activations: Activations, ask: ConceptParams, minimum: int
) -> tuple[np.ndarray, Concept, list[str]]:
    """Positions (n,) of the samples that have the concept, the concept over them, and notes. Raises as above."""
    _check_complete(ask)
    if ask.inside or ask.first:
        return _two_groups(activations, ask)
    column, name = sample_column(activations, ask.column), ask.column
    factor = factor_of(name, column) if column.dtype.kind in "iuf" else None
    if factor is not None and factor.is_number:
        at = np.flatnonzero(factor.known)
        notes = [f"{int((~factor.known).sum())} sample(s) without a value of '{name}' left out."]
        return at, Concept(name, None, (), factor.values[at]), notes if len(at) < len(column) else []
    known = column[known_labels(column)]
    if len(known) and (known == known[0]).all():
        raise InputError(
            f"'{name}' has the one value {known[0]!s} for all {len(known)} samples", "a concept that differs between "
            "samples", "Choose another column, or two selections",
        )  # fmt: skip
    codes = class_codes(column, name, minimum)
    if len(codes.names) > MOST_CLASSES:
        raise TooLarge(
            f"'{name}' has {len(codes.names)} classes",
            f"at most {MOST_CLASSES}",
            "Name two of its values instead",
        )
    return np.flatnonzero(codes.stay), Concept(name, codes.codes, codes.names, None), list(codes.notes)


def ordered_concept(
    activations: Activations, ask: ConceptParams, minimum: int
) -> tuple[np.ndarray, Concept, list[str]]:
    """The same as a number: of a column of numbers, or of texts that are numbers, its values; two groups are 0 and 1.

    Raises also InputError for more than two classes that are no numbers.
    """
    _check_complete(ask)
    if not (ask.inside or ask.first):
        column, notes = sample_column(activations, ask.column), []
        values = _as_numbers(column)
        if values is not None:
            at = np.flatnonzero(np.isfinite(values))
            if len(at) < len(column):
                notes.append(f"{len(column) - len(at)} sample(s) without a value of '{ask.column}' left out.")
            return at, Concept(ask.column, None, (), values[at]), notes
    at, concept, notes = asked_concept(activations, ask, minimum)
    if len(concept.classes) > 2:
        raise InputError(
            f"'{ask.column}' has {len(concept.classes)} classes without an order ({', '.join(concept.classes[:5])} …)",
            "numbers, or two groups", "Name one or two of its values",
        )  # fmt: skip
    return at, Concept(concept.name, None, (), concept.of.astype(np.float64)), notes


def _as_numbers(column: np.ndarray) -> np.ndarray | None:
    """(n,) float64, NaN where there is none; None for a column that has texts that are no numbers."""
    if column.dtype.kind in "biuf":
        return column.astype(np.float64)
    text = column.astype(str)
    try:
        return np.array([float(t) if t else np.nan for t in text])
    except ValueError:
        return None


def _check_complete(ask: ConceptParams) -> None:
    """Raises ParameterError where the second of two groups is named and the first is not: it would not count."""
    if (ask.second or ask.outside) and not (ask.first or ask.inside):
        raise ParameterError(
            f"a group to set against ({repr(ask.second) if ask.second else 'a selection'}) and no first group",
            "both groups, or the first alone",
            "Name the first group, too, or clear the second",
        )


def _two_groups(activations: Activations, ask: ConceptParams) -> tuple[np.ndarray, Concept, list[str]]:
    if ask.inside:
        side, names = pair_by_selection(ask.inside, ask.outside, activations.shape[0])
    elif ask.second and ask.first != ask.second:
        side, names = pair_by_column(activations, ask.column, ask.first, ask.second, np.random.default_rng(0))
    else:
        labels = sample_column(activations, ask.column)
        known, text = known_labels(labels), labels.astype(str)
        if ask.first == ask.second or not (known & (text == ask.first)).any():
            raise NotFound(
                f"no two groups {ask.column} = {ask.first!r} and {ask.second or 'all others'!r}",
                "values of it: " + ", ".join(sorted(set(text[known]))[:20]), "Name other values",
            )  # fmt: skip
        sign = np.where(known, np.where(text == ask.first, 1, -1), 0)
        side = np.repeat(sign, np.diff(activations.layout.offsets))
        names = (f"{ask.column} {ask.first}", "all other values")
    owner = activations.layout.sample_of(np.arange(len(side)))
    n = activations.layout.n_samples
    plus, minus = np.bincount(owner[side > 0], minlength=n), np.bincount(owner[side < 0], minlength=n)
    if not ask.outside and ask.inside:
        minus = np.where(plus > 0, 0, minus)  # a sample with a chosen token is chosen
    both = (plus > 0) & (minus > 0)
    at = np.flatnonzero(((plus > 0) | (minus > 0)) & ~both)
    notes = [f"{int(both.sum())} sample(s) with tokens in both selections left out."] if both.any() else []
    of = np.where(plus[at] > 0, 1, 0)
    return at, Concept(f"{names[0]} against {names[1]}", of, (names[1], names[0]), None), notes
