"""What CKA between taps says, and what it does not, in plain sentences."""

from __future__ import annotations

import numpy as np

from analysis.compute.correlations import upper
from analysis.compute.hsic import Inner, null_deviation
from analysis.results import Estimate

LEVEL = 0.05  # false-discovery rate
UNSURE = 0.1  # half-width of an interval from which on it is said that samples are too few


def tap_names(names: list[str]) -> tuple[str, ...]:
    """Tap names, without the store where all share it; numbered where they repeat."""
    stores = {name.partition(":")[0] for name in names if ":" in name}
    if len(stores) == 1 and all(":" in name for name in names):
        names = [name.partition(":")[2] for name in names]
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if names.count(name) == 1 else f"{name} ({seen[name]})")
    return tuple(out)


def cka_reading(
    values: np.ndarray,
    floor: np.ndarray,
    sure: np.ndarray,
    names: tuple[str, ...],
    estimates: tuple[Estimate, ...],
    biased: bool,
) -> str:
    """`floor`: what unrelated pairs give (biased); `sure`: pairs beyond chance; `estimates`: of the pair, or the mean,
    the highest and the lowest."""
    n = estimates[0].n
    unrelated = (
        f"unrelated representations of these shapes give {floor[0, 1]:.2f} on average"
        if biased and len(values) == 2
        else f"unrelated representations of these shapes give {upper(floor).min():.2f} to {upper(floor).max():.2f}"
        if biased
        else f"unrelated representations of {n:,} samples give 0 ± {1.959964 * null_deviation(n):.2g}"
    )
    if len(values) == 2:
        e = estimates[0]
        within = "" if e.low is None else f" ({e.low:.2f} to {e.high:.2f})"
        verdict = "beyond chance" if sure[0, 1] else "not shown to be more than chance"
        return f"CKA of {names[0]} and {names[1]} is {e.value:.2f}{within}; {unrelated}: {verdict}."
    mean, highest, lowest = estimates
    i = upper(sure.astype(float))
    return (
        f"Two taps have a CKA of {mean.value:.2f} on average; {unrelated}. Most alike are "
        f"{highest.name.partition(' of ')[2]} ({highest.value:.2f}), least alike "
        f"{lowest.name.partition(' of ')[2]} ({lowest.value:.2f}). {int(i.sum())} of {len(i)} pairs are beyond chance "
        f"(q < {LEVEL:g})."
    )


def cka_caveats(
    found: dict[tuple[int, int], Inner],
    estimates: tuple[Estimate, ...],
    names: tuple[str, ...],
    biased: bool,
    scaling: str,
) -> list[str]:
    """What cannot be concluded. `found`: inner products by pair of taps."""
    notes = []
    for a, name in enumerate(names):
        if found[a, a].unbiased[0] <= 0:
            notes.append(
                f"{name}: all samples are equally far from each other, so nothing can be like it (CKA 0)."
            )
    wide = [e for e in estimates if e.low is not None and e.high - e.low > 2 * UNSURE]
    if wide:
        notes.append(f"{estimates[0].n:,} samples are few for this: intervals are wider than ± {UNSURE:g}.")
    if biased:
        notes.append(
            "The biased estimate rises with units per sample: compare a value with its floor, never with 0."
        )
    if scaling == "as recorded":
        notes.append("Directions of large variance rule; with standardised units the picture may be another.")
    return notes
