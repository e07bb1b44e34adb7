"""What a line of a table of results leads to: the card of the feature that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from analysis.errors import LoupeError
from analysis.results import Table
from analysis.workspace import Workspace

FEATURE = "feature"


def card_of(
    result: Table, workspace: Workspace
) -> Callable[[Mapping[str, np.ndarray], int], int | None] | None:
    """Of a table with a column of features of one tap that is here: what tells the number of the feature on a line of
    the columns as they are drawn (None for a line that names none). None for any other table."""
    if FEATURE not in result.columns or result.origin is None or len(result.origin.inputs) != 1:
        return None
    try:
        names = workspace.activations(result.origin.inputs[0]["name"]).unit_names
    except LoupeError:
        return None

    def number(columns: Mapping[str, np.ndarray], line: int) -> int | None:
        value = columns[FEATURE][line]
        if np.asarray(value).dtype.kind in "iu":
            return int(value) if 0 <= value < len(names) else None
        return names.index(str(value)) if str(value) in names else None

    return number
