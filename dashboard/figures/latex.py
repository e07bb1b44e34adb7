"""A table for LaTeX, as the package booktabs sets it."""

from __future__ import annotations

import numpy as np

from analysis.results import Matrix, Result, Table
from dashboard.figures.estimates import estimates_table
from dashboard.figures.table import is_number, shown
from dashboard.figures.text import tex
from dashboard.figures.words import caption

MOST_TEX_ROWS = 60
MOST_TEX_CELLS = 14  # along one side of a matrix


def tabular(result: Result, columns: dict, part: str) -> str:
    """A booktabs table. A table gives its rows, a small matrix its cells, anything else its estimates (or its
    numbers, when it has none)."""
    small = isinstance(result, Matrix) and max(np.asarray(result.values).shape, default=0) <= MOST_TEX_CELLS
    if part == "figure" and result.estimates and not isinstance(result, Table) and not small:
        table = estimates_table(result)
        columns = {k: v for k, v in table.items() if k in ("name", "value", "low", "high", "null", "n", "d")}
    n = min((len(v) for v in columns.values()), default=0)
    keep, cut = slice(0, MOST_TEX_ROWS), ""
    if n > MOST_TEX_ROWS:  # in the caption: a comment would not be printed
        cut = f" The first {MOST_TEX_ROWS} of {n:,} rows; the CSV file has them all."
    cells = [[tex(text) for text in shown(np.asarray(v)[keep], 40)] for v in columns.values()]
    sides = "".join("r" if is_number(v) else "l" for v in columns.values())
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{tex(caption(result) + cut)}}}",
        f"\\begin{{tabular}}{{{sides}}}",
        "\\toprule",
        " & ".join(tex(k) for k in columns) + r" \\",
        "\\midrule",
    ]
    lines += [" & ".join(row) + r" \\" for row in zip(*cells, strict=True)]
    lines += ["\\bottomrule", "\\end{tabular}"]
    return "\n".join([*lines, "\\end{table}", ""])
