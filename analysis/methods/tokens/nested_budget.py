"""How many tokens does a sample need? Answers against the number of tokens of nested grids, and the smallest grid that
suffices for each sample.

Tokens are averaged to grids that lie in each other (24 x 24: 576, 144, 36, 9, 1). The network answers with the tokens
behind its second layer really pooled; where it cannot be run, or on wish, a linear probe reads the tokens of a grid
side by side, and tells samples that it did not see.

    right with so many tokens      the fixed budget
    right with some number up to   the oracle: the smallest grid that answers right, never below a fixed budget
    need exactly so many           how many samples have this as their smallest grid

Interval: Wilson over samples. Null: shuffled labels, exactly; of the oracle too, which gains by having many tries: with
L answers to choose from it is right by chance far more often than one answer is.

When it lies: the oracle knows the truth, so that it is a bound and no rule; answers that flip at random look like
samples that need few tokens: compare with the null; a probe of more tokens has more weights and may tell worse by
overfitting alone; the network was not trained with pooled tokens, as Matryoshka models are.

Cost: one pass of the network for each sample and grid; of probes O(n² T d) for each.

Reference: M. Cai, J. Yang, J. Gao & Y. J. Lee (2024), "Matryoshka multimodal models".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, Layout, as_activations, sample_column
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.machine import machine
from analysis.compute.rows.class_codes import class_codes
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.errors import InputError, NotFound
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param
from analysis.tokens.opened import opened
from analysis.tokens.pooling.needed_complexity import complexity
from analysis.tokens.pooling.nested_answers import NestedAnswers, of_network, of_probes
from analysis.tokens.pooling.nested_grids import cell_means
from analysis.tokens.pooling.token_sets import token_sets

AUTOMATIC, PROBE = "the network where it can be run", "a linear probe"
READERS = (AUTOMATIC, PROBE)
FIXED, ORACLE, EXACTLY = (
    "right with so many tokens",
    "right with one up to this",
    "need exactly so many",
)
FOLDS, SMALLEST, FEWEST, OPENING = 5, 5, 20, 3.0


@dataclass(frozen=True)
class NestedBudgetParams:
    reader: str = param(AUTOMATIC, "Who answers.", choices=READERS)
    column: str = param("label", "Labels that answers are right by.", column=True)
    maximum_samples: int = param(200, "Most samples; a seeded random subset above.", low=20, high=20_000)


def nested_budget(
    activations, params: NestedBudgetParams = NestedBudgetParams(), rng=None, progress=no_progress
) -> Curve:
    """Answers over the number of tokens.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        Of an image classifier that can be run again, or any tap with tokens; of a tap of one row a sample, four rows of
        one label stand for the tokens of a sample.

    Returns
    -------
    Curve
        Over tokens: the fixed budget, the oracle, and where samples begin to be right. Estimates: right with all, with
        one and by the oracle, tokens needed, and whether samples whose tokens differ more need more.

    Raises
    ------
    NotFound, NotEnoughData
        No such column; fewer than twenty samples of two tokens with a label, or than two classes of five.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    sample_column(tap, params.column)
    progress(0.0, "opening")
    live, notes = _live(tap, params, rng)
    sets = None
    if live is not None:
        found, what = of_network(live, progress)
        notes = (
            *live.notes,
            "Tokens were pooled behind the second layer of a network that was not trained so.",
        )
    else:
        sets = token_sets(tap, params.maximum_samples, rng, progress, column=params.column, minimum=FEWEST)
        classes = class_codes(sets.labels, params.column, SMALLEST)
        sets = sets.only(classes.stay)
        found, what = (
            of_probes(sets, classes.codes, folds_of(classes.codes, FOLDS, rng), progress),
            "as labelled",
        )
        notes = (
            *notes,
            *sets.notes,
            *classes.notes,
            "A linear probe answers, from the tokens of a grid side by side.",
        )
    progress(1.0, "done")
    notes = (*notes, "The oracle knows the truth: it is a bound, no rule.")
    extra = () if sets is None else complexity(sets, found, tap.shape[1])
    return _curve(tap.name, found, what, notes, extra, tap.shape[1])


def _live(tap, params, rng):
    if params.reader == PROBE:
        return None, ()
    if params.column != "label":
        return None, (f"The network is not run: it answers with its own classes, not with {params.column}.",)
    try:
        live = opened(tap, params.maximum_samples, rng)
    except (InputError, NotFound) as error:
        return None, (f"The network is not run: {str(error).split('. ')[0]}.",)
    if live.of_text or not live.classifies:
        return None, ("The network is not run: it is no classifier of pictures.",)
    return live, ()


def _curve(name: str, found: NestedAnswers, what: str, notes, extra, d: int) -> Curve:
    levels, n = len(found.tokens), len(found.truth)
    exactly = np.bincount(found.needed, minlength=levels + 1) / n
    by_chance = found.needed_by_chance()
    right = found.right.astype(float)
    ever = np.maximum.accumulate(right, axis=0)
    ends = {FIXED: [share_interval(r) for r in right], ORACLE: [share_interval(r) for r in ever]}
    some = found.tokens[found.needed[found.needed < levels]]
    half = float(np.median(some)) if len(some) else 0.0
    reading = (
        f"{right[-1].mean():.1%} are right ({what}) with {found.tokens[-1]} tokens, {right[0].mean():.1%} with "
        f"{found.tokens[0]}. Of those that are right with some number, half need no more than {half:.0f}; "
        f"{exactly[-1]:.1%} are right with none."
    )
    return Curve(
        title=f"Tokens that samples of {name} need", reading=reading, caveats=notes,
        estimates=(*_estimates(found, by_chance, d), *extra), x=found.tokens.astype(float), x_name="tokens",
        y_name="share of samples", log_x=True, controls=(EXACTLY,),
        series={FIXED: right.mean(axis=1), ORACLE: ever.mean(axis=1), EXACTLY: exactly[:levels]},
        low={k: np.array([e["low"] for e in v]) for k, v in ends.items()},
        high={k: np.array([e["high"] for e in v]) for k, v in ends.items()},
        null={FIXED: found.chance(), ORACLE: np.cumsum(by_chance[:levels]), EXACTLY: by_chance[:levels]},
    )  # fmt: skip


