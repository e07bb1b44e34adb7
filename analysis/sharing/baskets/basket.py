"""A basket as plain JSON: panels in order, how they are arranged, and on what sheet they are printed.

A panel says how its result is made again (a recipe), or which file beside the basket holds it where no recipe makes
it; and how it is drawn. What comes from a file is a stranger's: everything is looked at before it is believed.
"""

from __future__ import annotations

import dataclasses
import json
import re
import string
from dataclasses import dataclass, field

from analysis.errors import InputError, NewerSchema, NotFound, ParameterError

SCHEMA = 1
FILE, KEPT = "basket.json", "kept"
LETTERS = {"a": "a, b, c", "A": "A, B, C", "(a)": "(a), (b), (c)", "none": "no letters"}
LONGEST_TEXT, MOST_PANELS, MOST_COLUMNS = 4000, 24, 6
SHEET = {
    "width": (str,),
    "font": (str,),
    "font_size": (float, int),
    "dpi": (float, int),
    "greyscale": (bool,),
}
_ID, _KEPT = re.compile(r"[0-9a-f]{8}"), re.compile(r"[0-9a-f]{32}\.npz")


@dataclass(frozen=True)
class Panel:
    """One figure of a basket.

    recipe : what makes its result (as `Origin.recipe`), None where nothing does. kept : the file of its result below
    `kept/`, where the recipe alone does not give what was shown. options : of the drawing, plain values. digest : of
    the numbers that were shown when it was added. caption : None for the draft."""

    id: str
    recipe: dict | None = None
    kept: str = ""
    options: dict = field(default_factory=dict)
    digest: str = ""
    letter: str = ""
    title: str = ""
    caption: str | None = None
    span: int = 1
    by: str = ""
    at: str = ""


@dataclass(frozen=True)
class Basket:
    """`widths`, `heights`: ratios of columns and rows, none for the natural ones. `share`: whether equal legends and
    colour scales stand once. `revision` counts the changes."""

    name: str
    panels: tuple[Panel, ...] = ()
    sheet: dict = field(default_factory=lambda: {"width": "double"})
    columns: int = 2
    widths: tuple[float, ...] = ()
    heights: tuple[float, ...] = ()
    share: bool = True
    letters: str = "a"
    caption: str = ""
    revision: int = 0

    def letter(self, place: int) -> str:
        """What the panel at this place is called in the figure and in the texts; "" for none."""
        own, k = self.panels[place].letter, place
        if own or self.letters == "none":
            return own
        name = string.ascii_lowercase[k % 26] * (k // 26 + 1)
        return {"a": name, "A": name.upper(), "(a)": f"({name})"}[self.letters]

    def stem(self, place: int) -> str:
        """File name of a panel, without its ending: its place as a letter, whatever it is called."""
        return string.ascii_lowercase[place % 26] * (place // 26 + 1)

    def panel(self, id: str) -> Panel:
        """The panel with this id. Raises NotFound."""
        found = next((panel for panel in self.panels if panel.id == id), None)
        if found is None:
            raise NotFound(
                f"the panel is not in the basket {self.name!r} any more",
                "",
                "Somebody took it out: reload the page",
            )
        return found

    def with_panel(self, panel: Panel) -> Basket:
        """The same with this panel in the place of the one with its id. Raises NotFound."""
        self.panel(panel.id)
        return dataclasses.replace(self, panels=tuple(panel if p.id == panel.id else p for p in self.panels))

    def moved(self, id: str, by: int) -> Basket:
        """The same with a panel so many places later (earlier where negative). Raises NotFound."""
        panel, others = self.panel(id), [p for p in self.panels if p.id != id]
        at = min(max(self.panels.index(panel) + by, 0), len(others))
        return dataclasses.replace(self, panels=(*others[:at], panel, *others[at:]))

    def without(self, id: str) -> Basket:
        """The same without a panel, which may be gone already."""
        return dataclasses.replace(self, panels=tuple(p for p in self.panels if p.id != id))

    def checked(self) -> Basket:
        """Itself. Raises ParameterError for an arrangement that there is not."""
        return self.checked_as(f"the basket {self.name!r}")

    def checked_as(self, where: str) -> Basket:
        """The same, saying where it was read."""
        numbers = [*self.widths, *self.heights]
        sound = (
            type(self.columns) is int
            and 1 <= self.columns <= MOST_COLUMNS
            and self.letters in LETTERS
            and isinstance(self.share, bool)
            and isinstance(self.caption, str)
            and len(self.caption) <= LONGEST_TEXT
            and type(self.revision) is int
            and all(isinstance(v, (int, float)) and 0.1 <= v <= 10 for v in numbers)
            and len(self.panels) <= MOST_PANELS
            and len({panel.id for panel in self.panels}) == len(self.panels)
            and all(n in SHEET and (v is None or type(v) in SHEET[n]) for n, v in self.sheet.items())
        )
        if not sound:
            expected = f"1 to {MOST_COLUMNS} columns, ratios from 0.1 to 10, at most {MOST_PANELS} panels"
            raise ParameterError(f"the arrangement of {where}", expected)
        return self

    def as_json(self) -> bytes:
        """The file: sorted, so that the same basket is the same bytes."""
        said = {"basket": SCHEMA, **dataclasses.asdict(self)}
        return (json.dumps(said, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode(
            "utf-8", "replace"
        )


def read_basket(data: bytes, where: str) -> Basket:
    """The basket in these bytes; `where` names the file. Raises InputError, NewerSchema, ParameterError."""
    try:
        said = json.loads(data)
        schema = int(said.pop("basket"))
        if schema > SCHEMA:
            raise NewerSchema(f"{where} has schema {schema}", f"at most {SCHEMA}", "Update Feature Loupe")
        panels = tuple(_panel(one, where) for one in said.pop("panels"))
        known = {f.name for f in dataclasses.fields(Basket)} - {"panels"}
        given = {name: said[name] for name in known if name in said}
        found = Basket(panels=panels, **given)
        return dataclasses.replace(
            found, widths=tuple(found.widths), heights=tuple(found.heights)
        ).checked_as(where)
    except (NewerSchema, InputError, ParameterError):
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(
            f"{where} is not a basket", "JSON as the page writes it", "Take another file"
        ) from None


def _panel(said: dict, where: str) -> Panel:
    known = {f.name for f in dataclasses.fields(Panel)}
    panel = Panel(**{name: value for name, value in said.items() if name in known})
    texts = (panel.letter, panel.title, panel.caption or "", panel.by, panel.at, panel.digest)
    sound = (
        isinstance(panel.id, str)
        and _ID.fullmatch(panel.id)
        and (panel.recipe is None or sound_recipe(panel.recipe))
        and (not panel.kept or _KEPT.fullmatch(panel.kept))
        and (panel.recipe is not None or panel.kept)
        and isinstance(panel.options, dict)
        and all(isinstance(text, str) and len(text) <= LONGEST_TEXT for text in texts)
        and type(panel.span) is int
        and 1 <= panel.span <= MOST_COLUMNS
    )
    if not sound:
        raise InputError(f"{where} has a panel that cannot be read", "panels as the page writes them")
    return panel


def sound_recipe(recipe) -> bool:
    """Whether a recipe has all parts, each of the right type."""
    try:
        return (
            isinstance(recipe["method"], str)
            and all(isinstance(one["name"], str) for one in recipe["inputs"])
            and all(isinstance(recipe.get(part) or {}, dict) for part in ("params", "figure"))
            and isinstance(recipe.get("seed", 0), int)
        )
    except (KeyError, TypeError):
        return False
