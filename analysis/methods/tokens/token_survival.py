"""Where on the picture do tokens survive? Survival by row and column (of a text: by tenth) under every rule.

Of N free tokens of a sample a rule leaves K as they were. Kept at random, a line of m of them would keep

    mean m K / N,    variance m (K / N) (1 - K / N) (N - m) / (N - 1)

and z is what there is more, summed over samples, over the root of the summed variances. Every rule runs on one dump of
the network with its own spread over the layers; random keep is a line of its own, to see what chance looks like.

Interval of a rate: Wilson's, samples as draws, which is a wide one. Null: the sum of the hypergeometric numbers
above, exact; a cell stands out where 5 % of random keeps at most would show one like it on any line of any rule.

When it lies: data differ by place, too (a digit stands in the middle): a bias against random keep is not yet the rule's
fault; compare rules on the same data, or give it shifted data. z grows with the root of the number of samples: a small
bias of many samples is a large z, so read the rates beside. A token with others merged into it does not count as left.

Cost: one pass of the network for each sample, and one run of each rule on the dump.

Reference: M. Endo, X. Wang & S. Yeung-Levy (2025), "Feather the throttle: revisiting visual token pruning for
vision-language model acceleration".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.judged_rules import asked_subject
from analysis.tokens.over_samples import (
    ALL,
    RULES_HELP,
    Said,
    allowed_rules,
    asked_rules,
    cost_of,
    count_of,
    run_rules,
)
from analysis.tokens.subject import AUTOMATIC, SOURCES
from analysis.tokens.survival import Survival, survival, together, worst_line

Z, MORE = "standard deviations beyond random keep", "survival rate beyond random keep"
MEANS = {
    Z: "A cell says by how many standard deviations a rule leaves more tokens of this row or column than as many kept "
    "at random (below 0: fewer).",
    MORE: "A cell says how much larger the share of tokens is that a rule leaves of this row or column than with as "
    "many kept at random (below 0: smaller).",
}


@dataclass(frozen=True)
class TokenSurvivalParams:
    share: float = param(0.5, "Share of the free tokens that each rule leaves.", low=0.02, high=0.98)
    rules: str = param(ALL, RULES_HELP)
    drawn: str = param(Z, "What a cell shows.", choices=(Z, MORE))
    maximum_samples: int = param(64, "Most samples; a seeded random subset above.", low=2, high=100_000)
    source: str = param(
        AUTOMATIC, "Whose tokens: the network's, or the recorded rows.", choices=SOURCES, late=True
    )


def token_survival(
    activations, params: TokenSurvivalParams = TokenSurvivalParams(), rng=None, progress=no_progress
) -> Matrix:
    """Where tokens survive, rule by rule.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows are the tokens.

    Returns
    -------
    Matrix
        Rules by rows and columns of the grid (tenths of a text): z against random keep, or what the rate is more.
        Estimates: the rate on the line of each rule that deviates most.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        An unknown rule; none that these tokens allow; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    chosen, said = asked_rules(params.rules, controls=True), Said()
    who, notes = asked_subject(tap, params, rng, progress)
    parts: dict[str, list[Survival]] = {}
    for ran in run_rules(who, chosen, [params.share], rng, progress, said, (0.1, 0.95)):
        parts.setdefault(ran.rule.id, []).append(survival(ran.dump.layout, ran.run.states[-1]))
    chosen = allowed_rules(chosen, said)
    found = {one.title: together(parts[one.id]) for one in chosen}
    progress(1.0, "done")
    notes = (*notes, *said.lines, *_caveats(who, chosen, found))
    return _matrix(found, params, notes, tap.shape[1])


