"""What a person asks to be published."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

import numpy as np

from analysis.errors import ParameterError
from analysis.workspace import Workspace

MOST = 5000
_NUMBERS = re.compile(r"\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*")


@dataclass(frozen=True)
class Asked:
    """taps : patterns of "store:tap". features : "all", "starred", "strongest:N", "selection:NAME" or numbers such as
    "3-9,12". most : features of one tap. maps : "kept", "none" or methods. heatmaps : "kept" or "none". figures :
    "kept", "none", or some of "starred", "tag:WORD", "basket:NAME" and recipe files. pictures : whether samples are
    shown, or only named. who : whether it is said who wrote a note. title, authors, about, licence : what the first
    page says."""

    taps: tuple[str, ...] = ("*",)
    features: str = "all"
    most: int = MOST
    maps: tuple[str, ...] = ("kept",)
    heatmaps: str = "kept"
    figures: tuple[str, ...] = ("kept",)
    pictures: bool = True
    who: bool = False
    title: str = ""
    authors: str = ""
    about: str = ""
    licence: str = ""

    def recipe(self) -> dict:
        """What the manifest says of it."""
        return {"recipe": 1, "command": "publish", **asdict(self)}


def chosen(asked: Asked, workspace: Workspace, reference: str, table: dict) -> tuple[np.ndarray, str]:
    """(numbers of the units, rising; which these are, in words) of one tap. Raises ParameterError, NotFound."""
    what, n = asked.features.strip(), len(table["unit"])
    store, _, tap = reference.partition(":")
    if what == "all":
        units, said = np.arange(n), "all"
    elif what == "starred":
        units, said = np.array(workspace.stars(store, tap), np.int64), "those that are starred"
    elif what.startswith("strongest:"):
        units = strongest(table, _count(what))
        said = f"the {len(units):,} with the largest maximum"
    elif what.startswith("selection:"):
        found = workspace.selection(what.removeprefix("selection:"))
        if found.of != "units":
            raise ParameterError(f"the selection {found.name!r} holds {found.of}", "a selection of units")
        mine = found.store == store and found.tap == tap
        units, said = (found.ids if mine else np.zeros(0, np.int64)), f"the selection “{found.name}”"
    elif _NUMBERS.fullmatch(what.replace(" ", "")):
        units, said = _numbers(what.replace(" ", ""), n), f"numbers {what}"
    else:
        raise ParameterError(
            f"--features {what[:60]!r}", "all, starred, strongest:N, selection:NAME or numbers such as 3-9,12"
        )
    units = units[(units >= 0) & (units < n)]
    if len(units) > asked.most:
        units = np.sort(units[np.isin(units, strongest(table, asked.most, among=units))])
        of = "" if said == "all" else f" of {said}"
        said = f"the {asked.most:,}{of} with the largest maximum"
    return units, said


def strongest(table: dict, n: int, among: np.ndarray | None = None) -> np.ndarray:
    """The units with the largest maximum, rising; of equal ones the lower numbers."""
    units = np.arange(len(table["unit"])) if among is None else among
    peak = np.nan_to_num(np.asarray(table["maximum"], float)[units], nan=-np.inf)
    return np.sort(units[np.argsort(-peak, kind="stable")[:n]])


def _count(what: str) -> int:
    text = what.partition(":")[2]
    if not text.isdecimal() or int(text[:9]) < 1:
        raise ParameterError(f"--features {what[:60]!r}", "strongest:N with a whole number from 1")
    return int(text[:9])


def _numbers(what: str, n: int) -> np.ndarray:
    found: set[int] = set()
    for part in what.split(","):
        low, _, high = part.partition("-")
        found.update(range(int(low), min(int(high or low), n - 1) + 1))
    return np.array(sorted(found), np.int64)
