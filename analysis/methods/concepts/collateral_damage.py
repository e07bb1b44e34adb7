"""What else goes when a concept is erased: probe scores of every other sample column before and after.

The concept's directions are found on one half of the samples and removed from the other half. There one probe is fitted
and judged in folds for each column (classes, or a number), before and after; the difference is of the same samples with
the same folds. Two controls: as many random directions, and the same method on the concept's values exchanged between
samples. The second takes more: directions found in noise lie along the largest principal axes, where others live.

damage = score before - score after, with an interval over samples (paired). A column counts as damaged where it was
read before, that interval lies above 0, no draw of random directions did as much, and at most 5 % of exchanges did.

Null: the damage from erasing exchanged values; scores by themselves are held against exchanged values, too.

When it lies: a column that is associated with the concept in these samples must lose, whether or not the network uses
one for the other: what is shown in `association`; a column that the probe could not read before has nothing to lose; a
more flexible probe may find again what a linear one lost; columns such as `predicted` are made from these activations.

Cost: the directions as in concept_erasure, once more for each exchange, and (7 + exchanges) probes in folds for each
column. Memory O(n d + d²).

References: S. Ravfogel et al. (2022), "Linear Adversarial Concept Erasure"; N. Belrose et al. (2023), "LEACE".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.groups.concept import ConceptParams
from analysis.compute.groups.concept_samples import concept_samples
from analysis.compute.machine import machine
from analysis.compute.rows.known_factors import MOST_CLASSES
from analysis.compute.subspaces.collateral import Controls, Loss, loss_of, readable_columns
from analysis.compute.subspaces.collateral_report import HELP, loss_columns, loss_estimates
from analysis.compute.subspaces.concept_moments import concept_moments
from analysis.compute.subspaces.erasing import ERASERS, FEWEST, LEACE, Halves, erased, halved
from analysis.compute.subspaces.erasure import Eraser, orthogonal, random_projection
from analysis.compute.subspaces.probe_cost import ASSUMED, classes_of, eraser_cost, probe_cost, times
from analysis.compute.subspaces.probes import LINEAR, PROBES
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

RANDOM, COLUMNS = 5, 4  # draws of random directions; columns that samples are taken to have


@dataclass(frozen=True)
class CollateralDamageParams(ConceptParams):
    method: str = param(LEACE, "How the concept is erased.", choices=ERASERS)
    rank: int | None = param(
        None, "Dimensions to remove; empty: as many as a linear probe reads (classes - 1, one for a number).",
        low=1, high=512,
    )  # fmt: skip
    probe: str = param(LINEAR, "What reads the columns.", choices=PROBES)
    draws: int = param(19, "Exchanges of the concept's values, each erased again.", low=19, high=999)
    folds: int = param(4, "Folds in which probes are fitted and judged.", low=2, high=10)
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=50, high=50_000)


def collateral_damage(
    activations, params: CollateralDamageParams = CollateralDamageParams(), rng=None, progress=no_progress
) -> Table:
    """Scores of all columns before and after erasing one.

    Parameters
    ----------
    activations : Activations or array (rows, units); tokens count once per sample, by their mean.

    Returns
    -------
    Table
        The erased concept, then the other columns, see `HELP`. Estimates: the damage to each.

    Raises
    ------
    NotFound, ParameterError, NotEnoughData, InputError, TooLarge
        As for concept_erasure.
    """
    activations = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    data = concept_samples(
        activations, params, minimum=FEWEST, maximum=params.maximum_samples, rng=rng, progress=progress
    )
    halves = halved(data, params.folds, rng)
    progress(0.15, "finding directions")
    k = min(params.rank or data.concept.rank, data.x.shape[1])
    eraser = erased(params.method, halves.fit, halves.fit_concept, halves.moments, k)
    nothing = orthogonal("nothing", halves.moments.mean, np.zeros((data.x.shape[1], 0)))
    controls = Controls(
        nothing, eraser, [random_projection(halves.moments, eraser.rank, rng) for _ in range(RANDOM)],
        _exchanged(halves, params.method, k, params.draws, rng, progress),
    )  # fmt: skip
    own = "" if params.inside or params.first else params.column
    held = data.samples[halves.held]
    columns, left_out = readable_columns(activations, held, halves.concept, own, params.folds + 1)
    lines = []
    for i, (concept, at) in enumerate(columns):
        progress(0.3 + 0.7 * i / len(columns), f"reading {concept.name}")
        lines.append(loss_of(halves, controls, concept, at, (params.folds, params.probe), rng))
    return _table(activations.name, params, data, halves, eraser, lines, left_out)


def _exchanged(halves: Halves, method: str, k: int, draws: int, rng, progress) -> list[Eraser]:
    found = []
    for i in range(draws):
        progress(0.15 + 0.15 * i / draws, "finding directions of exchanged values")
        concept = halves.fit_concept.shuffled(rng)
        found.append(erased(method, halves.fit, concept, concept_moments(halves.fit, concept), k))
    return found


def _table(name: str, params, data, halves: Halves, eraser: Eraser, lines: list[Loss], left_out) -> Table:
    columns, estimates = loss_columns(lines), loss_estimates(lines, halves.x.shape[1], params.probe)
    return Table(
        title=f"Collateral damage of erasing {data.concept.name} from {name}", columns=columns, index="column",
        help=HELP, reading=_reading(lines, eraser), estimates=estimates,
        caveats=(*_caveats(params, halves, lines, left_out), *data.notes),
    )  # fmt: skip


def _reading(lines: list[Loss], eraser: Eraser) -> str:
    own, others = lines[0], lines[1:]
    first = (
        f"{eraser.name} of {eraser.rank} dimension(s) takes the probe of {own.concept.name} from "
        f"{own.before.value:.2f} to {own.after.value:.2f} (chance {own.before.chance:.2f})."
    )
    if not others:
        return f"{first} The samples have no other column that could lose."
    hurt = [n for n in others if n.damaged]
    if not hurt:
        return f"{first} None of the {len(others)} other column(s) loses more than erasing nothing in particular takes."
    told = "; ".join(
        f"{n.concept.name} loses {n.damage[0]:.2f} [{n.damage[1]:.2f}, {n.damage[2]:.2f}], {n.association:.0%} of the "
        "concept goes with it" for n in sorted(hurt, key=lambda n: -n.damage[0])[:6]
    )  # fmt: skip
    return f"{first} {len(hurt)} of {len(others)} other column(s) are damaged: {told}."


def _caveats(params, halves: Halves, lines, left_out) -> list[str]:
    notes = [
        f"Directions are found on {len(halves.fit):,} samples, probes are fitted and judged on {len(halves.x):,} "
        f"others in {params.folds} folds.",
        "A column that goes with the concept in these samples loses with it: read the damage beside the association.",
    ]
    same = [n.concept.name for n in lines[1:] if n.damage[1] > 0 and not n.damaged and n.before.reads]
    if same:
        notes.append(
            f"Loses, but no more than by random directions or a meaningless concept (a loss all the same): "
            f"{', '.join(same)}."
        )
    weak = [n.concept.name for n in lines[1:] if not n.before.reads]
    if weak:
        notes.append(f"Not read before erasing, so with nothing to lose: {', '.join(weak)}.")
    if left_out:
        notes.append(
            f"{len(left_out)} column(s) are no concepts (constant, over {MOST_CLASSES} classes, or too few samples of "
            f"a class): {', '.join(left_out)}."
        )
    if len(lines) > 2:
        notes.append("Columns are not corrected for their number.")
    return notes


def _cost(shapes, params: CollateralDamageParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n, c = min(rows, params.maximum_samples) / 2, classes_of(params)
    each = 2 + RANDOM + params.draws
    spent = times(probe_cost(params.probe, n, d, ASSUMED, params.folds, draws=30), COLUMNS * each)
    spent += times(eraser_cost(params.method, n, d, c, min(params.rank or c - 1, d)), 1 + params.draws)
    return Cost(m.seconds(**spent) + 0.1, 8.0 * (6 * n * d + 5 * d * d) + 3e5)


def _check() -> tuple[CheckLine, ...]:
    """Three labels in 12 units: `one` and `two` along their own units, `twin` equal to `one` for 9 of 10 samples.
    Erasing `one` blinds it, hurts `twin` and spares `two`; erasing a random label spares everything."""
    rng = np.random.default_rng(11)
    n = 1000
    one, two, lost = rng.integers(2, size=(3, n))
    twin = np.where(rng.random(n) < 0.9, one, 1 - one)
    x = rng.standard_normal((n, 12)) + 3 * np.column_stack([one, two, *[0 * one] * 10])
    x[:, 3] += 2.0 * two * rng.standard_normal(n)
    columns = {"label": one, "two": two, "twin": twin}, {"lost": lost, "two": two}
    runs = [
        collateral_damage(
            ArrayActivations(x + 3, samples=c), CollateralDamageParams(column=next(iter(c)), folds=2)
        )
        for c in columns
    ]
    keys = ("column", "damage", "damaged")
    real, none = (
        {str(c): (float(v), bool(b)) for c, v, b in zip(*(r.columns[k] for k in keys), strict=True)}
        for r in runs
    )
    spared = [float(damage) for name, (damage, _) in none.items() if "erased" not in name]
    return (
        CheckLine("damage to the erased label", 0.43, float(real["label (erased)"][0]), 0.06),
        CheckLine("damage to a label that goes with it", 0.3, float(real["twin"][0]), 0.0, "at least"),
        CheckLine("it is marked", 1.0, float(real["twin"][1]), 0.0),
        CheckLine("damage to a label of its own", 0.0, float(real["two"][0]), 0.03),
        CheckLine("it is not marked", 0.0, float(real["two"][1]), 0.0),
        CheckLine("erasing a random label: largest damage", 0.0, max(map(abs, spared)), 0.08),
    )  # fmt: skip


METHODS = (
    Method(
        id="collateral_damage", family="concepts", title="Collateral damage of erasing a concept", version=2,
        function=collateral_damage, params=CollateralDamageParams, result=Table, check=_check, cost=_cost,
        summary="What probes of all other sample columns lose when one concept is erased, against random directions.",
        minimum_rows=2 * FEWEST,
        invariance="shifting the activations or scaling all of them by one factor changes nothing; a rotation changes "
        "nothing but the draws of the MLP and of random directions",
        papers=("Linear Adversarial Concept Erasure (R-LACE)", "Linear Adversarial Concept Erasure"),
    ),
)  # fmt: skip
