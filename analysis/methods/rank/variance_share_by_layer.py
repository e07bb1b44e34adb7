"""How few directions hold the variance of each layer: cumulative curves of several taps side by side.

    C(k) = Σ_{i<=k} λ_i / Σ λ,  λ the falling eigenvalues of the centred covariance, over the share of directions k / d

and for each tap the share of directions that it takes to hold 99 % of the variance. Attention outputs are narrow where
residual streams are wide: an output x W_O has no more directions than its weights, rank(x W_O) <= rank(W_O) <= heads
times their width. All taps have the same number of samples, the same ones where ids agree.

Null: isotropic Gaussian samples of the same n and d, whose curve is the diagonal only for n many times d. Interval:
jackknife over groups of samples.

When it lies: n samples span n - 1 directions, so that with n < d every tap looks narrow, as the null does;
one unit of large scale holds the variance and makes any layer look narrow; a residual stream adds up what all layers
before it wrote; intervals are those of single taps and leave out the spreading of eigenvalues by sampling.

Cost: of each tap, the first time, two passes, O(n d min(n, d)); a null, O(d³) a draw, for each n and d. Memory O(d²).

References: J. Wang et al. (2025), "Attention layers add into low-dimensional residual subspaces".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.spectra import axes_for
from analysis.compute.linear.tap_spectrum import FEWEST, TapSpectrum, tap_spectrum
from analysis.compute.machine import machine
from analysis.compute.rows.some_samples import MEAN, TOKENS, equal_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.nulls import gaussian_eigenvalues, null_draws
from analysis.compute.subspaces.rank_report import shared_caveats
from analysis.results import Curve, Estimate
from analysis.spec import CheckLine, Cost, Method, no_progress, param

MOST_DRAWS, PLACES, NAMED = 20, 200, 12
SHORT = "{}: {:,} samples for {:,} units span at most {:,} directions: {:.0%} of them, whatever the layer."


@dataclass(frozen=True)
class VarianceShareParams:
    share: float = param(0.99, "Share of the variance at which numbers are given.", low=0.1, high=0.9999)
    tokens: str = param(MEAN, "What a row is, where the taps have tokens.", choices=TOKENS)
    maximum_samples: int = param(
        10_000, "Most samples; a seeded random subset above.", low=16, high=10_000_000
    )


@dataclass(frozen=True)
class _Held:
    """`lines` (4, d + 1): variance held by the first 0 .. d directions, its low and high, and the null's."""

    spectrum: TapSpectrum
    lines: np.ndarray
    null: np.ndarray  # (draws,) share of directions

    def at(self, x: np.ndarray) -> np.ndarray:
        """(4, x) over the share of directions; straight between whole numbers of them."""
        places = np.arange(self.lines.shape[1]) / self.spectrum.d
        return np.array([np.interp(x, places, line) for line in self.lines])

    def share_for(self, share: float, line: int = 0) -> float:
        """Share of directions that hold this share of the variance."""
        reached = self.lines[line] >= share * (1 - 1e-12)
        return float(np.argmax(reached) if reached.any() else self.spectrum.d) / self.spectrum.d


def variance_share_by_layer(
    *taps, params: VarianceShareParams = VarianceShareParams(), rng=None, progress=no_progress
) -> Curve:
    """Cumulative variance of taps over the share of their directions.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), two or more.

    Returns
    -------
    Curve
        x = k / d; a series for each tap, rising to 1, with bands and null. Estimates: the share of directions for
        `share` of the variance, of at most twelve taps.

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than four finite rows; nothing varies; rows and units both above 8,192.
    """
    taps, rng = [as_activations(t) for t in taps], rng or np.random.default_rng(0)
    seed = int(rng.integers(2**32))
    equal, held = equal_samples(taps, params.maximum_samples, FEWEST, rng), []
    for i, (tap, at) in enumerate(zip(taps, equal.positions, strict=True)):
        whole, ends = len(at) == tap.layout.n_samples, (i / len(taps), (i + 1) / len(taps))
        spectrum = tap_spectrum(tap, None if whole else at, params.tokens, progress, ends)
        held.append(_held(spectrum, held, seed, params.share))
    names = tap_names([t.name for t in taps])
    x = _places(held)
    lines = {name: one.at(x) for name, one in zip(names, held, strict=True)}
    found = tuple(_estimate(n, one, params.share) for n, one in zip(names, held, strict=True))
    return Curve(
        title=f"Variance held by the first directions of {len(taps)} taps",
        reading=_reading(names, found, params.share),
        caveats=(*equal.notes, *_caveats(names, held), *shared_caveats(*(one.spectrum for one in held))),
        estimates=found[:NAMED], x=x, x_name="share of directions (k / d)", y_name="share of the variance",
        series={n: line[0] for n, line in lines.items()}, low={n: line[1] for n, line in lines.items()},
        high={n: line[2] for n, line in lines.items()}, null={n: line[3] for n, line in lines.items()},
    )  # fmt: skip


def _held(spectrum: TapSpectrum, before: list[_Held], seed: int, share: float) -> _Held:
    line = _cumulative(spectrum.values, spectrum.d)
    without = np.array([_cumulative(row, spectrum.d) for row in spectrum.without()])
    half = spectrum.half_width(without) if len(without) > 2 else 0.0
    alike = next((h for h in before if _shape(h.spectrum) == _shape(spectrum)), None)
    if alike is not None:
        null, shares = alike.lines[3], alike.null
    else:
        samples, alive, d = _shape(spectrum)
        rng = np.random.default_rng([seed, samples, alive])
        draws = gaussian_eigenvalues(np.ones(alive), samples, rng, min(null_draws(alive), MOST_DRAWS))
        null = np.mean([_cumulative(row, d) for row in draws], axis=0)
        shares = np.array([axes_for(row, share) / d for row in draws])
    return _Held(
        spectrum, np.array([line, np.maximum(line - half, 0), np.minimum(line + half, 1), null]), shares
    )


