"""Which of some selections each point of a map belongs to, as categories to colour by."""

from __future__ import annotations

import numpy as np

from analysis.results import Scatter
from dashboard.browse import selections

SEVERAL, OTHERS = "in several of them", "all others"


def group_values(groups, result: Scatter, layout, store, tap: str, *, alone: bool = False) -> np.ndarray:
    """(points,) text: the name of the selection a point is in, `SEVERAL` in more than one, "" in none.

    `alone`: one selection against `OTHERS`.
    """
    n = len(result.rows)
    code, count = np.zeros(n, np.int32), np.zeros(n, np.int32)
    names = ["" if not alone else OTHERS]
    for selection in groups:
        mask = selections.points_of(selection, result, layout, store, tap)
        if mask is None:
            continue
        code[mask] = len(names)
        count += mask
        names.append(selections.title(selection))
    names.append(SEVERAL)
    code[count > 1] = len(names) - 1
    return np.array(names)[code]
