"""Is this the subspace you are looking for? Whether a patch along a direction works by a way that the network takes.

Between samples of two groups h <- h + V Vᵀ (h_src - h) is put at a tap, V being a difference of means, principal
directions, or the direction of a feature or unit, and the logit difference of their answers is read. V is split into
the part that is connected to the answer (the span of its slopes over samples that holds `energy` of their squared
length) and the rest; each is patched alone. The patch is repeated with every unit held inside the range that it has by
nature, and with every principal axis. Verdict and its thresholds: `analysis.attribution.patches.patch_verdict`. Where a
probe reads, all of this is in deviations of the units, as it reads them: columns of a table have no common measure.

Known: h = (x, 0, x), y = 2 h2 + h3. Patching (1, 1, 0) / √2 from x = -7 into x = 3 takes y to -7 as it should, though
h1 is disconnected and h2 never moves: held in its range nothing is left, and it is flagged. e3 is right, e1 and e2 do
nothing.

Interval: Student's t over pairs, none of which shares a sample; directions, ranges and slopes are of other samples.
Null: random directions, for the effect, the variance and the alignment.

When it lies: ranges are of single units (and principal axes), so values that are usual one by one and unseen together
pass; slopes are those of natural samples, and a gate that only the patch opens is not among them; a probe in the place
of the network has one slope, for which the connected part works always. Faithful means that nothing was found.

Cost: (7 + random directions) forward passes a pair, one backward pass a fitted sample, and O(rows d² + d³).

References: A. Makelov, G. Lange & N. Nanda (2023), "Is this the subspace you are looking for?".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.attribution.explained_samples import explained_samples
from analysis.attribution.local_slopes import local_slope, rows_at, values_at
from analysis.attribution.patches import patch_verdict
from analysis.attribution.patches.class_pairs import (
    FEWEST,
    aligned,
    paired_groups,
    towards_source,
    with_first,
)
from analysis.attribution.patches.patch_table import HELP, verdict_columns, verdict_estimates
from analysis.attribution.patches.patch_verdict import (
    HELD,
    PATCH,
    WHOLE,
    PatchVerdict,
    judge_patch,
    natural_of,
)
from analysis.compute.machine import machine
from analysis.compute.streaming import Pass, finite_blocks
from analysis.errors import InputError, NotFound
from analysis.features.readers import AUTOMATIC, READERS
from analysis.features.tap_dictionary import TapDictionary, tap_dictionary
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

OPENING = 5.0  # seconds
DIFFERENCE, PRINCIPAL, FEATURE, UNIT = "difference of the groups", "principal direction", "feature", "unit"


@dataclass(frozen=True)
class PatchingIllusionParams:
    direction: str = param(DIFFERENCE, "What is patched.", choices=(DIFFERENCE, PRINCIPAL, FEATURE, UNIT))
    number: int = param(0, "Which principal direction, feature or unit, from 0.", low=0, high=10_000_000)
    directions: int = param(1, "How many of them, from there on.", low=1, high=64)
    base: str | None = param(None, "Group that is patched; automatic: the largest.", label="patched group")
    source: str | None = param(None, "Group that is patched in; automatic: the next.", label="from group")
    column: str | None = param(
        None, "Labels that make the groups; automatic: 'label', or the network's answers.", column=True
    )
    pairs: int = param(24, "Most pairs of samples.", low=3, high=1000)
    energy: float = param(0.99, "Share of slopes that is connected.", low=0.5, high=1.0)
    random: int = param(20, "Random directions that are patched.", label="random directions", low=5, high=500)
    reader: str = param(AUTOMATIC, "Whose answer.", choices=READERS)
    maximum_samples: int = param(400, "Most samples that are grouped by answers.", low=16, high=10_000)


def patching_illusion(
    activations, params: PatchingIllusionParams = PatchingIllusionParams(), rng=None, progress=no_progress
) -> Table:
    """The verdict on patching a direction of a tap.

    Parameters
    ----------
    activations : Activations or array (rows, units)
        A tap that a feature set encoded, for its features; any other for the rest.

    Returns
    -------
    Table
        A line for each part that is patched, see `HELP`. The verdict is the beginning of the reading.

    Raises
    ------
    NotFound, InputError, NotEnoughData
        Neither a network that can be run nor labels; no such group, feature or unit; a group of under six samples; no
        difference between the groups.
    """
    tap, rng, seen = as_activations(activations), rng or np.random.default_rng(0), Pass()
    made = tap_dictionary(tap)
    for _ in finite_blocks(made.source, seen, progress, "reading", (0.0, 0.05), as_stored=True):
        pass
    samples, notes = explained_samples(made.source, params.reader, params.column, made.source.layout.n_samples, rng,
                                       progress, (0.05, 0.1))  # fmt: skip
    groups = paired_groups(made.source, samples, params.column, (params.base, params.source), params.pairs,
                           params.maximum_samples, rng, progress, (0.1, 0.2))  # fmt: skip
    progress(0.2, "running samples")
    fit = [[samples.run(int(i)) for i in some] for some in groups.fit]
    target = towards_source(*fit, samples.word)
    rows = [np.concatenate([rows_at(r) for r in runs]) for runs in fit]
    unit = _measure(np.concatenate(rows), samples.is_network)
    natural = natural_of(np.concatenate(rows) / unit)
    apart = (rows[1].mean(axis=0) - rows[0].mean(axis=0)) / unit
    slopes = np.concatenate([local_slope(r, target) for runs in fit for r in runs]) * unit
    directions, words = _directions(made, params, natural, apart, groups.names, unit)
    runs = [samples.run(int(i)) for i in groups.pairs[:, 0]]
    both = aligned(runs, [samples.run(int(i)) for i in groups.pairs[:, 1]])
    base, source = ([x / unit for x in side] for side in both)
    answers = lambda i, x: values_at(runs[i], with_first(runs[i], x * unit), target)  # noqa: E731
    found = judge_patch(answers, base, source, directions, slopes, natural, apart, rng, energy=params.energy,
                        draws=params.random, progress=lambda f, doing="": progress(0.3 + 0.7 * f, doing))  # fmt: skip
    progress(1.0, "done")
    return Table(
        title=f"Patching {words} of {tap.name}: {found.word}", reading=_reading(found, words, groups, target),
        caveats=(*seen.notes, *notes, *groups.notes, *_caveats(found, groups, params, natural)),
        estimates=verdict_estimates(found, len(natural.mean), rng), columns=verdict_columns(found),
        index="patched", help=HELP,
    )  # fmt: skip


def _measure(rows: np.ndarray, network: bool) -> np.ndarray:
    """(d,) what units are counted in: 1 in a network; of a probe their deviations, 1 where they never vary."""
    spread = rows.std(axis=0)
    least = 1e-9 * max(float(spread.max(initial=0.0)), 1e-300)
    return np.ones(rows.shape[1]) if network else np.where(spread > least, spread, 1.0)


def _directions(made: TapDictionary, params, natural, apart, names, unit) -> tuple[np.ndarray, str]:
    d, at = len(apart), np.arange(params.number, params.number + params.directions)
    if params.direction == DIFFERENCE:
        if not np.linalg.norm(apart) > 1e-12 * max(float(np.abs(natural.mean).max()), 1e-300):
            raise InputError(
                f"no difference between the means of '{names[0]}' and '{names[1]}'", "two that differ"
            )
        return apart[None], f"the difference of {names[1]} and {names[0]}"
    what = "feature" if params.direction == FEATURE else params.direction
    rows = made.features.decoder if what == "feature" else None
    most = d if rows is None else len(rows)
    if at[-1] >= most:
        raise NotFound(f"{what} {at[-1]}", f"0 … {most - 1}")
    if params.direction == PRINCIPAL:
        rows = np.linalg.eigh(natural.covariance)[1][:, ::-1].T
    found = np.eye(d)[at] if rows is None else np.asarray(rows[at], np.float64)
    found = found / unit if what == "feature" else found
    if made.of_units and what == "feature":
        what = UNIT
    return found, f"{what} {at[0]}" + (f" to {at[-1]}" if len(at) > 1 else "")


def _reading(found: PatchVerdict, words: str, groups, target) -> str:
    mean, low, high = found.interval(PATCH)
    whole = float(found.effects[WHOLE].mean())
    a, b = groups.names
    return (
        f"Verdict: {found.word}. Of patching {words}: {'; '.join(found.reasons)}. From {b} into {a} it moves the "
        f"{target.words} by {mean:.3g} [{low:.3g}, {high:.3g}], everything by {whole:.3g}, 95 % of random directions "
        f"by {np.percentile(np.abs(found.random_effects), 95):.3g} or less."
    )


def _caveats(found: PatchVerdict, groups, params, natural) -> list[str]:
    said = [
        f"{len(groups.pairs):,} pairs; directions, ranges and slopes are of {sum(map(len, groups.fit)):,} other "
        f"samples. The connected part is what holds {params.energy:.0%} of the squared slopes.",
        "Illusory: under half of the effect is left in range, or to the connected part. Suspicious: under 80 %, under "
        "a third along principal axes, a dormant connected part, or 10 % more of the change out of range than usual.",
    ]
    if natural.axes is None:
        said.append("There are too few rows to know the range of every principal axis; only units were held.")
    if found.word == patch_verdict.NOTHING:
        said.append(
            "A patch without effect says nothing of the direction where samples hardly differ along it."
        )
    return said


def _cost(shapes, params: PatchingIllusionParams) -> Cost:
    (n, k), m = shapes[0], machine()
    passes = params.pairs * (7 + params.random + 3 * 4)
    held = 24.0 * n * k + 60.0 * min(n, 6 * params.pairs) * k + 3200.0 * k + 60.0 * min(k, 4096) ** 2
    return Cost(
        OPENING + m.seconds(flops64=2.0e6 * passes + 20.0 * k**3, moved=8.0 * n * k) + 1e-3 * passes,
        held,
        passes,
    )


def _check() -> tuple[CheckLine, ...]:
    """h = (x, 0, x), y = 2 h2 + h3, the first pair from x = 3 to x = -7."""
    rng = np.random.default_rng(0)
    x, slope = 3 * rng.standard_normal(200), np.array([0.0, 2.0, 1.0])
    rows, ends = np.outer(x, [1.0, 0, 1]), np.column_stack([np.r_[3.0, x[:9]], np.r_[-7.0, x[9:18]]])
    base, source = ([np.array([[v, 0.0, v]]) for v in column] for column in ends.T)

    def judged(v):
        return judge_patch(lambda i, h: h[:, 0] @ slope, base, source, np.array([v]), slope[None], natural_of(rows),
                           np.array([1.0, 0, 1]), np.random.default_rng(0))  # fmt: skip

    illusion, first, second, third = (judged(v) for v in ([1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]))
    return (
        CheckLine("y after patching (1, 1, 0)", -7.0, 3 + float(illusion.effects[PATCH][0]), 1e-9),
        CheckLine("it is illusory", 1.0, float(illusion.word == patch_verdict.ILLUSORY), 0.0),
        CheckLine("what is left of it in range", 0.0, illusion.share(HELD), 1e-9),
        CheckLine("the effect of h1 alone", 0.0, float(np.abs(first.effects[PATCH]).max()), 1e-12),
        CheckLine("the effect of h2 alone", 0.0, float(np.abs(second.effects[PATCH]).max()), 1e-12),
        CheckLine("y after patching h3", -7.0, 3 + float(third.effects[PATCH][0]), 1e-9),
        CheckLine("h3 is faithful", 1.0, float(third.word == patch_verdict.FAITHFUL), 0.0),
        CheckLine("everything is the source", -7.0, 3 + float(third.effects[WHOLE][0]), 1e-12),
    )


METHODS = (
    Method(
        id="patching_illusion",
        family="attribution",
        title="Is a patched direction real or an illusion?",
        summary="Patches a direction between two groups and says whether its effect goes a way the network takes.",
        version=2,
        function=patching_illusion,
        params=PatchingIllusionParams,
        result=Table,
        check=_check,
        cost=_cost,
        minimum_rows=2 * FEWEST,
        invariance="length and sign of the direction; a constant added to all logits; order of the samples' tokens "
        "where the reader is a probe",
        papers=("Is This the Subspace You Are Looking For? (patching illusion)",),
        libraries=("torch",),
    ),
)
