"""What people write: selections, stars, notes, names, tags, threads, short links and tours, with who, when and what it
was before.

    people = workspace.people                                # analysis.people.People
    thing = Thing.feature("digits-vit", "vit.layers.2", 17)
    entry = people.write(thing, "note", "sees edges")        # kept, with author, time and version
    people.write(thing, "note", "sees corners", version=entry.version)   # EditConflict when somebody was quicker
    people.about(thing)                                      # everything on it, in one question
    people.reply(thing, "I doubt it")                        # never in conflict
    people.history(thing); people.restore(seq)               # from what to what, by whom; and back
    people.feed(limit=50)                                    # what changed in the workspace, newest first
    people.short_link("map", {"tap": "digits-vit:vit.layers.2"})         # an id; people.follow(id) finds the page
    people.save_tour("", "What it learned", "…", (Step(link_id, "Look at this"),))

Where it is kept: in `people.db` (SQLite) in the workspace, or in PostgreSQL where the environment's
LOUPE_DATABASE_URL names one (`places.py` says how workspaces share it). Looking never writes. SQLAlchemy is imported
when something was written, not before.
"""

from __future__ import annotations

from analysis.people.people import People
from analysis.people.things import About, Change, EditConflict, Entry, Link, Step, Thing, Tour

__all__ = ["About", "Change", "EditConflict", "Entry", "Link", "People", "Step", "Thing", "Tour"]
