"""What is told of maps of a scan on the grid: how far tokens read, and how much of it lies along rows."""

from __future__ import annotations

import numpy as np

from analysis.results import Estimate
from analysis.tokens.asked_place import place_name
from analysis.tokens.mixers.folding import each_token

ALONG = "share along rows"


def folded_estimates(name: str, m: np.ndarray, readable: np.ndarray, grid, d: int) -> list[Estimate]:
    """Over the tokens of a map (cells, cells) that read, beside all that is `readable`: distance, share along rows."""
    i, j = np.divmod(np.arange(len(m)), grid[1])
    down, along = np.abs(i[:, None] - i[None]), np.abs(j[:, None] - j[None])
    size, readable = np.abs(m), readable.astype(float)
    out = []
    for what, of in (("distance read from", np.hypot(down, along)), (ALONG, None)):
        each, even = (each_token(w, of, down, along) for w in (size, readable))
        if not len(each) or (of is None and 1 in grid):  # all of a text lies along one row
            continue
        out.append(Estimate(f"{what}, {name}", float(each.mean()), null=float(even.mean()), d=d,
                            n=len(each), interval="none: one sample", null_method="all that is readable, alike",
                            estimator="mean over tokens of Σ |M| d / Σ |M|",
                            unit="" if of is None else "cells" if grid[0] > 1 else "tokens"))  # fmt: skip
    return out


def folded_reading(told, token: int, grid) -> str:
    asker = place_name(token, grid)
    e = next((e for e in told if e.name.startswith(ALONG)), None)
    if e is None:
        far = told[0]
        return (
            f"Drawn is what {asker} reads. Tokens read {far.value:.3g} {far.unit} away on average (read alike "
            f"{far.null:.3g}), by {far.name.partition(', ')[2]}."
        )
    return (
        f"Drawn is what {asker} reads. Of what tokens read {e.value:.0%} lies along rows (read alike {e.null:.0%}), "
        f"by {e.name.partition(', ')[2]}."
    )
