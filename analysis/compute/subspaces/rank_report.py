"""What pages of ranks say: a number as an estimate, and the sentences that go with it."""

from __future__ import annotations

import numpy as np

from analysis.compute.linear.tap_spectrum import TapSpectrum
from analysis.compute.subspaces.rank_notions import RATE, TOLERANCE, Notion, Ranked, Settings
from analysis.results import Estimate

GROWS = (
    "Nearly all of these numbers grow with the number of samples until n is many times d, and no number of directions "
    "exceeds min(n, d): compare taps at equal n only."
)
NEITHER = (
    "A higher or lower rank is neither good nor bad: published work reports high rank with good representations "
    "(RankMe) and low rank with good ones (decayed residual connections)."
)
MOST_NOTES, MOST_NAMES = 12, 3


def estimate(one: Ranked, tap: TapSpectrum, name: str = "") -> Estimate:
    """As a result shows it."""
    draws = len(one.null)
    low, high = np.percentile(one.null, [2.5, 97.5]) if draws >= 20 else (one.null.min(), one.null.max())
    made = {} if one.low is None else {
        "low": one.low, "high": one.high,
        "interval": "intervals of what is counted" if one.notion.counted else "jackknife over groups of samples, t",
    }  # fmt: skip
    return Estimate(
        name or f"{one.notion.name}, {one.notion.formula}", one.value, **made, null=one.null_mean,
        null_low=min(float(low), one.null_mean), null_high=max(float(high), one.null_mean),
        null_method=f"independent Gaussian units of the same variances, {draws} draws", n=tap.samples, d=tap.d,
        estimator="plug-in", unit=one.notion.unit,
    )  # fmt: skip


def notion_note(notion: Notion) -> str:
    """What a page that shows one notion, with the settings it has by itself, says of it."""
    settings = Settings()
    note = f"{notion.name}: {notion.formula}."
    if notion.name == TOLERANCE:
        note += f" Here ε = {settings.tolerance:g}."
    if notion.name == RATE:
        note += f" Here ε = {settings.epsilon:g}."
    return f"{note} Its null is that of units with mean 0." if notion.raw else note


def shared_caveats(*taps: TapSpectrum) -> list[str]:
    """What every page of ranks says of its taps, the same words once for all taps they hold for."""
    found: dict[str, list[str]] = {}
    for tap in taps:
        for note in _notes(tap):
            found.setdefault(note, []).append(tap.name)
    lines = [f"{_listed(names)}: {note}" for note, names in found.items()]
    if len(lines) > MOST_NOTES:
        lines = [
            *lines[:MOST_NOTES],
            f"{len(lines) - MOST_NOTES} more such notes on single taps are not shown.",
        ]
    return lines


def _listed(names: list[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _notes(tap: TapSpectrum) -> list[str]:
    notes, alive = [*tap.notes], tap.d - tap.constant
    if tap.constant:
        notes.append(f"{tap.constant} constant unit(s) add nothing and are not counted for the noise edge.")
    if tap.n < 5 * alive:
        notes.append(
            f"{tap.n:,} rows for {alive:,} units: sampling alone spreads the spectrum, as the null shows; intervals "
            "leave that out, and are rather too wide."
        )
    if tap.samples < tap.n:
        notes.append(
            f"{tap.n:,} rows of {tap.samples:,} samples; nulls count the samples, and intervals keep the rows of a "
            "sample together."
        )
    return notes
