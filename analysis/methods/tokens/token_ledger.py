"""Which rule keeps the answer at the same cost? Every rule at matched multiply-adds, tokens really removed.

At a share c of the network's multiply-adds each rule removes tokens by its own spread over the layers until

    Σ_l [ t_l (2 d e + 2 d f) + t'_l g d m + 2 t_l² e ] + fixed  ≤  c · (the same with all tokens),

t_l tokens at the attention of layer l and t'_l at its MLP. The network then answers with the tokens that are left.
Measured: the share of samples with the same answer, with the right one, the cosine between the outputs, or the
Kullback-Leibler divergence from the full answer.

Interval: over samples, Wilson's for shares (Newcombe's for their differences) and Student's for means. Null: as many
tokens removed at the same places, but at random, drawn anew for every batch of samples; the estimates tell what each
rule gains over that, paired by sample. p is that of signs drawn anew (of shares McNemar's exact test), one-sided and
corrected for all rules that are compared (Holm): a rule counts as better than random from 5 % of that on down.

When it lies: rules with trained scores run on stand-ins (said); multiply-adds are not seconds; a rule that removes late
keeps more and saves less, which equal cost accounts for and equal token counts would not; samples of one class, or ones
that a network knows anyway, make all rules look alike. Without a network the answer is a mean of rows.

Cost: (1 + 2 rules x shares) passes of every sample at most.

References: of the rules, in their own files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.machine import machine
from analysis.compute.statistics.multiple_testing import holm
from analysis.compute.statistics.paired_gain import gain_p, paired_interval
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.errors import InputError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.chance import chance_of
from analysis.tokens.judged_rules import asked_subject
from analysis.tokens.ledger import COSINE, MEASURES, NATS, RIGHT, SAME, spend
from analysis.tokens.over_samples import RULES_HELP, asked_rules, count_of, handful_note, notes_of
from analysis.tokens.subject import AUTOMATIC, SOURCES

OPENING = 6.0
SHARES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
LEVEL = 0.05
TOLD = 0.6  # of the multiply-adds, that estimates are of
GAIN = f"gain over random at {TOLD:.0%}"  # with a rule's title behind it, of which figures make a ranked list
UNITS = {SAME: "share of samples", RIGHT: "share of samples", COSINE: "cosine", NATS: "nats"}


@dataclass(frozen=True)
class TokenLedgerParams:
    measure: str = param(COSINE, "What is compared with the full answer.", choices=MEASURES)
    rules: str = param("", RULES_HELP)
    maximum_samples: int = param(64, "Most samples; a seeded random subset above.", low=2, high=100_000)
    source: str = param(
        AUTOMATIC, "Whose tokens: the network's, or the recorded rows.", choices=SOURCES, late=True
    )


def token_ledger(
    activations, params: TokenLedgerParams = TokenLedgerParams(), rng=None, progress=no_progress
) -> Curve:
    """What each rule leaves of the answer, over the share of multiply-adds that it may spend.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows are the tokens.

    Returns
    -------
    Curve
        One line for each rule over shares of multiply-adds, with intervals. Estimates: what each gains over random
        tokens at 60 %, paired.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        A rule that there is not, or that these tokens do not allow; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    chosen = asked_rules(params.rules)
    who, notes = asked_subject(tap, params, rng, progress)
    measure, told = _measure(who, params.measure)
    chances = {c.id: c for c in map(chance_of, chosen)}
    spent, said = spend(who, [*chosen, *chances.values()], SHARES, rng, progress, (0.1, 1.0))
    progress(1.0, "done")
    chosen = [one for one in chosen if (one.id, SHARES[0]) in spent]
    if not chosen:
        raise InputError(" ".join(said), "a rule that these tokens allow", "Ask for all rules")
    return _curve(who, chosen, spent, measure, tap, (*notes, *told, *said, *handful_note(params.rules)), rng)


def _measure(who, asked: str) -> tuple[str, tuple[str, ...]]:
    unlabelled = who.labels is None or not (np.asarray(who.labels) >= 0).any()
    if asked == RIGHT and (unlabelled or not who.classifies):
        return (SAME if who.classifies else COSINE), ("There are no labels that answers could be right by.",)
    if asked in (SAME, NATS) and not who.classifies:
        return COSINE, (f"Outputs are no classes: the cosine is told instead of '{asked}'.",)
    return asked, ()


def _curve(who, chosen, spent, measure: str, tap, notes, rng) -> Curve:
    interval = share_interval if measure in (SAME, RIGHT) else mean_interval
    series, low, high = {}, {}, {}
    for one in chosen:
        each = [spent[one.id, s].values[measure] for s in SHARES]
        each = [v[np.isfinite(v)] for v in each]
        series[one.title] = np.array([v.mean() for v in each])
        ends = [interval(v) for v in each]
        low[one.title] = np.array([e.get("low", m) for e, m in zip(ends, series[one.title], strict=True)])
        high[one.title] = np.array([e.get("high", m) for e, m in zip(ends, series[one.title], strict=True)])
    null = {
        one.title: np.array([np.nanmean(spent[chance_of(one).id, s].values[measure]) for s in SHARES])
        for one in chosen
    }
    told = _estimates(chosen, spent, measure, tap.shape[1], rng)
    return Curve(
        title=f"What is left of the answer of {who.what}", x=np.array(SHARES), x_name="share of multiply-adds",
        y_name=measure, series=series, low=low, high=high, null=null, estimates=told,
        reading=_reading(chosen, told, measure), caveats=(*notes, *_caveats(who, chosen, spent)),
    )  # fmt: skip


