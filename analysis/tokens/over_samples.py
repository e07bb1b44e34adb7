"""Rules on the dumps of many samples, one batch at a time: what several measures of survivors are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from analysis.compute.machine import machine
from analysis.errors import InputError
from analysis.spec import Cost, Progress
from analysis.tokens.dump import Simulated, TokenDump, briefly, needed, simulate
from analysis.tokens.rule import Rule, rules
from analysis.tokens.rule_settings import names_in, rule_written
from analysis.tokens.schedule import schedule
from analysis.tokens.survivors import survivors_of
from analysis.tokens.tap_dump import RUN

ALL, BATCH, OPENING = "all", 16, 6.0  # samples at once; seconds
MISSED = 0.05  # share of tokens by which the one asked for is missed
HANDFUL = ("tome", "pitome", "mctf", "evit", "class_attention", "even")
RULES_HELP = "Rules with commas between them, settings in brackets: tome, pitome(margin=0.8). Or all; empty: a handful."


@dataclass(frozen=True)
class Ran:
    """One rule at one share on one batch: `part` of the samples."""

    rule: Rule
    share: float
    part: slice
    dump: TokenDump
    run: Simulated


@dataclass
class Said:
    """What was to be said on the way: `notes`, and of rules that these tokens do not allow why, by id."""

    notes: dict[str, None] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    left: dict[tuple[str, float], list[np.ndarray]] = field(default_factory=dict)
    ran_rules: dict[str, Rule] = field(default_factory=dict)

    @property
    def lines(self) -> tuple[str, ...]:
        own = notes_of(self.ran_rules.values())
        return (*self.refused.values(), *briefly(self.notes), *own, *self._missed())

    def ran(
        self, one: Rule, share: float, free: np.ndarray, left: np.ndarray, notes: Sequence[str] = ()
    ) -> None:
        """That a rule was asked for a share and left these of the free tokens, both (B, T) bool."""
        self.notes |= dict.fromkeys(notes)
        self.ran_rules[one.id] = one
        self.left.setdefault((one.title, share), []).append(
            left.sum(axis=1) / np.maximum(free.sum(axis=1), 1)
        )

    def _missed(self) -> list[str]:
        """Shares of tokens that were not met, in a sentence."""
        mean = {key: float(np.concatenate(parts).mean()) for key, parts in self.left.items()}
        missed = [f"{title} {found:.0%} at {share:.0%}" for (title, share), found in mean.items()
                  if abs(found - share) > MISSED]  # fmt: skip
        listed = ", ".join(missed[:8]) + (f" and {len(missed) - 8} more" if len(missed) > 8 else "")
        return (
            [f"Not every rule leaves the share of tokens that was asked for; left were: {listed}."]
            if missed
            else []
        )


def notes_of(chosen: Iterable[Rule]) -> list[str]:
    """What rules say of themselves, each thing once behind the titles of all that say it."""
    by: dict[str, list[str]] = {}
    for one in chosen:
        for said in (one.trained, *one.notes):
            if said:
                by.setdefault(said, []).append(one.title)
    return [f"{', '.join(titles)}: {said}" for said, titles in by.items()]


def asked_rules(asked: str, controls: bool = False) -> list[Rule]:
    """The rules of these ids, with settings where they have any (`rule_settings`); all are all but random keep, unless
    `controls`. Raises NotFound, ParameterError."""
    if asked.strip() == ALL:
        return [one for one in rules().values() if controls or one.id != "random"]
    named = map(rule_written, names_in(asked.strip() or ",".join(HANDFUL)))
    return list({one.id: one for one in named}.values())


def count_of(asked: str) -> int:
    """How many rules that is, for an estimate of the cost."""
    return len(rules()) if asked.strip() == ALL else len(names_in(asked)) or len(HANDFUL)


def handful_note(asked: str) -> tuple[str, ...]:
    """That there are more rules than those that an empty text stands for, where it is one."""
    if asked.strip():
        return ()
    others = [one.title for one in rules().values() if one.id not in (*HANDFUL, "random")]
    return (f"A handful of the {len(rules()) - 1} rules there are; the others: {', '.join(others)}.",)


def plan_of(one: Rule, share: float, layers: int):
    """The rule's own spread over the layers, as a function from the free tokens of a sample."""
    return lambda tokens: schedule(one.schedule, share, layers, tokens)


def run_rules(
    who,
    chosen: Sequence[Rule],
    shares: Sequence[float],
    rng: np.random.Generator,
    progress: Progress,
    said: Said,
    span=(0.0, 1.0),
) -> Iterator[Ran]:
    """Every rule at every share on the dump of every batch of a subject (`analysis.tokens.subject`). Rules that these
    tokens do not allow are left out from the batch on that they refuse, and named in `said`.

    Cost: one pass of the network for each sample; memory of one batch.
    """
    seed, every = int(rng.integers(2**31)), len(chosen) * len(shares)
    for part, dump in who.dumps(BATCH, needed(chosen)):
        for k, (one, share) in enumerate((r, s) for r in chosen for s in shares):
            done = (part.start + (part.stop - part.start) * k / every) / who.n
            progress(span[0] + (span[1] - span[0]) * done, one.title)
            if one.id in said.refused:
                continue
            try:
                own = np.random.default_rng([seed, k, part.start])
                found = simulate(dump, one, plan_of(one, share, dump.layers), None, own)
            except InputError as error:
                said.refused[one.id] = f"{one.title} is left out: {str(error).split('. ')[0]}."
                continue
            free = dump.layout.free
            said.ran(one, share, free, survivors_of(found.states[-1], free), found.notes)
            yield Ran(one, share, part, dump, found)


def allowed_rules(chosen: Sequence[Rule], said: Said) -> list[Rule]:
    """Those that refused nowhere. Raises InputError where all did."""
    left = [one for one in chosen if one.id not in said.refused]
    if not left:
        raise InputError(
            " ".join(said.refused.values()), "a rule that these tokens allow", "Ask for all rules"
        )
    return left


def cost_of(shape: tuple[int, int], maximum: int, runs: int) -> Cost:
    """Of so many runs of rules on the dump of each of at most so many samples; rows are read as runs of 16, as in
    `analysis.tokens.tap_dump`."""
    (n, d), m = shape, machine()
    samples = min(max(n // RUN, 1), maximum)
    tokens = samples * (RUN + 1)
    held = 8.0 * tokens * (3.0 * d + 3.0 * RUN) + 3e5
    flops = 4.0 * tokens * (RUN + 1) * d
    calls = 60.0 * runs * max(samples / BATCH, 1.0)
    seconds = OPENING + m.seconds(flops64=flops * (1 + runs), moved=4 * held + 8.0 * n * d, calls=calls)
    return Cost(seconds + 2e-3 * min(n, maximum), held, min(n, maximum))
