"""How large a bundle will be, from some of its parts."""

from __future__ import annotations

import numpy as np

from analysis.errors import LoupeError
from analysis.workspace import Workspace
from dashboard.publishing import card_data, figure_files, map_data, sample_data, scripts
from dashboard.publishing.asked import Asked
from dashboard.publishing.plan import Plan
from dashboard.publishing.planning import planned

LOOKED_AT = 12  # cards of a tap, figures, pictures of a store
FIXED = 500_000  # pages and scripts
ENTRY = 90  # bytes of a sample in a list, deflated


def estimated(workspace: Workspace, asked: Asked) -> tuple[Plan, dict[str, int]]:
    """The plan, and bytes by part. Raises as `planned`."""
    plan = planned(workspace, asked)
    samples = sample_data.Samples(asked.pictures)
    shown: dict[str, set[int]] = {}
    sizes = {"pages": FIXED, "cards": _cards(workspace, plan, samples, shown), "maps": 0, "figures": 0}
    for one in plan.maps:
        result = workspace.cache.get(one.key)
        if result is None:
            continue
        store, taken = workspace.store(one.reference.partition(":")[0]), workspace.activations(one.reference)
        drawn = map_data.drawn_map(result, store, taken, one.reference)
        sizes["maps"] += len(scripts.script("map", scripts.as_json(drawn)))
        points = map_data.samples_of(result, taken)
        if len(points) <= sample_data.MOST_PICTURED:
            shown.setdefault(store.path.name, set()).update(points.tolist())
    sizes["figures"] = _figures(workspace, plan, asked)
    sizes["samples and pictures"] = _samples(workspace, plan, shown, asked)
    return plan, sizes


def _cards(workspace: Workspace, plan: Plan, samples, shown: dict[str, set[int]]) -> int:
    total = 0
    for tap in plan.taps:
        cards = card_data.TapCards.of(workspace, tap.reference, samples)
        at = np.unique(np.linspace(0, len(tap.units) - 1, LOOKED_AT).astype(int))
        made = [card_data.card(cards, int(u)) for u in tap.units[at]]
        total += len(scripts.script("cards", scripts.as_json(made))) * len(tap.units) // len(made)
        store = workspace.store(tap.reference.partition(":")[0])
        name = store.path.name
        seen = samples.shown.pop(name, set())
        if len(tap.units) == len(made):
            shown.setdefault(name, set()).update(seen)
        else:  # each further card shows some samples that no other does
            expected = store.n_samples * (
                1 - (1 - len(seen) / max(store.n_samples, 1)) ** (len(tap.units) / len(made))
            )
            shown.setdefault(name, set()).update(range(int(expected)))
    return total


def _figures(workspace: Workspace, plan: Plan, asked: Asked) -> int:
    at = (
        np.unique(np.linspace(0, max(len(plan.figures) - 1, 0), LOOKED_AT).astype(int))
        if plan.figures
        else []
    )
    sizes = []
    for k in at:
        one = plan.figures[int(k)]
        try:
            result = one.result(workspace)
            drawn = figure_files.drawn_figure(workspace, one, result, pictures=asked.pictures)
            sizes.append(sum(len(data) for _, data in drawn))
        except LoupeError:
            continue
    return int(np.mean(sizes) * len(plan.figures)) if sizes else 0


def _samples(workspace: Workspace, plan: Plan, shown: dict[str, set[int]], asked: Asked) -> int:
    total = 0
    for name, samples in shown.items():
        store = workspace.store(name)
        total += ENTRY * len(samples)
        if not asked.pictures:
            continue
        some = {s for s in sorted(samples)[:: max(1, len(samples) // LOOKED_AT)] if s < store.n_samples}
        cards = sum(len(tap.units) for tap in plan.taps if tap.reference.partition(":")[0] == name)
        kind = sample_data.kind_of(store, sample_data.most_pictures(cards))
        sizes = [len(picture) for _, picture in sample_data.pictures(store, some, kind)]
        total += int(np.sum(sizes) / max(len(some), 1) * len(samples))
    return total
