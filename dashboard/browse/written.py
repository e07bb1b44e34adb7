"""What people wrote, in words, and the place where each of it is seen."""

from __future__ import annotations

import json
from collections.abc import Collection
from urllib.parse import parse_qs, urlsplit

from analysis.people import About, Change, Entry, Thing, figure_things

SHORT = 300  # characters of a text in a list
KINDS = {"feature": "Features", "sample": "Samples", "selection": "Selections", "figure": "Figures",
         "tour": "Tours", "link": "Short links"}  # fmt: skip
DONE = {  # (nothing before, something before and after, nothing after), on what
    "note": ("wrote a note on", "changed the note on", "removed the note on"),
    "name": ("gave a name to", "gave another name to", "took the name from"),
    "star": ("starred", "starred", "took the star from"),
    "tag": ("tagged", "tagged", "took a tag from"),
    "reply": ("replied to the note on", "changed a reply to the note on", "removed a reply to the note on"),
    "resolved": ("settled the thread on", "settled the thread on", "opened again the thread on"),
    "selection": ("saved", "changed", "deleted"),
    "renamed": ("renamed", "renamed", "renamed"),
    "link": ("made", "made", "made"),
    "tour": ("wrote", "changed", "removed"),
}


def when(made: str) -> str:
    """A time as people read it; "" where it is not known."""
    return f"{made[:10]} {made[11:16]} UTC" if len(made) >= 16 else made[:10]


def by(entry: Entry | Change) -> str:
    """Who, and when."""
    return " · ".join(word for word in (entry.author or "somebody", when(entry.made)) if word)


def said(change: Change, word: str = "unit") -> str:
    """What somebody did, without who: "changed the note on unit 17 of digits-vit:vit.layers.2". `word` : unit or
    feature."""
    new, other, gone = DONE.get(change.field, ("wrote on", "changed", "removed"))
    verb = gone if change.after is None else new if change.before is None else other
    return f"{verb} {called(change.thing, change, word)}"


def called(thing: Thing, change: Change | None = None, word: str = "unit") -> str:
    """What a thing is called in a list of many."""
    if thing.kind == "feature":
        return f"{word} {thing.item} of {thing.store}:{thing.tap}"
    if thing.kind == "figure":
        return f"a figure of {thing.store}:{thing.tap}" if thing.tap else "a figure"
    if thing.kind == "sample":
        return f"sample {thing.item} of {thing.store}"
    if thing.kind == "link":
        page = f" to the page {change.after}" if change is not None and change.after else ""
        return f"a short link{page}"
    if thing.kind == "tour":
        told = (change.after or change.before or "{}") if change is not None else "{}"
        return f"the tour “{_told(told).get('title', '')}”"
    return f"the selection “{thing.item}”"


def remade(thing: Thing, about: About) -> str:
    """That a figure was made with other versions when something was written on it; "" where it was not. `thing` : as it
    is shown now."""
    said = [entry for entry in (about.note, *about.replies) if entry is not None]
    found = [(e, figure_things.remade(e.thing.made_with, thing.made_with)) for e in said]
    found = [(e, other) for e, other in found if other]
    if thing.kind != "figure" or not found:
        return ""
    entry, other = max(found, key=lambda one: one[0].version)
    listed = "; ".join(
        f"{'the analysis' if name == 'method' else name} {'version ' * (name == 'method')}{then} then, {now} now"
        for name, then, now in other
    )
    what = "the note" if entry.field == "note" else "a reply"
    again = f"The figure was made again with other versions since {what} was written"
    return f"{again} ({listed}). See whether it still holds."


def texts(change: Change) -> tuple[str | None, str | None]:
    """From what to what, where that says more than `said`; shortened, with the number of characters."""
    if change.field in ("star", "resolved", "link"):
        return None, None
    if change.field == "tag":
        return (change.part, None) if change.after is None else (None, change.part)
    if change.field in ("selection", "tour"):
        return None, _told(change.after).get("note") or _told(change.after).get("text") or None
    return _short(change.before), _short(change.after)


def _short(text: str | None) -> str | None:
    if text is None or len(text) <= SHORT:
        return text
    return f"{text[:SHORT]} … ({len(text):,} characters)"


def _told(text: str | None) -> dict:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def place(
    thing: Thing, told: str | None, taps: Collection[str], pages: Collection[str]
) -> tuple[str, dict] | None:
    """(page, parameters) where a thing is seen; None where that is not known, or not there any more.

    told : what a change left, which says of a selection where it lies. taps : "store:tap" of this workspace. A place
    may come from a stranger's file: it is taken apart here, and never becomes an address.
    """
    if thing.kind == "feature":
        tap = f"{thing.store}:{thing.tap}"
        return ("features", {"tap": tap, "unit": thing.item}) if tap in taps else None
    if thing.kind == "selection":
        about = _told(told)
        tap = f"{about.get('store', '')}:{about.get('tap', '')}"
        if about.get("of") == "units":
            return ("features", {"tap": tap, "among": thing.item}) if tap in taps else None
        tap = (
            tap
            if tap in taps
            else next((t for t in taps if t.startswith(f"{about.get('store', '')}:")), None)
        )
        return ("map", {"tap": tap, "sel": thing.item}) if tap and about else ("map", {"sel": thing.item})
    return _taken_apart(thing.place, pages)


def _taken_apart(address: str, pages: Collection[str]) -> tuple[str, dict] | None:
    if not address or len(address) > 20_000:
        return None
    try:
        found = urlsplit(address)
        params = parse_qs(found.query, max_num_fields=200)
    except ValueError:
        return None
    page = "map" if found.path in ("./", "") else found.path
    outside = found.scheme or found.netloc or page not in pages
    return None if outside else (page, params)
