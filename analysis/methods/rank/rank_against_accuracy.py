"""Would rank have chosen the right run? A rank number of several taps against their held-out probe accuracy.

A line for each tap (a run, checkpoint or layer): the rank number on the same number of samples, and the accuracy of a
linear probe (ridge regression on the classes, nearest class mean of the fitted values) on samples that it did not see
(five folds). Below: Spearman's correlation over the taps, and the *regret*: the best accuracy less that of the tap with
the highest rank, and less that of the lowest, since published work reports either sign.

Null: all orders of the taps (exact up to eight, 20,000 seeded beyond) for the correlation; a tap chosen at random for
the regret; for the probe the agreement of its answers with shuffled labels, exactly. Intervals: over taps for the
correlation (Fisher, Bonett & Wright), over samples for accuracies and regrets.

When it lies: taps of one network are no independent runs, so that a correlation along layers says little about a choice
of runs; with four taps no correlation can have p below 2 / 24; the best accuracy is the best of these samples too,
which flatters it; a probe reads linearly; a rank taken at small n orders taps by width.

Cost: for a tap its spectrum (kept in a workspace) and five ridge fits, O(n d min(n, d)). Memory O(n d).

References: Q. Garrido et al. (2023), "RankMe"; D. Bonett & T. Wright (2000).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.linear.tap_probe import FOLDS, tap_probe
from analysis.compute.linear.tap_spectrum import tap_spectrum
from analysis.compute.machine import machine
from analysis.compute.rows.some_samples import EVERY, MEAN, EqualSamples, equal_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.auroc import midranks
from analysis.compute.statistics.nulls import null_draws, wilson
from analysis.compute.statistics.rank_agreement import Agreement, spearman
from analysis.compute.subspaces.accuracy_report import accuracy_estimates
from analysis.compute.subspaces.rank_notions import (
    BY_NAME,
    NAMES,
    RANKME,
    null_spectra,
    ranked,
)
from analysis.compute.subspaces.rank_report import GROWS, NEITHER, notion_note, shared_caveats
from analysis.errors import NotEnoughData
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, TAPS = 20, 4
HELP = {
    "rank": "The chosen number, with its 95 % interval and the mean of its null.",
    "accuracy": "Share of held-out samples that a linear probe names rightly, with its 95 % interval.",
    "chance": "Agreement of the probe's answers with shuffled labels.",
    "place by rank": "1: the highest rank; equal values share a place.",
    "place by accuracy": "1: the highest accuracy; equal values share a place.",
}


@dataclass(frozen=True)
class RankAgainstAccuracyParams:
    notion: str = param(RANKME, "Which number, as the rank dossier defines them.", choices=NAMES)
    column: str = param("label", "The sample column that the probe tells.", column=True)
    maximum_samples: int = param(5000, "Most samples; a seeded random subset above.", low=20, high=200_000)


def rank_against_accuracy(
    *taps, params: RankAgainstAccuracyParams = RankAgainstAccuracyParams(), rng=None, progress=no_progress
) -> Table:
    """A rank number of taps against the accuracy of a probe.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), four or more, each with the label column; tokens are averaged.

    Returns
    -------
    Table
        A line for each tap. Estimates: the correlation, the two regrets, and both numbers of up to 12 taps.

    Raises
    ------
    NotFound, NotEnoughData, InputError, TooLarge
        A tap without the column; fewer than four taps, 20 samples or two classes of five; nothing varies.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    if len(taps) < TAPS:
        raise NotEnoughData(
            f"{len(taps)} tap(s)", f"at least {TAPS} to compare", "Choose more runs or layers"
        )
    for tap in taps:
        sample_column(tap, params.column)
    seed = int(rng.integers(2**32))
    equal = equal_samples(taps, params.maximum_samples, FEWEST, rng)
    found, probed, spectra = [], [], []
    for i, (tap, at) in enumerate(zip(taps, equal.positions, strict=True)):
        start, step = i / len(taps), 1 / len(taps)
        whole = len(at) == tap.layout.n_samples
        tokens = EVERY if tap.layout.is_pooled else MEAN
        spectra.append(tap_spectrum(tap, None if whole else at, tokens, progress, (start, start + step / 2)))
        null = null_spectra(spectra[-1], seed, min(null_draws(spectra[-1].d), 20))
        found += ranked(spectra[-1], null, (params.notion,))
        ends = start + step / 2, start + step
        probed.append(
            tap_probe(tap, at, params.column, FEWEST, np.random.default_rng([seed, 1]), progress, ends)
        )
    agreement = spearman(np.array([one.value for one in found]), np.array([p.accuracy for p in probed]), rng)
    return _table(tap_names([t.name for t in taps]), found, probed, spectra, agreement, params, equal)


