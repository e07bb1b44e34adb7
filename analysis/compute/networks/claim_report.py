"""The consequences of a claim, each beside what chance gives: a table, its estimates, and words that say no more than
what exceeds the null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.multiple_testing import benjamini_hochberg
from analysis.compute.statistics.nulls import add_one_p
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.results import Estimate

LEVEL = 0.05


@dataclass(frozen=True)
class Line:
    """One consequence: `values` (sequences,), `null` (draws,) of their mean; tested where the claim says
    what it is, `claimed`; `bounds` of what it can be; `half` the width of its interval to each side where there is one
    sequence only."""

    name: str
    values: np.ndarray
    null: np.ndarray
    null_method: str
    claimed: float | None = None
    bounds: tuple[float, float] = (-np.inf, np.inf)
    half: float | None = None

    @property
    def value(self) -> float:
        return float(self.values.mean())

    @property
    def p(self) -> float:
        # equal up to rounding is as much
        return float(add_one_p(self.value - 1e-12 * max(1.0, abs(self.value)), self.null))


def beyond(lines: Sequence[Line]) -> np.ndarray:
    """(lines,) bool: tested, and larger than the null at a false-discovery rate of 5 % over the tested lines."""
    tested = np.array([line.claimed is not None for line in lines])
    out = np.zeros(len(lines), bool)
    p = np.array([line.p for line in lines])
    out[tested] = benjamini_hochberg(p[tested]) < LEVEL
    return out


def claim_columns(lines: Sequence[Line], found: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of the table; `found` as `beyond` gives it."""
    ends = np.array([np.percentile(line.null, [2.5, 97.5]) for line in lines])
    words = [
        "not tested" if line.claimed is None else "beyond the null" if b else "not beyond the null"
        for line, b in zip(lines, found, strict=True)
    ]
    return {
        "claim": np.array([line.name for line in lines]), "value": np.array([line.value for line in lines]),
        "null": np.array([line.null.mean() for line in lines]), "null low": ends[:, 0], "null high": ends[:, 1],
        "p": np.array([line.p for line in lines]), "verdict": np.array(words),
    }  # fmt: skip


def claim_estimates(lines: Sequence[Line], d: int, estimator: str) -> tuple[Estimate, ...]:
    out = []
    for line in lines:
        low, high = np.percentile(line.null, [2.5, 97.5])
        out.append(Estimate(
            line.name, line.value, **_interval(line), null=float(line.null.mean()),
            null_low=float(low), null_high=float(high), null_method=f"{line.null_method}, {len(line.null)} draws",
            p_value=None if line.claimed is None else line.p, n=len(line.values), d=d, estimator=estimator,
        ))  # fmt: skip
    return tuple(out)


def _interval(line: Line) -> dict:
    if line.half is None:
        return mean_interval(line.values, *line.bounds)
    return {"low": max(line.value - line.half, min(line.bounds[0], line.value)),
            "high": min(line.value + line.half, max(line.bounds[1], line.value)),
            "interval": "jackknife over groups of tokens of the one sequence"}  # fmt: skip


def claim_reading(lines: Sequence[Line], found: np.ndarray) -> str:
    """What exceeds the null, how far it is from what is claimed, and nothing else."""
    tested = sum(line.claimed is not None for line in lines)
    some = [line for line, b in zip(lines, found, strict=True) if b]
    if not some:
        return f"None of the {tested} consequences of the claim exceeds its null: the data do not support it."
    listed = "; ".join(
        f"{line.name} {line.value:.2f} (null {line.null.mean():.2f}, claimed {line.claimed:.3g})"
        for line in some
    )
    text = f"Beyond the null at a false-discovery rate of 5 %: {listed}."
    if len(some) < tested:
        text += f" The other {tested - len(some)} consequence(s) of the claim are not."
    return text
