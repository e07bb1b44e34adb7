"""What a background has of its own, and how spread out the parts of a representation are."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations
from analysis.compute.groups.concept import Concept
from analysis.compute.rows.known_factors import factors_of
from analysis.compute.statistics.sample_groups import groups_of, jackknife_half
from analysis.errors import LoupeError
from analysis.results import Estimate

FEWEST, SMALLEST, MOST_FACTORS, EVEN, POINTS = 20, 8, 6, 20, 400
ANSWERS = ("predicted", "correct", "confidence", "loss")  # the network's own
NONE = "The background has no factor of its own ({}): half of the test is missing."


def own_factors(tap: Activations, at: np.ndarray, behind: np.ndarray, asked: str, notes: list) -> list[tuple]:
    """(name, rows, concept) of the factors of the background: of the samples `at` (n,) those that are `behind` (n,);
    `asked` columns with commas between, "" for all that there are."""
    ids = np.asarray(tap.samples["id"]).astype(str)[at[behind]]
    try:
        found, said = factors_of([tap], ids, asked)
    except LoupeError as refusal:
        if asked.strip():
            raise
        notes.append(
            f"The background has no factor of its own ({refusal.found}): half of the test is missing."
        )
        return []
    own = [f for f in found if asked.strip() or f.name not in ANSWERS]
    if not own:
        notes.append(NONE.format("all its columns are the network's answers"))
    notes += said if asked.strip() else []
    if len(own) > MOST_FACTORS:
        notes.append(f"The first {MOST_FACTORS} of {len(own)} columns are tested.")
    out, rows = [], np.flatnonzero(behind)
    for f in own[:MOST_FACTORS]:
        codes, values = (None, f.values[f.known]) if f.is_number else (f.of[f.known], None)
        if f.known.sum() < FEWEST:
            notes.append(f"'{f.name}' is known for {int(f.known.sum())} background samples: too few to test.")
            continue
        out.append((f.name, rows[f.known], Concept(f.name, codes, f.classes, values)))
    return out


def spread_of_parts(x: np.ndarray, parts, rng) -> list[Estimate]:
    """Uniformity of both parts over the target's samples (n, d)."""
    out, some = [], rng.permutation(len(x))[:POINTS]
    for part, units in parts.items():
        own = x[np.ix_(some, units)] - x[:, units].mean(axis=0)
        own = own[np.abs(own).max(axis=1) > 0]
        if len(own) < SMALLEST or len(units) < 2:
            continue
        value, group = _uniformity(own), groups_of(len(own), rng)
        half = jackknife_half(np.array([_uniformity(own[group != g]) for g in range(int(group.max()) + 1)]))
        null = [_uniformity(rng.standard_normal(own.shape)) for _ in range(EVEN)]
        out.append(Estimate(
            f"uniformity of the {part} part", value, value - float(half), value + float(half),
            interval="jackknife over groups of samples, t", null=float(np.mean(null)), null_low=float(min(null)),
            null_high=float(max(null)), null_method=f"directions drawn evenly, {EVEN} times", n=len(own), d=len(units),
            estimator="log mean exp(-2 |u - v|²) over pairs of the target's samples",
        ))  # fmt: skip
    return out


def _uniformity(x: np.ndarray) -> float:
    u = x / np.linalg.norm(x, axis=1, keepdims=True)
    i, j = np.triu_indices(len(u), 1)
    return float(np.log(np.exp(-4 + 4 * (u @ u.T)[i, j]).mean()))
