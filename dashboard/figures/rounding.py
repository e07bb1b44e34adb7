"""Numbers that are 0 but for the rounding of what computed them: shown as 0, and said to be.

What counts as rounding is what the method says of an estimate (`Estimate.rounding`), and beyond that 10⁻¹² of the
largest of its own numbers, which is what sums in double precision leave. P-values are none of these: they may be small.
"""

from __future__ import annotations

from dataclasses import replace

from analysis.results import Estimate

DOUBLE = 1e-12
WORDS = "to rounding"
_NUMBERS = ("value", "low", "high", "null", "null_low", "null_high")


def rounded(e: Estimate) -> Estimate:
    """The estimate with 0 where its numbers are rounding; an interval that is nothing else is left out."""
    given = {name: getattr(e, name) for name in _NUMBERS}
    sizes = {name: abs(v) for name, v in given.items() if v is not None and v == v}
    floor = max(e.rounding, DOUBLE * max((s for s in sizes.values() if s < float("inf")), default=0.0))
    small = {name: 0.0 for name, size in sizes.items() if 0 < size <= floor}
    if not small:
        return e
    if "value" in small and {"low", "high"} <= {n for n, s in sizes.items() if s <= floor}:
        small |= {"low": None, "high": None}
    return replace(e, **small)


def is_rounding(e: Estimate) -> bool:
    """Whether the value of an estimate is rounding, and not 0 itself."""
    return e.value != 0 and rounded(e).value == 0
