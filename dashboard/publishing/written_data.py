"""What people wrote about the features that are shown: notes with their threads, tags, and named selections."""

from __future__ import annotations

from analysis.people import figure_things
from analysis.people.things import Entry
from analysis.results import Result
from analysis.workspace import Workspace
from dashboard.publishing.plan import Plan

NOTHING = {"note": "", "who": "", "tags": [], "replies": []}


def of_tap(workspace: Workspace, reference: str, who: bool) -> dict[int, dict]:
    """By unit: note, tags, and replies as [text, who]; `who` : whether it is said who wrote them, and when."""
    store, _, tap = reference.partition(":")
    found: dict[int, dict] = {}
    for field in ("note", "tag", "reply"):
        for one in workspace.people.entries(field, "feature", store, tap):
            said = found.setdefault(int(one.thing.item), {**NOTHING, "tags": [], "replies": []})
            if field == "note":
                said |= {"note": one.text, "who": _who(one, who)}
            elif field == "tag":
                said["tags"].append(one.part)
            else:
                said["replies"].append((int(one.part), one.text, _who(one, who)))
    for said in found.values():
        said["replies"] = [list(reply[1:]) for reply in sorted(said["replies"])]
    return dict(sorted(found.items()))


def of_figure(workspace: Workspace, result: Result, who: bool) -> dict:
    """The same of the figure that a result is drawn as."""
    thing = figure_things.of_result(result)
    if thing is None:
        return NOTHING
    said = workspace.people.about(thing)
    return {
        "note": said.note.text if said.note else "", "who": _who(said.note, who) if said.note else "",
        "tags": [one.part for one in said.tags], "replies": [[one.text, _who(one, who)] for one in said.replies],
    }  # fmt: skip


def _who(one: Entry, who: bool) -> str:
    return f"{one.author}, {one.made[:10]}" if who else ""


def notes(workspace: Workspace, plan: Plan, who: bool) -> tuple[list[dict], list[tuple], int]:
    """(what was written about the features that are shown, with reference and unit; (name, what it holds, how it came
    about) of the selections of the stores that are shown; about how many other features there is something)."""
    found, hidden = [], 0
    for tap in plan.taps:
        shown = set(tap.units.tolist())
        for unit, said in of_tap(workspace, tap.reference, who).items():
            if unit in shown:
                found.append({"reference": tap.reference, "unit": unit, **said})
            else:
                hidden += 1
    stores = set(plan.stores)
    chosen = [(s.name, s.described, s.note) for s in workspace.selections() if s.store in stores]
    return found, chosen, hidden
