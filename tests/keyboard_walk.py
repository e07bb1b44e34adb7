"""Walking through a page by Tab in a real browser: which controls there are, which are reached, and how they look then.

A control is whatever a mouse can operate: buttons, links, boxes, sliders, tabs, what has a tab stop or a role of these,
in the page and inside the components' shadow trees, if it can be seen and is not disabled. Of a group that arrows move
in (tabs, radio buttons, rows of buttons that are one choice) one member is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

MOST = 600  # presses of Tab
WIDE = 40  # columns of a table, through which Tab leads before it leaves it

SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


@dataclass
class Walk:
    """What came of it, each a list of lines; all empty where the page is whole."""

    controls: int
    unreached: list[str]
    nameless: list[str]
    ringless: list[str]
    trapped: list[str]
    unseen: list[str]

    @property
    def faults(self) -> list[str]:
        found = {"not reached": self.unreached, "no name": self.nameless, "no focus ring": self.ringless,
                 "no way on": self.trapped, "out of sight": self.unseen}  # fmt: skip
        return [f"{what}: {line}" for what, lines in found.items() for line in lines]


def walk(page, within: str = "") -> Walk:
    """Press Tab from the head of the page until it is left again, and back."""
    page.evaluate(SCRIPT)
    page.evaluate("() => { walk.calm(); walk.leave(); }")
    controls = page.evaluate("within => walk.collect(within)", within)
    stops, trapped = _through(page, "Tab")
    back, trapped_back = _through(page, "Shift+Tab")
    reached = {s["at"] for s in stops} | {s["at"] for s in back}
    groups = {controls[i]["group"] for i in reached if i >= 0 and controls[i]["grouped"]} | reached
    missed = [
        i for i, c in enumerate(controls) if i not in reached and not (c["grouped"] and c["group"] in groups)
    ]
    unreached = [controls[i]["tells"] for i in missed if page.evaluate("i => walk.still(i)", i)]
    one_way = {s["at"] for s in stops} ^ {s["at"] for s in back}
    one_way = {i for i in one_way if i >= 0 and page.evaluate("i => walk.still(i)", i)}
    one_way = {
        i for i in one_way if not controls[i]["floats"]
    }  # a box that opened begins where it was opened
    trapped = [*trapped, *trapped_back, *(f"one way only: {controls[i]['tells']}" for i in one_way)]
    return Walk(
        len(controls), unreached, _each(s["tells"] for s in stops if not s["named"]),
        _each(s["tells"] for s in stops if not s["ringed"]), _each(trapped),
        _each(s["tells"] for s in stops if not s["inside"]),
    )  # fmt: skip


def _through(page, key: str) -> tuple[list[dict], list[str]]:
    """Where each press leads, until the page is left and begins anew; and what is not left again."""
    stops, same, out, left = [], 0, 0, False
    for _ in range(MOST):
        page.keyboard.press(key)
        here = page.evaluate("walk.here()")
        if here is None:  # out of the page, or on its way into a box that floats above it
            out, left = out + 1, left or page.evaluate("walk.left()")
            if out > 2:
                return stops, []
            continue
        if left and here["at"] in {stop["at"] for stop in stops}:
            return stops, []
        out, left = 0, False
        same = (
            same + 1 if stops and (here["at"], here["tells"]) == (stops[-1]["at"], stops[-1]["tells"]) else 0
        )
        if same > WIDE:
            return stops, [here["tells"]]
        stops.append(here)
    return stops, [f"no end after {MOST} presses of {key}"]


def _each(lines) -> list[str]:
    return list(dict.fromkeys(lines))
