"""How sure is the span of the first k principal axes? Its sampling error, and axes that cannot be told apart.

    E ‖sin Θ‖² = (1/n) Σ_{i <= k < j} κ_ij / (λ_i - λ_j)²,    ‖sin Θ‖² = Σ sin² θ between found and true span

with κ_ij = λ_i λ_j for Gaussian data, and E s_i² s_j² of the scores for any (`compute.subspaces.confidence`). The
error of a span is that of its gap alone: inside it axes may turn freely. Three lines: the formula for Gaussian data,
the one for any tails, and the bootstrap over samples, which needs no formula and has a band; where they part, believe
the bootstrap. The 95 % radius says: the true span lies within this distance ‖sin Θ‖ of the one found. Axes whose
eigenvalues are not told apart form a block, and only the block's span means something.

Null: a random subspace, ‖sin Θ‖² = k (d - k) / d on average. Formulas are shown up to it.

When it lies: formulas are first order in 1 / n: near or above the null the span is simply not known; with few samples
for the units eigenvalues are spread, gaps look wider than they are, and all of these are too small; the bootstrap turns
around the span found, and has ties; with every token as a row all but the Gaussian formula, which is left out then,
count samples as a whole, and few samples say little about themselves.

Cost: O(n d min(n, d)) for the axes and as much for each of 20 to 200 resamples, with O(min(n, d)³).

References: T. W. Anderson (1963); C. Davis & W. Kahan (1970); D. Rabenoro & X. Pennec (2022), "A geometric framework
for asymptotic inference of principal subspaces in PCA"; B. Efron (1979).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.axis_error import block_words, unresolved_blocks
from analysis.compute.machine import machine
from analysis.compute.rows.common_rows import (
    MOST_HELP,
    TOKENS_OF_ALL,
    CommonRows,
    rows_of_one,
)
from analysis.compute.rows.copies import copies_note
from analysis.compute.rows.some_samples import MEAN
from analysis.compute.subspaces.confidence import (
    ExpectedError,
    bootstrap_error,
    draws_for,
    expected_error,
    fourth_moments,
    random_error,
    random_line_angle,
)
from analysis.compute.subspaces.subspace import LEVEL, Cuts, cuts_of
from analysis.errors import InputError
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 8  # samples
SHOWN = 6  # cuts among the estimates
GAUSSIAN, ANY, BOOTSTRAP, RADIUS = "Gaussian formula", "formula for any tails", "bootstrap", "95 % radius"


@dataclass(frozen=True)
class SubspaceConfidenceParams:
    dimensions: int = param(20, "Spans of up to this many axes.", low=1, high=256)
    resamples: int | None = param(
        None, "Resamples of the bootstrap; automatic: as many as are cheap.", low=10, high=2000
    )
    tokens: str = param(MEAN, "What a row is, where the tap has tokens.", choices=TOKENS_OF_ALL)
    maximum_samples: int = param(20_000, MOST_HELP, low=50, high=200_000)


def subspace_confidence(
    activations, params: SubspaceConfidenceParams = SubspaceConfidenceParams(), rng=None, progress=no_progress
) -> Curve:
    """Sampling error of the span of the first k axes, k = 1, 2, …

    Parameters
    ----------
    activations : Activations or array (rows, units).

    Returns
    -------
    Curve
        ‖sin Θ‖ over k by two formulas and by the bootstrap (with its middle 95 %), the 95 % radius, and that of a
        random subspace. Estimates: the error at each cut that the data define, the angle of the first axis, the blocks.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than eight finite samples; one direction only, or nothing varies; samples and units both above 8,192.
    """
    activations, rng = as_activations(activations), rng or np.random.default_rng(0)
    data = rows_of_one(
        activations,
        rng,
        tokens=params.tokens,
        maximum=params.maximum_samples,
        minimum=FEWEST,
        progress=progress,
    )
    cuts = cuts_of(data.tap(0, activations.name), progress, (0.2, 0.4))
    r, n = len(cuts.values), len(data.sample)
    if r < 2:
        raise InputError(
            f"{activations.name} has {r} direction", "two or more, for a span to be told from the rest",
            "Choose another tap",
        )  # fmt: skip
    most = min(params.dimensions, r - 1)
    scores = (data.values[0] - cuts.axes.mean) @ cuts.axes.directions.T
    gaussian = expected_error(cuts.values, n, most)
    free = expected_error(cuts.values, n, most, fourth_moments(scores, most, data.sample))
    draws = params.resamples or draws_for(n, r)
    drawn = bootstrap_error(scores, most, rng, draws, progress, (0.4, 1.0), data.sample)
    progress(1.0, "done")
    ks = np.arange(1, most + 1)
    spanned = int((cuts.axes.variances > 0).sum())
    null = np.sqrt(random_error(ks, spanned))
    blocks = unresolved_blocks(cuts.p, LEVEL)
    estimates = _estimates(cuts, data.n_samples, free, drawn, null, blocks, spanned)
    low, high = np.sqrt(np.percentile(drawn, [2.5, 97.5], axis=0))
    series = {
        BOOTSTRAP: np.clip(np.sqrt(drawn.mean(axis=0)), low, high), ANY: np.minimum(np.sqrt(free.mean), null),
        GAUSSIAN: np.minimum(np.sqrt(gaussian.mean), null), RADIUS: np.minimum(free.radius, np.sqrt(ks)),
    }  # fmt: skip
    if data.has_tokens:  # it takes rows as independent
        del series[GAUSSIAN]
    return Curve(
        title=f"Sampling error of the principal subspaces of {activations.name}",
        reading=_reading(cuts, estimates, blocks),
        caveats=(*data.notes, *copies_note(data.values[0]), *cuts.notes, *_caveats(cuts, data, free, null, draws)),
        estimates=estimates, x=ks.astype(np.float64), x_name="axes in the span (k)", y_name="‖sin Θ‖", series=series,
        low={BOOTSTRAP: low}, high={BOOTSTRAP: high}, null=dict.fromkeys(series, null),
    )  # fmt: skip


def _estimates(cuts: Cuts, n: int, free: ExpectedError, drawn, null, blocks, d: int) -> tuple[Estimate, ...]:
    most = drawn.shape[1]
    common = {"n": n, "d": d}
    angles = np.degrees(np.arcsin(np.sqrt(np.clip(drawn[:, 0], 0.0, 1.0))))
    low, high = np.percentile(angles, [2.5, 97.5])
    chance = (
        [np.degrees(random_line_angle(d, share)) for share in (0.5, 0.025, 0.975)] if d > 1 else [0.0] * 3
    )
    first = Estimate(
        "angle of the first axis to the true one (median)", float(np.median(angles)), float(low), float(high),
        interval=f"bootstrap over samples, middle 95 % of {len(drawn)}", null=chance[0], null_low=chance[1],
        null_high=chance[2], null_method="a random line, exact", estimator="bootstrap", unit="degrees",
        p_value=float(cuts.p[0]), **common,
    )  # fmt: skip
    spans = []
    for k in [int(k) for k in cuts.held if k <= most][:SHOWN]:
        value = float(np.sqrt(drawn[:, k - 1].mean()))
        low, high = np.sqrt(np.percentile(drawn[:, k - 1], [2.5, 97.5]))
        spans.append(Estimate(
            f"error of the span of the first {k} (95 % radius {min(free.radius[k - 1], np.sqrt(k)):.2g})", value,
            float(min(low, value)), float(max(high, value)), interval=f"bootstrap, middle 95 % of {len(drawn)}",
            null=float(null[k - 1]), null_method="a random subspace, exact root mean square",
            estimator="‖sin Θ‖, bootstrap", p_value=float(cuts.p[k - 1]), **common,
        ))  # fmt: skip
    alone = (np.bincount(blocks)[blocks] == 1)[: most + 1]
    told = Estimate(
        f"axes told apart among the first {most + 1}", int(alone.sum()), null=0.0, estimator="Anderson's test, 5 %",
        null_method="equal eigenvalues: none", unit="axes", **common,
    )  # fmt: skip
    return first, *spans, told


def _reading(cuts: Cuts, estimates, blocks) -> str:
    first, *_, told = estimates
    sure = "" if cuts.p[0] < LEVEL else ", and its eigenvalue is not told apart from the next"
    said = (
        f"In other samples like these the first axis would turn by about {first.value:.1f} degrees (a random line: "
        f"{first.null:.0f}){sure}. {told.value} of {told.name.rpartition(' ')[2]} leading axes stand alone."
    )
    return f"{said} {block_words(blocks)}".rstrip()


def _caveats(cuts: Cuts, data: CommonRows, free: ExpectedError, null, draws: int) -> list[str]:
    notes = [f"The bootstrap has {draws} resamples."]
    lost = int((~(np.sqrt(free.mean) < null)).sum())
    if lost:
        notes.append(
            f"For {lost} of {len(null)} spans the formulas exceed a random subspace's error and are cut there."
        )
    if data.n_samples < 5 * cuts.axes.d:
        notes.append(
            f"{data.n_samples:,} samples for {cuts.axes.d:,} units: eigenvalues are spread by sampling, so that errors "
            "are larger than shown."
        )
    if data.has_tokens:
        notes.append("The Gaussian formula is left out: it takes rows as independent.")
    constant = int((cuts.axes.variances == 0).sum())
    if constant:
        notes.append(f"{constant} constant unit(s) add nothing.")
    return notes


def _cost(shapes, params: SubspaceConfidenceParams) -> Cost:
    (n, d), m = shapes[0], machine()
    n = min(n, params.maximum_samples)
    r = min(n, d)
    draws = params.resamples or draws_for(n, r)
    flops = 6.0 * n * d * r + 14.0 * r**3 + draws * (1.3 * n * r * r + 10.0 * r**3)
    held = 8.0 * (n * d * 2.0 + n * r * 2.2 + r * r * 6 + min(n, 4096) * r * 5)
    return Cost(m.seconds(flops64=flops, moved=8.0 * n * r * draws * 3) + 0.05, held)


def _check() -> tuple[CheckLine, ...]:
    """Planted spectra: the formula predicts what fresh samples do; one sample says nearly as much; ties are a block."""
    rng = np.random.default_rng(8)
    lam = np.array([6.0, 4.0, 1.5, 1.0, 0.5])
    fresh = []
    for _ in range(200):
        x = rng.standard_normal((400, 5)) * np.sqrt(lam)
        axes = np.linalg.eigh(np.cov(x.T))[1][:, ::-1][:, :2]
        fresh.append(2 - (axes[:2] ** 2).sum())
    known = expected_error(lam, 400, 4).mean[1]
    one = subspace_confidence(rng.standard_normal((400, 5)) * np.sqrt(lam))
    ties = subspace_confidence(rng.standard_normal((800, 6)) * np.sqrt([8.0, 2, 2, 2, 1, 0.5]))
    by_hand = (6 * 1.5 / 4.5**2 + 6 / 25 + 3 / 5.5**2 + 6 / 2.5**2 + 4 / 9 + 2 / 3.5**2) / 400
    return (
        CheckLine("formula by hand, k = 2", by_hand, known, 1e-12),
        CheckLine("200 fresh samples against the formula: ratio", 1.0, float(np.mean(fresh) / known), 0.2),
        CheckLine(
            "bootstrap of one sample, ratio of ‖sin Θ‖", 1.0, one.series[BOOTSTRAP][1] / np.sqrt(known), 0.35
        ),
        CheckLine("any tails of one Gaussian sample, ratio", 1.0, one.series[ANY][1] / np.sqrt(known), 0.35),
        CheckLine("random plane of five dimensions", np.sqrt(6 / 5), float(one.null[BOOTSTRAP][1]), 1e-12),
        CheckLine("three equal eigenvalues: axes told apart", 3.0, ties.estimates[-1].value, 0.0),
    )


METHODS = (
    Method(
        id="subspace_confidence", family="subspaces", title="Confidence of principal subspaces", version=2,
        function=subspace_confidence,
        summary="How far the span of the first principal axes would turn in other samples, and which are one block.",
        params=SubspaceConfidenceParams, result=Curve, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating, shifting or scaling the activations",
        papers=("A geometric framework for asymptotic inference of principal subspaces in PCA",),
    ),
)  # fmt: skip
