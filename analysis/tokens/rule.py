"""Rule: how a way to drop or merge tokens describes itself, and where rules are found."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from analysis.errors import NotFound
from analysis.tokens.state import Step
from analysis.tokens.view import View

BETWEEN, AFTER = "between", "after"  # attention and MLP of a block; the whole block


@dataclass(frozen=True)
class NoSettings:
    """Of a rule that has none."""


@dataclass(frozen=True)
class Rule:
    """`decide(view, remove, settings, rng)` -> Step, with `remove` (B,) int the tokens to take away from each sample
    at this place, at most `most` of the free ones. A pure function of what the view shows.

    `says` : what it does in one sentence, which goes on behind the title and a colon, for who has not read its paper.
    `place` : where in a block it acts; `schedule` : how the tokens to remove are spread over the layers, a name of
    `analysis.tokens.schedule.SPREADS`; `needs` : what it asks the view for (a live network computes nothing else);
    `proportional` : attention afterwards is weighed by the size of tokens (the logarithm of it is added to the logits).
    `settings` : the dataclass of what can be set, or what makes one of it (`analysis.tokens.rule_settings`).
    `trained` : its published form has trained scores, and what is used instead, in words.
    `own_count` : it takes as many tokens as it finds right (a threshold, a grid); `remove` says where it acts, by being
    above 0, and how many more than the plan would leave are there. `notes` : how it departs from the paper, in words.
    """

    id: str
    title: str
    equation: str
    decide: Callable[[View, np.ndarray, object, np.random.Generator], Step]
    says: str = ""
    papers: tuple[str, ...] = ()
    place: str = BETWEEN
    schedule: str = "even"
    needs: frozenset[str] = frozenset()
    proportional: bool = False
    most: float = 1.0
    settings: Callable[[], object] = NoSettings
    trained: str = ""
    own_count: bool = False
    merges: bool = False
    baseline: bool = False
    notes: tuple[str, ...] = field(default=())


@functools.cache
def rules() -> dict[str, Rule]:
    """All rules by id: published ones by title, then the baselines. Raises ValueError where an id is there twice or a
    rule says nothing of itself."""
    import analysis.tokens.rules as folder

    found: dict[str, Rule] = {}
    for info in pkgutil.iter_modules(folder.__path__):
        for one in getattr(importlib.import_module(f"{folder.__name__}.{info.name}"), "RULES", ()):
            if one.id in found:
                raise ValueError(f"rule {one.id!r} is declared twice")
            if not one.says.endswith("."):
                raise ValueError(f"rule {one.id!r} does not say what it does, in a sentence")
            found[one.id] = one
    return dict(sorted(found.items(), key=lambda item: (item[1].baseline, item[1].title.lower())))


def rule(id: str) -> Rule:
    """One rule. Raises NotFound listing them."""
    if id not in rules():
        raise NotFound(f"no rule {id!r}", "one of " + ", ".join(rules()))
    return rules()[id]
