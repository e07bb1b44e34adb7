"""What a picture against a control says, and what it does not, in plain sentences."""

from __future__ import annotations

import numpy as np

from analysis.compute.linear.named_axes import NamedAxis
from analysis.compute.maps.control_fit import ControlFit
from analysis.results import Estimate

MOSTLY = 0.5  # of an axis's variance: from here on a batch owns it
BADLY = 1.5  # times the variance of the half that whitened: the whitening does not carry over
REST = ("other classes", "all others")  # what a named axis calls everything but its first group


def control_name(axis: NamedAxis) -> str:
    """ "class 3" or "selection untreated"."""
    return f"{axis.label.partition(' ')[0]} {axis.groups[0]}"


def group_names(axis: NamedAxis) -> tuple[str, str]:
    """What the control and the others are called in a legend; by this order the control is drawn on top."""
    return f"the control: {axis.groups[0]}", "others" if axis.groups[
        1
    ] in REST else f"others: {axis.groups[1]}"


def control_reading(
    estimates: tuple[Estimate, ...], fit: ControlFit, axis: NamedAxis, batch: str, drawn: str
) -> str:
    """One sentence per axis, and a warning for each that is mostly a batch effect. `estimates`: the ratios of the
    axes, the variance of the held-out control, then the shares of the `batch`, if any."""
    where = "marked in column 'half'" if drawn == "all" else "not drawn"
    others = "the others" if axis.groups[1] in REST else f"the others ({axis.groups[1]})"
    lines = [
        f"Drawn in units of the spread of {control_name(axis)} (the control), measured on {fit.whitening.n:,} of its "
        f"samples that are {where}."
    ]
    for j, e in enumerate(estimates[: fit.found]):
        word = "more than the control does" if e.low > e.null_high else "no more than luck allows"
        lines.append(
            f"Along axis {j + 1} {others} vary {word}: {_times(e.value)} times the variance of the held-out "
            f"control ({_times(e.low)} to {_times(e.high)}; exchanged membership: up to {_times(e.null_high)})."
        )
    for j, e in enumerate(estimates[fit.found + 1 :]):
        if e.low <= e.null_high:
            continue
        if e.value >= MOSTLY:
            lines.append(
                f"Warning: axis {j + 1} is mostly a batch effect: '{batch}' explains {e.value:.0%} of its variance "
                f"(unrelated batches: {e.null:.1%})."
            )
        else:
            lines.append(
                f"'{batch}' explains {e.value:.0%} of axis {j + 1} (unrelated batches: {e.null:.1%})."
            )
    return " ".join(lines)


def _times(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}" if value < 1e6 else f"{value:.0e}"


def control_caveats(
    estimates: tuple[Estimate, ...], fit: ControlFit, axis: NamedAxis, batch: str, drawn: str, ridge
) -> list[str]:
    """What was shrunk, held out and left out."""
    w, level, notes = fit.whitening, estimates[fit.found], []
    if w.shrinkage or ridge:
        how = f"Ledoit and Wolf's shrinkage {w.shrinkage:.0%}" if w.shrinkage else f"a ridge of {ridge:g}"
        notes.append(
            f"{w.n:,} control samples whiten {len(w.values):,} directions with {how}: their spread is then "
            f"{np.sqrt(w.level):.2f} on average instead of 1."
        )
    if level.value > BADLY * level.null:
        notes.append(
            f"The whitening carries over badly: the held-out control has {level.value / level.null:.1f} times the "
            "variance of the half that whitened. Compare with the control's own cloud, not with 1."
        )
    if drawn == "all":
        notes.append("Half of the drawn samples made the whitening and the axes (column 'half').")
    else:
        notes.append(
            "Only samples that made neither the whitening nor the axes are drawn: half of each group."
        )
    if (axis.side == 0).any():
        notes.append(f"{int((axis.side == 0).sum()):,} point(s) in neither group or in both left out.")
    if fit.found < fit.axes.shape[1]:
        notes.append(f"The others vary in {fit.found} direction(s) only; the last coordinate is 0.")
    if batch:
        notes.append(
            "A batch in which one kind of sample was measured alone cannot be told from that kind: see which classes "
            "each batch holds."
        )
    return notes
