"""What comparing shapes takes."""

from __future__ import annotations

from itertools import combinations

from analysis.compute.machine import machine
from analysis.spec import Cost

GROUPS = 10
EACH = 4e-3  # seconds of a pair for its null and many small steps
SLOW = 4.0  # a decomposition's operations cost so many times those of a product


def shape_cost(
    shapes, most: int, *, whitened: bool = False, decomposed: bool = True, exchanges: int = 0
) -> Cost:
    """shapes : (rows, units) of each tap. decomposed : a singular value decomposition for each pair, or an assignment;
    exchanges : assignments more. Memory: the samples twice, and what a decomposition copies."""
    m, n = machine(), min(min(rows for rows, _ in shapes), most)
    d = [units for _, units in shapes]
    r = [min(units, n) for units in d] if decomposed else d
    per_tap = sum(4.0 * SLOW * n * units * min(n, units) * (1 + whitened * GROUPS) for units in d)
    per_pair = 0.0
    for a, b in combinations(r, 2):
        per_pair += 4.0 * n * a * b + (1 + GROUPS + exchanges) * SLOW * max(a, b) * min(a, b) ** 2 * 2
        per_pair += exchanges * 2.0 * n * a * b + whitened * GROUPS * 4.0 * a * b * (a + b)
    held = 8.0 * n * (sum(d) + sum(r)) + whitened * GROUPS * 8.0 * sum(a * a for a in r)
    work = 8.0 * (5 * n * max(d) + 6 * max(r) ** 2)
    pairs = len(d) * (len(d) - 1) / 2
    return Cost(m.seconds(flops64=per_tap + per_pair, moved=held * 4) + 0.02 + EACH * pairs, held + work)
