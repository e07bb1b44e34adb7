"""Components turned down, up or held: m + alpha (x - m), or alpha m, with m the mean of what the component writes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.interventions.bench import Bench
from analysis.interventions.components import Component
from analysis.interventions.interventions import Cell, part_of, put_values
from analysis.interventions.many_samples import means_at

TURNED, HELD = "turned", "held"
WAYS = (TURNED, HELD)


def dialled(bench: Bench, components: Sequence[Component], way: str, dial: np.ndarray) -> list[list[Cell]]:
    """Of each batch the cells (components x dial, the dial running fastest) that put each component there."""
    places = list(dict.fromkeys(p for c in components for p in c.places))
    mean = means_at(bench.runs, places)
    found = []
    for run in bench.runs:
        own = {}
        if way == TURNED:
            caught = run.caught([p.site for p in places])
            own = {p: part_of(p).read(caught[p.site]) for p in places}

        def at(place, alpha, own=own):
            if way == HELD:
                return lambda: alpha * mean[place]
            return lambda: (
                mean[place] + alpha * (own[place] - mean[place])
            )  # made when needed: one for each place

        found.append([put_values(c, lambda p, a=float(a), at=at: at(p, a)) for c in components for a in dial])
    return found
