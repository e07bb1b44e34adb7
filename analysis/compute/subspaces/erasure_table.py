"""Erasers side by side as a table: dimensions, edits with intervals, what probes read after each."""

from __future__ import annotations

import numpy as np

from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.subspaces.erasing import ERASERS, Halves, covariance_left, squared_edits
from analysis.compute.subspaces.erasure import Eraser
from analysis.compute.subspaces.probes import LINEAR, PROBES
from analysis.results import Estimate

NOTHING = "nothing erased"
HELP = {
    "method": "how the directions are found",
    "dimensions": "directions removed",
    "edit": "mean ‖x - x'‖² on samples that did not find the directions",
    "edit low": "lower end of its 95 % interval",
    "edit high": "upper end of its 95 % interval",
    "edit share": "edit divided by the variance of all units together",
    "covariance left": "‖Σ_x'z‖ / ‖Σ_xz‖ on the samples that found the directions: at 0 no linear probe reads it there",
    "blinds": "whether the linear probe is no better than on exchanged values, or its interval reaches the majority",
    "least edit": "the smallest edit among the methods that blind the linear probe",
}
for _p in PROBES:
    HELP[_p] = f"held-out accuracy (of a number R²) of the {_p} probe"
    HELP |= {f"{_p} low": "lower end of its 95 % interval", f"{_p} high": "upper end of its 95 % interval"}
    HELP[f"{_p} p"] = "p of scoring so well on exchanged values"


def erasure_columns(halves: Halves, erasers: list[Eraser], scores) -> dict[str, np.ndarray]:
    """The columns of `HELP`; `scores` by (name of the eraser, probe), the first eraser taking nothing."""
    edits = [squared_edits(e, halves.x) for e in erasers]
    mean = np.array([v.mean() for v in edits])
    bounds = [mean_interval(v, least=0.0) for v in edits]
    blinds = np.array([not scores[e.name, LINEAR].reads for e in erasers])
    named = np.array([e.name in ERASERS for e in erasers])
    able = np.flatnonzero(blinds & named)
    least = np.zeros(len(erasers), bool)
    if len(able) and not blinds[0]:
        least[able[np.argmin(mean[able])]] = True
    columns = {
        "method": np.array([e.name for e in erasers]), "dimensions": np.array([e.rank for e in erasers]),
        "edit": mean, "edit low": np.array([b["low"] for b in bounds]),
        "edit high": np.array([b["high"] for b in bounds]),
        "edit share": mean / float(np.trace(halves.moments.covariance)),
        "covariance left": np.array([covariance_left(e, halves.moments) for e in erasers]),
        "blinds": blinds, "least edit": least,
    }  # fmt: skip
    for probe in PROBES:
        own = [scores[e.name, probe] for e in erasers]
        columns |= {
            probe: np.array([s.value for s in own]), f"{probe} low": np.array([s.low for s in own]),
            f"{probe} high": np.array([s.high for s in own]), f"{probe} p": np.array([s.p for s in own]),
        }  # fmt: skip
    return columns


def edit_estimates(halves: Halves, erasers: list[Eraser]) -> tuple[Estimate, ...]:
    """The edit of each method; its null is that of as many random directions."""
    d = halves.x.shape[1]
    whole = float(np.trace(halves.moments.covariance))
    return tuple(
        Estimate(
            f"edit, {e.name}", float(v.mean()), **mean_interval(v, least=0.0), null=whole * e.rank / d,
            null_method="as many random directions, on average: variance · k / d", n=len(v), d=d,
            estimator="mean squared distance on held-out samples",
        )
        for e, v in ((e, squared_edits(e, halves.x)) for e in erasers if e.name in ERASERS)
    )  # fmt: skip
