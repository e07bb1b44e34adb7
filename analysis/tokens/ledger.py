"""Rules at equal cost: what the answer is worth when each may spend the same multiply-adds.

For every share of the full network's multiply-adds, each rule gets the largest schedule of its own spread that costs at
most as much (closed form), the tokens are removed, and the answer is compared with the full one and with the label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError
from analysis.spec import Progress
from analysis.tokens.arithmetic import NetworkShape, multiply_adds
from analysis.tokens.chance import is_chance
from analysis.tokens.dump import briefly
from analysis.tokens.outputs import log_probabilities
from analysis.tokens.rule import Rule
from analysis.tokens.schedule import Schedule, at_cost

BATCH = 16
SAME, RIGHT, COSINE, NATS = "same answer", "right answer", "cosine to the full output", "divergence in nats"
MEASURES = (SAME, RIGHT, COSINE, NATS)
WHOLE = {SAME: 1.0, COSINE: 1.0, NATS: 0.0}  # what no removal gives


@dataclass(frozen=True)
class Spent:
    """Of one rule at one share: `values` by measure (n,), NaN where a sample has no label; `cost` (n,) the share of
    multiply-adds that was really spent; `tokens` (n,) left of all; `seconds` of all passes, NaN where none is timed."""

    values: dict[str, np.ndarray]
    cost: np.ndarray
    tokens: np.ndarray
    seconds: float


def plan_at(rule: Rule, share: float, shape: NetworkShape, fixed: int):
    """Function from the free tokens of a sample to the rule's schedule at this share of multiply-adds; `fixed` tokens
    stay whatever is done."""
    kept: dict[int, Schedule] = {}

    def plan(free: int) -> Schedule:
        if free not in kept:
            full = multiply_adds(shape, [free + fixed] * (shape.layers + 1), rule.place).total

            def cost(made: Schedule) -> float:
                return multiply_adds(shape, [k + fixed for k in made.kept], rule.place).total

            kept[free] = at_cost(cost, rule.schedule, share * full, shape.layers, free)
        return kept[free]

    return plan


def spend(
    who,
    rules: Sequence[Rule],
    shares: Sequence[float],
    rng: np.random.Generator,
    progress: Progress,
    span=(0.0, 1.0),
) -> tuple[dict[tuple[str, float], Spent], tuple[str, ...]]:
    """Every rule at every share on all samples of a subject (`analysis.tokens.subject`), and what is to be said.

    Cost: (1 + rules times shares) passes of every sample; memory of one batch.
    """
    shape, found, notes, refused = who.shape(), {}, [], {}
    seed = int(rng.integers(2**31))
    for part, given in who.batches(BATCH):
        whole = who.answer(given)
        labels = None if who.labels is None else np.asarray(who.labels)[part]
        fixed = int(whole.states[0].counts[0] - whole.layout.free[0].sum())
        for k, (one, share) in enumerate((r, s) for r in rules for s in shares):
            done = (part.start + (part.stop - part.start) * k / (len(rules) * len(shares))) / who.n
            progress(span[0] + (span[1] - span[0]) * done, one.title)
            if one.id in refused:
                continue
            plan = plan_at(one, share, shape, fixed)
            try:
                less = who.answer(given, one, plan, None, np.random.default_rng([seed, k, part.start]))
            except InputError as error:
                refused[one.id] = f"{one.title} is left out: {error.found}."
                continue
            found.setdefault((one.id, share), []).append(
                _spent(whole, less, labels, shape, one, who.classifies)
            )
            if not is_chance(one):
                notes += less.notes
    made = {key: _joined(parts) for key, parts in found.items() if key[0] not in refused}
    return made, (*refused.values(), *briefly(notes))


def _spent(whole, less, labels, shape: NetworkShape, rule: Rule, classifies: bool) -> Spent:
    counts, full = (np.stack([s.counts for s in x.states], axis=1).astype(float) for x in (less, whole))
    cost = [
        multiply_adds(shape, c, rule.place).total / multiply_adds(shape, f, rule.place).total
        for c, f in zip(counts, full, strict=True)
    ]
    a, b = whole.logits, less.logits
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    values = {COSINE: (a * b).sum(axis=1) / np.where(lengths > 0, lengths, 1)}
    if classifies:
        p, q = log_probabilities(a), log_probabilities(b)
        values[NATS] = np.maximum((np.exp(p) * (p - q)).sum(axis=1), 0.0)
        values[SAME] = (a.argmax(axis=1) == b.argmax(axis=1)).astype(float)
        if labels is not None:
            values[RIGHT] = np.where(labels >= 0, b.argmax(axis=1) == labels, np.nan).astype(float)
    return Spent(values, np.array(cost), counts[:, -1] / full[:, -1], less.seconds)


def _joined(parts: list[Spent]) -> Spent:
    return Spent(
        {k: np.concatenate([p.values[k] for p in parts]) for k in parts[0].values},
        np.concatenate([p.cost for p in parts]), np.concatenate([p.tokens for p in parts]),
        float(sum(p.seconds for p in parts)),
    )  # fmt: skip
