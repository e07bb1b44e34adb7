"""Rank dossier: every number that is published as the rank of a representation, side by side, named by its formula.

A line for each notion (`compute.subspaces.rank_notions`): participation ratio, entropy rank of σ² and of σ, RankMe,
stable rank, ε-rank, numerical rank, axes for 90 and 99 % of the variance, coding rate, axes above the noise edge; with
interval, null and the most it could be. λ are eigenvalues of the centred covariance, μ those of the rows as they are.
(Σλ)²/Σλ² <= exp H(λ) <= exp H(√λ) always; the rest have no order.

Null: independent Gaussian units of the same variances and as many independent samples. Interval: jackknife over up to
100 groups of samples.

When it lies: nearly all of them grow with the number of samples until n is many times d (an isotropic source of 256
dimensions has RankMe 118 at n = 128 and 255 at n = 8,192); one large mean brings RankMe and the stable rank of rows
that are not centred near 1; a unit of large scale owns every one of them; noise raises them as signal does. The axes
above noise take the noise as equally strong in every direction; with units of unlike variances look at the null.

Cost: the first time two passes, O(n d min(n, d)), memory O(d²); in a workspace the moments are kept, and every later
dossier of the tap takes O(d) for each notion and the null, O(d³) a draw, which is kept as well.

References: O. Roy & M. Vetterli (2007), "The effective rank"; Q. Garrido et al. (2023), "RankMe"; M. Rudelson & R.
Vershynin (2007) for the stable rank; Y. Yu et al. (2020) for the coding rate; V. Marchenko & L. Pastur (1967).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import as_activations
from analysis.compute.linear.tap_spectrum import FEWEST, TapSpectrum, tap_spectrum
from analysis.compute.machine import machine
from analysis.compute.rows.some_samples import MEAN, TOKENS, equal_samples
from analysis.compute.statistics.nulls import null_draws
from analysis.compute.subspaces.rank_notions import (
    CENTRED_SIGMA,
    ENTROPY,
    PARTICIPATION,
    RANKME,
    Ranked,
    Settings,
    null_spectra,
    ranked,
)
from analysis.compute.subspaces.rank_report import GROWS, NEITHER, estimate, shared_caveats
from analysis.results import Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

HELP = {
    "formula": "λ: eigenvalues of the centred covariance; μ: of the rows as they are; σ = √λ.",
    "low": "Of the 95 % interval; the value itself where the number is a property of these rows.",
    "high": "Of the 95 % interval; the value itself where the number is a property of these rows.",
    "null": "Mean over independent Gaussian units of the same variances and number of samples.",
    "at most": "What equal variance along all possible directions would give.",
}


@dataclass(frozen=True)
class RankDossierParams:
    tokens: str = param(MEAN, "What a row is, where the tap has tokens.", choices=TOKENS)
    samples: int | None = param(
        None, "Use so many samples, a seeded random subset, to compare taps at equal n; automatic: all.",
        low=FEWEST, high=10_000_000,
    )  # fmt: skip
    tolerance: float = param(
        0.01, "The ε-rank counts singular values of at least this share of the largest.", label="ε of the ε-rank",
        low=1e-6, high=0.9,
    )  # fmt: skip
    epsilon: float = param(
        0.5, "Error of the coding rate, where rows have a mean squared length of 1.", label="ε of the coding rate",
        low=1e-3, high=10.0,
    )  # fmt: skip
    draws: int | None = param(None, "Null spectra; automatic: more where one is cheap.", low=3, high=500)


def rank_dossier(
    activations, params: RankDossierParams = RankDossierParams(), rng=None, progress=no_progress
) -> Table:
    """Every notion of rank of a tap.

    Parameters
    ----------
    activations : Activations or array (rows, units)

    Returns
    -------
    Table
        One line for each notion: "value", "low" and "high", "null" with "null low" and "null high", "at most".

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than four finite rows; nothing varies; rows and units both above 8,192.
    """
    tap = as_activations(activations)
    rng = rng or np.random.default_rng(0)
    seed = int(rng.integers(2**32))
    equal = equal_samples([tap], params.samples or tap.layout.n_samples, 1, rng)
    (at,), notes = equal.positions, equal.notes
    if params.samples and len(at) < params.samples:
        notes = (*notes, f"{params.samples:,} samples were asked for; there are {len(at):,}.")
    chosen = None if len(at) == tap.layout.n_samples else at
    spectrum = tap_spectrum(tap, chosen, params.tokens, progress, (0.0, 0.8))
    settings = Settings(params.tolerance, params.epsilon)
    null = null_spectra(spectrum, seed, params.draws)
    progress(0.9, "counting")
    found = ranked(spectrum, null, settings=settings)
    estimates = tuple(estimate(one, spectrum) for one in found)
    return Table(
        title=f"Rank dossier of {tap.name}", reading=_reading(found, spectrum),
        caveats=(*notes, GROWS, NEITHER, *_caveats(params), *shared_caveats(spectrum)), estimates=estimates,
        columns=_columns(found, estimates), index="notion", help=HELP,
    )  # fmt: skip


def _columns(found: list[Ranked], estimates) -> dict[str, np.ndarray]:
    """The table, line by line."""
    return {
        "notion": np.array([one.notion.name for one in found]),
        "value": np.array([one.value for one in found]),
        "low": np.array([one.value if one.low is None else one.low for one in found]),
        "high": np.array([one.value if one.high is None else one.high for one in found]),
        "null": np.array([e.null for e in estimates]),
        "null low": np.array([e.null_low for e in estimates]),
        "null high": np.array([e.null_high for e in estimates]),
        "at most": np.array([one.cap for one in found]),
        "unit": np.array([one.notion.unit for one in found]),
        "formula": np.array([one.notion.formula for one in found]),
    }


def _reading(found: list[Ranked], tap: TapSpectrum) -> str:
    by = {one.notion.name: one for one in found}
    three = [by[name].value for name in (PARTICIPATION, ENTROPY, CENTRED_SIGMA)]
    said = (
        f"The same {tap.n:,} rows of {tap.d:,} units have a rank of {three[0]:.3g} (participation ratio), "
        f"{three[1]:.3g} (entropy of σ²) or {three[2]:.3g} (entropy of σ), in this order always; RankMe, which does "
        f"not centre, says "
        f"{by[RANKME].value:.3g}. Unrelated units of the same variances would have "
        + ", ".join(f"{by[name].null_mean:.3g}" for name in (PARTICIPATION, ENTROPY, CENTRED_SIGMA))
        + f" and {by[RANKME].null_mean:.3g}."
    )
    if by[RANKME].value < 0.5 * by[CENTRED_SIGMA].value:
        said += " The mean is the largest direction by far: it, not the spread, decides RankMe here."
    return said


def _caveats(params: RankDossierParams) -> list[str]:
    return [
        f"The ε-rank is for ε = {params.tolerance:g}, the coding rate for ε = {params.epsilon:g}: both depend on it.",
        "RankMe leaves out the 1e-7 that its paper adds to every share, which changes it by less than 0.01 % for a "
        "thousand directions; its null is that of units with mean 0.",
        "Moments in float64 resolve singular values down to about 1e-7 of the largest, which the numerical rank counts "
        "and beyond which RankMe and the entropy rank of σ see none.",
    ]


def _cost(shapes, params: RankDossierParams) -> Cost:
    (rows, d), m = shapes[0], machine()
    n = min(rows, params.samples or rows)
    side, draws, chunk = min(n, d), params.draws or null_draws(d), min(n, 4096)
    flops = 6.0 * n * d * side + 15.0 * side**3 + 12.0 * draws * d**3
    held = n * d * 8 * 2.5 if n < d else chunk * (d * 8 * 5 + 100 * 8)
    return Cost(
        m.seconds(flops64=flops, moved=n * d * 100.0) + 0.05, held + 6.0 * side**2 * 8 + 100.0 * side * 8 * 4
    )


def _check() -> tuple[CheckLine, ...]:
    """Twelve equal singular values: 12 by every formula; the order of three; a large mean; noise of n = 2 d."""
    rng = np.random.default_rng(11)
    basis = rng.standard_normal((400, 12))
    basis = np.linalg.qr(basis - basis.mean(axis=0))[0]  # centred and orthonormal
    flat = rank_dossier(basis @ np.linalg.qr(rng.standard_normal((20, 12)))[0].T)
    lines = [
        CheckLine(f"12 equal directions: {name}", 12.0, float(value), 1e-6)
        for name, value in zip(flat.columns["notion"][:8], flat.columns["value"], strict=False)
    ]
    unequal = rng.standard_normal((3000, 10)) * 0.6 ** np.arange(10)
    found, lifted = (_by_name(rank_dossier(x)) for x in (unequal, unequal + 1e4))
    noise = _by_name(rank_dossier(rng.standard_normal((600, 300))))
    lam = np.sort(np.linalg.eigvalsh(np.cov(unequal, rowvar=False)))
    return (
        *lines,
        CheckLine("axes for 99 % of twelve equal ones", 12.0, _by_name(flat)["axes for 99 %"], 0.0),
        CheckLine("coding rate of them, bits", 6 * np.log2(1 + 20 / (0.25 * 12)), _by_name(flat)["coding rate"], 1e-6),
        CheckLine("exp H(λ) less the participation ratio", 0.0, found[ENTROPY] - found[PARTICIPATION], 0.0, "at least"),
        CheckLine("exp H(√λ) less exp H(λ)", 0.0, found[CENTRED_SIGMA] - found[ENTROPY], 0.0, "at least"),
        CheckLine("participation ratio by hand", lam.sum() ** 2 / (lam**2).sum(), found[PARTICIPATION], 1e-9),
        CheckLine("a large mean brings RankMe to 1", 1.0, lifted[RANKME], 0.1),
        CheckLine("and leaves the centred one", found[CENTRED_SIGMA], lifted[CENTRED_SIGMA], 1e-6),
        CheckLine("axes above noise in noise", 0.0, noise["axes above noise"], 1.0),
        CheckLine("participation ratio of noise: d / (1 + d / n)", 200.0, noise[PARTICIPATION], 3.0),
    )  # fmt: skip


def _by_name(table: Table) -> dict[str, float]:
    return dict(zip(table.columns["notion"].tolist(), table.columns["value"].tolist(), strict=True))


METHODS = (
    Method(
        id="rank_dossier", family="rank", title="Rank dossier", version=2, function=rank_dossier,
        summary="Every number that is called the rank of a representation, side by side and named by its formula.",
        params=RankDossierParams, result=Table, check=_check, cost=_cost, minimum_rows=FEWEST,
        invariance="rotating or scaling all activations changes none; shifting only those that do not centre; "
        "rescaling single units changes all but the numerical rank",
        papers=(
            "RankMe: Assessing the downstream performance of pretrained self-supervised representations by their rank",
            "Residual Connections Harm Generative Representation Learning",
        ),
    ),
)  # fmt: skip
