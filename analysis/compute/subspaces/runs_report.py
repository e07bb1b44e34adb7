"""What is said and drawn of recorded runs in random subspaces."""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from analysis.compute.correlation.correlations import fisher_interval
from analysis.compute.subspaces.recorded_runs import Reached, Runs, band, rising
from analysis.results import Curve, Estimate

MOST_ESTIMATED = 8  # networks
Found = list[tuple[Runs, Reached]]


def runs_estimates(found: Found, groups, share: float, of_way: bool, sign: float, rng):
    """Estimates of the first networks, and for each of all whether performance rises with d: (ρ, null, p) or None."""
    out, rises = [], []
    for (runs, reached), (_, d, y) in zip(found, groups, strict=True):
        at = np.isfinite(d)
        rises.append(rising(d[at], y[at], rng))
        if len(rises) > MOST_ESTIMATED:
            continue
        name, n = "" if len(found) == 1 else f"{runs.name}: ", int(runs.counts.sum()) + runs.full_runs
        out += _dimension(runs, reached, name, n, share, of_way)
        if runs.full_runs:
            out.append(Estimate(f"{name}full performance", sign * runs.full, **_full_ends(runs, sign),
                                null=sign * float(runs.means[0]), null_method=f"runs at d = {runs.dims[0]:,}",
                                n=runs.full_runs, d=runs.size, estimator="mean of full trainings"))  # fmt: skip
        if rises[-1] is not None:
            out.append(_rise(name, rises[-1], int(at.sum()), sign))
    return tuple(out), rises


def _dimension(runs: Runs, reached: Reached, name: str, n: int, share: float, of_way: bool) -> list[Estimate]:
    if not np.isfinite(reached.value) or not _worth(runs):
        return []
    null = {"null": float(runs.size), "null_method": "the number of parameters"} if runs.size else {}
    of = "of the way from the smallest d" if of_way else "of full performance"
    made = {"interval": reached.how, "n": n, "d": runs.size}
    stored = {**null, "null": null["null"]} if null else {}
    return [
        Estimate(f"{name}d_int{round(100 * share)}", reached.value, reached.low, reached.high, **made, **null,
                 estimator=f"smallest recorded d with {share:.0%} {of}"),
        Estimate(f"{name}numbers to store", reached.value + 1, reached.low + 1, reached.high + 1, **made, **stored,
                 estimator="d numbers and a seed"),
    ]  # fmt: skip


def _full_ends(runs: Runs, sign: float) -> dict:
    if not runs.freedom:
        return {}
    half = float(stdtrit(runs.freedom, 0.975)) * runs.spread / np.sqrt(runs.full_runs)
    value = sign * runs.full
    return {"low": value - half, "high": value + half,
            "interval": "Student's t, deviations of repeats pooled"}  # fmt: skip


def _rise(name: str, rise, n: int, sign: float) -> Estimate:
    value, null, p = rise
    low, high = np.percentile(null, [2.5, 97.5])
    ends = {}
    if n > 3 and abs(value) < 1:
        a, b = sorted(sign * float(v) for v in fisher_interval(np.array(value), n, ranks=True))
        ends = {"low": a, "high": b, "interval": "over runs, Fisher with Bonett and Wright's variance"}
    return Estimate(f"{name}correlation of d and performance", sign * value, **ends, null=0.0, null_low=float(low),
                    null_high=float(high), null_method="performances exchanged between runs", p_value=p, n=n,
                    estimator="Spearman")  # fmt: skip


def _worth(runs: Runs) -> bool:
    """Whether full training is better than the smallest d: otherwise there is nothing to reach."""
    return runs.full > runs.means[0]


