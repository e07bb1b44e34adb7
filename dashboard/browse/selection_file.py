"""A selection as a file: one line per point, with all the words by which another program could know it."""

from __future__ import annotations

import csv
import io

import numpy as np

from analysis.selection import Selection, sample_mask

COLUMNS = ("id", "row", "sample", "token")


def as_csv(selection: Selection, store, tap: str = "") -> str:
    """The points of a selection: `id` of the sample, `row` of the tap, `sample` number, `token` number.

    Samples have no token, and a row only at a `tap` with one row per sample; units have their number and name.
    """
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    if selection.of == "units":
        lines.writerow(("unit", "name"))
        lines.writerows(_units(selection, store))
        return out.getvalue()
    lines.writerow(COLUMNS)
    lines.writerows(_rows(selection, store) if selection.of == "rows" else _samples(selection, store, tap))
    return out.getvalue()


def _units(selection: Selection, store):
    names = store.activations(selection.tap).unit_names if selection.tap in store.taps else ()
    return [(int(u), names[u] if 0 <= u < len(names) else "") for u in selection.ids]


def _rows(selection: Selection, store):
    if selection.tap not in store.taps:
        return [("", int(row), "", "") for row in selection.ids]
    layout, ids = store.activations(selection.tap).layout, np.asarray(store.samples["id"])
    rows = selection.ids[(selection.ids >= 0) & (selection.ids < layout.n_rows)]
    sample, token = layout.sample_of(rows), layout.token_of(rows)
    return zip(ids[sample].tolist(), rows.tolist(), sample.tolist(), token.tolist(), strict=True)


def _samples(selection: Selection, store, tap: str):
    mask = sample_mask(selection, store)
    numbers = np.flatnonzero(mask) if mask is not None else np.zeros(0, int)
    ids = np.asarray(store.samples["id"])[numbers].tolist()
    pooled = tap in store.taps and store.activations(tap).layout.is_pooled
    rows = store.activations(tap).layout.offsets[numbers].tolist() if pooled else [""] * len(ids)
    return zip(ids, rows, numbers.tolist(), [""] * len(ids), strict=True)


def file_name(selection: Selection) -> str:
    """ "blurred-4s.csv"; an unnamed one by its digest."""
    words = "".join(c if c.isalnum() or c in "._-" else "-" for c in selection.name.lstrip("~"))
    return f"{words.strip('-.')[:80] or selection.digest[:8]}.csv"
