"""One row of a tap, looked at closely."""

from __future__ import annotations

import numpy as np

from analysis.activations import Activations, Layout
from dashboard.browse.cards import facts, patch_box, picture_url, token_word
from dashboard.browse.examples import AROUND
from dashboard.figures.text import plain

MOST = 6


def tile(store, tap: str, layout: Layout, row: int, around: int = AROUND) -> dict:
    """The sample of a row as a tile, its token marked, with `around` tokens either side of it."""
    spec = store.taps[tap]
    sample, token = int(layout.sample_of(row)), int(layout.token_of(row))
    pooled, image, tokens = layout.is_pooled, picture_url(store, sample), store.tokens(sample)
    known = [[name, text] for name, text in facts(store, sample) if text]
    where = "" if pooled else token_word(token, spec.leading, spec.grid)
    found = {
        "sample": sample,
        "title": plain(store.samples["id"][sample]),
        "value": "",
        "where": where,
        "facts": "",
        "table": known,
        "image": image,
        "box": None if pooled or not image else patch_box(token, spec.grid, spec.leading),
        "heat": None,
    }
    if tokens is not None:
        first = 0 if pooled else max(0, token - around)
        found |= {"tokens": tokens[first : first + 2 * around + 1], "shades": None}
        found |= {
            "marked": -1 if pooled else token - first,
            "cut": [first > 0, first + 2 * around + 1 < len(tokens)],
        }
    return found


def strongest_by_chance(units: int) -> float:
    """Standard deviations that the strongest of so many independent Gaussian units exceeds in 1 of 20 rows."""
    from scipy.special import ndtri

    return float(ndtri(0.95 ** (1 / max(units, 1))))


def unusual_units(store, tap: str, activations: Activations, row: int) -> list[tuple[int, float, float]]:
    """(unit, standard deviations above its mean, value) of the units that are unusually strong in a row."""
    table = store.index(tap).table()
    values = np.asarray(activations.take(np.array([row])), np.float64)[0]
    sd = np.asarray(table["sd"], float)
    usable = np.isfinite(values) & np.isfinite(sd) & (sd > 0)
    z = np.where(usable, (values - table["mean"]) / np.where(usable, sd, 1.0), -np.inf)
    best = np.argsort(-z, kind="stable")[:MOST]
    return [(int(u), float(z[u]), float(values[u])) for u in best if np.isfinite(z[u])]
