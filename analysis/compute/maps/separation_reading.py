"""The answer to "do these two groups separate?" in words: which test counts for groups from where."""

from __future__ import annotations

import numpy as np

from analysis.compute.groups.between_groups import Between
from analysis.compute.groups.valley import CLEAR, LEVEL
from analysis.results import Estimate

SURE = 0.8  # power from which "no" may be said
ALIKE = 0.65  # AUROC below which two groups are as good as the same


def separation_reading(drawn: bool, found: Between, auroc: Estimate) -> str:
    """Sentences that name what holds for groups drawn on a picture of these activations, and for named ones."""
    valley, differ = _valley(found), _difference(auroc)
    if drawn:
        return (
            f"For groups drawn on a picture of these activations: {valley} The groups themselves: {differ} A "
            "difference is no evidence here: groups cut from one cloud always differ. It would be, had the groups come "
            "from labels or metadata."
        )
    return (
        f"For groups from labels or metadata: {differ} Between them: {valley} Had they been drawn on a picture of "
        "these activations, only the valley would count."
    )


def _valley(found: Between) -> str:
    m = len(found.along)
    if found.valley is None:
        return f"cannot tell with n = {m} held-out samples there whether a valley lies between them."
    v, clear = found.valley, f"a valley between clouds {CLEAR:g} deviations apart would be found"
    numbers = f"depth {v.depth:.0%}; one cloud without a valley reaches {np.percentile(v.null, 95):.0%}; p = {v.p:.2g}"
    if v.p <= LEVEL:
        return f"yes, a valley lies between them ({numbers}, n = {m})."
    if found.power >= SURE:
        return f"no, one cloud cut in two ({numbers}, n = {m}; {clear} in {found.power:.0%} of cases)."
    return f"cannot tell with n = {m} ({numbers}; {clear} in only {found.power:.0%} of cases)."


def _difference(e: Estimate) -> str:
    numbers = (
        f"AUROC {e.value:.2f}, {e.low:.2f} to {e.high:.2f}; exchanged labels reach {e.null_high:.2f}; "
        f"p = {e.p_value:.2g}"
    )
    if e.p_value <= LEVEL:
        return f"they differ, a linear rule tells held-out samples apart ({numbers})."
    if e.high < ALIKE:
        return f"no difference that a linear rule could tell ({numbers})."
    return f"cannot tell with n = {e.n} whether they differ ({numbers})."
