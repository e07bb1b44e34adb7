"""Certificates of encoded taps, as a person reads them: a badge for one feature, columns and filters for the list."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analysis import certificates
from analysis.certificates import NO, NONE, OPEN, TESTS, YES
from analysis.results import Table
from dashboard.browse.kept import Kept

_tables = Kept(8)
SAID = {YES: "yes", OPEN: "open", NO: "no"}
FILTERS = {  # by name in the URL
    "": "any",
    "fails none": "passes a test, fails none",
    "fails": "fails a test",
    **{test: words[0] for test, words in TESTS.items()},
}
COLUMNS = {  # of the list: value less chance, but where chance is not on the same scale
    "again": "Other seeds, less chance",
    "stable": "Other samples, less chance",
    "shows": "Strength over threshold",
    "elsewhere": "Other networks, less chance",
}
HELP = {
    "again": "Cosine with the partner that other seeds have, less what random dictionaries reach.",
    "stable": "Cosine of the directions that different samples give, less the same with samples exchanged.",
    "shows": "Variance that it adds, over the least that a spectrum of so many samples can show; above 1 it shows.",
    "elsewhere": "Held-out correlation with its partner in other networks, less the same with samples exchanged.",
    "certificate": "How many of the tests it was asked it passed; see its card for each of them.",
}


@dataclass(frozen=True)
class Badge:
    """A few words, an icon, and what is said when it is pointed at (plain text, paragraphs)."""

    word: str
    icon: str
    hover: str


def of(store, tap: str) -> Table | None:
    """The certificate of a tap; None where there is none."""
    if tap in store.recorded:
        return None
    at = certificates.made_at(store, tap)
    return _tables.get((store.path, tap, at), lambda: certificates.certificate_of(store, tap)) if at else None


def badge(found: Table | None, unit: int, stale: str = "") -> Badge:
    """Of one feature of an encoded tap."""
    if found is None:
        return Badge("not certified", "pending", "No test was made yet: Dictionaries, Certify.")
    c = found.columns
    if c["dead"][unit]:
        return Badge(
            "dead, no certificate", "block", "It is 0 on every row, so that there is nothing to test."
        )
    passed, failed, asked = (int(c[name][unit]) for name in ("passed", "failed", "asked"))
    lines = [_line(found, test, unit) for test in TESTS if str(c[test][unit]) != NONE]
    if stale:
        lines.insert(0, f"Out of date. {stale} Certify the tap again.")
    word = f"passed {passed} of {asked} tests" + (", out of date" if stale else "")
    icon = "update" if stale else "verified" if passed and not failed else "rule"
    return Badge(word, icon, "\n\n".join(lines))


def _line(found: Table, test: str, unit: int) -> str:
    c, (words, what, chance) = found.columns, TESTS[test]
    said, value, null = str(c[test][unit]), float(c[f"{test} value"][unit]), float(c[f"{test} chance"][unit])
    numbers = f"{what}: {_two(value)}" if math.isfinite(value) else "too few rows for a number"
    against = f"; {chance}: {_two(null)}" if chance and math.isfinite(null) and math.isfinite(value) else ""
    return f"{SAID[said].capitalize()}: it {words} ({numbers}{against})"


def short(found: Table, unit: int) -> str:
    """ "passed 3 of 5 tests", for a hover card."""
    return badge(found, unit).word


def masks(found: Table) -> dict[str, np.ndarray]:
    """(features,) bool for each of `FILTERS` but the empty one."""
    c = found.columns
    known = {test: c[test] == YES for test in TESTS}
    return {"fails none": (c["failed"] == 0) & (c["passed"] > 0), "fails": c["failed"] > 0, **known}


def columns(found: Table) -> dict[str, np.ndarray]:
    """Numbers by name (`COLUMNS`) for every feature, where the test was asked, and "certificate" as text."""
    c, out = found.columns, {}
    for test in COLUMNS:
        value, chance = c[f"{test} value"], c[f"{test} chance"]
        if np.isfinite(value).any():
            with np.errstate(invalid="ignore", divide="ignore"):
                out[test] = value / chance if test == "shows" else value - chance
    pairs, which = np.unique(
        np.stack([c["passed"], c["asked"]]), axis=1, return_inverse=True
    )  # few, of many features
    said = np.array([f"{passed} of {asked}" if asked else "" for passed, asked in pairs.T], "U12")
    return {"certificate": said[which.ravel()], **out}


def summary(found: Table) -> list[dict]:
    """A line for each test that was asked: how many features pass it."""
    lines, c = [], found.columns
    for test, (words, _, _) in TESTS.items():
        said = c[test]
        if not (said != NONE).any():
            continue
        value, null = c[f"{test} value"], c[f"{test} chance"]
        middle = _two(float(np.median(value[np.isfinite(value)]))) if np.isfinite(value).any() else ""
        by_chance = f" ({_two(float(np.nanmean(null)))})" if np.isfinite(null).any() else ""
        lines.append(
            {"A feature passes that …": words, "Yes": int((said == YES).sum()), "Open": int((said == OPEN).sum()),
             "No": int((said == NO).sum()), "Median (chance)": middle + by_chance}
        )  # fmt: skip
    return lines


def meanings(found: Table) -> str:
    """What the medians of `summary` are of, in one sentence."""
    asked = {t: words for t, words in TESTS.items() if (found.columns[t] != NONE).any()}
    parts = [f"{what}" + (f" ({chance})" if chance else "") for _, what, chance in asked.values()]
    return "Medians are, in this order, of: " + "; ".join(parts) + "."


def _two(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"
