"""Is what is called common really common, and what is called salient really the target's own? A leak test of the two
parts of a contrastive set.

A contrastive set has salient features (what varies in a target group and not in a background) and common ones (what
both share). A linear probe, held out, reads each part:

    target or background    the salient part may tell it; where the common part does, it leaks
    the background's own    columns over background samples alone: the common part may tell them; where the salient
    factors                 part does, it leaks

Uniformity of each part over the target's samples, log E exp(-2 |u - v|²) of directions u, v of length 1, says whether a
part is spread out or has collapsed, and is read beside as many directions drawn evenly.

Null: values exchanged between the samples, predictions kept; the majority rate, of a number 0. A part leaks where p
passes Benjamini-Hochberg at 5 % over the table and the interval lies above the majority rate.

When it lies: contrastive components look at variances: a target whose *mean* is elsewhere is told by every part, and
that is a leak of this measure although no component is wrong; a linear probe; a part with more features has more to
read from; factors that go with the target are not the background's own; tokens are averaged.

Cost: a probe for each part and column: some 20 steps of O(n k classes), five folds.

References: R. Louiset et al. (2024), "Separating common from salient patterns with contrastive representation
learning"; A. Abid et al. (2018), "Exploring patterns enriched in a dataset with contrastive principal component
analysis"; T. Wang & P. Isola (2020).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import ArrayActivations, as_activations, sample_column
from analysis.compute.dictionaries.parts import POINTS, SMALLEST, own_factors, spread_of_parts
from analysis.compute.groups.concept import ConceptParams, asked_concept
from analysis.compute.machine import machine
from analysis.compute.rows.random_part import random_part
from analysis.compute.rows.samples import known_labels, pooled_samples
from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.subspaces.probes import LINEAR, Score, probe_folds, scored
from analysis.errors import InputError, NotEnoughData
from analysis.features.tap_dictionary import tap_dictionary
from analysis.results import Matrix
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST, FOLDS, LEVEL = 40, 5, 0.05
NO_SET = "No contrastive set"
SALIENT, COMMON, GROUPS = "salient", "common", "target or background"


@dataclass(frozen=True)
class SalientLeaksParams(ConceptParams):
    factors: str = param(
        "", "Columns of the background's own factors, with commas between; empty: all there are."
    )
    units: int = param(0, "Of a tap that no contrastive set encoded: how many are salient; 0: half.", low=0)
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=50, high=20_000)


def salient_leaks(
    activations, params: SalientLeaksParams = SalientLeaksParams(), rng=None, progress=no_progress
) -> Matrix:
    """Parts by what they tell. The first group is the background, what it is set against the target; where none is
    named, those of the set, and of any other tap the first class of the column.

    Parameters
    ----------
    activations : Activations
        A tap that a contrastive set encoded, or any other, whose first units are then taken as salient.

    Returns
    -------
    Matrix
        `values` (2, columns) held-out accuracy (R² of numbers), with interval, null and significance; uniformity of
        both parts as estimates.

    Raises
    ------
    NotFound, InputError, NotEnoughData, TooLarge
        No such column or value; a set with one part only; fewer than forty samples, or eight in a group.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    parts, given, notes = _parts(tap, params.units)
    at, groups, said = asked_concept(tap, _asked(params, given, tap), SMALLEST)
    chosen, more = random_part(len(at), params.maximum_samples, rng)
    x, kept, read = pooled_samples(tap, "mean", at[chosen], progress, (0.0, 0.2))
    at, groups = at[chosen][kept], groups.only(chosen[kept])
    counts = np.bincount(groups.of, minlength=2)
    if len(x) < FEWEST or counts.min() < SMALLEST:
        raise NotEnoughData(
            f"{len(x)} finite sample(s), {int(counts[1])} of them background",
            f"at least {FEWEST}, {SMALLEST} of each",
        )
    behind = groups.of == 1
    columns = [(GROUPS, np.arange(len(x)), groups), *own_factors(tap, at, behind, params.factors, notes)]
    found = {}
    for j, (name, rows, concept) in enumerate(columns):
        fold = probe_folds(concept, FOLDS, rng)
        for i, (part, units) in enumerate(parts.items()):
            progress(0.2 + 0.8 * (2 * j + i) / (2 * len(columns)), f"probing for {name}")
            own = x[np.ix_(rows, units)]
            scale = float(np.sqrt(own.var(axis=0).mean())) or 1.0
            found[i, j] = scored(own, concept, fold, LINEAR, scale, rng), len(units), part
    progress(1.0, "done")
    return _matrix(
        tap.name,
        columns,
        found,
        groups,
        (*said, *more, *read, *notes),
        spread_of_parts(x[~behind], parts, rng),
    )


def _parts(tap, units: int):
    """Columns of either part, the parameters of a contrastive set, and notes."""
    made = tap_dictionary(tap)
    about = made.features.about
    told = np.array(about.get("components", {}).get("part", []))
    if len(told) == tap.shape[1] and len(told):
        parts = {p: np.flatnonzero(told == p) for p in (SALIENT, COMMON)}
        if not all(map(len, parts.values())):
            raise InputError(
                f"'{made.features.name}' has no {COMMON if len(parts[SALIENT]) else SALIENT} features",
                "both parts", "Make it with one or more common directions",
            )  # fmt: skip
        return parts, dict(about.get("parameters", {})), []
    cut, d = units or tap.shape[1] // 2, tap.shape[1]
    if not 0 < cut < d:
        raise InputError(f"{cut} of {d} unit(s) as the salient part", "a cut with units on both sides")
    note = f"{NO_SET} encoded {tap.name}: its first {cut} units are taken as salient, the others as common."
    return {SALIENT: np.arange(cut), COMMON: np.arange(cut, d)}, {}, [note]