def _table(names, found, probed, spectra, agreement, params, equal: EqualSamples) -> Table:
    notes, matched = equal.notes, equal.same and all(np.array_equal(p.ids, probed[0].ids) for p in probed)
    if not matched:
        notes = (*notes, "The probes are not of the same samples, so that regrets have no interval.")
    notion, accuracy = BY_NAME[params.notion], np.array([p.accuracy for p in probed])
    bounds = np.array([wilson(p.right.sum(), len(p.right)) for p in probed])
    value = np.array([one.value for one in found])
    return Table(
        title=f"{notion.name} against probe accuracy of '{params.column}', {len(names)} taps",
        reading=_reading(names, value, accuracy, agreement, notion.name),
        caveats=(
            *notes, notion_note(notion), NEITHER, GROWS,
            "The best accuracy is the best of these samples, which flatters it: regrets are a little too large.",
            *dict.fromkeys(c for p in probed for c in p.notes), *shared_caveats(*spectra),
        ),
        estimates=accuracy_estimates(names, found, probed, spectra, agreement, params.notion, matched), index="tap",
        sort="accuracy", help=HELP,
        columns={
            "tap": np.array(names), "rank": value,
            "rank low": np.array([one.value if one.low is None else one.low for one in found]),
            "rank high": np.array([one.value if one.high is None else one.high for one in found]),
            "rank null": np.array([one.null_mean for one in found]), "accuracy": accuracy,
            "accuracy low": bounds[:, 0], "accuracy high": bounds[:, 1],
            "chance": np.array([p.chance for p in probed]), "place by rank": _places(-value),
            "place by accuracy": _places(-accuracy),
        },
    )  # fmt: skip


def _places(values: np.ndarray) -> np.ndarray:
    """(k,) from 1, the smallest."""
    return midranks(values[:, None])[0][:, 0]


def _reading(names, value, accuracy, agreement: Agreement | None, notion: str) -> str:
    if agreement is None:
        return f"All {len(names)} taps have the same {notion} or the same accuracy: there is no order to compare."
    best, high, low = int(accuracy.argmax()), int(value.argmax()), int(value.argmin())
    said = (
        f"Over {len(names)} taps {notion} and probe accuracy have a rank correlation of {agreement.value:+.2f} "
        f"(p = {agreement.p:.2g}). Choosing the highest {notion} takes {names[high]} ({accuracy[high]:.1%}), choosing "
        f"the lowest {names[low]} ({accuracy[low]:.1%}); the best is {names[best]} ({accuracy[best]:.1%}), and one "
        f"taken at random has {accuracy.mean():.1%} on average."
    )
    return said if agreement.p < 0.05 else said + " Orders as like as this arise by chance."


def _cost(shapes, params: RankAgainstAccuracyParams) -> Cost:
    m, seconds, held = machine(), 0.05, 0.0
    for rows, d in shapes:
        n = min(rows, params.maximum_samples)
        side, draws = min(n, d), min(null_draws(d), 20)
        flops = 6.0 * n * d * side + (1 + FOLDS) * (15.0 * side**3 + 4.0 * n * d * side) + 12.0 * draws * d**3
        seconds += m.seconds(flops64=flops, moved=n * d * 200.0)
        held = max(held, n * d * 8 * 3.2 + 6.0 * side**2 * 8 + 3200.0 * side)
    return Cost(seconds, held)


def _check() -> tuple[CheckLine, ...]:
    """More directions tell more classes: rank and accuracy agree in order; their reverse; a probe of noise."""
    rng = np.random.default_rng(9)
    label = rng.integers(8, size=600)
    means = np.linalg.qr(rng.standard_normal((8, 8)))[0]

    def found(ranks: tuple[int, ...], noise: tuple[float, ...]) -> Table:
        taps = []
        for i, (k, s) in enumerate(zip(ranks, noise, strict=True)):
            x = 4 * means[label] * (np.arange(8) < k) + s * rng.standard_normal((600, 8))
            taps.append(ArrayActivations(x, f"run{i}:x", {"label": label}))
        return rank_against_accuracy(*taps, params=RankAgainstAccuracyParams(notion="participation ratio"))

    like = found((1, 2, 3, 5, 8), (0.5,) * 5)
    unlike = found((8,) * 5, (8.0, 4.0, 2.0, 1.0, 0.5))
    blind = found((0, 8, 8, 8), (1.0, 1.0, 0.7, 0.5)).columns
    return (
        CheckLine("more directions, more classes: correlation", 1.0, like.estimates[0].value, 0.0),
        CheckLine("its p of 120 orders", 2 / 120, like.estimates[0].p_value, 1e-12),
        CheckLine("regret of the highest rank", 0.0, like.estimates[1].value, 0.0),
        CheckLine(
            "less noise, more classes and fewer directions", -0.5, unlike.estimates[0].value, 0.0, "at most"
        ),
        CheckLine("probe of noise: chance", 1 / 8, float(blind["accuracy"][0]), 0.06),
        CheckLine("chance as said", 1 / 8, float(blind["chance"][0]), 0.01),
    )


METHODS = (
    Method(
        id="rank_against_accuracy", family="rank", title="Rank against accuracy", version=2,
        function=rank_against_accuracy,
        summary="Whether a rank number orders runs or layers as a held-out probe does, and what choosing by it costs.",
        params=RankAgainstAccuracyParams, result=Table, check=_check, cost=_cost, inputs=TAPS, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="rotating or scaling all activations of a tap changes nothing",
        papers=(
            "RankMe: Assessing the downstream performance of pretrained self-supervised representations by their rank",
            "Residual Connections Harm Generative Representation Learning",
        ),
    ),
)  # fmt: skip
