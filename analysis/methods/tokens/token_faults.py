"""What goes wrong when tokens are dropped or merged? A rule is run, and known faults are looked for one by one.

    position bias      tokens left alone by row, column or tenth, against as many kept at random: z of the worst line,
                       told where 5 % of random keeps at most reach it anywhere (hypergeometric, exact)
    first-token sink   share of attention, and of the rule's score, on the first token; uniform attention beside it
    class token lost   class tokens that are gone or have others in them
    duplicates         equal tokens left apart while others were merged
    mass, weights      sizes that do not add up to the input tokens; merged tokens that are sums and not means
    log-size term      slope of the logits of attention on log s: 1 where merging copies changes nothing
    rows               the row of attention whose sum is farthest from 1
    still computed     tokens that went through the blocks, against those that are left

In the network of the tap the rule is applied and tokens are really removed. Where that cannot be run, the rows of the
tap stand for tokens (`analysis.tokens.tap_dump`), and what only a run can show is said to be not seen.

Interval of survival: Wilson's, samples as draws. Null: random keep of as many tokens.

When it lies: data differ by place, too (a digit stands in the middle): bias against random keep is not yet the rule's
fault, compare rules; a rule by design may do what is called a fault here (EViT adds up); equal tokens are rare where
positions are added; what is not seen is not right; two faults may hide each other.

Cost: two passes of the network over the samples.

References: M. Endo, X. Wang & S. Yeung-Levy (2025), "Feather the throttle"; Y. Zhong, Z. Liu, Y. Li & L. Wang (2025),
"AIM: adaptive inference of multi-modal LLMs via token merging and pruning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.machine import machine
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.dump import TokenDump, needed, simulate
from analysis.tokens.fault import BIASED, FAULT, UNSEEN
from analysis.tokens.faults import SEEN, faults
from analysis.tokens.rule import rule, rules
from analysis.tokens.rule_settings import SETTINGS_HELP, rule_with
from analysis.tokens.rules.received_attention import uniform_attention
from analysis.tokens.schedule import schedule
from analysis.tokens.subject import subject
from analysis.tokens.survival import Survival, survival, together, worst_line
from analysis.tokens.tap_dump import RUN
from analysis.tokens.view import CLASS, PATCH, TokenLayout

BATCH, OPENING = 16, 3.0  # samples at once; seconds
HELP = {
    "fault": "What was looked for.",
    "found": "What is there: of position bias z of the worst line, else as the sentence says.",
    "expected": "What a rule without the fault gives.",
    "verdict": "A fault; none found; or survival by place, which may be the rule's doing or the data's.",
    "what it means": "In a sentence.",
}


@dataclass(frozen=True)
class TokenFaultsParams:
    rule: str = param("tome", "The rule that drops or merges tokens.", choices=tuple(rules()))
    share: float = param(0.5, "Share of the tokens that may be removed which is left.", low=0.02, high=0.98)
    maximum_samples: int = param(64, "Most samples; a seeded random subset above.", low=2, high=5000)
    settings: str = param("", SETTINGS_HELP, label="settings of the rule", late=True)


def token_faults(
    activations, params: TokenFaultsParams = TokenFaultsParams(), rng=None, progress=no_progress
) -> Table:
    """The fault report of a rule.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; of other taps rows stand for tokens.

    Returns
    -------
    Table
        A line for everything that was looked for (see `help`). Estimate: survival on the line that deviates most.

    Raises
    ------
    InputError, NotEnoughData
        A rule that this network has nothing for, such as a class token; fewer than two samples of two tokens.
    """
    tap, rng, one = (
        as_activations(activations),
        rng or np.random.default_rng(0),
        rule_with(params.rule, params.settings),
    )
    progress(0.0, "opening")
    who, notes = subject(tap, params.maximum_samples, rng, progress=progress, attention=False)
    live, dump = (who.opened, None) if who.is_network else (None, who.dump)
    if live is None:
        run = simulate(dump, one, lambda n: schedule(one.schedule, params.share, dump.layers, n), rng=rng)
        where, notes = survival(dump.layout, run.states[-1]), (*notes, *run.notes)
    else:
        dump, run, where = _applied(live, one, params, rng, progress)
        few = (
            (f"All but position bias was looked for in {dump.n} of the samples.",) if dump.n < live.n else ()
        )
        notes = (*notes, *few, *run.notes)
    progress(0.9, "looking for faults")
    found = faults(dump, one, run, where)
    progress(1.0, "done")
    return _table(found, where, one, notes, tap.shape[1])


def _applied(live, one, params: TokenFaultsParams, rng, progress) -> tuple[TokenDump, object, Survival]:
    network, parts, first = live.network, [], None

    def plan(n):
        return schedule(one.schedule, params.share, network.layers, n)

    for part, inputs in live.batches(BATCH):
        progress(0.5 + 0.4 * part.start / live.n, "running the network")
        record = SEEN if first is None else ()
        run = network.run(inputs, one, plan, rng=rng, record=record)
        if first is None:
            whole = network.run(inputs, record=needed([one]))
            first = TokenDump(whole.layout, whole.recorded), run
        parts.append(survival(run.layout, run.states[-1]))
    return *first, together(parts)


def _table(found, where: Survival, one, notes, d: int) -> Table:
    lines = [f for f in found if f.verdict != UNSEEN]
    wrong = [f for f in lines if f.verdict == FAULT]
    unseen = [f"Not seen: {f.name}. {f.sentence}" for f in found if f.verdict == UNSEEN]
    said = [f.sentence for verdict in (FAULT, BIASED) for f in lines if f.verdict == verdict]
    found_ = f"{len(wrong)} of {len(lines)} faults" if wrong else f"None of {len(lines)} faults"
    reading = f"{found_} that were looked for {'were' if len(wrong) > 1 else 'was'} found in {one.title}."
    return Table(
        title=f"Faults of {one.title}", reading=" ".join([reading, *said]), estimates=(_estimate(where, d),),
        caveats=(*notes, *((one.trained,) if one.trained else ()), *one.notes, *unseen),
        columns={
            "fault": np.array([f.name for f in lines]), "found": np.array([f.found for f in lines]),
            "expected": np.array([f.expected for f in lines]), "verdict": np.array([f.verdict for f in lines]),
            "what it means": np.array([f.sentence for f in lines]),
        }, index="fault", help=HELP,
    )  # fmt: skip


def _estimate(where: Survival, d: int) -> Estimate:
    at, told = worst_line(where)
    return Estimate(f"tokens left alone in {where.names[at]}", d=d, **told)


def _cost(shapes, params: TokenFaultsParams) -> Cost:
    (n, d), m = shapes[0], machine()
    samples = min(max(n // RUN, 1), params.maximum_samples)
    rows = samples * (RUN + 1)
    held = 8.0 * rows * (5.0 * d + 8.0 * RUN)
    flops = 2.0 * rows * RUN * d * 8
    passes = 2 * min(n, params.maximum_samples)
    return Cost(
        OPENING + m.seconds(flops64=flops, moved=held, calls=400.0 * samples) + 2e-3 * passes, held, passes
    )


def _planted(x: np.ndarray, attention: np.ndarray, causal: bool = False) -> TokenDump:
    n, t = x.shape[:2]
    kinds = np.full((n, t), PATCH)
    kinds[:, 0] = CLASS
    cell = np.broadcast_to(np.arange(t) - 1, (n, t))
    side = int(np.sqrt(t - 1))
    layout = TokenLayout(kinds, kinds == PATCH, cell, None if causal else (side, side), causal=causal)
    return TokenDump(layout, {"hidden": [x] * 3, "between": [x] * 2, "mean keys": [x] * 2,
                              "mean attention": [attention] * 2, "attention": [attention[:, None]] * 2})  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """Random keep has no fault; the last tokens alone are a bias of rows; undamped PageRank over uniform causal
    attention puts 0.823 of its score on the first of 20; copies side by side are merged; EViT adds 17 of 37."""
    rng = np.random.default_rng(0)
    x = np.concatenate(
        [rng.standard_normal((20, 1, 4)), np.repeat(rng.standard_normal((20, 18, 4)), 2, axis=1)], axis=1
    )
    grid = _planted(x, uniform_attention(np.ones((20, 37), bool), False))
    text = _planted(
        rng.standard_normal((2, 20, 4)), uniform_attention(np.ones((2, 20), bool), True), causal=True
    )

    def lines(dump, name, share=0.5):
        one = rule(name)
        run = simulate(dump, one, lambda n: schedule("second", share, 2, n))
        return {f.name: f for f in faults(dump, one, run)}

    random, last, sink = lines(grid, "random"), lines(grid, "last"), lines(text, "pagerank")
    tome, evit = lines(grid, "tome"), lines(grid, "evit")
    return (
        CheckLine("faults of random keep", 0.0, sum(f.verdict in (FAULT, BIASED) for f in random.values()), 0.0),
        CheckLine("last tokens kept: z of a row", 10.0, abs(last["position bias by row"].found), 0.0, "at least"),
        CheckLine("PageRank: score on the first token", 0.8227, sink["first-token sink of the score"].found, 1e-4),
        CheckLine("uniform causal attention on it", 0.1799, sink["first-token sink"].found, 1e-4),
        CheckLine("ToMe: copies left apart", 0.0, tome["duplicates not merged"].expected
                  - tome["duplicates not merged"].found, 0.0),
        CheckLine("ToMe: sizes add up", 20 * 37, tome["mass not conserved"].found, 1e-9),
        CheckLine("EViT: weights of its fused token", 19 / 37, evit["weights of a merge"].found, 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="token_faults", family="tokens", network="blocks",
        title="What goes wrong with tokens", version=3, function=token_faults,
        summary="A rule that drops or merges tokens is run, and known faults are looked for one by one.",
        params=TokenFaultsParams, result=Table, check=_check, cost=_cost, minimum_rows=2 * RUN,
        invariance="the order of samples; one scale for all units",
        papers=(
            "Feather the Throttle: Revisiting Visual Token Pruning for Vision-Language Model Acceleration",
            "AIM: Adaptive Inference of Multi-Modal LLMs via Token Merging and Pruning",
        ),
        libraries=("torch", "transformers"),
    ),
)  # fmt: skip
