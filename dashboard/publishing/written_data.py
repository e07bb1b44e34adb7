"""What people wrote about the features that are shown: notes with their threads, tags, and named selections."""

from __future__ import annotations

from collections import defaultdict

from analysis.people.things import Entry, Thing
from analysis.workspace import Workspace
from dashboard.browse.unit_words import word_of
from dashboard.publishing.plan import Plan, TapPlan


def notes(workspace: Workspace, plan: Plan, who: bool) -> tuple[list[dict], list[tuple], int]:
    """(notes, (name, what it holds, how it came about) of the selections of the stores that are shown, how many notes
    are about other features). Each note: reference, unit, title, text, tags, replies; with `who`, authors and days."""
    found, hidden = [], 0
    for tap in plan.taps:
        mine, others = _of_tap(workspace, tap, who)
        found, hidden = found + mine, hidden + others
    stores = set(plan.stores)
    chosen = [(s.name, s.described, s.note) for s in workspace.selections() if s.store in stores]
    return found, chosen, hidden


def _of_tap(workspace: Workspace, tap: TapPlan, who: bool) -> tuple[list[dict], int]:
    store, _, name = tap.reference.partition(":")
    by_unit: dict[int, dict[str, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    for field in ("note", "tag", "reply"):
        for one in workspace.people.entries(field, "feature", store, name):
            by_unit[int(one.thing.item)][field].append(one)
    shown, word = set(tap.units.tolist()), word_of(workspace.store(store), name).capitalize()
    found = [
        {
            "reference": tap.reference, "unit": unit, "title": f"{word} {unit}", "tags": [t.part for t in said["tag"]],
            "text": "\n\n".join(n.text for n in said["note"]), "who": _who(said["note"], who),
            "replies": [(r.text, _who([r], who)) for r in said["reply"]],
        }
        for unit, said in sorted(by_unit.items())
        if unit in shown
    ]  # fmt: skip
    return found, sum(unit not in shown for unit in by_unit)


def of_feature(workspace: Workspace, reference: str, unit: int, who: bool) -> dict:
    """The note on one card, with its thread and tags."""
    store, _, tap = reference.partition(":")
    about = workspace.people.about(Thing.feature(store, tap, unit))
    return {
        "note": about.note.text if about.note else "", "who": _who([about.note] if about.note else [], who),
        "tags": [t.part for t in about.tags], "replies": [[r.text, _who([r], who)] for r in about.replies],
    }  # fmt: skip


def _who(entries: list[Entry], who: bool) -> str:
    return ", ".join(f"{e.author}, {e.made[:10]}" for e in entries) if who else ""
