"""A correlation map in words: what it shows, and what it cannot say."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.compute.correlation.drawing_order import DrawingOrder
from analysis.compute.correlation.map_tests import MapNull
from analysis.compute.correlation.measured_map import Measured
from analysis.compute.correlation.pair_tally import PairTally
from analysis.results import Estimate


def map_sentence(
    params,
    estimates: tuple[Estimate, ...],
    null: MapNull,
    tally: PairTally,
    shape: tuple[int, int],
    gathered: int,
) -> str:
    """What the map shows, against chance."""
    share = next(e for e in estimates if e.name.startswith("share"))
    low, high = null.band
    parts = [
        f"{share.value:.0%} of the {tally.pairs:,} pairs go together beyond chance (false-discovery rate "
        f"{params.level:g}). Unrelated units give {low:.3f} to {high:.3f}; the strongest pair has {tally.value:.2f}."
    ]
    if gathered > 1:
        parts.append(
            f"Seen whole, a cell stands for {gathered} × {gathered} pairs and shows the strongest of them; zoom in to "
            "see each."
        )
    if params.order.startswith("clusters") and shape[0] > 2 and share.value > 0:
        same = "Blocks on the diagonal are groups of units that say the same thing."
        other = "Blocks are groups of units of the one side that go with the same units of the other."
        parts.append(same if tally.symmetric else other)
    return " ".join(parts)


def map_caveats(found: Measured, orders: tuple[DrawingOrder, ...], gathered: int) -> tuple[str, ...]:
    """What was left out, how the order was made, and what the numbers do not say; each once."""
    return tuple(dict.fromkeys(_caveats(found, orders, gathered)))


def _caveats(found: Measured, orders, gathered: int) -> Iterator[str]:
    relation = found.relation
    yield from found.notes
    yield from (order.note for order in orders if order.note)
    if relation.samples < relation.n:
        yield (
            f"Tokens of one sample depend on each other: tests count {relation.samples:,} samples, not "
            f"{relation.n:,} rows, and are on the cautious side."
        )
    if relation.error:
        yield (
            "Multiplied in single precision and checked in double: the largest difference in r found is "
            f"{relation.error:.1g}."
        )
    if not found.null.one:
        yield "No single threshold tells which cells are significant: the chance level differs from pair to pair."
    if gathered > 1:
        p, q = (len(u) for u in relation.units)
        room = f"{p * q * 8 / 3 / 2**20:,.0f} MiB"
        yield f"All {p:,} × {q:,} cells are kept on disk ({room}), each to 1 / 32,767 of the largest possible value."
