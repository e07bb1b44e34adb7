"""Do rules keep the same tokens? The Jaccard index of the survivors of every two of them, at an equal share.

    J(A, B) = |A ∩ B| / |A ∪ B|

of the sets of free tokens that two rules leave of one sample, mean over samples. Every rule runs on one dump of the
network with its own spread over the layers, until the same share of the free tokens is left.

Interval: Student's t over samples. Null: sets of these sizes of which one is drawn at random; the mean of J is then a
sum over the hypergeometric distribution, exact. A pair stands out where the mean of J minus that null is not zero, by
Student's t with a false-discovery rate of 5 % over all pairs; its error is that over samples, and no less than chance
would have.

When it lies: rules agree where the data leave no choice (a digit on an empty ground), which says nothing about the
rules: read it beside survival by place. A merging rule names a merged token by one of those inside it, so which of two
alike tokens "survives" is arbitrary there: count only tokens with nothing merged into them to see that. Behind the
first removal the dump is a simulation. Rules that do not meet the share exactly have other sizes, and their null too.

Cost: one pass of the network for each sample, and one run of each rule on the dump.

Reference: of the rules, in their own files; P. Jaccard (1912) for the index.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import stdtr

from analysis.activations import ArrayActivations, Layout, as_activations
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError
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
from analysis.tokens.survivors import (
    ALONE,
    COUNTED,
    COUNTED_HELP,
    STANDING,
    chance_jaccards,
    chance_variances,
    jaccard,
    survivors_of,
)

CHANCE = "sets of these sizes, one of them at random (exact)"


@dataclass(frozen=True)
class RuleAgreementParams:
    share: float = param(0.5, "Share of the free tokens that each rule leaves.", low=0.02, high=0.98)
    rules: str = param(ALL, RULES_HELP + " At least two.")
    counted: str = param(STANDING, COUNTED_HELP, choices=COUNTED)
    maximum_samples: int = param(64, "Most samples; a seeded random subset above.", low=2, high=100_000)
    source: str = param(
        AUTOMATIC, "Whose tokens: the network's, or the recorded rows.", choices=SOURCES, late=True
    )


def rule_agreement(
    activations, params: RuleAgreementParams = RuleAgreementParams(), rng=None, progress=no_progress
) -> Matrix:
    """How far rules keep the same tokens.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Any tap of a transformer that can be run again; otherwise its rows are the tokens.

    Returns
    -------
    Matrix
        Mean Jaccard index of every two rules, with intervals and the exact null of each pair.

    Raises
    ------
    InputError, NotFound, NotEnoughData
        Fewer than two rules that these tokens allow; an unknown one; fewer than two samples of two tokens.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    chosen, said = asked_rules(params.rules), Said()
    who, notes = asked_subject(tap, params, rng, progress)
    batches: dict[int, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for ran in run_rules(who, chosen, [params.share], rng, progress, said, (0.1, 0.95)):
        free = ran.dump.layout.free
        left = survivors_of(ran.run.states[-1], free, params.counted)
        batches.setdefault(ran.part.start, {})[ran.rule.id] = (free, left)
    chosen = allowed_rules(chosen, said)
    if len(chosen) < 2:
        raise InputError(f"only {chosen[0].title}", "at least two rules to be compared", "Ask for all rules")
    pairs = list(combinations([one.id for one in chosen], 2))
    found = {pair: _of_pair(batches.values(), *pair) for pair in pairs}
    progress(1.0, "done")
    notes = (*notes, *said.lines, *_caveats(who, params, chosen))
    return _matrix(chosen, found, params, notes, tap.shape[1])


def _of_pair(batches, one: str, other: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """((n,) Jaccard index, (n,) its null, (n,) the variance of that)."""
    values, chance, variance = [], [], []
    for batch in batches:
        (free, a), (_, b) = batch[one], batch[other]
        values.append(jaccard(a, b))
        chance.append(chance_jaccards(free, a, b))
        variance.append(chance_variances(free, a, b))
    return np.concatenate(values), np.concatenate(chance), np.concatenate(variance)


def _matrix(chosen, found, params, notes, d: int) -> Matrix:
    names = [one.title for one in chosen]
    at = {one.id: i for i, one in enumerate(chosen)}
    values, null, low, high, p = (np.eye(len(chosen)) for _ in range(5))
    for (one, other), (j, chance, variance) in found.items():
        cells = ([at[one], at[other]], [at[other], at[one]])
        ends = mean_interval(j, 0.0, 1.0)
        values[cells], null[cells] = j.mean(), chance.mean()
        low[cells], high[cells] = ends.get("low", j.mean()), ends.get("high", j.mean())
        p[cells] = _p(j - chance, variance)
    upper = np.triu_indices(len(chosen), 1)
    q = np.ones_like(p)
    q[upper] = benjamini_hochberg(p[upper])
    sure = (np.minimum(q, q.T) < 0.05) | np.eye(len(chosen), dtype=bool)
    linkage, order = _tree(values)
    told = _estimates(chosen, found, d)
    return Matrix(
        title=f"Do rules keep the same tokens? {params.share:.0%} of them left", values=values,
        row_names=tuple(names), column_names=tuple(names), value_name="Jaccard index of survivors",
        row_order=order, column_order=order, linkage=linkage, significant=sure, limits=(0.0, 1.0), null=null,
        low=low, high=high, estimates=told, reading=_reading(chosen, found, sure, told), caveats=notes,
    )  # fmt: skip


def _p(more: np.ndarray, variance: np.ndarray) -> float:
    """Two-sided p of a mean of zero. What varies less over samples than chance would is taken to vary like it: a few
    samples are alike by chance easily."""
    error = float(np.sqrt(max(more.var(ddof=1), variance.mean()) / len(more)))
    if error <= 1e-12:
        return 0.0 if abs(more.mean()) > 1e-9 else 1.0
    return float(2 * stdtr(len(more) - 1, -abs(more.mean()) / error))


def _tree(values: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Average linkage of 1 - J, and its order of leaves."""
    if len(values) < 3:
        return None, None
    from scipy.cluster.hierarchy import average, leaves_list
    from scipy.spatial.distance import squareform

    tree = average(squareform(1 - values, checks=False))
    return tree, leaves_list(tree)


def _estimates(chosen, found, d: int) -> tuple[Estimate, ...]:
    def one(name: str, pairs) -> Estimate:
        values, chance = (np.mean([found[p][k] for p in pairs], axis=0) for k in (0, 1))
        return Estimate(name, float(values.mean()), **mean_interval(values, 0.0, 1.0), null=float(chance.mean()),
                        null_method=CHANCE, n=len(values), d=d, estimator="mean over pairs and samples")  # fmt: skip

    each = [one(f"{r.title} with the others", [p for p in found if r.id in p]) for r in chosen]
    return (one("agreement of all pairs", list(found)), *(each if len(chosen) > 2 else ()))


def _reading(chosen, found, sure, told) -> str:
    title = {one.id: one.title for one in chosen}
    same = [pair for pair in found if (found[pair][0] == 1).all()]
    others = [pair for pair in found if pair not in same] or same
    best = max(others, key=lambda pair: found[pair][0].mean())
    j, chance = (x.mean() for x in found[best][:2])
    beyond = int(np.triu(sure, 1).sum())
    always = f" {len(same)} pairs have the very same survivors in every sample." if same else ""
    names = f"{title[best[0]]} and {title[best[1]]} ({j:.2f}, by chance {chance:.2f})"
    return (
        f"Two rules share {told[0].value:.2f} of their survivors on average, and would by chance share "
        f"{told[0].null:.2f}; {beyond} of {len(found)} pairs differ from chance. Most alike "
        f"{'of the others ' if same else ''}are {names}.{always}"
    )


def _caveats(who, params, chosen) -> list[str]:
    said = [
        f"{who.n:,} samples of {who.what}, the same for all rules; rules run on what was recorded of them."
    ]
    if params.counted == STANDING and any(one.merges for one in chosen):
        said.append("A merged token counts as the one that it is named by.")
    return said


def _cost(shapes, params: RuleAgreementParams) -> Cost:
    return cost_of(shapes[0], params.maximum_samples, count_of(params.rules))


def _check() -> tuple[CheckLine, ...]:
    """First and last tokens: of 15 free ones 8 each, 1 in common; even and first by hand; random against its null."""
    rng = np.random.default_rng(0)
    tap = ArrayActivations(
        rng.standard_normal((3000, 4)), name="planted", layout=Layout(np.arange(0, 3001, 15))
    )
    ask = RuleAgreementParams(rules="first,last,random", share=8 / 15, maximum_samples=200, counted=ALONE)
    found = rule_agreement(tap, ask)
    first, last, chance = (found.row_names.index(n) for n in ("First tokens", "Last tokens", "Random"))
    return (
        CheckLine("first eight and last eight of fifteen", 1 / 15, float(found.values[first, last]), 1e-12),
        CheckLine("exact null of eight and eight of fifteen", 0.373714, float(found.null[first, chance]), 1e-6),
        CheckLine("random keep with first tokens", float(found.null[first, chance]),
                  float(found.values[first, chance]), 0.04),
        CheckLine("a rule with itself", 1.0, float(found.values[chance, chance]), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="rule_agreement",
        family="tokens",
        network="blocks",
        title="Agreement of rules",
        summary="Do rules keep the same tokens? Jaccard index of the survivors of every two, beside random sets.",
        version=3,
        function=rule_agreement,
        params=RuleAgreementParams,
        result=Matrix,
        check=_check,
        cost=_cost,
        minimum_rows=32,
        invariance="the order of samples",
        libraries=("torch", "transformers"),
    ),
)
