"""What of a workspace goes into a bundle: taps with their features, maps, heat maps and figures."""

from __future__ import annotations

from fnmatch import fnmatchcase

from analysis.errors import NotFound
from analysis.workspace import Workspace
from dashboard.browse import projections
from dashboard.figures.text import listed
from dashboard.publishing.asked import Asked, chosen
from dashboard.publishing.figure_choice import add_figures
from dashboard.publishing.kept_results import add_kept
from dashboard.publishing.plan import Plan, TapPlan, slug_of


def planned(workspace: Workspace, asked: Asked) -> Plan:
    """Look at everything, compute nothing but maps and recipes that were asked for. Raises ParameterError, NotFound,
    InputError."""
    plan = Plan()
    _taps(plan, workspace, asked)
    if not plan.taps:
        raise NotFound(
            f"nothing to publish of {', '.join(asked.taps)[:100]} with features {asked.features[:60]!r}",
            "at least one feature of one tap",
            "See what there is: loupe info WORKSPACE",
        )
    if plan.other_taps:
        what = f"{len(plan.other_taps)} taps ({listed(plan.other_taps, 12)})"
        plan.left_out.insert(0, (what, "not among the taps that were asked for"))
    kept = add_kept(plan, workspace, asked)
    plan.maps.sort(key=_order(plan))
    add_figures(plan, workspace, asked, kept)
    return plan


def _order(plan: Plan):
    """Maps as their taps are listed, and of one tap as the dashboard lists them."""
    taps, ways = [tap.reference for tap in plan.taps], list(projections.methods())
    return lambda one: (taps.index(one.reference), ways.index(one.method), one.key)


def _taps(plan: Plan, workspace: Workspace, asked: Asked) -> None:
    for entry in workspace.stores():
        if entry.store is None or not entry.store.complete:
            plan.left_out.append((f"store {entry.name}", entry.problem or "its recording is not finished"))
            continue
        for tap in entry.store.taps:
            reference = f"{entry.name}:{tap}"
            if not any(fnmatchcase(reference, p if ":" in p else f"{p}:*") for p in asked.taps):
                plan.other_taps.append(reference)
                continue
            try:
                _tap(plan, workspace, asked, reference, entry.store.index(tap).table())
            except NotFound:
                if asked.features.startswith("selection:"):
                    raise
                plan.left_out.append((reference, "it has no feature index"))


def _tap(plan: Plan, workspace: Workspace, asked: Asked, reference: str, table: dict) -> None:
    units, said = chosen(asked, workspace, reference, table)
    n = len(table["unit"])
    if not len(units):
        plan.left_out.append((reference, f"none of its {n:,} features is among {said}"))
        return
    if len(units) < n:
        plan.left_out.append((f"{n - len(units):,} of {n:,} features of {reference}", f"not among {said}"))
    plan.taps.append(TapPlan(reference, slug_of(len(plan.taps), reference), units, said, n))