def _matrix(found: dict[str, Survival], params: TokenSurvivalParams, notes, d: int) -> Matrix:
    first = next(iter(found.values()))
    z = np.stack([s.z for s in found.values()])
    more = np.stack([_rate(s.kept, s) - _rate(s.expected, s) for s in found.values()])
    values = z if params.drawn == Z else more
    tests, bound = _bound(found)
    beyond = np.stack([s.beyond(tests) for s in found.values()])
    return Matrix(
        title=f"Where do tokens survive? {params.share:.0%} of them left", values=values, row_names=tuple(found),
        column_names=first.names, value_name=params.drawn, diverging=True, null=np.zeros_like(values),
        null_band=(-bound, bound) if params.drawn == Z else None, significant=beyond,
        few=np.stack([s.variance.sum(axis=0) <= 0 for s in found.values()]),
        few_means="chance had no choice: all or none of these tokens are left alone",
        estimates=tuple(_estimate(name, s, d) for name, s in found.items()), 
        reading=f"{MEANS[params.drawn]} {_reading(found, tests)}",
        caveats=notes,
    )  # fmt: skip


def _bound(found: dict[str, Survival]) -> tuple[int, float]:
    """(lines of all rules, |z| that none of them passes in 95 % of random keeps of many tokens)."""
    tests = sum(len(where.names) for where in found.values())
    return tests, float(-ndtri(0.025 / max(tests, 1)))


def _rate(kept: np.ndarray, where: Survival) -> np.ndarray:
    """(m,) of all tokens of a line."""
    return kept.sum(axis=0) / np.maximum(where.there.sum(axis=0), 1)


def _estimate(name: str, where: Survival, d: int) -> Estimate:
    at, told = worst_line(where)
    return Estimate(f"{name}: tokens left in {where.names[at]}", d=d, **told)


def _reading(found: dict[str, Survival], tests: int) -> str:
    biased = {name: s for name, s in found.items() if s.beyond(tests).any()}
    if not biased:
        return f"No rule leaves more tokens in some places than random keep would ({tests} lines looked at together)."
    worst = max(biased, key=lambda name: np.abs(biased[name].z).max())
    where = biased[worst]
    at = int(np.where(where.beyond(tests), np.abs(where.z), 0).argmax())
    return (
        f"{len(biased)} of {len(found)} rules leave tokens in some places more than random keep would; most of all "
        f"{worst}, {_rate(where.kept, where)[at]:.0%} in {where.names[at]} instead of "
        f"{_rate(where.expected, where)[at]:.0%} (z = {where.z[at]:.1f})."
    )


def _caveats(who, chosen, found) -> list[str]:
    said = [f"{who.n:,} samples of {who.what}; rules run on what was recorded of them."]
    if any(one.merges for one in chosen):
        said.append("A token that another was merged into does not count as left, nor does the other.")
    none = [name for name, where in found.items() if not where.has_choice]
    if none:
        said.append(f"No token or every token is left alone by {', '.join(none)}: no place can differ.")
    return said


def _cost(shapes, params: TokenSurvivalParams) -> Cost:
    return cost_of(shapes[0], params.maximum_samples, count_of(params.rules))


def _check() -> tuple[CheckLine, ...]:
    """Six of twelve tokens on a grid of three by four: the first six are row 1 and half of row 2, z in closed form."""
    rng = np.random.default_rng(0)
    layout = Layout(np.arange(0, 241, 12), grid=(3, 4))
    tap = ArrayActivations(rng.standard_normal((240, 4)), name="planted", layout=layout)
    found = token_survival(tap, TokenSurvivalParams(rules="first,random"))
    z = dict(zip(found.column_names, found.values[found.row_names.index("First tokens")], strict=True))
    closed = 2 * np.sqrt(20) / np.sqrt(4 * 0.25 * 8 / 11)
    chance = np.abs(found.values[found.row_names.index("Random")]).max()
    return (
        CheckLine("first six of twelve: z of row 1", closed, float(z["row 1"]), 1e-9),
        CheckLine("of row 3", -closed, float(z["row 3"]), 1e-9),
        CheckLine("of column 1: two of three kept", closed / 4 * np.sqrt(4 * 8 / 27), float(z["column 1"]), 1e-9),
        CheckLine("random keep: largest |z|", 4.0, float(chance), 0.0, "at most"),
    )  # fmt: skip


METHODS = (
    Method(
        id="token_survival",
        family="tokens",
        network="blocks",
        title="Survival by place",
        summary="In which rows and columns tokens survive, rule by rule, against as many kept at random.",
        version=4,
        function=token_survival,
        params=TokenSurvivalParams,
        result=Matrix,
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
