"""Texts of a table that its cells would cut: written out below it, whole."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import streamlit as st

from dashboard import errors

LONG, MOST = 44, 40  # characters that fit a cell; rows that are written out


def parted(columns: Mapping[str, np.ndarray]) -> tuple[dict, dict]:
    """(columns that fit a table, those of sentences that do not), where rows are few enough to be written out.

    The first column stays: it names the rows, in the table and below it."""
    rows = max((len(column) for column in columns.values()), default=0)
    said = list(columns.items())[1:] if rows <= MOST else []
    long = {name: column for name, column in said if _is_long(column)}
    return {name: column for name, column in columns.items() if name not in long}, long


def _is_long(column) -> bool:
    return column.dtype.kind == "U" and max((len(str(word)) for word in column), default=0) > LONG


def written_out(names, long: Mapping[str, np.ndarray]) -> None:
    """A line for each row: its name, and its sentences."""
    for column, words in long.items():
        lines = [f"- **{errors.escape(str(name))}**: {errors.escape(str(word))}"
                 for name, word in zip(names, words, strict=True) if str(word).strip()]  # fmt: skip
        st.markdown(f"**{errors.escape(column[:1].upper() + column[1:])}**\n\n" + "\n".join(lines))
