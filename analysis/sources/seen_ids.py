"""How often each id, an entry of an embedding table, occurs in the samples of a tap."""

from __future__ import annotations

import re

import numpy as np

from analysis.activations import Activations, row_column, sample_column
from analysis.errors import InputError, NotFound
from analysis.spec import Progress

BATCH, NUMBER = 64, re.compile(r"^\s*\d+(?:[\s,;|]+\d+)*\s*$")


def counted_entries(tap: Activations, column: str | None) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """(rows,) counts of a tap whose rows are the entries: a column, automatic 'count'; None where there is none.
    Raises NotFound, InputError."""
    named = column or ("count" if "count" in tap.samples else None)
    if named is None:
        return None, (f"No column of {tap.name} says how often an entry was seen.",)
    try:
        found = np.asarray(row_column(tap, named), np.float64)
    except ValueError:
        found = np.full(1, np.nan)
    if not np.isfinite(found).all() or (found < 0).any():
        raise InputError(f"column '{named}' of {tap.name} holds other than counts", "numbers of 0 and above")
    return found, ()


def seen_ids(
    tap: Activations, column: str | None, size: int, progress: Progress
) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """((size,) how often each id of a table occurs, notes).

    By a column of ids: whole numbers, or several of them in a text ("3 17 4"). Without one of the token ids of the
    texts that the store was recorded on, padding left out, None where these cannot be read.

    Raises NotFound, InputError: no such column; other than ids of this table.
    """
    if column:
        ids = _of_column(tap, column)
        where = f"column '{column}' of {tap.name}"
    else:
        try:
            ids = _of_texts(tap, progress)
        except (InputError, NotFound) as error:
            return None, (f"Which ids were seen is not known: {str(error).split('. ')[0]}.",)
        where = f"the texts of {tap.name}"
    if len(ids) and (ids.min() < 0 or ids.max() >= size):
        raise InputError(
            f"{where} holds id {int(ids.max() if ids.max() >= size else ids.min())}", f"ids from 0 to {size - 1:,}",
            "Name the table, or the column, that belong together",
        )  # fmt: skip
    return np.bincount(ids, minlength=size).astype(np.float64), (f"Ids are those of {where}.",)


def _of_column(tap: Activations, column: str) -> np.ndarray:
    values = sample_column(tap, column)
    if values.dtype.kind in "biuf":
        known = values[np.isfinite(values.astype(np.float64))]
        if (known != np.round(known)).any():
            raise InputError(
                f"column '{column}' of {tap.name} holds other than whole numbers", "ids of a table"
            )
        return known.astype(np.int64)
    texts = [t for t in values.astype(str) if t]
    bad = next((t for t in texts if not NUMBER.match(t)), None)
    if bad is not None:
        raise InputError(
            f"column '{column}' of {tap.name} holds '{bad[:40]}'", "ids: whole numbers, one or several"
        )
    return np.array([int(n) for t in texts for n in re.findall(r"\d+", t)], np.int64)


def _of_texts(tap: Activations, progress: Progress) -> np.ndarray:
    from analysis.sources.rerun import rerun

    source = getattr(tap, "source", None)
    run = rerun(tap if source is None else source(), tap.layout.n_samples, partial=True)
    found = [np.zeros(0, np.int64)]
    for start in range(0, run.n, BATCH):
        progress(start / run.n, "counting ids")
        inputs = run.loaded.prepare(run.data.items(start, min(start + BATCH, run.n)))
        if not hasattr(inputs, "get") or inputs.get("input_ids") is None:
            raise InputError(f"the network of {tap.name} reads no token ids", "a network of texts, or a column of ids",
                             "Name the column")  # fmt: skip
        mask = run.loaded.token_mask(inputs)
        ids = np.asarray(inputs["input_ids"])
        found.append((ids if mask is None else ids[np.asarray(mask)]).ravel())
    return np.concatenate(found).astype(np.int64)
