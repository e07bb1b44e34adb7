"""Does it take less time, too? Wall time of the network with tokens really removed, beside its multiply-adds.

    time ratio   median over repeats of  seconds with the rule / seconds of the whole network just before
    work ratio   multiply-adds with the counts of tokens that were really left, over those of the whole network

at equal shares of multiply-adds, each rule with its own spread over the layers. Deciding which tokens go is in the time
and not in the work. One batch of samples is run again and again, the whole network before each pass with a rule, so
that what else the machine does slows both.

Interval: order statistics of the repeats. Null: the work ratio, which time would have if nothing but multiply-adds took
any; the noise is told by the whole network against itself just before, which would be 1 without any.

When it lies: times are of this machine, this batch size and this load, and other numbers come out the next time; small
networks spend their time on calls and not on arithmetic, so that fewer tokens hardly help; where attention weights are
wanted the fused kernel is not used, which costs in the layers where the rule acts; a rule written otherwise may be
faster. Of rows without a network nothing is timed: only the work is told.

Cost: 2 passes for each rule, share and repeat, and 2 more for each repeat.

References: of the rules, in their own files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.errors import InputError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.arithmetic import multiply_adds
from analysis.tokens.ledger import plan_at
from analysis.tokens.over_samples import (
    RULES_HELP,
    Said,
    allowed_rules,
    asked_rules,
    cost_of,
    count_of,
    handful_note,
)
from analysis.tokens.subject import subject
from analysis.tokens.timing import Timed, median_of, noise_of

SHARES, TOLD = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4), 0.6  # as in the ledger
ORACLE = "The pass that finds oracle scores is not in the time: a rule with a trained predictor has none."
WORK, WHOLE = "multiply-adds", "the whole network against itself"


@dataclass(frozen=True)
class LatencyParams:
    rules: str = param("", RULES_HELP)
    batch: int = param(8, "Samples that go through the network at once.", low=1, high=256)
    repeats: int = param(9, "Times that each pass is run.", low=3, high=200)


@dataclass(frozen=True)
class _Found:
    """Of one rule at one share: `times` (repeats,) ratios, NaN where none is timed; `work` the ratio of work."""

    times: np.ndarray
    work: float


def latency(activations, params: LatencyParams = LatencyParams(), rng=None, progress=no_progress) -> Curve:
    """What rules take in time, over what they may spend in multiply-adds.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; of other rows only the work is told.

    Returns
    -------
    Curve
        A line for each rule: the ratio of times, its null the ratio of work. Estimates: each at 60 % of the work, and
        the noise of the machine.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        An unknown rule; none that these tokens allow; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    chosen, said = asked_rules(params.rules), Said()
    who, notes = subject(
        tap,
        max(params.batch, 2),
        rng,
        progress=lambda f, doing="": progress(0.1 * f, doing),
        attention=False,
    )
    given, seed = next(iter(who.batches(params.batch)))[1], int(rng.integers(2**31))
    whole = who.answer(given)  # the first pass fetches and compiles
    counts = np.stack([s.counts for s in whole.states], axis=1).astype(float)
    fixed = int(counts[0, 0] - whole.layout.free[0].sum())
    shape, times, work, alone = who.shape(), {}, {}, []
    for k in range(params.repeats + 1):  # the first round warms up
        progress(0.1 + 0.85 * k / (params.repeats + 1), "timing passes")
        alone.append((who.answer(given).seconds, who.answer(given).seconds))
        for one, share in ((r, s) for r in chosen for s in SHARES if r.id not in said.refused):
            plan = plan_at(one, share, shape, fixed)
            try:
                before = who.answer(given).seconds
                less = who.answer(given, one, plan, None, np.random.default_rng(seed))
            except InputError as error:
                said.refused[one.id] = f"{one.title} is left out: {str(error).split('. ')[0]}."
                continue
            oracle = [ORACLE] if "oracle" in one.needs and who.is_network else []
            said.notes |= dict.fromkeys([*less.notes, *oracle])
            said.ran_rules[one.id] = one
            times.setdefault((one.id, share), []).append(less.seconds / before)
            work[one.id, share] = _work(shape, one, less, counts)
    chosen = allowed_rules(chosen, said)
    found = {key: _Found(np.array(t[1:]), work[key]) for key, t in times.items()}
    progress(1.0, "done")
    return _curve(who, chosen, found, np.array(alone[1:]), len(counts),
                  (*notes, *said.lines, *handful_note(params.rules)), tap.shape[1])  # fmt: skip


def _work(shape, one, less, full: np.ndarray) -> float:
    counts = np.stack([s.counts for s in less.states], axis=1).astype(float)
    spent, whole = (sum(multiply_adds(shape, c, one.place).total for c in x) for x in (counts, full))
    return spent / whole