def _asked(params: SalientLeaksParams, given: dict, tap) -> ConceptParams:
    """Which groups: those asked for, else the set's own, else the first class against the others."""
    if params.first or params.inside:
        return params
    background, target = str(given.get("background", "")).strip(), str(given.get("target", "")).strip()
    if background:
        column, equal, first = (p.strip() for p in background.partition("="))
        column, first = (column, first) if equal else ("label", background)
        second = target.partition("=")[2].strip() if "=" in target else target
        if column in tap.samples and (np.asarray(tap.samples[column]).astype(str) == first).any():
            return replace(params, column=column, first=first, second=second)
        raise InputError(
            f"the set's background '{background}' is a selection, which a method cannot look up",
            "the two groups by name", "Choose the selection as the first group, the target as what it is set against",
        )  # fmt: skip
    labels = sample_column(tap, params.column)
    known = labels[known_labels(labels)]
    return replace(params, first=str(np.unique(known)[0]) if len(known) else "")


def _matrix(name, columns, found, groups, notes, spread) -> Matrix:
    cells = [[found[i, j][0] for j in range(len(columns))] for i in (0, 1)]
    of = lambda get: np.array([[get(s) for s in line] for line in cells], dtype=float)  # noqa: E731
    values, chance = of(lambda s: s.value), of(lambda s: s.chance)
    tells = (benjamini_hochberg(of(lambda s: s.p)) < LEVEL) & (of(lambda s: s.low) > chance)
    names = (SALIENT, COMMON)
    estimates = [
        s.estimate(f"{names[i]} part: {columns[j][0]}", found[i, j][1], LINEAR)
        for i in (0, 1) for j, s in enumerate(cells[i])
    ]  # fmt: skip
    return Matrix(
        title=f"What the salient and the common part of {name} tell", 
        reading=_reading(columns, cells, tells, groups, not any(n.startswith(NO_SET) for n in notes)),
        caveats=(*notes, "A group whose mean is elsewhere is told by every part: components look at variances.",
                 "Accuracy is held against the majority rate; a number's R² against 0."),
        estimates=(*estimates, *spread), values=values, row_names=names, column_names=tuple(c[0] for c in columns),
        value_name="held-out accuracy or R²", limits=(0.0, 1.0), null=chance,
        low=of(lambda s: s.low), high=of(lambda s: s.high), significant=tells,
    )  # fmt: skip


def _reading(columns, cells: list[list[Score]], tells, groups, given: bool) -> str:
    s, c = cells[0][0], cells[1][0]
    said = "" if given else "This is no contrastive set, and what follows is about two halves of the units. "
    said += (
        f"{groups.name}, which is the background: the salient part tells the two apart for {s.value:.0%} of samples, "
        f"the common part for {c.value:.0%} (majority {c.chance:.0%}): the common part "
        + ("leaks." if tells[1, 0] else "does not leak.")
    )
    if len(columns) == 1:
        return said
    leaking = [columns[j][0] for j in range(1, len(columns)) if tells[0, j]]
    return said + (
        f" The salient part leaks {', '.join(leaking)} of the background."
        if leaking
        else f" As far as a linear probe sees, the salient part tells none of the background's {len(columns) - 1} "
        "factor(s)."
    )


def _cost(shapes, params: SalientLeaksParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.maximum_samples)
    flops = 2 * 3 * FOLDS * 5 * 60 * 4.0 * n * d / 2 * 3
    return Cost(m.seconds(flops64=flops, moved=24.0 * rows * d + 400 * 60.0 * n) + 0.1,
                8.0 * n * d * 2.5 + 24.0 * min(n, POINTS) ** 2 + 800.0 * n)  # fmt: skip


def _check() -> tuple[CheckLine, ...]:
    """A pattern of the target alone in two features, a factor of both groups in two others; then exchanged."""
    rng = np.random.default_rng(1)
    n = 240
    target, factor = np.arange(n) % 2, np.arange(n) // 2 % 2
    salient = (
        0.3 * rng.standard_normal((n, 2))
        + 3 * target[:, None] * rng.choice([-1, 1], (n, 1))
        + target[:, None]
    )
    common = 0.3 * rng.standard_normal((n, 2)) + 3 * factor[:, None]
    samples = {"label": target, "shape": factor}

    def table(x) -> Matrix:
        return salient_leaks(ArrayActivations(x, "planted", samples), SalientLeaksParams(factors="shape"))

    clean, leaking = table(np.hstack([salient, common])), table(np.hstack([common, salient]))
    return (
        CheckLine("the common part tells no group", 0.0, float(clean.significant[1, 0]), 0.0),
        CheckLine("the salient part tells no factor", 0.0, float(clean.significant[0, 1]), 0.0),
        CheckLine("the common part tells the factor", 1.0, float(clean.values[1, 1]), 0.02),
        CheckLine("parts exchanged: both leak", 2.0, float(leaking.significant[[1, 0], [0, 1]].sum()), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="salient_leaks", family="dictionaries", title="Leaks between salient and common", version=1,
        function=salient_leaks,
        summary="Whether the common part tells target from background, or the salient part the background's factors.",
        params=SalientLeaksParams, result=Matrix, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="shifting, scaling or rotating a part",
        papers=("Separating common from salient patterns with Contrastive Representation Learning",),
    ),
)  # fmt: skip
