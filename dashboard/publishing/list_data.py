"""The list of the published features of a tap, as columns, and as a CSV file."""

from __future__ import annotations

import numpy as np

from dashboard.browse import certificates
from dashboard.browse.feature_list import FITS, HELP, KINDS, SHARES, STATISTICS, Tap
from dashboard.figures.columns import csv_bytes
from dashboard.publishing.scripts import bytes64
from dashboard.publishing.written_data import NOTHING

HEADS = {"top_class": "Class of its strongest", "certificate": "Tests passed", "fits": FITS}


def listed(tap: Tap, written: dict[int, dict], units: np.ndarray) -> dict:
    """Columns of the features that go, in the order of their numbers; `kinds` as bits."""
    numbers = {name: np.asarray(tap.table[name], float)[units] for name in STATISTICS if _has(tap, name)}
    for name in SHARES:
        if name in numbers:
            numbers[name] = 100 * numbers[name]
    if tap.fits is not None:
        numbers["fits"] = tap.fits[units]
    texts = {}
    if tap.classes:
        code = np.asarray(tap.table["top_class"])[units]
        texts["top_class"] = [tap.classes[c] if 0 <= c < len(tap.classes) else "" for c in code]
    if tap.certificate is not None:
        own = certificates.columns(tap.certificate)
        texts["certificate"] = [str(v) for v in own.pop("certificate")[units]]
        numbers |= {name: column[units] for name, column in own.items()}
    kinds = sum(tap.kinds[kind][units].astype(np.int64) << k for k, kind in enumerate(KINDS))
    heads = {**STATISTICS, **certificates.COLUMNS, **HEADS}
    return {
        "units": units,
        "names": _names(tap, units),
        "notes": {u: written[u]["note"] for u in units.tolist() if u in written and written[u]["note"]},
        "tags": {u: written[u]["tags"] for u in units.tolist() if u in written and written[u]["tags"]},
        "kinds": np.asarray(kinds),
        "kindWords": {kind: tap.help_of(kind) for kind in KINDS},
        "numbers": {name: bytes64(np.asarray(v, "<f4").tobytes()) for name, v in numbers.items()},
        "percent": [name for name in SHARES if name in numbers],
        "texts": texts,
        "heads": {name: heads[name] for name in (*numbers, *texts)},
        "help": {name: {**HELP, **certificates.HELP}[name] for name in (*numbers, *texts)
                 if name in {**HELP, **certificates.HELP}},
    }  # fmt: skip


def _names(tap: Tap, units: np.ndarray) -> list[str]:
    """What they are called beyond their numbers."""
    own = tap.unit_names
    return [own[u] if u < len(own) and own[u] != str(u) else "" for u in units.tolist()]


def _has(tap: Tap, name: str) -> bool:
    return name in tap.table and (bool(tap.classes) or name != "top_class_share")


def table(tap: Tap, written: dict[int, dict], units: np.ndarray) -> bytes:
    """The same for spreadsheets and scripts, in full precision; shares as fractions."""
    said = [written.get(u, NOTHING) for u in units.tolist()]
    columns = {
        "unit": units,
        "name": np.array(_names(tap, units)),
        "note": np.array([s["note"] for s in said]),
    }
    columns["tags"] = np.array(["; ".join(s["tags"]) for s in said])
    columns["starred"] = tap.kinds["starred"][units].astype(int)
    if tap.classes:
        code = np.asarray(tap.table["top_class"])[units]
        columns["top_class"] = np.array([tap.classes[c] if 0 <= c < len(tap.classes) else "" for c in code])
    columns |= {name: np.asarray(tap.table[name], float)[units] for name in STATISTICS if _has(tap, name)}
    if tap.certificate is not None:
        columns |= {name: column[units] for name, column in certificates.columns(tap.certificate).items()}
    return csv_bytes(columns)
