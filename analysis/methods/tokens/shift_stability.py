"""Does a rule keep the same places when the picture moves by one pixel? Jaccard index of survivors before and after.

    J(A, A') = |A ∩ A'| / |A ∪ A'|

of the sets of free tokens left of a sample and of the same sample moved, mean over samples, over the share of tokens
that is left. The network is run on the moved picture, its edges repeated, and every rule on both dumps. Nothing that is
seen changes by a pixel, so what a rule changes is its own unrest, and that of the network before it. Rows of a tap
without a network are moved on by one place instead, and survivors compared as the same rows: a rule that goes by
content alone has 1 there, one that goes by place has less.

Interval: Student's t over samples. Null: sets of these sizes of which one is drawn at random, exact (hypergeometric).

When it lies: rules that go by place alone (even, first, last tokens, pooling on a grid) have 1 by construction and see
nothing; a shift by as much as a patch moves what is in it, and survivors should then move along, so ask for less than a
patch. Of a merged token the one that names it is compared, which may change while the group does not. High stability is
no merit by itself: compare it with what is kept.

Cost: two passes of the network for each sample, and two runs of each rule at each share.

Reference: of the rules, in their own files; M. Endo, X. Wang & S. Yeung-Levy (2025), "Feather the throttle", for rules
that go by place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.dump import TokenDump, needed, simulate
from analysis.tokens.over_samples import (
    ALL,
    BATCH,
    RULES_HELP,
    Said,
    allowed_rules,
    asked_rules,
    cost_of,
    count_of,
    plan_of,
)
from analysis.tokens.shifting import DIRECTIONS, RIGHT, moved_picture, moved_rows
from analysis.tokens.subject import AUTOMATIC, ROWS, SOURCES, subject
from analysis.tokens.survivors import chance_jaccards, jaccard, survivors_of

SHARES, TOLD = (0.75, 0.5, 0.25), 0.5


@dataclass(frozen=True)
class ShiftStabilityParams:
    pixels: int = param(1, "By how much pictures are moved; less than a patch.", low=1, high=32)
    direction: str = param(RIGHT, "Where pictures are moved to.", choices=DIRECTIONS)
    rules: str = param(ALL, RULES_HELP)
    maximum_samples: int = param(64, "Most samples; a seeded random subset above.", low=2, high=100_000)
    source: str = param(
        AUTOMATIC, "Whose tokens: the network's, or the recorded rows.", choices=SOURCES, late=True
    )


def shift_stability(
    activations, params: ShiftStabilityParams = ShiftStabilityParams(), rng=None, progress=no_progress
) -> Curve:
    """How far survivors stay the same when the sample moves.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer of pictures that can be run again; otherwise its rows are the tokens.

    Returns
    -------
    Curve
        A line for each rule over the share of tokens left, with intervals and the null of random sets. Estimates: at
        half of the tokens.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        An unknown rule; none that these tokens allow; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    chosen, said = asked_rules(params.rules), Said()

    def opening(f, doing=""):
        progress(0.1 * f, doing)

    who, notes = subject(tap, params.maximum_samples, rng, params.source, opening, attention=False)
    if (
        who.is_network
        and moved_picture(next(iter(who.batches(1)))[1], params.pixels, params.direction) is None
    ):
        who, notes = subject(tap, params.maximum_samples, rng, ROWS, lambda f, doing="": opening(1.0, doing))
        notes = ("The network is not run: it sees no picture that could be moved.", *notes)
    seed, found = int(rng.integers(2**31)), {}
    for part, before, after, went in _pairs(who, chosen, params):
        for k, (one, share) in enumerate((r, s) for r in chosen for s in SHARES):
            done = (part.start + (part.stop - part.start) * k / (len(chosen) * len(SHARES))) / who.n
            progress(0.1 + 0.85 * done, one.title)
            if one.id not in said.refused:
                try:
                    values, *told = _of_rule(before, after, went, one, share, [seed, k, part.start])
                    found.setdefault((one.id, share), []).append(values)
                    said.ran(one, share, *told)
                except InputError as error:
                    said.refused[one.id] = f"{one.title} is left out: {str(error).split('. ')[0]}."
    chosen = allowed_rules(chosen, said)
    made = {key: np.concatenate(parts, axis=1) for key, parts in found.items()}
    progress(1.0, "done")
    return _curve(who, chosen, made, params, (*notes, *said.lines), tap.shape[1])


def _pairs(who, chosen, params) -> Iterator[tuple[slice, TokenDump, TokenDump, np.ndarray | None]]:
    """(part, dump, dump of the moved samples, where each token went or None where places are compared)."""
    if not who.is_network:
        for part, dump in who.dumps(BATCH):
            yield part, dump, *moved_rows(dump)
        return
    network, names = who.opened.network, needed(chosen)
    for part, given in who.batches(BATCH):
        runs = [
            network.run(x, record=names)
            for x in (given, moved_picture(given, params.pixels, params.direction))
        ]
        yield part, *(TokenDump(run.layout, run.recorded) for run in runs), None


