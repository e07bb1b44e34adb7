"""How much more two groups of held-out rows differ in variance along directions that other rows chose."""

from __future__ import annotations

import numpy as np

from analysis.features.classical.fit_rows import FitRows

DRAWS = 300
FEWEST = 5  # samples of either group


def held_out_ratios(rows: FitRows, codes: np.ndarray, target: np.ndarray, background: np.ndarray, rng):
    """(ratio, low, high), each (k,): variance of the `codes` (held-out rows, k) of `target` over that of `background`
    (rows,) bool, with a 95 % interval by resampling samples; NaN where a group has fewer than five held-out samples."""
    samples, found = rows.samples_of(rows.held_rows), []
    for group in (target, background):
        on = group[rows.held_rows]
        _, of = np.unique(samples[on], return_inverse=True)
        n = int(of.max()) + 1 if on.any() else 0
        if n < FEWEST:
            nothing = np.full(codes.shape[1], np.nan)
            return nothing, nothing, nothing
        own = codes[on]
        own = own - own.mean(axis=0)
        sums = np.zeros((3, n, codes.shape[1]))
        for total, values in zip(sums, (np.ones_like(own), own, own**2), strict=True):
            np.add.at(total, of.reshape(-1), values)
        weight = rng.multinomial(n, np.full(n, 1 / n), size=DRAWS)
        count, first, second = (np.concatenate([total.sum(axis=0)[None], weight @ total]) for total in sums)
        found.append(second / count - (first / count) ** 2)
    ratio = found[0] / np.maximum(found[1], np.finfo(float).tiny)
    low, high = np.percentile(ratio[1:], [2.5, 97.5], axis=0)
    return ratio[0], np.minimum(low, ratio[0]), np.maximum(high, ratio[0])


def ratio_said(low: np.ndarray, what: str) -> tuple[str, ...]:
    """What is to be said of ratios whose interval reaches down to 1."""
    if np.isnan(low).any():
        return ("Too few held-out samples in a group to say which directions carry over to other samples.",)
    plain = np.flatnonzero(~(low > 1))
    if not len(plain):
        return ()
    shown = ", ".join(map(str, plain[:12])) + (f" and {len(plain) - 12} more" if len(plain) > 12 else "")
    return (f"On held-out samples no more variance than {what}, within the interval: {shown}.",)
