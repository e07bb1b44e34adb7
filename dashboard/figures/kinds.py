"""Which file draws which kind of result."""

from __future__ import annotations

from types import ModuleType

from analysis.results import (
    Curve,
    Distribution,
    Gallery,
    Heatmap,
    Ledger,
    Matrix,
    Partition,
    Result,
    Scatter,
    Spectrum,
    Table,
    TokenFilm,
    TokenMap,
)
from dashboard.figures import (
    curve,
    distribution,
    gallery,
    heatmap,
    ledger,
    matrix,
    partition,
    scatter,
    spectrum,
    table,
    token_film,
    token_map,
)

_DRAWN_BY: dict[type[Result], ModuleType] = {
    Scatter: scatter,
    Matrix: matrix,
    Heatmap: heatmap,
    Spectrum: spectrum,
    Curve: curve,
    Distribution: distribution,
    Table: table,
    Partition: partition,
    Gallery: gallery,
    TokenMap: token_map,
    TokenFilm: token_film,
    Ledger: ledger,
}


def drawer(result: Result) -> ModuleType:
    """The module that draws `result`: it has `empty`, `screen`, `paper`, `notes`, `table` and `words`.

    Raises TypeError for something that is not a known kind of result.
    """
    for kind, module in _DRAWN_BY.items():
        if isinstance(result, kind):
            return module
    raise TypeError(f"{type(result).__name__} is not a kind of result that can be drawn")
