"""Samples of a tap with their attributes as numbers: what axes of attributes are fitted to.

A number is one attribute; a column of two classes is one, the second class against the first; of more classes each is
one but the most frequent, which is the reference: with it, the attributes of a column would add up to a constant, and
no set of independent axes could belong to them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.rows.copies import copies_note
from analysis.compute.rows.known_factors import Factor, factors_of
from analysis.compute.rows.random_part import random_part
from analysis.compute.rows.samples import pooled_samples
from analysis.compute.statistics.moments import is_varying
from analysis.errors import InputError, NotEnoughData
from analysis.spec import Progress, no_progress


@dataclass(frozen=True)
class SampleValues:
    """`values` (n, units that vary) float64, not centred; `units` (d,) bool, which those are; `samples` (n,) positions
    in the tap; `notes` on what was left out."""

    values: np.ndarray
    units: np.ndarray
    samples: np.ndarray
    notes: tuple[str, ...]


@dataclass(frozen=True)
class AttributeData:
    """`x` (n, d) centred values of the samples whose attributes are all known; `y` (n, m) standardised attributes with
    their `names` (m,), `binary` (m,) and the number of their factor `of` (m,); `factors` cut to these samples; `units`
    bool of the tap's, which of them the d columns are."""

    x: np.ndarray
    y: np.ndarray
    names: tuple[str, ...]
    binary: np.ndarray
    of: np.ndarray
    factors: tuple[Factor, ...]
    units: np.ndarray
    notes: tuple[str, ...]

    @property
    def keys(self) -> np.ndarray:
        """(n,) number of each combination of classes, by which samples are cut into parts: rare classes are in each."""
        codes = [f.of for f in self.factors if not f.is_number] or [np.zeros(len(self.x), np.int64)]
        return np.unique(np.stack(codes), axis=1, return_inverse=True)[1].reshape(-1)


def sample_values(
    tap: Activations,
    rng: np.random.Generator,
    *,
    pooling: str,
    maximum: int,
    minimum: int,
    keep: tuple[str, ...] = (),
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.2),
) -> SampleValues:
    """One line for each sample, at most `maximum` of them (a seeded random subset, with those of an id in `keep`), of
    the units that vary.

    Raises NotEnoughData below `minimum` finite samples, InputError where no unit varies, TooLarge.
    """
    chosen, notes = random_part(tap.layout.n_samples, maximum, rng)
    if notes and keep:
        wanted = np.isin(np.asarray(tap.samples["id"]).astype(str), keep)
        chosen = np.union1d(chosen, np.flatnonzero(wanted))
    x, kept, read = pooled_samples(tap, pooling, chosen, progress, span)
    if len(x) < minimum:
        raise NotEnoughData(
            f"{tap.name} has {len(x)} finite sample(s)", f"at least {minimum}", "Record more samples"
        )
    units = is_varying(x.var(axis=0), x.mean(axis=0))
    if not units.any():
        raise InputError(f"no unit of {tap.name} varies", "units that differ", "Choose another tap")
    if not units.all():
        notes.append(f"{int((~units).sum())} constant unit(s) left out.")
        x = x[:, units]
    return SampleValues(x, units, chosen[kept], (*notes, *read, *copies_note(x)))


def attribute_data(
    tap: Activations,
    columns: str,
    rng: np.random.Generator,
    *,
    pooling: str,
    maximum: int,
    minimum: int,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.2),
) -> AttributeData:
    """The samples of a tap for which every attribute in `columns` (commas between; "" for all that can be) is known.

    Raises
    ------
    NotFound
        No such column, or none that is an attribute.
    NotEnoughData, InputError, TooLarge
        As `sample_values`; fewer than `minimum` samples with all attributes; attributes that determine each other.
    """
    found = sample_values(
        tap, rng, pooling=pooling, maximum=maximum, minimum=minimum, progress=progress, span=span
    )
    ids = np.asarray(tap.samples["id"]).astype(str)[found.samples]
    factors, said = factors_of([tap], ids, columns)
    known = np.all([f.known for f in factors], axis=0)
    if known.sum() < minimum:
        raise NotEnoughData(
            f"{int(known.sum())} sample(s) have a value in every one of {len(factors)} column(s)",
            f"at least {minimum}",
            "Name fewer columns, or record more samples",
        )
    factors = [_cut(f, known) for f in factors]
    made = [attributes_of(f) for f in factors]
    y = np.column_stack([column for columns, _, _ in made for column in columns])
    names = tuple(name for _, names, _ in made for name in names)
    spread = y.std(axis=0)
    if (spread == 0).any():
        name = names[int((spread == 0).argmax())]
        raise InputError(
            f"'{name}' is the same for all {int(known.sum())} samples whose other attributes are known",
            "attributes that vary",
            "Name fewer columns",
        )
    x = found.values[known]
    return AttributeData(
        x - x.mean(axis=0), (y - y.mean(axis=0)) / spread, names,
        np.concatenate([np.full(len(names), b) for _, names, b in made]),
        np.concatenate([np.full(len(names), i) for i, (_, names, _) in enumerate(made)]),
        tuple(factors), found.units, (*said, *_references(factors), *found.notes),
    )  # fmt: skip


def _cut(factor: Factor, known: np.ndarray) -> Factor:
    of, values = factor.of[known], factor.values[known]
    return Factor(factor.name, np.ones(len(of), bool), factor.classes, of, values)


def attributes_of(factor: Factor) -> tuple[list[np.ndarray], list[str], bool]:
    """Columns (n,), their names, and whether they are 0 and 1."""
    if factor.is_number:
        return [factor.values], [factor.name], False
    reference = _reference(factor)
    others = [c for c in range(len(factor.classes)) if c != reference]
    names = [f"{factor.name} = {factor.classes[c]}" for c in others]
    return [(factor.of == c).astype(np.float64) for c in others], names, True


def _reference(factor: Factor) -> int:
    """The first of two classes, the most frequent of more."""
    counts = np.bincount(factor.of, minlength=len(factor.classes))
    return 0 if len(counts) == 2 else int(counts.argmax())


def _references(factors: list[Factor]) -> list[str]:
    return [
        f"'{f.name} = {f.classes[_reference(f)]}' is the reference of its column and has no axis of its own."
        for f in factors
        if not f.is_number
    ]
