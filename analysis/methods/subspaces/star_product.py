"""Does a star product live in a larger space than its branches? Ranks of branch 1, branch 2 and their product.

A star block multiplies two linear branches unit by unit. Taps are the two branches, of the same rows; the product is
made here. For each of the three: entropy rank of the covariance's eigenvalues λ, participation ratio (Σλ)² / Σλ², rank,
and the share of entries near zero, |value| below `near` times the unit's root mean square, where a gate is closed.

Products of affine functions of d inputs span up to (d + 1)(d + 2) / 2 functions, 15 for d = 4; one of them is the
constant, which a covariance does not see.

Null: of the product, branch 1 multiplied with branch 2 of other samples (their tokens kept together): multiplying alone
makes ranks grow, whatever goes together. Of a branch, independent Gaussian units with its deviations. Of the share near
zero, Gaussian values of the same root mean square, exactly; for the product, the exchanged one again.

When it lies: rank grows by multiplying with noise, so compare it with its null; units of large scale rule a covariance,
and a product has heavier tails, which lowers its participation ratio; branches after a nonlinearity are gates, not
linear maps, and the count of functions does not hold.

Cost: O(n d min(n, d)) for each of 11 leave-outs and the null's draws; memory O(n d).

References: X. Ma et al. (2024), "Rewrite the stars".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from analysis.activations import as_activations
from analysis.compute.linear.spectra import entropy_rank, participation_ratio
from analysis.compute.machine import machine
from analysis.compute.rows.constant_units import constant_notes, varies
from analysis.compute.rows.matched_taps import MatchedTaps, matched_taps
from analysis.compute.statistics.nulls import against, gaussian_eigenvalues, null_draws
from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.errors import InputError
from analysis.results import Estimate, Table
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 20  # rows
ENTROPY, RATIO, NEAR = "entropy rank of λ", "participation ratio of λ", "share near zero"
RANK, SMALLEST = "rank", 1e-12  # λ over the largest: what values stored in single precision leave apart
WHAT = (ENTROPY, RATIO, NEAR, RANK)
HELP = {
    "of": "Branch, or the product of the two, unit by unit.",
    ENTROPY: "exp of the entropy of λ / Σλ: directions in use.", RATIO: "(Σλ)² / Σλ²: the strong ones among them.",
    NEAR: "Entries smaller than 'near' times their unit's root mean square.",
    RANK: f"Directions with λ above {SMALLEST:g} of the largest.",
    **{f"{w}, {end}": f"{word} of its 95 % interval." for w in WHAT
       for end, word in (("low", "Lower end"), ("high", "Upper end"))},
    **{f"{w}, null": "What no relation between samples would give." for w in WHAT},
}  # fmt: skip


@dataclass(frozen=True)
class StarProductParams:
    near: float = param(
        0.1, "Below this many root mean squares of its unit a value is near zero.", low=0.001, high=1.0
    )
    draws: int = param(40, "Times that samples are exchanged between the branches.", low=5, high=500)
    maximum_rows: int = param(5000, "Most rows; a seeded random subset above.", low=50, high=200_000)


def star_product(
    first, second, params: StarProductParams = StarProductParams(), rng=None, progress=no_progress
) -> Table:
    """Ranks of two branches and of their product.

    Parameters
    ----------
    first, second : Activations or arrays (rows, units), of the same rows and as many units.

    Returns
    -------
    Table
        Three rows. Estimates: all of these numbers, with interval and null.

    Raises
    ------
    InputError, NotEnoughData, TooLarge
        Other widths, samples or tokens; a product that does not vary; fewer than 20 rows.
    """
    taps, rng = [as_activations(t) for t in (first, second)], rng or np.random.default_rng(0)
    if taps[0].shape[1] != taps[1].shape[1]:
        raise InputError(
            f"branches of {taps[0].shape[1]} and {taps[1].shape[1]} units",
            "as many in both",
            "Choose the two branches of one block",
        )
    data = matched_taps(taps, rng, maximum_rows=params.maximum_rows, minimum=FEWEST, progress=progress)
    a, b = (x / (np.abs(x).max() or 1.0) for x in data.values)  # no number here depends on the scale
    product, names = a * b, ("branch 1", "branch 2", "product")
    if not varies(product).any():
        raise InputError(
            "the product of the branches does not vary", "branches that are not 0", "Choose other taps"
        )
    numbers, left = {}, [np.flatnonzero(np.isin(data.sample, g)) for g in sample_groups(data.n_samples, rng)]
    for i, (name, x) in enumerate(zip(names, (a, b, product), strict=True)):
        progress(0.1 + 0.2 * i, f"decomposing {name}")
        without = np.array([_numbers(np.delete(x, g, axis=0), params.near) for g in left])
        numbers[name] = (_numbers(x, params.near), jackknife_half(without))
    progress(0.7, "exchanging samples")
    chance = {
        name: _gaussian(x, params.near, data.n_samples, rng) for name, x in zip(names, (a, b), strict=False)
    }
    chance["product"] = np.array([
        _numbers(a * b[_exchanged(data, rng)], params.near) for _ in range(params.draws)
    ])  # fmt: skip
    estimates = {
        name: _estimates(name, *numbers[name], chance[name], params, product.shape) for name in names
    }
    progress(1.0, "done")
    return Table(
        title=f"Star product of {taps[0].name} and {taps[1].name}", reading=_reading(estimates),
        caveats=(*data.notes, *constant_notes([t.name for t in taps], [a, b]),
                 f"The product's null exchanges samples {params.draws} times; ranks are about the mean."),
        estimates=tuple(e for each in estimates.values() for e in each), columns=_columns(estimates), index="of",
        help=HELP,
    )  # fmt: skip


def _numbers(x: np.ndarray, near: float) -> tuple[float, ...]:
    """Those of `WHAT`: ranks are 0 where nothing varies, the share is of units that are not 0."""
    centred = x - x.mean(axis=0)
    gram = centred.T @ centred if x.shape[0] >= x.shape[1] else centred @ centred.T
    lam, root = np.maximum(np.linalg.eigvalsh(gram), 0.0), np.sqrt((x * x).mean(axis=0))
    alive = root > 0
    share = float((np.abs(x[:, alive]) < near * root[alive]).mean()) if alive.any() else 0.0
    if not varies(x).any():
        return 0.0, 0.0, share, 0.0
    lam = lam / lam[-1]
    return entropy_rank(lam), participation_ratio(lam), share, float((lam > SMALLEST).sum())


def _gaussian(x: np.ndarray, near: float, n: int, rng) -> np.ndarray:
    """(draws, 4) of independent Gaussian units; the share near zero exactly."""
    d = x.shape[1]
    spectra = gaussian_eigenvalues(x.var(axis=0), max(min(n, len(x)), 2), rng, min(null_draws(d), 20))
    share = float(erf(near / np.sqrt(2)))
    return np.array([
        (entropy_rank(s), participation_ratio(s), share, (s > SMALLEST * s[0]).sum()) if s[0] > 0 else (0, 0, share, 0)
        for s in spectra
    ])  # fmt: skip


def _exchanged(data: MatchedTaps, rng) -> np.ndarray:
    """(n,) rows of whole samples in another order."""
    starts = np.searchsorted(data.sample, np.arange(data.n_samples + 1))
    return np.concatenate([np.arange(starts[s], starts[s + 1]) for s in rng.permutation(data.n_samples)])


def _estimates(name: str, values, half, chance, params, shape) -> tuple[Estimate, ...]:
    how = "branch 2 of other samples" if name == "product" else "independent Gaussian units"
    found = []
    for i, (what, value) in enumerate(zip(WHAT, values, strict=True)):
        band = {} if half is None else {
            "low": max(0.0, value - float(half[i])), "high": value + float(half[i]),
            "interval": "jackknife over groups of samples, t",
        }  # fmt: skip
        drawn = against(value, chance[:, i])
        if name != "product" and what == NEAR:
            drawn = {"null": float(chance[0, i])}
        found.append(
            Estimate(
                f"{what}, {name}",
                value,
                **band,
                **drawn,
                null_method=how,
                n=shape[0],
                d=shape[1],
                estimator=what,
            )
        )
    return tuple(found)


def _columns(estimates) -> dict[str, np.ndarray]:
    columns = {"of": np.array(list(estimates))}
    for i, what in enumerate(WHAT):
        each = [e[i] for e in estimates.values()]
        columns[what] = np.array([e.value for e in each])
        if each[0].low is not None:
            columns[f"{what}, low"], columns[f"{what}, high"] = (
                np.array([getattr(e, end) for e in each]) for end in ("low", "high")
            )
        columns[f"{what}, null"] = np.array([e.null for e in each])
    return {k: v for k, v in columns.items() if k in HELP}


def _reading(estimates) -> str:
    one, two, both = (estimates[k][0] for k in ("branch 1", "branch 2", "product"))
    near = estimates["branch 1"][2]
    against_null = (
        "above" if both.value > both.null_high else "below" if both.value < both.null_low else "within"
    )
    return (
        f"The product uses {both.value:.1f} directions (entropy rank of λ), the branches {one.value:.1f} and "
        f"{two.value:.1f}; multiplied with other samples' branch 2 it would use {both.null:.1f}, and it is "
        f"{against_null} what that gives by chance. {near.value:.1%} of branch 1 is near zero (Gaussian values: "
        f"{near.null:.1%})."
    )


def _cost(shapes, params: StarProductParams) -> Cost:
    m, (n, d) = machine(), shapes[0]
    n = min(n, params.maximum_rows)
    small = min(n, d)
    flops = (33 + params.draws) * (2.0 * n * d * small + 9.0 * small**3) + 40 * 15.0 * d**3
    return Cost(
        m.seconds(flops64=flops, moved=8.0 * n * d * 10 * (33 + params.draws)) + 0.02,
        8.0 * (9.5 * n * d + 4 * d * d),
    )


def _check() -> tuple[CheckLine, ...]:
    """Two affine maps of four inputs to 24 units have rank 4, their product 14 and the constant; a branch of ones
    leaves the other as it is; Gaussian values are near zero as the error function says."""
    rng = np.random.default_rng(14)
    x = np.c_[rng.standard_normal((4000, 4)), np.ones(4000)]
    a, b = (x @ rng.standard_normal((5, 24)) for _ in range(2))
    rank = star_product(a, b).columns[RANK]
    left = star_product(a, 1.0 + 1e-9 * b)
    wide = star_product(rng.standard_normal((4000, 12)), rng.standard_normal((4000, 12)))
    flat = np.linalg.qr(np.c_[np.ones(4000), rng.standard_normal((4000, 2))])[0][:, 1:]
    two = star_product(flat @ np.linalg.qr(rng.standard_normal((24, 2)))[0].T, b).columns
    return (
        CheckLine("rank of an affine branch of 4 inputs", 4.0, float(rank[0]), 0.0),
        CheckLine("rank of the product: 15 with the constant, less it", 14.0, float(rank[2]), 0.0),
        CheckLine("branch of ones: product over branch 1", 1.0,
                  float(left.columns[ENTROPY][2] / left.columns[ENTROPY][0]), 1e-6),
        CheckLine("independent units: entropy rank of the product", 12.0, float(wide.columns[ENTROPY][2]), 0.1),
        CheckLine("two equal directions in 24 units: entropy rank", 2.0, float(two[ENTROPY][0]), 1e-9),
        CheckLine("two equal directions in 24 units: participation ratio", 2.0, float(two[RATIO][0]), 1e-9),
        CheckLine("Gaussian values near zero", float(erf(0.1 / np.sqrt(2))), float(wide.columns[NEAR][0]), 0.006),
    )  # fmt: skip


METHODS = (
    Method(
        id="star_product", family="subspaces", title="Star product (two branches)", version=1, function=star_product,
        summary="Whether the product of two branches uses more directions than each of them, and how often gates shut.",
        params=StarProductParams, result=Table, check=_check, cost=_cost, inputs=2, same_units=True,
        roles=("branch 1", "branch 2"), minimum_rows=FEWEST,
        matches="rows", invariance="scaling either branch as a whole; reordering units in both branches alike",
        papers=("Rewrite the Stars (StarNet)",),
    ),
)  # fmt: skip
