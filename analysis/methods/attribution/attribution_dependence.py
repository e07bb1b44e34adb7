"""How does one unit act: its part in the number against its own value, coloured by the unit it acts together with.

Each sample is a point (x_ij, φ_ij): the value of unit j and what the number of the answer owes to it (Shapley values or
expected gradients, from the kept parts of `global_attribution`). Dashed, the running median over the nearest eighth of
the samples with its 95 % bootstrap band: straight where the unit acts linearly, bent where it does not. The scatter
about the median is what the unit does together with others; the points are coloured by the strongest partner, found by
what it explains of that rest or by Shapley interactions (`analysis.attribution.units.partners`); which is said. It is
chosen on one half of the samples, and how strong it is is read on the other.

Null: correlation 0 of shuffled samples; the partner against itself shuffled among samples with like values of the unit,
or against an additive network, which has no interactions. Intervals: Fisher's, Student's t, and groups of samples left
out in turn.

When it lies: between the points nothing was measured; the median of few samples at the ends is wide; a partner may only
go along with the real one; where units are correlated an absent unit's background makes rows that do not occur, and a
bend may come from there.

Cost: as `global_attribution`, nothing where its parts are kept; Shapley interactions as much again for the samples that
they read.

Reference: S. Lundberg et al. (2020), "From local explanations to global understanding with explainable AI for trees".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.attribution.units.partners import held_out_partner, interaction_partners, residual_partners
from analysis.attribution.units.unit_estimates import missed, sampling_error
from analysis.attribution.units.unit_parts import (
    FEWEST,
    UnitParts,
    UnitPartsParams,
    caveats,
    parts_cost,
    unit_parts,
)
from analysis.compute.correlation.correlations import fisher_interval, null_quantile
from analysis.compute.statistics.nulls import against
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import InputError, NotFound
from analysis.features.readers import PROBE
from analysis.results import Estimate, Scatter
from analysis.spec import CheckLine, Cost, Method, no_progress, param

RESIDUAL, INTERACTION = "explained residual", "Shapley interaction"
PLACES, SHARE, DRAWS, ASKED = (
    30,
    8,
    300,
    40,
)  # of the median; of the samples; resamples; samples of interactions
CHOSEN = "The partner is chosen on one half of the samples and its strength read on the other."
MEDIAN, BAND = "running median", "its 95 % band"


@dataclass(frozen=True)
class AttributionDependenceParams(UnitPartsParams):
    unit: int | None = param(None, "Its number in the tap; automatic: the strongest.", low=0, high=10_000_000)
    partner: str = param(
        RESIDUAL, "How the unit that it acts together with is found.", choices=(RESIDUAL, INTERACTION)
    )


def attribution_dependence(
    activations,
    params: AttributionDependenceParams = AttributionDependenceParams(),
    rng=None,
    progress=no_progress,
) -> Scatter:
    """A unit's part in the answer against its value.

    Returns
    -------
    Scatter
        A point for each sample. Columns: the partner's value, the explained number, the part's sampling error. Guides:
        the running median and its band. Estimates: correlation of value and part, what the value alone tells, the
        partner's strength, residual and sampling error.

    Raises
    ------
    NotFound, InputError, NotEnoughData, ParameterError
        As `global_attribution`; no such unit; one that does not vary or plays together with others.
    """
    tap, rng = as_activations(activations), rng or np.random.default_rng(0)
    parts = unit_parts(tap, params, rng, progress, (0.0, 0.75))
    j = _place(parts, params, tap)
    x, part = parts.x[:, j], parts.values[:, j]
    other, alone, strength = _partner(parts, j, params, rng, progress)
    progress(0.97, "running median")
    guides, names = running_median(x, part, rng), parts.names
    pooled, words = tap.layout.is_pooled, parts.explained.words
    estimates = (_together(x, part, tap.shape[1]), alone, strength, missed(parts, tap.shape[1]),
                 *sampling_error(parts, tap.shape[1]))  # fmt: skip
    columns = {f"{names[other]}": parts.x[:, other], "explained number": parts.full}
    if np.isfinite(parts.errors).all():
        columns["sampling error of the part"] = parts.errors[:, j]
    progress(1.0, "done")
    return Scatter(
        title=f"What {names[j]} adds to the {words}", reading=_reading(names, j, other, estimates, params),
        caveats=(*caveats(parts, params), CHOSEN), estimates=estimates, positions=np.column_stack([x, part]),
        rows=parts.explained.samples.samples, of="rows" if pooled else "samples",
        axes=(str(names[j]), f"part of the {words}"), columns=columns, colour=str(names[other]), guides=guides,
    )  # fmt: skip


def _place(parts: UnitParts, params, tap) -> int:
    size, units = np.abs(parts.values).mean(axis=0), parts.explained.units
    if params.unit is None:
        return int(np.argmax(np.where(parts.own, size, -1.0)))
    if params.unit >= tap.shape[1]:
        raise NotFound(f"unit {params.unit} of {tap.name}", f"0 … {tap.shape[1] - 1}")
    at = np.flatnonzero(units == params.unit)
    if not len(at):
        raise InputError(
            f"unit {params.unit} plays together with the weaker ones", "a unit that plays alone",
            "Raise the most units that play alone",
        )  # fmt: skip
    if np.ptp(parts.x[:, at[0]]) == 0:
        raise InputError(
            f"unit {params.unit} of {tap.name} is the same in every sample", "a unit that varies"
        )
    return int(at[0])


def _partner(parts: UnitParts, j: int, params, rng, progress):
    """The partner's place, what the unit alone tells, and the partner's strength as an `Estimate`."""
    n, d = parts.x.shape
    progress(0.76, "looking for a partner")
    found = held_out_partner(parts.x, parts.values[:, j], j, rng)
    alone = Estimate("told by its own value", found.alone, **_around(found.alone, found.alone_half), null=0.0, n=n, d=d,
                     null_method="parts that hang on other units only",
                     estimator="share of the part's variance, a line in each block of like samples")  # fmt: skip
    if params.partner == RESIDUAL:
        told = Estimate("strongest partner: rest explained", found.strength, **_around(found.strength, found.half),
                        **against(found.strength, found.null), n=found.read, d=d,
                        null_method="the partner shuffled among like samples",
                        estimator="share of the part beyond its own value, adjusted; chosen on the other samples"
                        )  # fmt: skip
        return found.partner, alone, told
    some = rng.choice(n, size=min(ASKED, n), replace=False)
    each = np.abs(interaction_partners(parts.explained, params, j, some, rng, progress, (0.78, 0.97)))
    half = len(some) // 2
    first = int(np.argmax(np.where(np.arange(d) == j, -1.0, each[:half].mean(axis=0))))
    size = max(float(np.abs(parts.values[:, j]).mean()), 1e-300)
    read = each[half:, first] / size
    told = Estimate("strongest partner: interaction", float(read.mean()), **mean_interval(read, 0.0), null=0.0,
                    null_method="an additive network, exactly", n=len(read), d=d,
                    estimator="mean |Shapley interaction| / mean |part of the unit|; chosen on other samples"
                    )  # fmt: skip
    return first, alone, told


def _around(value: float, half: float | None) -> dict:
    """The interval of a share, as an `Estimate` takes it."""
    if half is None:
        return {}
    return {
        "low": max(0.0, value - half),
        "high": min(1.0, value + half),
        "interval": "jackknife over samples",
    }


def running_median(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The median (places, 2) of y over the samples nearest in the order of x, and the outline of its bootstrap band,
    from the middle of its upper side around."""
    n, order = len(x), np.argsort(x, kind="stable")
    wide = min(n, max(10, n // SHARE))
    starts = np.unique(np.linspace(0, n - wide, PLACES).astype(np.int64))
    lines = np.empty((3, len(starts), 2))
    for k, start in enumerate(starts):
        some = order[start : start + wide]
        drawn = np.median(y[some][rng.integers(wide, size=(DRAWS, wide))], axis=1)
        lines[:, k, 0] = np.median(x[some])
        lines[:, k, 1] = np.median(y[some]), *np.percentile(drawn, [2.5, 97.5])
    median, low, high = lines
    middle = len(starts) // 2
    return {MEDIAN: median, BAND: np.concatenate([high[middle:], low[::-1], high[: middle + 1]])}


def _together(x, part, d: int) -> Estimate:
    n, both = len(x), np.std(x) * np.std(part)
    r = float(np.clip(np.mean((x - x.mean()) * (part - part.mean())) / both, -1, 1)) if both > 0 else 0.0
    low, high = (float(e) for e in fisher_interval(r, n))
    chance = null_quantile(n, 0.95)
    return Estimate("value and part", r, min(low, r), max(high, r), interval="Fisher's", null=0.0, null_low=-chance,
                    null_high=chance, null_method="samples shuffled, by Student's t", n=n, d=d,
                    estimator="Pearson's correlation")  # fmt: skip


def _reading(names, j: int, other: int, estimates, params) -> str:
    r, alone, strength = (e.value for e in estimates[:3])
    p = estimates[2].p_value
    sure = "" if p is None or p <= 0.05 else f", no more than by chance (p = {p:.2g})"
    what = "of the rest" if params.partner == RESIDUAL else "as strong as its parts"
    how = "by explained residual" if params.partner == RESIDUAL else "by Shapley interaction"
    return (
        f"The part of {names[j]} goes with its value at r = {r:.2f}; the value alone tells {alone:.0%} of it. "
        f"Strongest partner, {how}: {names[other]}, {strength:.0%} {what}{sure}."
    )


def _cost(shapes, params) -> Cost:
    own = parts_cost(shapes, params)
    n, d = min(shapes[0][0], params.maximum_samples), min(shapes[0][1], params.maximum_units)
    again = 2.0 * ASKED / max(n, 1) if params.partner == INTERACTION else 0.0
    return Cost(own.seconds * (1 + again) + 4e-8 * 200 * n * d, own.bytes + 40.0 * n * d, own.passes)


def _check() -> tuple[CheckLine, ...]:
    """A linear probe: parts lie on a line in the unit's value, and the value tells all. A product: its other factor is
    the partner."""
    rng = np.random.default_rng(0)
    label = np.arange(60) % 2
    x = np.column_stack(
        [rng.standard_normal(60), label * 3.0 + rng.standard_normal(60), rng.standard_normal(60)]
    )
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    found = attribution_dependence(tap, AttributionDependenceParams(reader=PROBE, unit=1, answer=1))
    told = {e.name: e.value for e in found.estimates}
    both = rng.standard_normal((300, 3))
    partners = residual_partners(both, both[:, 0] * both[:, 2] / 2, 0, rng)
    return (
        CheckLine("value and part, of two probes", 1.0, told["value and part"], 0.02),
        CheckLine("x0 x2: the partner is 2", 2.0, float(partners.strength.argmax()), 0.0),
        CheckLine("the rest that it explains", 0.9, float(partners.strength[2]), 0.0, "at least"),
        CheckLine("shuffled: as much", 0.01, float((partners.null >= partners.strength[2]).mean()), 0.0, "at most"),
        CheckLine("median of a straight line", 0.0,
                  float(np.abs(np.diff(running_median(both[:, 0], 2 * both[:, 0], rng)[MEDIAN] @ [2.0, -1.0])).max()),
                  1e-12),
    )  # fmt: skip


METHODS = (
    Method(
        id="attribution_dependence",
        family="attribution",
        title="How one unit acts on the answer",
        summary="A unit's part in the answer against its value, with a running median and its strongest partner.",
        version=2,
        function=attribution_dependence,
        params=AttributionDependenceParams,
        result=Scatter,
        check=_check,
        cost=_cost,
        minimum_rows=FEWEST,
        invariance="the order of samples; a constant added to a unit that the network undoes",
        papers=(
            "Employing Explainable Artificial Intelligence (XAI) Methodologies to Analyze the Correlation between "
            "Input Variables and Tensile Strength in Additively Manufactured Samples",
            "SHAP: a unified approach",
        ),
        libraries=("torch",),
    ),
)
