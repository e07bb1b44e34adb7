"""Who may be owed something at a site, and the hierarchy that groups of them stand in.

tokens        each position: pixel, patch of the network, word
patches       squares of positions of an image, runs of neighbours elsewhere
columns       each unit, in all positions together: the columns of a table
groups        patches, or columns of a single row, that join as wholes: squares in squares, halves in halves, columns by
              their correlation over samples (Owen values)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.attribution.players import Coordinates, each_token, each_unit, patches

TOKENS, PATCHES, COLUMNS, GROUPS = "tokens", "patches", "columns", "groups"
KINDS = (TOKENS, PATCHES, COLUMNS, GROUPS)
ACROSS = 7  # patches, where nobody says their size


def site_players(
    kind: str, shape: tuple[int, int], grid: tuple[int, int] | None, leading: int, size: int | None,
    names: Sequence[str] = (), columns: Sequence[str] = (),
) -> Coordinates:  # fmt: skip
    """Of (tokens, units) `shape`; `grid` of the tokens after `leading` ones; `size` of a patch (None: about seven
    across); `names` of the tokens, `columns` of the units."""
    tokens, units = shape
    if kind == COLUMNS or (kind == GROUPS and tokens == 1):
        return each_unit(units, columns)
    if kind == TOKENS:
        return each_token(tokens, names)
    if grid is not None and leading + grid[0] * grid[1] == tokens:
        return patches(grid, _size(size, max(grid)), leading)
    step = _size(size, tokens, 24 if kind == PATCHES else 12)
    owner = np.arange(tokens) // step
    ends = [(int(a), int(min(a + step, tokens)) - 1) for a in range(0, tokens, step)]
    named = [_run(a, b, names) for a, b in ends]
    return Coordinates(owner[:, None], tuple(named))


def _size(asked: int | None, long: int, across: int = ACROSS) -> int:
    return min(asked or max(1, round(long / across)), long)


def _run(first: int, last: int, names: Sequence[str]) -> str:
    if first == last:
        return names[first] if names else f"token {first}"
    return f"{names[first]} … {names[last]}" if names else f"tokens {first} to {last}"


def hierarchy(players: Coordinates, grid: tuple[int, int] | None, leading: int, rows: np.ndarray) -> list:
    """A tree of the players of `site_players`: of squares by quarters, of a row by halves, of units by average linkage
    of 1 - |correlation| over `rows` (n, units)."""
    count = len(players.names)
    if players.owner.shape[0] == 1:
        return _by_correlation(rows) if count > 1 else [0]
    if grid is not None and leading + grid[0] * grid[1] == len(players.owner):
        inside = players.owner[leading:, 0].reshape(grid)
        return [*range(leading), *_listed(_quarters(_squares(inside)))]
    return _listed(_halves(list(range(count))))


def _squares(owner: np.ndarray) -> np.ndarray:
    """Players as a picture of one cell each."""
    down = np.r_[True, (np.diff(owner, axis=0) != 0).any(axis=1)]
    along = np.r_[True, (np.diff(owner, axis=1) != 0).any(axis=0)]
    return owner[np.ix_(down, along)]


def _quarters(cells: np.ndarray):
    if cells.size == 1:
        return int(cells.flat[0])
    parts = [half for part in np.array_split(cells, min(2, len(cells)))
             for half in np.array_split(part, min(2, cells.shape[1]), axis=1)]  # fmt: skip
    return [_quarters(part) for part in parts]


def _halves(players: list):
    if len(players) == 1:
        return players[0]
    middle = len(players) // 2
    return [_halves(players[:middle]), _halves(players[middle:])]


def _by_correlation(rows: np.ndarray) -> list:
    from scipy.cluster.hierarchy import linkage, to_tree

    x = rows - rows.mean(axis=0)
    size = np.sqrt((x * x).sum(axis=0))
    z = x / np.where(size > 0, size, 1.0)
    apart = np.clip(1 - np.abs(z.T @ z), 0.0, None)[np.triu_indices(rows.shape[1], 1)]

    def nested(node):
        return int(node.id) if node.is_leaf() else [nested(node.get_left()), nested(node.get_right())]

    return nested(to_tree(linkage(apart, "average")))


def _listed(tree) -> list:
    return tree if isinstance(tree, list) else [tree]
