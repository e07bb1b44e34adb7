"""Embedding tables: those of a checkpoint, or one that a tap holds, by field."""

from __future__ import annotations

import numpy as np

from analysis.activations import load_matrix, row_column
from analysis.errors import InputError, NotFound
from analysis.sources.unit_weights import is_table
from analysis.sources.weights import weights_of

FEWEST = 2  # entries
Table = tuple[str, np.ndarray, np.ndarray]  # name, entries (n, d), how often each occurs (n,)


def embedding_tables(
    tap, *, reader: str = "", field: str | None = None, frequency: str | None = None, table: bool = False
) -> tuple[list[Table], np.ndarray, list[str]]:
    """The fields, what reads each dimension (d,) as the squares of its weights, and notes.

    Parameters
    ----------
    tap : Activations
        An array, or a store with `table`, is a table itself: one row per entry, one column per dimension; `field` and
        `frequency` are sample columns of it. Otherwise every table of its checkpoint is a field.
    reader : the layer of the checkpoint that reads the tables; "": all dimensions count alike.

    Raises
    ------
    InputError, NotFound, NotEnoughData
        A layer asked of a table, a column of a checkpoint; no table in it, or none as wide as the reader; no such
        column; frequencies that are no counts.
    """
    if not is_table(tap, table):
        return _of_checkpoint(tap, reader, field or frequency)
    if reader:
        raise InputError(
            f"layer '{reader}' was asked of {tap.name}, a table itself", "no layer", "Leave the layer empty"
        )
    loaded = load_matrix(tap, minimum_rows=FEWEST)
    x, rows = np.asarray(loaded.values, np.float64), loaded.rows
    often = np.ones(len(x)) if frequency is None else _counts(row_column(tap, frequency)[rows], frequency)
    of = np.full(len(x), tap.name) if field is None else row_column(tap, field)[rows].astype(str)
    found = [(str(name), x[of == name], often[of == name]) for name in np.unique(of)]
    return found, np.ones(x.shape[1]), [f"{loaded.note}."] if loaded.note else []


def _counts(values: np.ndarray, column: str) -> np.ndarray:
    try:
        found = np.asarray(values, np.float64)
    except ValueError:
        found = np.full(1, np.nan)
    if not np.isfinite(found).all() or (found < 0).any() or not found.any():
        raise InputError(
            f"column '{column}' holds other than counts", "numbers of 0 and above", "Name another column"
        )
    return found


def _of_checkpoint(tap, reader: str, column: str | None):
    network = weights_of(tap)
    if column:
        raise InputError(
            f"column '{column}' was named of {tap.name}, whose fields are the tables of its checkpoint", "no column",
            "Leave the columns empty, or say that the tap is an embedding table",
        )  # fmt: skip
    names, layer = network.lookups, network.layer(reader) if reader else None
    if not names:
        raise NotFound(
            f"{network.path.name} has no embedding table", "a weight called embed, wte or wpe, without a bias",
            "Record the table as a tap, and say that it is one",
        )  # fmt: skip
    tables = {n: network.tensor(f"{n}.weight") for n in names}
    width = layer.weight.shape[1] if layer is not None else max(t.shape[1] for t in tables.values())
    found = [(n, t, np.ones(len(t))) for n, t in tables.items() if t.shape[1] == width]
    if not found:
        widths = ", ".join(f"{n} {t.shape[1]}" for n, t in tables.items())
        raise InputError(
            f"'{reader}' reads {width} inputs",
            f"as many as a table has dimensions: {widths}",
            "Name another layer",
        )
    lost = len(names) - len(found)
    notes = [f"{lost} table(s) of another width than {width} left out."] if lost else []
    return found, np.ones(width) if layer is None else (layer.weight**2).sum(axis=0), notes
