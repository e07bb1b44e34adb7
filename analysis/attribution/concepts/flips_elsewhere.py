"""Whether the flips that turn one answer turn the same answer to other samples, too."""

from __future__ import annotations

import numpy as np

from analysis.attribution.concepts.concept_moves import random_like
from analysis.attribution.concepts.counterfactual_search import Flips, Moves, margin_of
from analysis.attribution.local_slopes import logits_at, rows_at


def flips_elsewhere(
    samples,
    same,
    made,
    levels,
    moves: Moves,
    found: Flips,
    wanted: int,
    margin: float,
    deviation,
    rng,
    progress,
):
    """(m,) bool each: whether the same flips, and random moves of their lengths, lead to the `wanted` answer in the
    samples `same` (m,)."""
    asked = {(int(moves.concept[j]), bool(moves.adds[j])) for j in found.chosen}
    own, chance = [], []
    for k, i in enumerate(same if asked else ()):
        progress(0.8 + 0.2 * k / len(same), "flipping other samples")
        run = samples.run(int(i))
        h = rows_at(run)
        offered = (
            levels.moves(h, made)
            if levels.tokens in (1, len(h))
            else Moves(np.zeros((0, *h.shape)), *[[]] * 2)
        )
        some = [
            j for j in range(len(offered.rows)) if (int(offered.concept[j]), bool(offered.adds[j])) in asked
        ]
        both = [m.rows[some].sum(axis=0) for m in (offered, random_like(offered, deviation, rng))]
        z = margin_of(logits_at(run, np.stack([h + both[0], h + both[1]])), wanted)
        own.append(z[0] > margin)
        chance.append(z[1] > margin)
    return np.array(own), np.array(chance)