def _estimates(found: NestedAnswers, by_chance: np.ndarray, d: int) -> tuple[Estimate, ...]:
    right, chance, n = found.right.astype(float), found.chance(), len(found.truth)
    told = found.needed < len(found.tokens)
    lines = [
        (f"right with {found.tokens[-1]} tokens", right[-1], chance[-1]),
        (f"right with {found.tokens[0]}", right[0], chance[0]),
        ("right with the best number for each sample", right.max(axis=0), 1 - by_chance[-1]),
    ]
    out = [
        Estimate(name, float(v.mean()), **share_interval(v), null=float(null), n=n, d=d, estimator="share of samples",
                 null_method="shuffled labels, exactly")
        for name, v, null in lines
    ]  # fmt: skip
    if told.sum() > 1:
        own, usual = (
            found.tokens[found.needed[told]].astype(float),
            by_chance[:-1] / max(by_chance[:-1].sum(), 1e-12),
        )
        out.append(
            Estimate("tokens needed", float(own.mean()), **mean_interval(own, 1.0), null=float(usual @ found.tokens),
                     null_method="shuffled labels, exactly", n=int(told.sum()), d=d,
                     estimator="mean over samples that are right with some number")
        )  # fmt: skip
    return tuple(out)


def _cost(shapes, params: NestedBudgetParams) -> Cost:
    (n, d), m = shapes[0], machine()
    rows = min(n, params.maximum_samples * 256)
    samples = max(min(n, params.maximum_samples), 2) / (4 if rows == n else 1)
    held = 8.0 * rows * d * 5.0
    flops = FOLDS * 6 * 2.0 * (samples * rows * d + 4 * samples**3)
    return Cost(
        OPENING + 2e-3 * 6 * samples + m.seconds(flops64=flops, moved=4 * held, calls=30.0 * samples),
        held,
        6 * int(samples),
    )


def _check() -> tuple[CheckLine, ...]:
    """4 x 4 grids. Half of the samples say their label by their mean, half only by which of the finest tokens are up:
    these need 16 tokens, and the mean tells nothing of them. The oracle is never below a fixed budget."""
    rng = np.random.default_rng(0)
    label = np.arange(160) % 2
    x = 0.05 * rng.standard_normal((160, 16, 2))
    checks = np.where((np.arange(16) // 4 + np.arange(16)) % 2 == 0, 1.0, -1.0)
    easy = np.arange(160) % 4 < 2
    x[easy, :, 0] += (2 * label - 1)[easy, None]
    x[~easy, :, 1] += (2 * label - 1)[~easy, None] * checks
    tap = ArrayActivations(
        x.reshape(-1, 2), samples={"label": label}, layout=Layout(np.arange(161) * 16, grid=(4, 4))
    )
    found = nested_budget(tap, NestedBudgetParams(reader=PROBE))
    fixed, oracle, exactly = (found.series[k] for k in (FIXED, ORACLE, EXACTLY))
    tries = NestedAnswers(np.array([1, 4]), np.array([[0, 1, 0, 1], [0, 0, 1, 0]]), np.array([1, 1, 0, 0]), 2)
    ones = cell_means(np.ones((1, 4, 1)), np.ones((1, 4), bool), np.array([0, 0, 1, 1]))[0]
    return (
        CheckLine("two answers, of one sample alike: right by chance", 0.875, 1 - tries.needed_by_chance()[-1], 1e-12),
        CheckLine("one answer: right by chance", 0.5, float(tries.chance()[0]), 1e-12),
        CheckLine("the first grid that is right", 4.0, float((tries.needed == [2, 0, 0, 1]).sum()), 0.0),
        CheckLine("mean of equal tokens in a cell", 1.0, float(ones.max()), 0.0),
        CheckLine("grids of 4 x 4: tokens", 21.0, float(found.x.sum()), 0.0),
        CheckLine("right with 16 tokens", 1.0, float(fixed[-1]), 0.01),
        CheckLine("right with one", 0.75, float(fixed[0]), 0.15),
        CheckLine("oracle less the best fixed budget", 0.0, float((oracle - np.maximum.accumulate(fixed)).min()), 0.0,
                  "at least"),
        CheckLine("smallest numbers add up to the oracle", float(oracle[-1]), float(exactly.sum()), 1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="nested_budget", family="tokens", title="How many tokens a sample needs", version=3, function=nested_budget,
        summary="Answers against the number of tokens of nested grids, and the smallest that suffices for each sample.",
        params=NestedBudgetParams, result=Curve, check=_check, cost=_cost, minimum_rows=4 * FEWEST,
        invariance="one scale for all units; a constant added to a unit; the order of samples",
        papers=("Matryoshka Multimodal Models",), libraries=("torch", "transformers"),
    ),
)  # fmt: skip
