"""What a measure makes of every rule at every share, beside as many tokens at random.

    values[rule, share] (2, n)      of each sample the measure, and that of as many of its tokens kept at random

The lines of a curve over the shares are means over samples with Student's interval, and the means of what random keep
gives; the gain over random keep is the difference, paired by sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate
from analysis.spec import Progress
from analysis.tokens.chance import as_many_at_random
from analysis.tokens.over_samples import Ran, Said, allowed_rules, asked_rules, run_rules
from analysis.tokens.rule import Rule
from analysis.tokens.subject import NetworkSubject, RowSubject, subject

SPAN = (0.1, 0.95)  # of the progress, that rules take
AT_RANDOM = "as many tokens kept at random"


@dataclass(frozen=True)
class Judged:
    """`rules` that these tokens allow, of the subject `who`; `values` by rule and share (2, n), or (2, n) by name where
    several things are measured; `notes` what is to be said."""

    who: NetworkSubject | RowSubject
    rules: list[Rule]
    values: dict[tuple[str, float], np.ndarray | dict[str, np.ndarray]]
    notes: tuple[str, ...]


def asked_subject(tap: Activations, params, rng: np.random.Generator, progress: Progress):
    """(whose tokens of a tap, notes) as the parameters of a method ask: `maximum_samples` and `source`. A tenth of the
    progress. Raises NotEnoughData."""

    def opening(fraction: float, doing: str = "") -> None:
        progress(SPAN[0] * fraction, doing)

    return subject(tap, params.maximum_samples, rng, params.source, opening, attention=False)


def judged(
    tap: Activations, params, shares: Sequence[float], of_batch: Callable, rng: np.random.Generator,
    progress: Progress, controls: bool = False,
) -> Judged:  # fmt: skip
    """Every rule of `params.rules` at every share on every batch; `of_batch(ran, rng)` measures one. Random keep is
    among the rules where they are all and `controls` are wanted too. One pass of the network for each sample.

    Raises NotFound, InputError, NotEnoughData: an unknown rule, none that these tokens allow, too few samples.
    """
    chosen, said, found = asked_rules(params.rules, controls), Said(), {}
    who, notes = asked_subject(tap, params, rng, progress)
    seed = int(rng.integers(2**31))
    for ran in run_rules(who, chosen, shares, rng, progress, said, SPAN):
        drawn = np.random.default_rng([seed, ran.part.start])
        found.setdefault((ran.rule.id, ran.share), []).append(of_batch(ran, drawn))
    chosen = allowed_rules(chosen, said)
    values = {(one.id, share): _joined(found[one.id, share]) for one in chosen for share in shares}
    progress(1.0, "done")
    return Judged(who, chosen, values, (*notes, *said.lines))


def kept_at_random(ran: Ran, rng: np.random.Generator) -> np.ndarray:
    """(B, T) bool: of the free tokens as many at random as stand by themselves behind the last step."""
    owner, free = ran.run.states[-1].owner, ran.dump.layout.free
    kept = ((owner == np.arange(free.shape[1])) & free).sum(axis=1)
    return as_many_at_random(free, kept, rng)


def lines(found: Judged, shares: Sequence[float]) -> dict[str, dict[str, np.ndarray]]:
    """`series`, `low`, `high` and `null` of a curve over the shares, by the titles of the rules."""
    made: dict[str, dict[str, np.ndarray]] = {"series": {}, "low": {}, "high": {}, "null": {}}
    for one in found.rules:
        each = [found.values[one.id, share] for share in shares]
        mean, null = (np.array([x[k].mean() for x in each]) for k in (0, 1))
        ends = [mean_interval(x[0], 0.0) for x in each]
        low, high = (
            np.array([e.get(end, m) for e, m in zip(ends, mean, strict=True)]) for end in ("low", "high")
        )
        for line, values in zip(made.values(), (mean, low, high, null), strict=True):
            line[one.title] = values
    return made


def less_than_random(found: Judged, share: float, name: str, d: int, unit: str) -> tuple[Estimate, ...]:
    """Of each rule by how much less it has of the measure than random keep, paired by sample; `name` of the estimates,
    before the rule's."""
    told = []
    for one in found.rules:
        values = found.values[one.id, share]
        less = values[1] - values[0]
        told.append(Estimate(f"{name}, {one.title}", float(less.mean()), **mean_interval(less), null=0.0,
                             null_method=AT_RANDOM, n=len(less), d=d, unit=unit,
                             estimator=f"difference at {share:.0%} of the tokens, paired by sample"))  # fmt: skip
    return tuple(told)


def _joined(parts: list):
    if isinstance(parts[0], dict):
        return {name: np.concatenate([p[name] for p in parts], axis=1) for name in parts[0]}
    return np.concatenate(parts, axis=1)
