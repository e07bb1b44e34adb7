"""One thing that was looked for where tokens were dropped or merged, and what came out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FAULT, NONE, UNSEEN = "fault", "none found", "not seen"
BIASED = "rule or data"  # it differs from chance, and data that differ alike would do the same


@dataclass(frozen=True)
class Fault:
    """One thing that was looked for. `found` and `expected` NaN where it was not seen."""

    name: str
    found: float
    expected: float
    verdict: str
    sentence: str


def unseen(name: str, why: str) -> Fault:
    return Fault(name, np.nan, np.nan, UNSEEN, why)


def judged(name: str, found: float, expected: float, wrong: bool, if_wrong: str, if_right: str) -> Fault:
    return Fault(
        name, float(found), float(expected), FAULT if wrong else NONE, if_wrong if wrong else if_right
    )
