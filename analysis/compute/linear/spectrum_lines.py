"""Spectra of several taps of the same samples, each with its null, and the effective ranks made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.sample_spectrum import SampleSpectrum, log_interval
from analysis.compute.linear.spectra import ranks
from analysis.results import Estimate

NULL = "independent Gaussian units with the same variances"


@dataclass(frozen=True)
class SpectrumLine:
    """One line of the figure: its spectrum, and null eigenvalues (draws, m), falling."""

    name: str
    found: SampleSpectrum
    null: np.ndarray
    width: int


def imitated(line: SpectrumLine, power: float) -> SpectrumLine:
    """The line after σ^power, its null too."""
    null = np.sort((line.null / line.null[:, :1]) ** power, axis=1)[:, ::-1]
    if power == 0:
        null = null * (line.null > 0)  # a direction without variance has none to raise
    return SpectrumLine(f"{line.name} with σ^{power:g}", line.found.powered(power), null, line.width)


def rank_estimates(lines: Sequence[SpectrumLine], n: int) -> tuple[Estimate, ...]:
    """Each line's three effective ranks, RankMe and rank; then the three of the last line over those of the first."""
    found = []
    for line in lines:
        made = {
            "n": n,
            "d": line.width,
            "null_method": f"{NULL}, {len(line.null)} draws",
            "estimator": "plug-in",
        }
        chance = [ranks(row) for row in line.null]
        changes = line.found.rank_changes()
        for i, (name, value) in enumerate(ranks(line.found.eigenvalues).items()):
            low, high = log_interval(value, changes[:, i])
            band = np.percentile([c[name] for c in chance], [2.5, 50, 97.5])
            found.append(Estimate(
                f"{line.name}: {name}", value, float(low), float(high), interval="by samples' contributions",
                null=float(band[1]), null_low=float(band[0]), null_high=float(band[2]), **made,
            ))  # fmt: skip
        found.append(
            Estimate(f"{line.name}: RankMe (rows not centred)", line.found.rankme, n=n, d=line.width)
        )
        found.append(Estimate(
            f"{line.name}: directions with variance", line.found.rank, null=float(min(n - 1, line.width)),
            null_method="independent units: all that n - 1 samples and d units allow", n=n, d=line.width,
            estimator="eigenvalues above rounding",
        ))  # fmt: skip
    first, last = lines[0].found, lines[-1].found
    changes = last.rank_changes() - first.rank_changes()
    pairs = zip(ranks(first.eigenvalues).items(), ranks(last.eigenvalues).values(), strict=True)
    for i, ((name, before), after) in enumerate(pairs):
        low, high = log_interval(after / before, changes[:, i])
        found.append(Estimate(
            f"{lines[-1].name} over {lines[0].name}: {name}", after / before, float(low), float(high), null=1.0,
            null_method="a head that rotates", interval="by samples' contributions, paired", n=n, d=lines[0].width,
            estimator="ratio",
        ))  # fmt: skip
    return tuple(found)
