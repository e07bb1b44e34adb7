"""What a projection head does to the spectrum: normalised singular values before and after it, or layer by layer.

σ_i / σ_1 of the centred samples against i, with the effective ranks, three quantities that share one name:

    participation ratio          (Σ λ)² / Σ λ²
    entropy rank of λ            exp(-Σ p ln p),  p = λ / Σ λ
    entropy rank of √λ           exp(-Σ p ln p),  p = √λ / Σ √λ     (centred singular values)

and RankMe, the last one of the rows as they are. Isotropic data in d dimensions have rank d by each. A linear head W
makes Cov_after = W Cov_before Wᵀ: its rank, the number of directions with any variance, can only fall; its *effective*
rank may rise, where the head evens directions out.

`power` a draws a fixed re-weighting beside the real head: σ^a of the first tap, which keeps every direction and changes
its weight; above 1 large directions grow at the cost of small ones, 0 makes all alike.

Null: independent Gaussian units with the same variances, what n samples make of no structure at all. Intervals by what
each sample contributes; those of a ratio of two taps use that the samples are the same.

When it lies: all ranks grow with the number of samples until n is many times d, and taps of different widths are capped
by min(n, d) differently; one unit of large scale owns the spectrum; singular values say nothing of what a direction
means: see what the head does to known factors.

Cost: O(n d min(n, d)) for each tap, O(d³) for each null draw; memory O(n Σ d).

References: Y. Xue et al. (2024), "Investigating the benefits of projection head for representation learning"; O. Roy &
M. Vetterli (2007), "The effective rank"; Q. Garrido et al. (2023), "RankMe".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import ArrayActivations, as_activations
from analysis.compute.linear.sample_spectrum import spectrum_of
from analysis.compute.linear.spectra import ranks
from analysis.compute.linear.spectrum_lines import SpectrumLine, imitated, rank_estimates
from analysis.compute.machine import machine
from analysis.compute.rows.common_samples import common_samples
from analysis.compute.rows.tap_names import tap_names
from analysis.compute.statistics.nulls import gaussian_eigenvalues, null_draws
from analysis.results import Curve
from analysis.spec import CheckLine, Cost, Method, no_progress, param

FEWEST = 5


@dataclass(frozen=True)
class HeadSpectraParams:
    power: float = param(
        1.0,
        "Power of the first tap's singular values that imitates a head; 1 draws no imitation.",
        low=0.0,
        high=4.0,
    )
    pooling: str = param("mean", "How the tokens of a sample become one value.", choices=("mean", "max"))
    maximum_samples: int = param(10_000, "Most samples; a seeded random subset above.", low=50, high=200_000)


def head_spectra(
    *taps, params: HeadSpectraParams = HeadSpectraParams(), rng=None, progress=no_progress
) -> Curve:
    """Normalised singular values of two or more taps of the same samples.

    Parameters
    ----------
    *taps : Activations or arrays (rows, units), before the head first, after it last; layers in order between.

    Returns
    -------
    Curve
        x = number of the singular value, one series σ_i / σ_1 for each tap, 0 beyond its rank; 95 % bands and the null.
        Estimates: each tap's effective ranks, and those of the last over the first.

    Raises
    ------
    ParameterError, InputError, NotEnoughData, TooLarge
        As `common_samples`; rows and units of a tap both above 8,192.
    """
    taps = [as_activations(t) for t in taps]
    rng = rng or np.random.default_rng(0)
    data = common_samples(
        taps, rng, maximum=params.maximum_samples, minimum=FEWEST, pooling=params.pooling, progress=progress
    )
    names, lines = tap_names([t.name for t in taps]), []
    for i, (name, x) in enumerate(zip(names, data.values, strict=True)):
        progress(0.3 + 0.7 * i / len(taps), "decomposing")
        found = spectrum_of(x)
        null = gaussian_eigenvalues(found.variances, len(x), rng, min(null_draws(x.shape[1]), 30))
        lines.append(SpectrumLine(name, found, null, x.shape[1]))
        if i == 0 and params.power != 1:
            lines.append(imitated(lines[0], params.power))
    n, length = len(data.ids), max(line.found.rank for line in lines)
    series, low, high, nulls = {}, {}, {}, {}
    for line in lines:
        sigma, error = line.found.singular, line.found.singular_error()
        series[line.name] = _padded(sigma, length)
        low[line.name], high[line.name] = (
            _padded(sigma * np.exp(sign * np.minimum(1.96 * error, 700)), length) for sign in (-1, 1)
        )
        nulls[line.name] = _padded(np.sqrt(line.null / line.null[:, :1]).mean(axis=0)[:length], length)
    estimates = rank_estimates(lines, n)
    return Curve(
        title=f"Singular values from {names[0]} to {names[-1]}", reading=_reading(lines, estimates),
        caveats=(*_caveats(lines, n, params), *data.notes), estimates=estimates, x=np.arange(1, length + 1),
        x_name="number of the singular value", y_name="singular value over the largest", series=series, low=low,
        high=high, null=nulls, log_x=length > 50,
    )  # fmt: skip


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    return np.pad(values, (0, length - len(values)))


def _reading(lines: list[SpectrumLine], estimates) -> str:
    first, last, ratio = lines[0], lines[-1], estimates[-1]
    rank = [list(ranks(line.found.eigenvalues).values())[2] for line in (first, last)]
    moved = "not shown to change"
    if ratio.low > 1 or ratio.high < 1:
        moved = "rises" if ratio.value > 1 else "falls"
    return (
        f"The effective rank (entropy of the singular values) {moved} from {rank[0]:.1f} in {first.name} to "
        f"{rank[1]:.1f} in {last.name}, {ratio.value:.2f} times ({ratio.low:.2f} to {ratio.high:.2f}); "
        f"{first.found.rank} directions have variance before and {last.found.rank} after."
    )


def _caveats(lines: list[SpectrumLine], n: int, params: HeadSpectraParams) -> list[str]:
    notes = [
        f"Ranks grow with the number of samples until it is many times the units: all taps are compared at {n:,}.",
        "RankMe is that of rows that are not centred; it has no interval and no null here.",
    ]
    constant = [(line.name, int((line.found.variances == 0).sum())) for line in lines]
    notes += [f"{name}: {count} constant unit(s) add nothing." for name, count in constant if count]
    if len({line.width for line in lines}) > 1:
        widths = ", ".join(f"{line.name} {line.width}" for line in lines)
        notes.append(f"Widths differ ({widths}): a rank is at most the width.")
    if params.power != 1:
        notes.append(f"The imitated head weights the centred singular values of {lines[0].name} only.")
    return notes


def _cost(shapes, params: HeadSpectraParams) -> Cost:
    m, n = machine(), min(min(rows for rows, _ in shapes), params.maximum_samples)
    flops = moved = held = 0.0
    for rows, d in shapes:
        side, draws = min(n, d), min(null_draws(d), 30)
        flops += 4.0 * n * d * side + (25 + 15 * draws) * side**3 + 2.0 * n * side * d
        moved += 24.0 * rows * d + 60.0 * n * side
        held += 8.0 * n * (2 * d + side) + 8.0 * draws * d
    widest = max(d for _, d in shapes)
    return Cost(m.seconds(flops64=flops, moved=moved) + 0.02, held + 8.0 * (n + widest) * min(n, widest) * 3)


def _check() -> tuple[CheckLine, ...]:
    """Isotropic: rank d by every formula. A linear head of rank r: r directions, eigenvalues of W Cov Wᵀ. σ^0: all
    alike. A rotation: a ratio of 1."""
    rng = np.random.default_rng(2)
    basis = np.linalg.qr(rng.standard_normal((400, 13)))[0]
    flat = np.linalg.qr(basis - basis.mean(axis=0))[0][:, :12]  # centred and orthonormal
    x = rng.standard_normal((400, 20)) * np.linspace(3, 0.3, 20)
    w = rng.standard_normal((5, 20))
    turned = x @ np.linalg.qr(rng.standard_normal((20, 20)))[0]

    def asked(a, b, **more) -> Curve:
        return head_spectra(ArrayActivations(a), ArrayActivations(b), params=HeadSpectraParams(**more))

    head, same, even = asked(x, x @ w.T), asked(flat, flat), asked(x, turned, power=0.0)
    expected = np.linalg.eigvalsh(w @ np.cov(x, rowvar=False) @ w.T)[::-1]
    after = list(head.series.values())[1]
    lines = [
        CheckLine(f"12 equal directions: {e.name.partition(': ')[2].partition(',')[0]}", 12.0, e.value, 1e-9)
        for e in same.estimates[:3]
    ]
    return (
        *lines,
        CheckLine("linear head of rank 5: directions with variance", 5.0, head.estimates[9].value, 0.0),
        CheckLine("its spectrum is that of W Cov Wᵀ: largest difference", 0.0,
                  float(np.abs(after[:5] - np.sqrt(expected / expected[0])).max()), 1e-10),
        CheckLine("a rotation: ratio of ranks", 1.0, even.estimates[-1].value, 1e-10),
        CheckLine("σ^0: effective rank of 20 directions", 20.0, even.estimates[5].value, 1e-9),
    )  # fmt: skip


METHODS = (
    Method(
        id="head_spectra", family="similarity", title="Spectra before and after a head", version=1,
        function=head_spectra,
        summary="How a projection head, or each layer, changes the singular values and the effective rank.",
        params=HeadSpectraParams, result=Curve, check=_check, cost=_cost, inputs=2, more_inputs=True,
        minimum_rows=FEWEST,
        invariance="rotating, scaling or shifting a tap changes nothing but RankMe; stretching one direction does",
        papers=("Investigating the Benefits of Projection Head for Representation Learning",),
    ),
)  # fmt: skip
