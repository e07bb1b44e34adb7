"""What a rule is compared with: as many tokens at random, behind the same layers, at the same place in a block."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.tokens.rule import Rule, rule
from analysis.tokens.rules.random_keep import decide as at_random


def chance_of(one: Rule) -> Rule:
    """Tokens at random in the places of a rule, with its limits: exactly as many multiply-adds. Of a rule that finds
    its own number, as many as it would take of the tokens that are there."""
    chance = replace(rule("random"), place=one.place, schedule=one.schedule, most=one.most)
    if not one.own_count:
        return replace(chance, id=f"random {one.place} {one.schedule} {one.most}")

    def decide(view, remove, settings, rng):
        step = one.decide(view, remove, one.settings(), rng)
        return at_random(view, (view.state.valid & ~step.kept).sum(axis=1), settings, rng)

    return replace(chance, id=f"random as {one.id}", decide=decide, needs=one.needs, own_count=True)


def is_chance(one: Rule) -> bool:
    """Whether a rule is what another is compared with."""
    return one.id.startswith("random ")


def as_many_at_random(among: np.ndarray, count: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(B, T) bool: of each sample `count` (B,) of its tokens `among` (B, T) bool, at random."""
    order = np.where(among, rng.random(among.shape), np.inf).argsort(axis=1).argsort(axis=1)
    return among & (order < count[:, None])
