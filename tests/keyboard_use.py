"""Working a page's controls by the keyboard alone in a real browser: each is come to by Tab, worked as its kind is
worked, and something that a person can see or hear must follow; boxes that opened close by Escape, and the focus stays.

What a control's kind is: as a screen reader is told, and for a few widgets of Streamlit the box that they are in.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from keyboard_walk import MOST, WIDE
from keyboard_walk import SCRIPT as WALK

SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
BUSY = "[data-testid=stStatusWidget], [data-testid=stSkeleton]"
PATIENCE = 8_000  # milliseconds until something must have followed

KEYS = {  # by kind, ways of working it: the first that does something is enough
    "button": [["Enter"]],
    "link": [["Enter"]],
    "popover": [["Enter"]],
    "expander": [["Enter"]],
    "download": [["Enter"]],
    "upload": [["Enter"], ["Space"]],
    "checkbox": [["Space"]],
    "slider": [["ArrowRight"], ["ArrowLeft"]],
    "radio": [["ArrowRight"], ["ArrowDown"], ["Space"], ["ArrowRight", "Space"]],
    "tabs": [["ArrowRight"], ["ArrowRight", "Enter"]],
    "select": [["ArrowDown"], ["ArrowUp"]],
    "choice": [["ArrowDown", "ArrowDown", "Enter"], ["ArrowDown", "ArrowUp", "Enter"], ["ArrowDown"]],
    "many": [["ArrowDown", "Enter"], ["ArrowDown"]],
    "number": [["ArrowUp"], ["ArrowDown"]],
    "text": [["z", "Enter"]],
    "text area": [["z", "Control+Enter"]],
    "table": [["ArrowDown", "Shift+Space"], ["ArrowRight", "Enter"], ["ArrowDown"]],
    "picture": [["ArrowRight"], ["Enter"]],
    "other": [["Enter"], ["Space"], ["ArrowRight"]],
}


@dataclass
class Used:
    """One control: what was pressed, what changed (lines), where the focus is afterwards; `faults` in words."""

    key: str
    kind: str
    pressed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    focus: str = ""
    faults: list[str] = field(default_factory=list)


def quiet(page, least: int = 500) -> None:
    page.wait_for_selector("[data-testid=stSidebar]", timeout=60_000)
    page.wait_for_timeout(least)
    page.wait_for_function(f"() => !document.querySelector('{BUSY}')", timeout=60_000)


def listen(page) -> None:
    """What leaves the page is kept on it: downloads, new windows, choosers of files, the clipboard."""
    page.heard = []
    page.on("download", lambda one: page.heard.append(f"download {one.suggested_filename}"))
    page.on("filechooser", lambda one: page.heard.append("chooser of files"))
    page.on("popup", lambda one: page.heard.append(f"window {one.url}"))
    page.add_init_script(
        "window.copied = [];"
        "if (navigator.clipboard) navigator.clipboard.writeText = async t => { window.copied.push(t); };"
    )


def controls(page) -> list[dict]:
    """Those that can be seen now: key, kind, whether they are a stop of Tab, a member of a group, beside the page."""
    page.evaluate(WALK)
    page.evaluate(SCRIPT)
    return page.evaluate("use.controls()")


def reach(page, key: str) -> bool:
    """By Tab from the stop before it."""
    if not page.evaluate("key => use.focus(key)", key):
        return False
    page.keyboard.press("Shift+Tab")
    for _ in range(WIDE):  # what stands before it may be many stops: a table's columns
        page.keyboard.press("Tab")
        if page.evaluate("use.holds()"):
            return True
    return False


def work(page, key: str, kind: str, reached: bool = False) -> Used:
    """Reached (or `reached` by Tab before) and worked; one way after the other until something changes."""
    used = Used(key, kind)
    if not (page.evaluate("key => use.focus(key)", key) if reached else reach(page, key)):
        used.faults.append("Tab does not come to it")
        return used
    if kind == "help":  # opens when it has the focus, and closes by Escape
        page.wait_for_timeout(600)
        used.changed = page.evaluate("use.tip()")
        used.faults += [] if used.changed else ["nothing follows"]
        return used
    for way in KEYS[kind]:
        page.heard.clear()
        page.evaluate("() => { use.before(); (window.copied ?? []).length = 0; }")
        for press in way:
            page.keyboard.press(press)
            page.wait_for_timeout(60)
        used.pressed = way
        used.changed = settled(page)
        if used.changed:
            break
    used.focus = _focus(page)
    if kind == "download":  # off while the file is made
        for _ in range(25):
            page.wait_for_timeout(0 if used.focus else 200)
            used.focus = _focus(page)
    if kind == "link" and used.focus not in ("", key.rpartition("#")[0]):
        used.changed.append("the focus moved")
    if not used.changed:
        used.faults.append("nothing follows")
    elif (
        not used.focus
        and not any(what.startswith("window") for what in page.heard)
        and not page.evaluate("use.gone()")
    ):
        used.faults.append("the focus is lost")
    return used


def settled(page) -> list[str]:
    """What changed, once the page is at rest; waits for a first change only."""
    for _ in range(PATIENCE // 200):
        page.wait_for_timeout(200)
        if page.heard or page.evaluate("() => window.use && use.changed().length || window.copied?.length"):
            break
    with suppress(Exception):
        quiet(page, 400)
    if page.evaluate("() => !window.use"):
        return ["another page"]
    return [
        *page.heard,
        *(["copied"] if page.evaluate("window.copied?.length") else []),
        *page.evaluate("use.changed()"),
    ]


def _focus(page) -> str:
    return page.evaluate("() => window.use ? use.where() : 'another page'")


def tab_to(page, text: str) -> str:
    """Press Tab until what has the focus is called that (`tells` of keyboard_walk.js holds `text`); what it is then.
    Raises AssertionError where that never happens."""
    page.evaluate(WALK)
    seen = []
    for _ in range(MOST):
        page.keyboard.press("Tab")
        here = page.evaluate("walk.here()")
        tells = " ".join(here["tells"].split()) if here else ""
        if text in tells:
            return tells
        seen.append(tells)
    raise AssertionError(f"Tab never comes to {text!r}, but to {list(dict.fromkeys(seen))}")