def runs_curve(
    found: Found, estimates, sign: float, *, name: str, mark_name: str, reading: str, caveats
) -> Curve:
    """All networks over all their dimensions; full training stands at the number of parameters, where it is known."""
    whole = [r.size for r, _ in found if r.size and r.full_runs]
    x = np.unique(np.concatenate([*(r.dims for r, _ in found), whole]).astype(np.int64))
    series, low, high, null, marks = {}, {}, {}, {}, {}
    for runs, reached in found:
        at, line = np.searchsorted(x, runs.dims), np.full(len(x), np.nan)
        line[at] = sign * runs.means
        if runs.size and runs.full_runs:
            line[np.searchsorted(x, runs.size)] = sign * runs.full
        series[runs.name] = line
        ends = band(runs)
        if ends is not None:
            low[runs.name], high[runs.name] = np.full((2, len(x)), np.nan)
            low[runs.name][at], high[runs.name][at] = np.sort(sign * np.array(ends), axis=0)
        if runs.dims[0] == 0:
            null[runs.name] = np.full(len(x), sign * runs.means[0])
        if np.isfinite(reached.value) and _worth(runs):
            marks[runs.name] = np.array([reached.value])
    positive = x[x > 0]
    return Curve(
        title="Performance of training in random subspaces", reading=reading, caveats=tuple(caveats),
        estimates=estimates, x=x, x_name="dimensions trained", y_name=name, series=series, low=low, high=high,
        null=null, log_x=bool(positive[-1] >= 50 * positive[0]), marks=marks, mark_name=mark_name, joined=True,
    )  # fmt: skip


def runs_reading(found: Found, rises, share: float, of_way: bool) -> str:
    said = []
    for (runs, reached), rise in list(zip(found, rises, strict=True))[:MOST_ESTIMATED]:
        said.append(_sentence(runs, reached, rise, share, of_way))
    rest = len(found) - len(said)
    return " ".join(said) + (f" {rest} more network(s) are drawn." if rest else "")


def _sentence(runs: Runs, reached: Reached, rise, share: float, of_way: bool) -> str:
    of = f"{share:.0%} {'of the way to' if of_way else 'of'} full performance"
    if not _worth(runs):
        return f"{runs.name}: full training is no better than {runs.dims[0]:,} dimension(s), so nothing can be reached."
    if rise is None or rise[0] <= 0 or (rise[2] > 0.05 and len(rise[1]) >= 120):  # fewer orders cannot tell
        start = (
            f"{runs.name}: performance is not shown to rise with the dimension, so that d_int says little. "
        )
    else:
        start = f"{runs.name}: "
    if not np.isfinite(reached.value):
        return f"{start}no recorded dimension up to {runs.dims[-1]:,} reaches {of}: d_int lies above, if anywhere."
    stored = f"{reached.value + 1:,.0f} numbers (d and a seed) describe it"
    if runs.size:
        stored += f", {runs.size / (reached.value + 1):,.3g} times fewer than its {runs.size:,} parameters"
    above = " or more" if reached.is_open and not runs.size else ""
    return (
        f"{start}{reached.value:,.0f} random direction(s) [{reached.low:,.0f}, {reached.high:,.0f}{above}] reach {of}; "
        f"{stored}."
    )


def runs_caveats(found: Found, rises, share: float, of_way: bool) -> list[str]:
    notes = ["d_int is one of the recorded dimensions and depends on how training was done."]
    names = lambda some: ", ".join(r.name for r, _ in some[:5]) + (" …" if len(some) > 5 else "")  # noqa: E731
    bare = [(r, f) for r, f in found if not r.full_runs]
    if bare:
        notes.append(f"No full training recorded for {names(bare)}: the largest d stands for it, and d_int may be far "
                     "too small where performance still rises there.")  # fmt: skip
    again = [(r, f) for r, f in found if np.isfinite(f.value) and f.settled != f.value]
    for runs, reached in again[:5]:
        later = f"from {reached.settled:,.0f} on" if np.isfinite(reached.settled) else "at no d do"
        notes.append(f"{runs.name} falls below {share:.0%} again above {reached.value:,.0f} dimensions; {later} all "
                     "larger ones reach it.")  # fmt: skip
    repeated = sum(int((r.counts > 1).sum()) for r, _ in found)
    notes.append(
        f"{repeated} dimension(s) were run more than once: drawn is the mean, with its 95 % interval."
        if repeated
        else "No dimension was run twice: chance from run to run is in no number here."
    )
    if of_way and any(r.dims[0] > 0 for r, _ in found):
        notes.append("Where no run has d = 0, the way to full performance is counted from the smallest d.")
    return notes
