"""Rows of an embedding table against their initialisation, and what those look like that moved."""

from __future__ import annotations

import numpy as np

SAME, KINDS = (
    1 - 1e-6,
    ("never seen, as it was", "never seen, moved", "seen, as it was", "seen, moved", "not known"),
)
TIMES, CHANGE, TURN = "times seen", "change", "cosine with its initialisation"


def compared(
    now: np.ndarray, before: np.ndarray, counts: np.ndarray | None, within: float
) -> dict[str, np.ndarray]:
    """By column, (rows,): change, cosine, times seen (NaN where not known), and the kind of row."""
    size = np.linalg.norm(before, axis=1)
    far = np.linalg.norm(now - before, axis=1)
    unit = np.where(size > 0, size, float(np.sqrt(np.square(size).mean())) or 1.0)  # padding starts at zero
    both = size * np.linalg.norm(now, axis=1)
    turn = np.where(
        both > 0, (now * before).sum(axis=1) / np.where(both > 0, both, 1.0), (far == 0).astype(float)
    )
    change = far / unit
    ratio = np.linalg.norm(now, axis=1) / unit
    moved = (change > within).astype(int)
    kind = np.full(len(now), 4) if counts is None else np.where(counts > 0, 2, 0) + moved
    times = np.full(len(now), np.nan) if counts is None else counts
    return {
        CHANGE: change,
        TURN: np.clip(turn, -1.0, 1.0),
        TIMES: times,
        "kind": kind,
        "moved": moved == 1,
        "ratio": ratio,
    }


def why_moved(found: dict) -> str:
    """What the unseen rows that moved look like."""
    mine = (found["kind"] == 1) & (found[CHANGE] > 0)
    turn, kept = found[TURN][mine], found["ratio"][mine]
    straight = turn >= SAME
    if straight.mean() < 0.95:
        return (
            "Their directions changed: they had a gradient (a tied output layer, or samples not shown here)."
        )
    if np.ptp(kept) <= 1e-3 * kept.mean():
        return f"All were scaled by one factor, {kept.mean():.4g}, as weight decay does."
    return "They kept their directions and were scaled by different factors."
