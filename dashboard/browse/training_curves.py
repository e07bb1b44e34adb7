"""What a training has written of its course, as curves and in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from analysis.results import Curve

ROWS, THOUSAND = "rows seen", 1000
SHOWN = {  # by what a line of the curve calls it: title, axis
    "explained_variance": ("Explained variance of held-out samples", "share"),
    "l0": ("L0: active features in a row", "features"),
    "dead": ("Dead features", "share of all"),
    "loss": ("Loss", "loss"),
}
FROM_ZERO = ("l0", "dead")
STILL = 0.005  # gain of explained variance over a quarter of the course that counts as one
APART = 1.15  # held-out loss over that of training


def curves(courses: Mapping[str, Sequence[dict]]) -> dict[str, Curve]:
    """A curve for each quantity, over the rows seen; a line for each course, and the held-out loss beside the loss
    where there is one course."""
    x = np.array(sorted({line["tokens"] for course in courses.values() for line in course}), float)
    places, x_name = (x / THOUSAND, f"thousand {ROWS}") if len(x) and x[-1] >= 10 * THOUSAND else (x, ROWS)
    found = {}
    for quantity, (title, axis) in SHOWN.items():
        series = {name or axis: _over(x, course, quantity) for name, course in courses.items() if len(course)}
        if quantity == "loss" and len(courses) == 1:
            (course,) = courses.values()
            series = {"training": _over(x, course, "loss"), "held out": _over(x, course, "held_out_loss")}
        found[quantity] = Curve(title=title, x=places, x_name=x_name, y_name=axis, series=series, joined=True)
    return found


def top(curve: Curve) -> float:
    """Where the axis of a quantity that begins at 0 ends."""
    largest = max((float(np.nanmax(v)) for v in curve.series.values() if np.isfinite(v).any()), default=0.0)
    return 1.08 * largest or 1.0


def _over(x: np.ndarray, course: Sequence[dict], quantity: str) -> np.ndarray:
    at = {line["tokens"]: line[quantity] for line in course}
    return np.array([at.get(place, np.nan) for place in x], float)


def sentence(course: Sequence[dict]) -> str:
    """What is seen, in words; "" before the first line of the curve."""
    if not course:
        return ""
    at = course[-1]
    said = (
        f"After {at['tokens']:,} rows **{at['explained_variance']:.1%}** of the variance of the held-out samples is "
        f"explained, with **{at['l0']:.3g}** features active in a row; **{at['dead']:.1%}** of the features are dead."
    )
    return " ".join([said, *filter(None, (_trend(course), _gap(at), _dying(course)))])


def _trend(course: Sequence[dict]) -> str:
    if len(course) < 4:
        return ""
    before = course[-1 - max(1, len(course) // 4)]
    gain = course[-1]["explained_variance"] - before["explained_variance"]
    over = f"{100 * gain:+.1f} points over the last {course[-1]['tokens'] - before['tokens']:,} rows"
    if gain > STILL:
        return f"It still rises ({over})."
    return f"It falls ({over})." if gain < -STILL else f"It hardly moves any more ({over})."


def _gap(at: dict) -> str:
    if not at["held_out_loss"] > APART * at["loss"] > 0:
        return ""
    return (
        f"The loss on held-out samples is {at['held_out_loss'] / at['loss']:.2g} times that of training: part of what "
        "is learned holds for these samples only. Fewer features, or more samples, help."
    )


def _dying(course: Sequence[dict]) -> str:
    return "More than half of the features are dead." if course[-1]["dead"] > 0.5 else ""
