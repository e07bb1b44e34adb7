"""Samples of several domains with their classes: what is compared when a probe moves from one domain to another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations, sample_column
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.rows.samples import known_labels
from analysis.compute.subspaces.attribute_data import sample_values
from analysis.errors import NotEnoughData
from analysis.spec import Progress, no_progress

FEWEST, SMALLEST = 60, 5
MOST_DOMAINS = 30


@dataclass(frozen=True)
class DomainSamples:
    """Centred `x` (n, d), classes `of` (n,), `domain` (n,) with `names`; `units` bool of the tap's,
    which of them the d columns are; `notes`."""

    x: np.ndarray
    of: np.ndarray
    domain: np.ndarray
    names: tuple[str, ...]
    units: np.ndarray
    notes: tuple[str, ...]


def domain_samples(
    tap: Activations,
    column: str,
    domain: str,
    rng: np.random.Generator,
    *,
    pooling: str,
    maximum: int,
    progress: Progress = no_progress,
) -> DomainSamples:
    """Samples with a class in `column` and a domain in `domain` ("": three random parts), of the domains that have at
    least two classes of five samples, and the classes that have as many in all of these.

    Raises NotFound, NotEnoughData (fewer than two such domains or classes, over 30 domains), InputError, TooLarge.
    """
    labels = sample_column(tap, column)
    found = sample_values(tap, rng, pooling=pooling, maximum=maximum, minimum=FEWEST, progress=progress)
    labels, notes = labels[found.samples], list(found.notes)
    if domain:
        domains = sample_column(tap, domain)[found.samples]
        known = known_labels(domains)
    else:
        domains, known = rng.permutation(np.arange(len(labels)) % 3) + 1, np.ones(len(labels), bool)
    known = known & known_labels(labels)
    codes = class_codes(np.where(known, labels.astype(str), ""), column, 2 * SMALLEST)
    where, place = np.unique(domains[codes.stay].astype(str), return_inverse=True)
    counts = np.zeros((len(where), len(codes.names)), np.int64)
    np.add.at(counts, (place, codes.codes), 1)
    good = (counts >= SMALLEST).sum(axis=1) >= 2
    shared = (counts[good] >= SMALLEST).all(axis=0) if good.any() else np.zeros(len(codes.names), bool)
    if good.sum() < 2 or shared.sum() < 2:
        raise NotEnoughData(
            f"{int(good.sum())} domain(s) of '{domain or 'random parts'}' share {int(shared.sum())} class(es) with "
            f"{SMALLEST} samples in each", "two domains and two classes",
            "Choose other columns, or record more samples",
        )  # fmt: skip
    if good.sum() > MOST_DOMAINS:
        raise NotEnoughData(
            f"{int(good.sum())} domains", f"at most {MOST_DOMAINS}", "Choose a coarser column"
        )
    left_out = [w for w, g in zip(where, good, strict=True) if not g]
    if left_out:
        notes.append(
            f"Domains without two classes of {SMALLEST} samples left out: {', '.join(left_out[:5])}."
        )
    if not shared.all():
        few = [n for n, s in zip(codes.names, shared, strict=True) if not s]
        notes.append(f"Classes that are not in every domain left out: {', '.join(few[:5])}.")
    stay = good[place] & shared[codes.codes]
    x = found.values[codes.stay][stay]
    return DomainSamples(
        x - x.mean(axis=0), (np.cumsum(shared) - 1)[codes.codes[stay]], (np.cumsum(good) - 1)[place[stay]],
        tuple(str(w) for w in where[good]), found.units, (*codes.notes, *notes),
    )  # fmt: skip