def _shape(spectrum: TapSpectrum) -> tuple[int, int, int]:
    return max(spectrum.samples, 2), spectrum.d - spectrum.constant, spectrum.d


def _cumulative(values: np.ndarray, d: int) -> np.ndarray:
    """(d + 1,) of falling eigenvalues (r,), from 0 to exactly 1."""
    rising = np.cumsum(values)
    return np.concatenate([[0.0], rising / rising[-1], np.ones(d - len(values))])


def _places(held: list[_Held]) -> np.ndarray:
    """Every number of directions where all taps have the same few units; an even grid otherwise."""
    widths = {one.spectrum.d for one in held}
    count = widths.pop() if len(widths) == 1 else PLACES
    return np.linspace(0.0, 1.0, min(count, PLACES) + 1)


def _estimate(name: str, one: _Held, share: float) -> Estimate:
    low, high = np.percentile(one.null, [2.5, 97.5])
    return Estimate(
        f"share of directions for {100 * share:.4g} % of the variance, {name}", one.share_for(share),
        one.share_for(share, 2), one.share_for(share, 1), interval="jackknife over groups of samples, of the curve",
        null=float(one.null.mean()), null_low=float(low), null_high=float(high),
        null_method=f"isotropic Gaussian samples of the same n and d, {len(one.null)} draws", n=one.spectrum.n,
        d=one.spectrum.d, estimator="smallest k with Σ_{i<=k} λ_i >= share · Σ λ, over d",
    )  # fmt: skip


def _reading(names, found, share: float) -> str:
    order = np.argsort([e.value for e in found], kind="stable")
    few, many = found[order[0]], found[order[-1]]
    return (
        f"{100 * share:.4g} % of the variance lies in {few.value:.0%} of the directions of {names[order[0]]}, the "
        f"narrowest, and in {many.value:.0%} of those of {names[order[-1]]}, the widest; isotropic noise of the same "
        f"size needs {few.null:.0%} and {many.null:.0%}."
    )


def _caveats(names, held: list[_Held]) -> list[str]:
    notes = [
        "An attention output has at most rank(W_O) <= heads × width of a head directions: what is narrow may be the "
        "weights rather than the data ('Do activations vary where the weights write?')."
    ]
    for name, one in zip(names, held, strict=True):
        samples, _, d = _shape(one.spectrum)
        if samples <= d:
            notes.append(SHORT.format(name, samples, d, samples - 1, (samples - 1) / d))
    if len(held) > NAMED:
        notes.append(f"Numbers are listed for the first {NAMED} taps; the curves show all.")
    return notes


def _cost(shapes, params: VarianceShareParams) -> Cost:
    m, seconds, memory = machine(), 0.02, 0.0
    for rows, d in shapes:
        n = min(rows, params.maximum_samples)
        side, draws = min(n, d), min(null_draws(d), MOST_DRAWS)
        seconds += m.seconds(
            flops64=6.0 * n * d * side + 15.0 * side**3 + 12.0 * draws * d**3, moved=n * d * 100.0
        )
        more = n * d * 8 * 2.5 if n < d else min(n, 4096) * (d * 8 * 5 + 800)
        memory = max(memory, more + 6.0 * side**2 * 8 + 3200.0 * side)
    return Cost(seconds, memory)


def _check() -> tuple[CheckLine, ...]:
    """Outputs of three heads of four units each have 12 directions of 40; white noise is its null; a line by hand."""
    rng = np.random.default_rng(3)
    basis = rng.standard_normal((400, 12))
    basis = np.linalg.qr(basis - basis.mean(axis=0))[0]
    narrow = (
        basis @ np.linalg.qr(rng.standard_normal((40, 12)))[0].T
    )  # x W_O of heads that are all used alike
    white = rng.standard_normal((400, 40))
    turn = np.linalg.qr(rng.standard_normal((40, 40)))[0]
    found = variance_share_by_layer(*map(ArrayActivations, (narrow, white, 5 * white @ turn + 3)))
    one, noise, turned = found.series.values()
    lam = np.linalg.eigvalsh(np.cov(white, rowvar=False))[::-1]
    return (
        CheckLine("12 equal directions of 40", 12 / 40, found.estimates[0].value, 0.0),
        CheckLine("the first six hold half", 0.5, float(one[6]), 1e-9),
        CheckLine("noise: its first ten, by hand", float(lam[:10].sum() / lam.sum()), float(noise[10]), 1e-12),
        CheckLine("noise against its null", 0.0, float(np.abs(noise - next(iter(found.null.values()))).max()), 0.02),
        CheckLine("turned, scaled and shifted", 0.0, float(np.abs(turned - noise).max()), 1e-9),
        CheckLine("the curve never falls", 0.0, float(np.diff(noise).min()), 0.0, "at least"),
        CheckLine("and ends at 1", 1.0, float(noise[-1]), 0.0),
    )  # fmt: skip


METHODS = (
    Method(
        id="variance_share_by_layer", family="rank", title="Variance held by few directions, by layer", version=1,
        function=variance_share_by_layer,
        summary="Cumulative variance of layers side by side, and the share of directions for 99 % of it.",
        params=VarianceShareParams, result=Curve, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST, invariance="rotating, shifting or scaling all activations of a tap",
        papers=("Attention Layers Add Into Low-Dimensional Residual Subspaces",),
    ),
)  # fmt: skip
