"""Answer, work and time of rules over the share of work that each may spend: two curves as one table."""

from __future__ import annotations

import numpy as np

from analysis.results import Curve


def same_rules(answer: Curve, time: Curve) -> list[str]:
    """Rules that both know, in the order of the answer's."""
    return [name for name in answer.series if name in time.series]


def joined(answer: Curve, time: Curve) -> dict[str, np.ndarray]:
    """A row for each rule and share that both have."""
    rows: list[tuple] = []
    places = {round(float(x), 6): k for k, x in enumerate(time.x)}
    for name in same_rules(answer, time):
        for i, share in enumerate(answer.x):
            k = places.get(round(float(share), 6))
            if k is not None:
                kept, took = _at(answer, name, i), _at(time, name, k)
                rows.append((name, float(share), took[3], *kept, *took[:3]))
    heads = ("rule", "multiply-adds allowed", "multiply-adds spent", answer.y_name, "from", "to", "random tokens",
             time.y_name, "time from", "time to")  # fmt: skip
    columns = zip(*rows, strict=True) if rows else ((),) * len(heads)
    return {head: np.array(column) for head, column in zip(heads, columns, strict=True)}


def _at(curve: Curve, name: str, k: int) -> tuple[float, float, float, float]:
    """(value, low, high, null) of one rule at one share; NaN where there is none."""
    parts = (curve.series, curve.low, curve.high, curve.null)
    return tuple(float(part[name][k]) if part and name in part else float("nan") for part in parts)
