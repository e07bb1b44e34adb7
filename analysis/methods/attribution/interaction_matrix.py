"""Which units act together, and how much of the number is more than a sum of what each does alone?

Of one number of the answer, over samples, for every pair of units (the columns of an input table, units of a tap):

    Friedman's H²         Σ (P_jk - P_j - P_k)² / Σ P_jk², P the value with these units present and the others absent,
                          less its mean over samples: 0 for a sum, 1 where the two act only together
    Shapley interaction   mean over samples of |Σ_S |S|! (M - |S| - 2)! / (M - 1)! Δ_jk(S)|, in the number's own unit

Null: the additive surrogate, in which every unit adds what it adds alone, in the precision of the network, through the
same code: 0 but for rounding. Intervals: jackknife over samples (H²), Student's t over
samples; a cell counts as above the null where an interval for all pairs at once does. The share of the
number's variance that the surrogate misses says how much there is for interactions of any order.

When it lies: H² is a ratio, large where both parts are next to nothing (such cells are hatched); absent units come from
the background, and with correlated units the mixed rows may be unlike any that occur; with conditional absent units
even an additive network has interactions, since units then tell of each other; sizes of sampled Shapley interactions
are biased up by their noise; an interaction of three units shows in all three pairs.

Cost: for each sample M (M + 1) / 2 coalitions (H²), 2^M up to ten units (Shapley interaction) or about 2 M² for each
round, times the rows of the background.

References: J. Friedman & B. Popescu (2008), "Predictive learning via rule ensembles"; M. Grabisch & M. Roubens (1999),
"An axiomatic approach to the concept of interaction among players in cooperative games".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.attribution import backgrounds
from analysis.attribution.units.explained_units import CONDITIONAL, FEWEST, UnitPartsParams, explained_units
from analysis.attribution.units.unit_interactions import (
    EXACT_PLAYERS,
    Interactions,
    friedman_interactions,
    shapley_pairs,
)
from analysis.compute.games.friedman import friedman_h2
from analysis.compute.games.sampled_interactions import round_cost
from analysis.compute.machine import machine
from analysis.compute.statistics.ratios import ratio_interval
from analysis.errors import InputError
from analysis.features.readers import PROBE
from analysis.results import Estimate, Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FRIEDMAN, SHAPLEY_PAIRS = "Friedman's H²", "Shapley interaction"
OPENING = 5.0  # seconds


@dataclass(frozen=True)
class InteractionMatrixParams(UnitPartsParams):
    measure: str = param(FRIEDMAN, "What a cell says of its two units.", choices=(FRIEDMAN, SHAPLEY_PAIRS))
    samples_asked: int = param(
        40, "Samples that interactions are asked of, drawn at random.", low=12, high=10_000
    )
    maximum_units: int = param(
        10, "Most units that play alone: the strongest by slopes; all others play as one.", low=2, high=64
    )


def interaction_matrix(
    activations, params: InteractionMatrixParams = InteractionMatrixParams(), rng=None, progress=no_progress
) -> Matrix:
    """Interactions of every pair of units in one number of the answer.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Matrix
        Units by units, with null and interval. Estimates: the share of the number's variance that no sum of single
        units holds, the strongest pair, its share of all pairs.

    Raises
    ------
    NotFound, InputError, NotEnoughData, ParameterError
        Neither a network that can be run nor labels; fewer than twelve samples or two units; a number that is the same
        for all samples.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    explained = explained_units(tap, params, rng, progress, (0.0, 0.15))
    some = np.sort(rng.choice(explained.n, size=min(params.samples_asked, explained.n), replace=False))
    runs = [explained.run(i) for i in some]
    games = (explained.game(run, params) for run in runs)
    single = runs[0].clean.element_size() < 8
    inner = lambda f, doing="": progress(0.15 + 0.85 * f, doing)  # noqa: E731
    if params.measure == FRIEDMAN:
        found = friedman_interactions(games, len(some), single, inner)
    else:
        found = shapley_pairs(games, len(some), single, params.rounds, rng, inner)
    if found.below.sum() == 0:
        raise InputError(
            f"the {explained.words} is the same for all samples of {tap.name}", "a number that varies",
            "Choose another number",
        )  # fmt: skip
    names = explained.players.names
    progress(1.0, "done")
    return Matrix(
        title=f"What {explained.whose} do together for the {explained.words} ({tap.name})",
        reading=_reading(found, names, explained.words, params), caveats=_caveats(explained, found, params),
        estimates=_estimates(found, tap.shape[1], params, rng), values=found.strength, row_names=names,
        column_names=names, value_name=params.measure, null=found.null, low=found.low, high=found.high,
        significant=found.firm, few=found.faint if found.faint.any() else None,
        few_means="the two hardly move the number" if found.faint.any() else "", rounding=found.rounding,
    )  # fmt: skip


def _strongest(found: Interactions) -> tuple[int, int]:
    told = np.triu(np.where(found.faint, 0.0, found.strength), 1)
    return tuple(int(i) for i in np.unravel_index(told.argmax(), told.shape))


