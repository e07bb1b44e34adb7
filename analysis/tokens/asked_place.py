"""A token that asks, by its place on the grid or line of tokens: what a map over them has to say of it."""

from __future__ import annotations

import numpy as np


def place_name(token: int, grid: tuple[int, int] | None, words: tuple[str, ...] = ()) -> str:
    """What the token at place `token` (from 0, row by row) is called: its row and column from 1, or its word."""
    if words:
        return f"{token} {words[token]!r}"
    if grid is None or grid[0] == 1:
        return f"token {token}"
    return f"row {token // grid[1] + 1}, column {token % grid[1] + 1}"


def asked_place(
    token: int, count: int, grid: tuple[int, int] | None, leading: int = 0, words: tuple[str, ...] = ()
) -> dict:
    """`tokens`, `token_names` and `asked` of a `TokenMap` over `count` places behind `leading` tokens that cannot ask;
    those have the number -1."""
    numbers = np.concatenate([np.full(leading, -1), np.arange(count)])
    beside = [f"token {k} before the grid" for k in range(leading)]
    names = (*beside, *(place_name(t, grid, words) for t in range(count)))
    return {"tokens": numbers, "token_names": names, "asked": leading + token}
