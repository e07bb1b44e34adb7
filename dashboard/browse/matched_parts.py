"""Which part of one sample goes with which part of another, as a result tells it: lines, and all pairs where it has
them."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

from analysis.errors import LoupeError
from analysis.results import Matrix, Result, Table
from dashboard.browse.cards import picture_url, token_word
from dashboard.figures.text import number, plain

VOTES, EVIDENCE = "late_interaction_votes", "similar_patches"
PAIRS = {
    VOTES: ("query", "item"),
    EVIDENCE: ("first", "second"),
}  # the settings that name the samples, by method
DEFAULTS = {"query": 0, "item": 1, "first": 0, "second": 1}
MOST_LINES, MOST_PARTS = 40, 600


@dataclass(frozen=True)
class Matches:
    """What the browser draws: see matches.js. `values` (parts of one, parts of the other) or None."""

    sides: list[dict]
    lines: list[dict]
    values: np.ndarray | None
    said: str

    def data(self) -> dict:
        cells = None
        if self.values is not None:
            top = float(np.abs(self.values).max()) or 1.0
            shares = np.round(127 * self.values / top).astype(np.int8)
            cells = {
                "rows": shares.shape[0],
                "columns": shares.shape[1],
                "values": base64.b64encode(shares.tobytes()).decode(),
            }
        return {"sides": self.sides, "lines": self.lines, "cells": cells, "said": self.said}


def matches(workspace, result: Result) -> Matches | None:
    """What to draw of a result, or None where it tells of no pair of samples or there is nothing to see of them."""
    origin = result.origin
    if origin is None or origin.method not in PAIRS or not origin.inputs:
        return None
    name, _, tap = str(origin.inputs[0].get("name", "")).partition(":")
    try:
        store = workspace.store(name)
        layout = workspace.activations(f"{name}:{tap}").layout
    except LoupeError:  # a store that is gone
        return None
    samples = [int(origin.params.get(word, DEFAULTS[word])) for word in PAIRS[origin.method]]
    if not all(0 <= sample < layout.n_samples for sample in samples):
        return None
    sides = [_side(store, tap, layout, sample) for sample in samples]
    if any(side is None for side in sides):
        return None
    if isinstance(result, Table):
        return _votes(result, sides)
    return _evidence(result, sides) if isinstance(result, Matrix) else None


def _side(store, tap: str, layout, sample: int) -> dict | None:
    """A sample with names of all its parts; None of one part or of far too many."""
    count = int(layout.offsets[sample + 1] - layout.offsets[sample])
    if not 1 < count <= MOST_PARTS:
        return None
    spec, words, image = store.taps[tap], store.tokens(sample), picture_url(store, sample)
    lead = spec.leading
    on_grid = spec.grid is not None and count == lead + spec.grid[0] * spec.grid[1]
    texts = (
        None
        if on_grid or words is None or len(words) != count
        else ["\n".join(map(plain, w.split("\n"))) for w in words]
    )
    if not on_grid and texts is None:
        return None
    parts = [token_word(k, lead, spec.grid) for k in range(count)] if on_grid else [
        f"token {k}: {plain(word)}" for k, word in enumerate(texts)
    ]  # fmt: skip
    return {
        "name": f"sample {plain(store.samples['id'][sample])}", "image": image if on_grid else None,
        "grid": list(map(int, spec.grid)) if on_grid else None, "leading": int(lead) if on_grid else 0,
        "words": texts, "parts": parts,
    }  # fmt: skip


def _votes(result: Table, sides: list[dict]) -> Matches | None:
    """A line from each part of the first to its best match."""
    c = result.columns
    if len(c["number"]) == 0 or max(c["number"]) >= len(sides[0]["parts"]):
        return None
    beyond = np.asarray(c["similarity"], float) - np.asarray(c["by chance"], float)
    top = float(np.abs(beyond).max()) or 1.0
    order = np.argsort(-np.abs(beyond), kind="stable")[:MOST_LINES]
    lines = [
        {
            "from": int(c["number"][k]), "to": int(c["match number"][k]), "share": float(beyond[k] / top),
            "text": f"{plain(c['token'][k])} goes with {plain(c['matches'][k])}: cosine {number(c['similarity'][k])}, "
            f"by chance {number(c['by chance'][k])}; as good in {c['as good elsewhere'][k]:.0%} of other samples"
            + (", mutual" if c["mutual"][k] == "yes" else ""),
        }
        for k in order
    ]  # fmt: skip
    said = (
        "A line joins each part of the left sample to its best match in the right one; the thicker, the further its "
        "cosine lies from what chance gives (blue: below it). Point at a part to see its match alone."
    )
    return Matches(sides, lines, None, said)


def _evidence(result: Matrix, sides: list[dict]) -> Matches | None:
    """Lines of the largest pairs beyond the null; all pairs as heat."""
    values = np.asarray(result.values, float)
    if values.shape != (len(sides[0]["parts"]), len(sides[1]["parts"])) or not np.isfinite(values).all():
        return None
    low, high = result.null_band or (0.0, 0.0)
    order = np.argsort(-np.abs(values), axis=None, kind="stable")[: MOST_LINES // 2]
    top = float(np.abs(values).max()) or 1.0
    lines = [
        {
            "from": int(p), "to": int(q), "share": float(values[p, q] / top),
            "text": f"{sides[0]['parts'][p]} with {sides[1]['parts'][q]}: {values[p, q]:+.3g} of the cosine"
            + (", beyond chance" if not low <= values[p, q] <= high else ""),
        }
        for p, q in zip(*np.unravel_index(order, values.shape), strict=True)
        if not low <= values[p, q] <= high
    ]  # fmt: skip
    said = (
        f"Lines: the {len(lines)} largest pairs beyond what random partners give (red speaks for the likeness, blue "
        "against it). Point at a part of one sample to see what it shares with every part of the other."
    )
    return Matches(sides, lines, values, said)