def _of_rule(before: TokenDump, after: TokenDump, went, one, share: float, seed: list[int]):
    """((2, B) the Jaccard index and its null, free tokens, those left before, what the rule says). Draws of the two
    runs differ, so that chance has its null."""
    plan, free = plan_of(one, share, before.layers), before.layout.free
    left, notes = [], []
    for k, dump in enumerate((before, after)):
        run = simulate(dump, one, plan, None, np.random.default_rng([*seed, k]))
        left.append(survivors_of(run.states[-1], free))
        notes += run.notes
    a, b = left
    b = b if went is None else np.take_along_axis(b, went, axis=1)
    return np.stack([jaccard(a, b), chance_jaccards(free, a, b)]), free, a, notes


def _curve(who, chosen, made, params: ShiftStabilityParams, notes, d: int) -> Curve:
    lines: tuple[dict, dict, dict, dict] = ({}, {}, {}, {})
    for one in chosen:
        each = [made[one.id, share] for share in SHARES]
        ends = [mean_interval(x[0], 0.0, 1.0) for x in each]
        mean = np.array([x[0].mean() for x in each])
        of = (mean, [e.get("low", m) for e, m in zip(ends, mean, strict=True)],
              [e.get("high", m) for e, m in zip(ends, mean, strict=True)], [x[1].mean() for x in each])  # fmt: skip
        for line, values in zip(lines, of, strict=True):
            line[one.title] = np.array(values)
    told = tuple(
        Estimate(f"same survivors, {one.title}", float(made[one.id, TOLD][0].mean()),
                 **mean_interval(made[one.id, TOLD][0], 0.0, 1.0), null=float(made[one.id, TOLD][1].mean()),
                 null_method="sets of these sizes, one of them at random (exact)", n=made[one.id, TOLD].shape[1], d=d,
                 estimator=f"mean Jaccard index at {TOLD:.0%} of the tokens") for one in chosen
    )  # fmt: skip
    by = f"by {params.pixels} pixel{'s' if params.pixels > 1 else ''} {params.direction}"
    what = f"the picture moves {by}" if who.is_network else "rows move on by one place"
    least = min(told, key=lambda e: e.value)
    reading = (
        f"When {what}, {least.name.split(', ')[1]} keeps the same tokens least: Jaccard index {least.value:.2f} at "
        f"{TOLD:.0%} of the tokens, by chance {least.null:.2f}."
    )
    return Curve(
        title=f"Are the same tokens kept when {what}?", x=np.array(SHARES), x_name="share of tokens left",
        y_name="Jaccard index of survivors", series=lines[0], low=lines[1], high=lines[2], null=lines[3],
        estimates=told, reading=reading, caveats=(*notes, *_caveats(who)),
    )  # fmt: skip


def _caveats(who) -> list[str]:
    said = [f"{who.n:,} samples of {who.what}; rules run on what was recorded of them."]
    if who.is_network:
        said.append("Rules that go by place alone have 1 by construction.")
    return said


def _cost(shapes, params: ShiftStabilityParams) -> Cost:
    return cost_of(shapes[0], params.maximum_samples, 2 * len(SHARES) * count_of(params.rules))


def _check() -> tuple[CheckLine, ...]:
    """Rows moved on by one place: first tokens of ten give 4 of 6, what goes by content alone everything."""
    rng = np.random.default_rng(0)
    tap = ArrayActivations(
        rng.standard_normal((2000, 6)), name="planted", layout=Layout(np.arange(0, 2001, 10))
    )
    found = shift_stability(
        tap, ShiftStabilityParams(rules="first,class_attention,random", maximum_samples=200)
    )
    at = SHARES.index(TOLD)
    return (
        CheckLine("first five of ten", 4 / 6, float(found.series["First tokens"][at]), 1e-12),
        CheckLine("what the mean reads most", 1.0, float(found.series["Class attention"][at]), 1e-12),
        CheckLine("random keep meets its null", float(found.null["Random"][at]),
                  float(found.series["Random"][at]), 0.05),
    )  # fmt: skip


METHODS = (
    Method(
        id="shift_stability",
        family="tokens",
        network="blocks",
        title="Stability under a shift",
        summary="Are the same tokens kept when the picture moves by one pixel? Every rule beside random sets.",
        version=3,
        function=shift_stability,
        params=ShiftStabilityParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=32,
        invariance="the order of samples",
        papers=(
            "Feather the Throttle: Revisiting Visual Token Pruning for Vision-Language Model Acceleration",
        ),
        libraries=("torch", "transformers"),
    ),
)
