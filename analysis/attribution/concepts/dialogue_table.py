"""A dialogue of flips as a table of its turns, with what is known about it."""

from __future__ import annotations

import numpy as np

from analysis.attribution.concepts.counterfactual_search import Flips, Moves, margin_of
from analysis.compute.statistics.nulls import wilson
from analysis.features.answers import log_softmax
from analysis.results import Estimate

CHOICES = 4  # answers to guess from
HELP = {
    "step": "Which turn.",
    "concept": "Group or feature that is flipped.",
    "change": "With the concept, or without it.",
    "said": "The turn in words; flips of earlier turns stay.",
    "amount": "How far it had to go, of the way to what samples are usually like.",
    "length": "Length of that move, in activations.",
    "before": "The answer before this turn.",
    "after": "The answer after it.",
    "probability before": "Of the wanted answer, before this turn.",
    "probability after": "Of the wanted answer, after it.",
    "lead": "Logit of the wanted answer less the largest other, after this turn.",
    "choices": "Answers to guess from: the likeliest ones, by name.",
} | {f"shown by {i}": "A sample that shows the concept more than others." for i in (1, 2, 3)}


def dialogue_columns(
    found: Flips, moves: Moves, levels, samples, others, wanted: int
) -> dict[str, np.ndarray]:
    """A line for each turn, see `HELP`."""
    chosen, k = np.array(found.chosen, dtype=np.int64), len(found.chosen)
    p = np.exp(log_softmax(found.logits))
    said = [samples.word(int(z.argmax())) for z in found.logits]
    concept = [levels.concepts.names[c] for c in moves.concept[chosen]]
    change = ["with" if moves.adds[j] else "without" for j in chosen]
    shows = samples.samples[others][levels.shows[moves.concept[chosen]].reshape(k, levels.shows.shape[1])]
    choices = [sorted(samples.word(int(c)) for c in np.argsort(-z)[:CHOICES]) for z in p[1:]]
    words = [f"{'Also ' if i else ''}{w} {c}, it would say {s}." for i, (w, c, s) in
             enumerate(zip(change, concept, said[1:], strict=True))]  # fmt: skip
    length = np.array([np.linalg.norm(moves.rows[j]) for j in chosen]) * np.array(found.amounts)
    return {
        "step": np.arange(1, k + 1), "concept": np.array(concept, dtype=str), "change": np.array(change, dtype=str),
        "said": np.array([w[0].upper() + w[1:] for w in words], dtype=str),
        "amount": np.array(found.amounts, dtype=float), "length": length.astype(float),
        "before": np.array(said[:-1], dtype=str), "after": np.array(said[1:], dtype=str),
        "probability before": p[:-1, wanted], "probability after": p[1:, wanted],
        "lead": margin_of(found.logits[1:], wanted) if k else np.zeros(0),
        "choices": np.array([" | ".join(c) for c in choices], dtype=str),
        **{f"shown by {i + 1}": shows[:, i].astype(np.int64) for i in range(levels.shows.shape[1])},
    }  # fmt: skip


def dialogue_estimates(found: Flips, by_chance, shares, least, near, params, d: int) -> tuple[Estimate, ...]:
    needed = np.array([len(f.chosen) if f.reached else params.most + 1 for f in by_chance])
    made = [
        Estimate("flips", float(len(found.chosen)), null=float(np.median(needed)), null_low=float(needed.min()),
                 null_high=float(needed.max()), n=1, d=d, estimator="fewest moves found",
                 interval="none: one sample, counted",
                 null_method=f"random moves of the same lengths; {params.most + 1} where {params.most} do not do"),
    ]  # fmt: skip
    own, chance = shares
    if len(own):
        low, high = wilson(int(own.sum()), len(own))
        made.append(Estimate("other samples that the same flips change", float(own.mean()), min(low, float(own.mean())),
                             max(high, float(own.mean())), interval="Wilson over samples", n=len(own), d=d,
                             null=float(chance.mean()), null_method="random moves of the same lengths"))  # fmt: skip
    if least is not None:
        null = {"null": float(min(near))} if near else {}
        told = "the nearest sample answered so" if near else "none: no sample is answered so"
        made.append(Estimate("least move of all units together", least, n=1, d=d, **null, null_method=told,
                             interval="none: one sample, solved for",
                             estimator="length, by linear steps"))  # fmt: skip
    return tuple(made)


def dialogue_reading(found: Flips, moves: Moves, levels, by_chance, names) -> str:
    if not found.chosen and found.reached:
        return f"Sample {names['sample']} is answered {names['now']} already: nothing has to change."
    told = ", ".join(
        f"{'with' if moves.adds[j] else 'without'} {levels.concepts.names[moves.concept[j]]}"
        for j in found.chosen
    )
    flips = f"{len(found.chosen)} flip{'s' * (len(found.chosen) > 1)}"
    reached = sum(f.reached for f in by_chance)
    if not found.reached:
        return f"{flips} ({told}) did not take sample {names['sample']} to {names['wanted']}."
    return (
        f"Sample {names['sample']} is answered {names['now']}; {told}, it would be {names['wanted']}: "
        f"{flips}, {found.smaller}. Random moves of the same lengths get there in {reached} of "
        f"{len(by_chance)} sets."
    )