def _estimates(chosen, spent, measure: str, d: int, rng) -> tuple[Estimate, ...]:
    sign = -1.0 if measure == NATS else 1.0
    pairs = [[spent[r.id, TOLD].values[measure] for r in (one, chance_of(one))] for one in chosen]
    known = [np.isfinite(rule - chance) for rule, chance in pairs]
    gains = [sign * (rule - chance)[k] for (rule, chance), k in zip(pairs, known, strict=True)]
    p = holm(np.array([gain_p(gain, rng) for gain in gains]))
    many = f", p corrected for {len(chosen)} rules" if len(chosen) > 1 else ""
    return tuple(
        Estimate(f"{GAIN}, {one.title}", float(gain.mean()), null=0.0, p_value=float(corrected),
                 **_ends(gain, chance[k], measure), n=len(gain), d=d,
                 null_method="as many tokens at random in the same places" + many, unit=UNITS[measure],
                 estimator=f"difference in {measure}, paired by sample")
        for one, gain, (_, chance), k, corrected in zip(chosen, gains, pairs, known, p, strict=True)
    )  # fmt: skip


def _ends(gain: np.ndarray, chance: np.ndarray, measure: str) -> dict:
    """Of shares Newcombe's paired interval, which has a width where no answer differs; else Student's; of one sample
    the number alone."""
    if measure in (SAME, RIGHT):
        low, high = paired_interval(chance == 1, chance + gain == 1)
        return {"low": low, "high": high, "interval": "Newcombe's, paired by sample"}
    return mean_interval(gain) or {
        "low": float(gain[0]), "high": float(gain[0]), "interval": "one sample: none"
    }  # fmt: skip


def _reading(chosen, told, measure: str) -> str:
    beyond = [e for e in told if e.p_value <= LEVEL]
    best = max(told, key=lambda e: e.value)
    name = best.name.removeprefix(f"{GAIN}, ")
    together = "; p of all rules together below 5 %" if len(told) > 1 else ""
    kept = (
        f"{len(beyond)} of {len(told)} rules keep the answer better than random tokens ({measure}{together})"
    )
    gain = f"{name} gains most over as many random tokens in its own places, {best.value:+.3g}"
    return f"At {TOLD:.0%} of the multiply-adds {kept}; {gain}."


def _caveats(who, chosen, spent) -> list[str]:
    said = [f"{who.n:,} samples, the same for all."]
    if len(chosen) > 1:
        said.append(
            f"Intervals are of single rules, not of the best of {len(chosen)}; p is corrected for all (Holm)."
        )
    missed = [
        f"{one.title} {spent[one.id, s].cost.mean():.0%} at {s:.0%}"
        for one in chosen for s in SHARES if abs(spent[one.id, s].cost.mean() - s) > 0.05
    ]  # fmt: skip
    if missed:
        listed = ", ".join(missed[:8]) + (f" and {len(missed) - 8} more" if len(missed) > 8 else "")
        said.append(f"Whole tokens and a rule's own limits do not meet every share; spent were: {listed}.")
    return [*said, *notes_of(chosen)]


def _cost(shapes, params: TokenLedgerParams) -> Cost:
    (n, k), m = shapes[0], machine()
    count = count_of(params.rules)
    samples = max(min(n, params.maximum_samples), 1)
    passes = samples * (1 + 2 * count * len(SHARES))
    held = 24.0 * n * k + 400.0 * n + 1e5  # of a network its own memory comes on top
    return Cost(OPENING + m.seconds(flops64=1e7 * passes, moved=8.0 * n * k), held, passes)


def _check() -> tuple[CheckLine, ...]:
    """Tokens of which each is there twice: merging some of them keeps the mean, dropping at random does not."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((60, 8)), 2, axis=0)
    tap = ArrayActivations(x, name="planted", layout=Layout(np.arange(0, 121, 12)))
    found = token_ledger(tap, TokenLedgerParams(rules="tome"))
    tome, chance = found.series["ToMe"], found.null["ToMe"]
    return (
        CheckLine("merging copies keeps the mean, at 80 %", 1.0, float(tome[1]), 1e-9),
        CheckLine("dropping at random does not", 0.99, float(chance[-1]), 0.0, "at most"),
        CheckLine("merging less random, at 60 %", 0.0, found.estimates[0].value, 0.0, "at least"),
    )


METHODS = (
    Method(
        id="token_ledger",
        family="tokens",
        network="blocks",
        title="Rules at equal cost",
        summary="Each rule may spend the same multiply-adds: what is left of the answer, beside tokens kept at random.",
        version=5,
        function=token_ledger,
        params=TokenLedgerParams,
        result=Curve,
        check=_check,
        cost=_cost,
        minimum_rows=2,
        invariance="the order of samples",
        libraries=("torch", "transformers"),
    ),
)
