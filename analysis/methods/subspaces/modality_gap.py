"""How far apart do two sides of the same samples lie, such as image and text, and what of it is a plain shift?

Taps: two of the same units. With Δ = mean x - mean y, the mean squared distance of mates splits exactly:

    mean |x - y|² = |Δ|² + mean |x - y - Δ|²

so that the share of |Δ|² is what a constant shift explains. Three preparations are compared: as recorded; every row of
unit length, as contrastive models compare them; and unit length less each side's mean, the mean being that of other
samples (five folds). For each: cosines of mates and of strangers, whether a linear probe tells the two sides apart on
held-out samples (AUROC; 1: each side has its own half of the space), and how often the mate is the nearest (recall at
1, both ways).

Nulls: sides of each sample swapped at random, for the gap and the probe; for recall 1 / n, mates exchanged.

When it lies: "linear" says that a plane tells the sides apart, not that nothing else does: after the means are gone
their spreads may still differ; a large shift along one unit is a large gap and costs retrieval nothing; recall falls
with the number of samples, so compare at equal n; units must mean the same in both taps, or there is nothing to shift.

Cost: three probes of five folds, O(n d min(n, d)), and O(n² d) for the neighbours; memory O(n d + n²).

References: W. Liang et al. (2022), "Mind the gap: understanding the modality gap in multi-modal contrastive
representation learning".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.similarity.modality_gap import gap_estimates
from analysis.compute.similarity.two_sides import (
    FOLDS,
    STEPS,
    gap_of,
    prepared,
    recall_estimate,
    share_of_shift,
    shift_estimate,
    told_estimate,
)
from analysis.compute.statistics.sample_groups import groups_of
from analysis.errors import InputError, ParameterError
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 20
HELP = {
    "preparation": "what was done to both sides before they are compared",
    "gap": "distance between the two means",
    "share of a shift": "of the mean squared distance of mates, what one shift for all explains",
    "cosine of mates": "mean cosine of a sample's two sides",
    "cosine of strangers": "mean cosine of the two sides of different samples",
    "told apart": "AUROC of a linear probe for the side, held out; 0.5: not",
    "recall at 1": "share of samples whose mate is the nearest of the other side, by cosine, both ways",
}


@dataclass(frozen=True)
class ModalityGapParams:
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    swaps: int = param(99, "Swaps of the sides for the nulls.", low=19, high=5000)
    maximum_samples: int = param(2000, "Most samples; a seeded random subset above.", low=50, high=10_000)


def modality_gap(
    *taps, params: ModalityGapParams = ModalityGapParams(), rng=None, progress=no_progress
) -> Table:
    """The gap between two taps on paired samples.

    Parameters
    ----------
    *taps : two Activations or arrays (rows, units), of the same units and the same samples (matched by id).

    Returns
    -------
    Table
        A line for each preparation, see `HELP`. Estimates: gap and angle of the means, the share of a shift, and for
        each preparation the probe's AUROC and the recall.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        Not two taps; other units; an id twice; equal samples; fewer than twenty common samples; over 4 GiB.
    """
    taps = [as_activations(t) for t in taps]
    if len(taps) != 2:
        raise ParameterError(f"{len(taps)} tap(s)", "two: the two sides", "Choose the taps of both sides")
    if taps[0].shape[1] != taps[1].shape[1]:
        raise InputError(
            f"{taps[0].name} has {taps[0].shape[1]} units and {taps[1].name} has {taps[1].shape[1]}",
            "two taps of one space, with the same units", "Choose the layers that are compared by the network",
        )  # fmt: skip
    rng = rng or np.random.default_rng(0)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    names = tap_names([t.name for t in taps])
    scale = max(float(np.abs(v).max()) for v in data.values)
    n, (x, y) = len(data.ids), (v / scale for v in data.values)
    group, fold = groups_of(n, rng), rng.permutation(np.arange(n) % FOLDS)
    signs = np.vstack([np.ones(n), rng.choice([-1.0, 1.0], size=(params.swaps, n))])
    estimates, lines = (
        [*gap_estimates(*data.values, group, params.swaps, rng), shift_estimate(x, y, group, signs)],
        [],
    )
    for i, step in enumerate(STEPS):
        progress(0.3 + 0.7 * i / len(STEPS), f"{step}: telling the sides apart")
        a, b = prepared(x, y, step, fold)
        told = told_estimate(a, b, fold, signs, group, step)
        recall, cosines = recall_estimate(a, b, step)
        gap = gap_of(a, b) * (scale if step == STEPS[0] else 1)
        lines.append((gap, share_of_shift(a, b), *cosines, told.value, recall.value))
        estimates += [told, recall]
    columns = dict(zip(list(HELP)[1:], np.array(lines).T, strict=True))
    return Table(
        title=f"Gap between {names[0]} and {names[1]}", columns={"preparation": np.array(STEPS), **columns},
        index="preparation", help=HELP, reading=_reading(estimates, columns, names), estimates=tuple(estimates),
        caveats=(*_caveats(x, y, columns), *data.notes),
    )  # fmt: skip


def _reading(e, columns, names) -> str:
    told, recall, share = columns["told apart"], columns["recall at 1"], e[2]
    return (
        f"The means of {names[0]} and {names[1]} lie {e[0].value:.3g} apart, which is {share.value:.0%} of the squared "
        f"distance of mates (swapped sides: {share.null:.0%}). A linear probe tells the sides apart with an AUROC of "
        f"{told[0]:.2f} as recorded, {told[1]:.2f} at unit length and {told[2]:.2f} once the means are taken off; the "
        f"mate is the nearest for {recall[1]:.1%} of samples at unit length, {recall[2]:.1%} without the means (by "
        f"chance {e[4].null:.1%})."
    )


def _caveats(x, y, columns) -> list[str]:
    notes = ["What a linear probe does not see, such as unlike spreads, may still tell the sides apart."]
    zero = int((~x.any(axis=1)).sum() + (~y.any(axis=1)).sum())
    if zero:
        notes.append(f"{zero} row(s) of zeros have no direction: their cosines are 0.")
    if columns["told apart"][2] < 0.45:
        notes.append(
            "An AUROC below 0.5 without the means is the folds' doing: each is held to the others' means."
        )
    return notes


def _cost(shapes, params: ModalityGapParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    d = shapes[0][1]
    r = min(2 * n, d)
    flops = 3 * (FOLDS * (6.0 * n * d * r + 20.0 * r**3 + 6.0 * n * r * params.swaps) + 2.0 * n * n * d)
    moved = 3.0 * (n * n * 40.0 + params.swaps * n * 400.0) + n * d * 400.0
    held = n * d * 8 * 12.0 + n * n * 8 * 2.0 + n * params.swaps * 60.0
    return Cost(m.seconds(flops64=flops, moved=moved) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """y = x + a shift of length 6 plus noise of variance 1 in 12 units: the gap is 6, its share 36 / 48; without the
    means nothing tells the sides apart and the mates are found."""
    rng = np.random.default_rng(8)
    x = 3 * rng.standard_normal((400, 12))
    y = x + rng.standard_normal((400, 12)) + 6 * np.eye(12)[0]
    found = modality_gap(ArrayActivations(x), ArrayActivations(y), params=ModalityGapParams(swaps=19))
    same = modality_gap(ArrayActivations(x), ArrayActivations(x + 1e-3 * rng.standard_normal((400, 12))),
                        params=ModalityGapParams(swaps=19))  # fmt: skip
    e = found.estimates
    return (
        CheckLine("gap between the means", 6.0, e[0].value, 0.2),
        CheckLine("share that is one shift: 36 / 48", 0.75, e[2].value, 0.02),
        CheckLine("told apart as recorded: Φ(6 / √(9 + 10))", 0.915, e[3].value, 0.03),
        CheckLine("told apart without the means", 0.5, e[7].value, 0.06),
        CheckLine("nearly the same on both sides: told apart", 0.5, same.estimates[3].value, 0.05),
        CheckLine("and recall at 1", 1.0, same.estimates[4].value, 0.0),
    )


METHODS = (
    Method(
        id="modality_gap", family="subspaces", title="Gap between two sides", version=1, function=modality_gap,
        inputs=2, same_units=True,
        roles=("one side", "the other side"),
        summary="How far two sides of the same samples lie apart, whether a plane tells which is which, and why.",
        params=ModalityGapParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating or scaling both sides by the same; shifting both sides by the same, as recorded",
        papers=(
            "Escaping Plato's Cave: aligning 3D and text latent spaces",
            "MM-Embed: Universal Multimodal Retrieval with Multimodal LLMs",
        ),
    ),
)  # fmt: skip
