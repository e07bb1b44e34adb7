"""What a place-recognition curve says, and what it does not, in plain sentences."""

from __future__ import annotations

import numpy as np

from analysis.compute.retrieval.heading_similarity import HeadingCurve
from analysis.compute.retrieval.places import Places, confusions
from analysis.compute.retrieval.recall_at import Ranked
from analysis.results import Estimate

HIGH_NULL = 0.5  # recall of a random ranking from which on a curve says little
LINED = 0.9  # share of the spread along one direction from which on positions are a street


def place_reading(
    recall: tuple[Estimate, ...],
    at: np.ndarray,
    found: Ranked,
    places: Places,
    estimates: tuple[Estimate, ...],
) -> str:
    """`recall`: the estimates at each N of `at`; `estimates`: all, for the direction."""
    tenth = min(int(np.searchsorted(at, 10)), len(at) - 1)
    first, later = recall[0], recall[tenth]
    beyond = first.low > first.null_high
    lines = [
        f"For {first.value:.0%} of {first.n:,} queries ({first.low:.0%} to {first.high:.0%}) the nearest other sample "
        f"{places.words()}; a random ranking would reach {first.null:.1%}"
        + ("." if beyond else ", so this is no more than luck.")
    ]
    if len(at) > 1:
        lines.append(
            f"Among the {int(at[tenth])} nearest it is {later.value:.0%} (random: {later.null:.0%})."
        )
    if first.null > HIGH_NULL:
        lines.append("Most answers are right by chance alone: lower the threshold.")
    share = next((e for e in estimates if e.name.startswith("share of the positions")), None)
    if share is not None and share.value >= LINED:
        lines.append(f"The positions lie along one line ({share.value:.0%} of their spread).")
    return " ".join(lines)


def heading_sentence(curve: HeadingCurve | None, turns: tuple[Estimate, ...] | None) -> str:
    """ " …" on what turning costs; "" without headings."""
    if curve is None:
        return ""
    text = (
        f" Two samples of one place have similarity {curve.value[0]:.2f} when {curve.middle[0]:.0f}° apart in heading"
        f" and {curve.value[-1]:.2f} at {curve.middle[-1]:.0f}° (1 equal, 0 an average pair)."
    )
    if turns:
        e = turns[0]
        luck = "" if e.low > e.null_high else ", no more than luck allows"
        text += f" A turn by 90° costs {e.value:.2f} of it ({e.low:.2f} to {e.high:.2f}){luck}."
    return text


def place_caveats(found: Ranked, places: Places, ids: np.ndarray, sequences: bool) -> list[str]:
    """Which places are mistaken for each other, which queries were left out, and whose neighbours were asked."""
    notes, asked = [], found.answerable
    wrong = asked[~found.first_right[asked]]
    pairs = confusions(places, wrong, found.nearest[wrong])
    if pairs:
        listed = "; ".join(f"{a} and {b} ({count} ×)" for a, b, count in pairs)
        i = wrong[0]
        notes.append(
            f"Places most often taken for each other by the nearest sample: {listed}. Sample {ids[i]} is a query whose "
            f"nearest sample, {ids[found.nearest[i]]}, is wrong."
        )
    alone = len(found.right) - len(asked)
    if alone:
        notes.append(f"{alone:,} of {len(found.right):,} samples have no right answer and are no queries.")
    if not sequences:
        notes.append("No sequence column: neighbouring frames of one recording count as recognised places.")
    notes.append(
        "Queries near each other ask much the same: the interval over queries is too narrow for that."
    )
    return notes