def _estimates(found: Interactions, d: int, params, rng) -> tuple[Estimate, ...]:
    n, (i, j) = len(found.above), _strongest(found)
    share = float(found.above.sum() / found.below.sum())
    low, high = ratio_interval(found.above, found.below, rng)
    upper = np.triu_indices(len(found.strength), 1)
    pairs = np.where(found.faint | (found.strength <= found.rounding), 0.0, found.strength)[upper]
    how = "jackknife over samples" if params.measure == FRIEDMAN else "Student's t over samples"
    return (
        Estimate("beyond sums of single units", share, low, high, interval="bootstrap over samples", null=0.0,
                 null_method="the additive surrogate, exactly", n=n, d=d,
                 estimator="variance that the additive surrogate misses / variance of the number"),
        Estimate("strongest pair", float(found.strength[i, j]), float(found.low[i, j]), float(found.high[i, j]),
                 interval=how, null=float(found.null[upper].max()),
                 null_method="the additive surrogate in the network's precision, largest pair", n=n, d=d,
                 estimator=params.measure),
        Estimate("strongest pair of all pairs", float(pairs.max() / pairs.sum()) if pairs.sum() > 0 else 0.0,
                 null=1.0 / len(pairs), null_method="all pairs alike", n=n, d=d,
                 interval="none: a share of sizes, of which the largest has one",
                 estimator=f"largest {params.measure} / sum over pairs"),
    )  # fmt: skip


def _reading(found: Interactions, names, words: str, params) -> str:
    i, j = _strongest(found)
    share = found.above.sum() / found.below.sum()
    firm = int(np.triu(found.firm, 1).sum())
    pairs = len(names) * (len(names) - 1) // 2
    if (found.strength <= found.rounding)[~found.faint].all():
        return f"The {words} is a sum of single units: no pair acts together by more than rounding."
    return (
        f"{share:.1%} of the variance of the {words} is no sum of single units. The strongest pair is {names[i]} with "
        f"{names[j]} ({params.measure} {found.strength[i, j]:.3g}); {firm:,} of {pairs:,} pairs lie above the additive "
        "surrogate."
    )


def _caveats(explained, found: Interactions, params) -> tuple[str, ...]:
    said = [
        *explained.notes,
        f"{found.rows:,} rows went through {explained.samples.what}, {len(found.above):,} samples.",
    ]
    if params.absent == CONDITIONAL:
        said.append(
            "Absent units follow the present ones: correlated units interact even in an additive network, and the "
            "surrogate is no null for that."
        )
    if not found.exact:
        said.append("Shapley interactions are sampled: weak pairs are read too strong.")
    return tuple(said)


def _cost(shapes, params: InteractionMatrixParams) -> Cost:
    (n, d), m = shapes[0], machine()
    players, samples = min(d, params.maximum_units + 1), min(n, params.samples_asked)
    rows = params.background_samples if params.background == backgrounds.SAMPLES else 1
    pairs = players * (players + 1) / 2
    all_of = 2.0**players if players <= EXACT_PLAYERS else float(round_cost(players) * params.rounds)
    coalitions = pairs if params.measure == FRIEDMAN else all_of
    asked = samples * rows * coalitions
    held = (
        24.0 * min(n, params.maximum_samples) * d
        + 300.0 * samples * coalitions
        + 18.0 * coalitions * rows * d
    )
    return Cost(
        OPENING + m.seconds(flops64=20.0 * asked * d, moved=24.0 * asked * d + 8.0 * n * d), held, int(asked)
    )


def _check() -> tuple[CheckLine, ...]:
    """A linear probe has no interaction; x0 x1 on independent inputs of mean 0 has one, in this pair, and it is all."""
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    x = rng.standard_normal((40, 4)) + 2.0 * label[:, None]
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    both = [
        interaction_matrix(tap, InteractionMatrixParams(reader=PROBE, measure=measure))
        for measure in (FRIEDMAN, SHAPLEY_PAIRS)
    ]
    signs = (np.arange(8)[:, None] >> np.arange(3)) & 1
    strengths = np.nan_to_num(
        friedman_h2(lambda r: r[:, 0] * r[:, 1], signs * 2.0 - 1, signs * 2.0 - 1).squared
    )
    return (
        CheckLine("a linear probe: largest H²", 0.0, float(both[0].values.max()), 1e-12),
        CheckLine("largest Shapley interaction", 0.0, float(both[1].values.max()), 1e-9),
        CheckLine("beyond sums", 0.0, both[0].estimates[0].value, 1e-12),
        CheckLine("x0 x1: H² of the pair", 1.0, float(strengths[0, 1, 0]), 1e-12),
        CheckLine("of all other pairs", 2.0, float(strengths.sum()), 1e-12),
    )


METHODS = (
    Method(
        id="interaction_matrix",
        family="attribution",
        title="Which units act together",
        summary="Friedman's H² or Shapley interactions of every pair of units, beside an additive network's.",
        version=2,
        function=interaction_matrix,
        params=InteractionMatrixParams,
        result=Matrix,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="the order of units; a constant added to the number; for H² its scale",
        papers=(
            "AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural Networks",
            "AutoInt: self-attentive feature interaction",
        ),
        libraries=("torch",),
    ),
)
