"""What distinguishes a selection: its units and its classes, ready to be drawn."""

from __future__ import annotations

import numpy as np

from analysis import pipeline
from analysis.activations import Activations
from analysis.methods.units.selection_contrast import contrast, pack
from analysis.results import Scatter, Table
from analysis.spec import params_of
from dashboard.browse.class_shares import ClassShare, class_shares
from dashboard.browse.kept import Kept
from dashboard.browse.labels import labels_of

AT_ONCE = 0.4  # seconds above which the comparison is a job
GROUPS = 24
PAIRS = (("inside", "outside"), ("first", "second"), ("a", "b"))
_comparisons = Kept(16)


def units_at_once(
    activations: Activations,
    inside: np.ndarray,
    result: Scatter,
    name: str,
    outside: np.ndarray | None = None,
) -> Table | None:
    """The contrast of the rows inside with the others (or those `outside`), or None where that takes too long to
    wait for.

    At a tap with one row per sample the null is made of groups of the same size at other places of the map.
    """
    if pipeline.cost("selection_contrast", [activations.shape]).seconds > AT_ONCE:
        return None
    other = "" if outside is None else pack(outside)
    # the name is in the table's title
    key = (activations.digest, pack(inside), other, _map_digest(result), len(result.rows), name)
    return _comparisons.get(key, lambda: _compared(activations, inside, outside, result, name))


def _compared(activations: Activations, inside, outside, result: Scatter, name: str) -> Table:
    elsewhere = None
    if outside is None and activations.layout.is_pooled and result.of == "rows":
        elsewhere = places(np.asarray(result.positions, float)[:, :2], np.asarray(result.rows), inside)
    return contrast(activations, inside, outside=outside, name=name, drawn=True, elsewhere=elsewhere)


def job_arguments(reference: str, inside: np.ndarray, outside: np.ndarray | None = None) -> dict:
    """The same comparison as a job, for taps that are too large."""
    other = {} if outside is None else {"outside": pack(outside)}
    return {
        "method": "selection_contrast",
        "inputs": [reference],
        "params": {"inside": pack(inside), **other},
        "seed": 0,
    }


def _map_digest(result: Scatter) -> tuple:
    """What the null depends on: which map it was drawn on."""
    origin = result.origin
    return () if origin is None else (origin.method, repr(sorted(origin.params.items())), origin.seed)


def places(positions: np.ndarray, rows: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """(groups, all rows) bool: around random points of the map, as many nearest neighbours as are selected."""
    size, rng = int(inside[rows].sum()), np.random.default_rng(0)
    good = np.flatnonzero(np.isfinite(positions).all(axis=1))
    if not 0 < size < len(good):
        return np.zeros((0, len(inside)), bool)
    found = np.zeros((GROUPS, len(inside)), bool)
    for group, centre in zip(found, rng.choice(good, GROUPS), strict=True):
        far = ((positions[good] - positions[centre]) ** 2).sum(axis=1)
        group[rows[good[np.argpartition(far, size - 1)[:size]]]] = True
    return found


def classes(store, samples: np.ndarray) -> list[ClassShare]:
    """The shares of the classes among the selected samples; [] where nothing is labelled."""
    labels = labels_of(store)
    return [] if labels is None else class_shares(labels, samples)


def units_sentence(found: Table, units: str = "units") -> str:
    """The largest difference against what groups of the same size give, in words."""
    top = found.estimates[0]
    low, high = top.null_low or 0.0, top.null_high or 0.0
    where = "drawn elsewhere on this map" if "other places" in top.null_method else "drawn at random"
    verdict = (
        "more than any of them"
        if top.value > high
        else "no more than some of them: this group is not special"
    )
    return (
        f"The most different of {top.d:,} {units} lies {top.value:.1f} standard deviations apart. Groups of the same "
        f"size {where} reach {low:.1f} to {high:.1f}: {verdict}."
    )


def separation_params(method, first: np.ndarray, second: np.ndarray) -> dict:
    """The two groups as the method reads them: packed memberships, by its own names."""
    names = [p.name for p in params_of(method.params)]
    a, b = next((pair for pair in PAIRS if set(pair) <= set(names)), PAIRS[0])
    return {a: pack(first), b: pack(second)}
