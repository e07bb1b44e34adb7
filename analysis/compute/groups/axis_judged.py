"""An axis that was named, not made of the attribute, against the attribute: does the order of the samples go with it?

Of a number, or two groups: Spearman's ρ. Of more classes: η², the share of the variance of the positions that lies
between classes, (C - 1) / (n - 1) on average when classes are exchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.groups.concept import Concept, ConceptParams, asked_concept
from analysis.compute.linear.ranking_axes import spearman, spearman_estimate
from analysis.compute.rows.column_places import explained, explained_by_chance
from analysis.compute.statistics.nulls import add_one_p
from analysis.errors import LoupeError
from analysis.results import Estimate

FEWEST, DRAWS = 5, 200


@dataclass(frozen=True)
class Judged:
    """None where there is no attribute to judge by; `words` for the reading."""

    estimate: Estimate | None
    words: str
    notes: tuple[str, ...] = ()


def judged(
    activations: Activations,
    ask: ConceptParams,
    samples: np.ndarray,
    placed: np.ndarray,
    counts: np.ndarray,
    how: tuple[str, int],
    rng: np.random.Generator,
) -> Judged:
    """`placed` (n,) positions of the samples `samples` (n,); `counts` (n,) bool, those that are evidence; `how`: the
    axis in words, and the number of units."""
    if not ask.inside and ask.column not in activations.samples:
        return Judged(None, "Without an attribute nothing says whether the order means anything.")
    try:
        at, concept, notes = asked_concept(activations, ask, FEWEST)
    except LoupeError as refusal:
        return Judged(None, "", (f"The order is not compared with '{ask.column}': {refusal.found}.",))
    place = np.full(activations.layout.n_samples, -1)
    place[at] = np.arange(len(at))
    use = counts & (place[samples] >= 0)
    concept, positions = concept.only(place[samples[use]]), placed[use]
    if use.sum() < 2 * FEWEST:
        return Judged(None, "", (f"Too few samples have a value of '{concept.name}' to judge the order.",))
    if not concept.is_number and len(concept.classes) > 2:
        return _by_classes(concept, positions, how, rng, notes)
    values = concept.values if concept.is_number else concept.of
    e = spearman_estimate(f"ρ with {concept.name}", spearman(positions, values), len(values), how[1],
                          f"Spearman, {how[0]}")  # fmt: skip
    beyond = "goes with" if not e.null_low <= e.value <= e.null_high else "does not go with"
    return Judged(
        e,
        f"The order {beyond} {concept.name} beyond chance: ρ = {e.value:.2f} [{e.low:.2f}, {e.high:.2f}].",
        tuple(notes),
    )


def _by_classes(concept: Concept, placed: np.ndarray, how, rng: np.random.Generator, notes) -> Judged:
    of, n = np.unique(concept.of, return_inverse=True)[1].reshape(-1), len(placed)
    value, kinds = explained(placed, of), int(of.max()) + 1
    null = explained_by_chance(placed, of, None, DRAWS, rng)
    drawn = []
    for _ in range(DRAWS):
        pick = rng.integers(n, size=n)
        drawn.append(explained(placed[pick], np.unique(of[pick], return_inverse=True)[1].reshape(-1)))
    low, high = np.percentile(drawn, [2.5, 97.5])
    e = Estimate(
        f"share of the order that {concept.name} explains", value, float(min(low, value)), float(max(high, value)),
        interval="bootstrap over samples, axis held fixed", null=(kinds - 1) / (n - 1),
        null_low=float(np.percentile(null, 2.5)), null_high=float(np.percentile(null, 97.5)),
        null_method=f"(C - 1) / (n - 1), exact; band from {DRAWS} exchanges of the classes",
        p_value=float(add_one_p(value, null)), n=n, d=how[1], estimator=f"η² over {kinds} classes, {how[0]}",
    )  # fmt: skip
    means = np.bincount(of, placed) / np.bincount(of)
    names = [concept.classes[c] for c in np.unique(concept.of)]
    ends = f"lowest {names[int(means.argmin())]}, highest {names[int(means.argmax())]}"
    beyond = "more than chance would" if value > e.null_high else "no more than chance would"
    return Judged(
        e,
        f"Classes of {concept.name} explain {value:.0%} of the order, {beyond} ({e.null:.0%}): on average {ends}.",
        tuple(notes),
    )
