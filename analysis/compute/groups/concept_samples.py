"""The samples of a tap that have a concept: one pooled line each, without what cannot be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.groups.concept import Concept, ConceptParams, asked_concept, ordered_concept
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.rows.copies import copies_note
from analysis.compute.rows.samples import pooled_samples
from analysis.compute.statistics.moments import is_varying
from analysis.errors import InputError, NotEnoughData
from analysis.spec import Progress, no_progress


@dataclass(frozen=True)
class ConceptSamples:
    """`x` (n, d) float64, one line for each of `samples` (n,), positions in the tap; `units` (d,) the units that vary;
    their `concept`; `notes` on what was left out."""

    x: np.ndarray
    samples: np.ndarray
    units: np.ndarray
    concept: Concept
    notes: tuple[str, ...]


def concept_samples(
    activations: Activations,
    ask: ConceptParams,
    *,
    minimum: int,
    maximum: int,
    rng: np.random.Generator,
    as_number: bool = False,
    keep: tuple[str, ...] = (),
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.1),
) -> ConceptSamples:
    """The samples that have the concept, at most `maximum` of them (a seeded random subset, with those of an id in
    `keep`). O(n d). `as_number`: of a column that orders the samples, the number; two groups become 0 and 1.

    Raises
    ------
    NotFound
        No such column or value.
    NotEnoughData
        Fewer than two classes with `minimum` samples, or fewer than 2 `minimum` samples with a number.
    InputError
        The concept, or every unit, is constant.
    TooLarge, ParameterError
        More than 50 classes; a membership of another length.
    """
    at, concept, notes = (ordered_concept if as_number else asked_concept)(activations, ask, minimum)
    if len(at) > maximum:
        notes.append(f"A random {maximum:,} of {len(at):,} samples used.")
        chosen = np.sort(rng.choice(len(at), size=maximum, replace=False))
        chosen = np.union1d(chosen, np.flatnonzero(_kept(activations, keep)[at]))
        at, concept = at[chosen], concept.only(chosen)
    x, kept, left_out = pooled_samples(activations, "mean", at, progress, span)
    at, concept = at[kept], concept.only(kept)
    concept, stay, more = large_enough(concept, minimum)
    x, at = x[stay], at[stay]
    x, units, lost = _varying(activations.name, x)
    return ConceptSamples(x, at, units, concept, (*left_out, *notes, *more, *lost, *copies_note(x)))


def all_samples(
    activations: Activations,
    *,
    minimum: int,
    maximum: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 0.1),
    keep: tuple[str, ...] = (),
) -> ConceptSamples:
    """Every sample with a finite row, of no concept: the number 0. Those with an id in `keep` are never left out of a
    random subset. Raises NotEnoughData, InputError."""  # fmt: skip
    n = activations.layout.n_samples
    at, notes = np.arange(n), []
    if n > maximum:
        drawn = rng.choice(n, size=maximum, replace=False)
        at = np.union1d(drawn, np.flatnonzero(_kept(activations, keep)))
        notes.append(f"A random {len(at):,} of {n:,} samples used.")
    x, finite, left_out = pooled_samples(activations, "mean", at, progress, span)
    if len(x) < minimum:
        raise NotEnoughData(
            f"{len(x)} sample(s) have a finite row", f"at least {minimum}", "Record more samples"
        )
    x, units, more = _varying(activations.name, x)
    concept = Concept("no attribute", None, (), np.zeros(len(x)))
    return ConceptSamples(x, at[finite], units, concept, (*left_out, *notes, *more, *copies_note(x)))


def _kept(activations: Activations, keep: tuple[str, ...]) -> np.ndarray:
    """Which samples have an id in `keep` (samples,) bool."""
    return np.isin(np.asarray(activations.samples["id"]).astype(str), [one for one in keep if one])


def _varying(name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """`x` (n, d) without constant units, which units stay, notes."""
    varies = is_varying(x.var(axis=0), x.mean(axis=0))
    if not varies.any():
        raise InputError(f"every unit of {name} is constant", "units that vary", "Choose another tap")
    if varies.all():
        return x, np.arange(x.shape[1]), []
    return x[:, varies], np.flatnonzero(varies), [f"{int((~varies).sum())} constant unit(s) left out."]


def large_enough(concept: Concept, minimum: int) -> tuple[Concept, np.ndarray, list[str]]:
    """What a subset, and rows that are not finite, leave: the concept, which samples stay (n,) bool, notes."""
    if concept.is_number:
        if concept.n < 2 * minimum:
            raise NotEnoughData(
                f"{concept.n} sample(s) have a finite row and a value of '{concept.name}'", f"at least {2 * minimum}",
                "Record more samples",
            )  # fmt: skip
        if not is_varying(concept.values.var(), concept.values.mean()):
            raise InputError(
                f"'{concept.name}' is constant over the {concept.n} samples with a finite row", "values that differ",
                "Choose another column or tap",
            )  # fmt: skip
        return concept, np.ones(concept.n, bool), []
    codes = class_codes(np.asarray(concept.classes)[concept.of], concept.name, minimum)
    order = [concept.classes.index(c) for c in codes.names]
    back = np.argsort(np.argsort(order))  # keep the order that the classes had
    names = tuple(codes.names[i] for i in np.argsort(order))
    return Concept(concept.name, back[codes.codes], names, None), codes.stay, list(codes.notes)