def _curve(who, chosen, found, alone: np.ndarray, batch: int, notes, d: int) -> Curve:
    lines: tuple[dict, dict, dict, dict] = ({}, {}, {}, {})
    for one in chosen:
        each = [found[one.id, share] for share in SHARES]
        ends = [_ends(f) for f in each]
        of = ([e.value for e in ends], [e.low for e in ends], [e.high for e in ends], [f.work for f in each])
        for line, values in zip(lines, of, strict=True):
            line[one.title] = np.array(values)
    told = [_estimate(one, found[one.id, TOLD], d, who.is_network) for one in chosen]
    if who.is_network:
        told.append(_noise(alone, d))
    return Curve(
        title=f"Time and work of {who.what}", x=np.array(SHARES), x_name="share of multiply-adds allowed",
        y_name="share of the time of the whole network" if who.is_network else "share of multiply-adds",
        series=lines[0], low=lines[1], high=lines[2], null=lines[3], estimates=tuple(told),
        reading=_reading(who, chosen, found, alone, batch),
        caveats=(*notes, *_caveats(who, chosen, found, alone, batch)),
    )  # fmt: skip


def _ends(found: _Found) -> Timed:
    known = np.isfinite(found.times).all()
    return median_of(found.times) if known else Timed(found.work, found.work, found.work, 1.0)


def _estimate(one, found: _Found, d: int, timed: bool) -> Estimate:
    if not timed:
        return Estimate(f"{WORK}, {one.title}", found.work, interval="none: counted", null=1.0,
                        null_method="no removal", n=1, d=d, estimator="closed form")  # fmt: skip
    at = _ends(found)
    return Estimate(f"time at {TOLD:.0%}, {one.title}", at.value, low=at.low, high=at.high, level=at.level,
                    interval=at.interval, null=found.work, null_method="share of multiply-adds that was spent",
                    n=len(found.times), d=d, estimator=f"median ratio at {TOLD:.0%} of the multiply-adds")  # fmt: skip


def _noise(alone: np.ndarray, d: int) -> Estimate:
    """Of the whole network over itself just before, as rules are: (repeats, 2), each pass in one ratio alone."""
    at = median_of(alone[:, 1] / alone[:, 0])
    return Estimate(WHOLE, at.value, low=at.low, high=at.high, level=at.level, interval=at.interval, null=1.0,
                    null_method="a machine that does nothing else", n=len(alone), d=d,
                    estimator="median ratio of a pass to the one just before")  # fmt: skip


def _reading(who, chosen, found, alone: np.ndarray, batch: int) -> str:
    if not who.is_network:
        return "No network was run: only multiply-adds are told, which each rule may spend equally many of."
    best = min(chosen, key=lambda one: _ends(found[one.id, TOLD]).value)
    at, work = _ends(found[best.id, TOLD]), found[best.id, TOLD].work
    faster = sum(_ends(found[one.id, TOLD]).high < 1 for one in chosen)
    return (
        f"The whole network takes {1e3 * np.median(alone):.3g} ms for {batch} samples. At {TOLD:.0%} of its "
        f"multiply-adds {faster} of {len(chosen)} rules take less time; {best.title} takes {at.value:.0%} of it "
        f"({at.low:.0%} to {at.high:.0%}) for {work:.0%} of the work."
    )


def _caveats(who, chosen, found, alone: np.ndarray, batch: int) -> list[str]:
    if not who.is_network:
        return ["Nothing was timed."]
    said = [
        f"One batch of {batch} samples on this machine, with what else ran on it; other numbers come the next time.",
        f"Repeats of the same pass differ by {noise_of(alone):.0%} (half of the middle half, over the median).",
    ]
    missed = [one.title for one in chosen if abs(found[one.id, TOLD].work - TOLD) > 0.05]
    return said + ([f"Work differs from what was allowed: {', '.join(missed)}."] if missed else [])


def _cost(shapes, params: LatencyParams) -> Cost:
    runs = 2 * (params.repeats + 1) * len(SHARES) * count_of(params.rules)
    found, batch = cost_of(shapes[0], max(params.batch, 2), runs), max(params.batch, 2)
    return replace(found, passes=(1 + runs) * min(shapes[0][0], batch))


def _check() -> tuple[CheckLine, ...]:
    """Work against the closed form; the median and its interval of numbers that are known."""
    rng = np.random.default_rng(0)
    tap = ArrayActivations(
        rng.standard_normal((400, 8)), name="planted", layout=Layout(np.arange(0, 401, 50))
    )
    found = latency(tap, LatencyParams(rules="random", repeats=3))
    at = median_of(np.arange(1.0, 10.0))
    return (
        CheckLine("work of random keep at 60 %", TOLD, float(found.null["Random"][SHARES.index(TOLD)]), 0.03),
        CheckLine("and at 90 %", SHARES[0], float(found.null["Random"][0]), 0.03),
        CheckLine("median of 1 to 9", 5.0, at.value, 0.0),
        CheckLine("its interval begins at the second", 2.0, at.low, 0.0),
        CheckLine("and covers", 1 - 2 * 10 / 512, at.level, 1e-12),
    )


METHODS = (
    Method(
        id="latency",
        family="tokens",
        network="blocks",
        title="Time and work",
        summary="Wall time of the network with tokens really removed, beside its multiply-adds and noise.",
        version=6,
        function=latency,
        params=LatencyParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=32,
        invariance="none: times are of this machine at this moment",
        libraries=("torch", "transformers"),
    ),
)
