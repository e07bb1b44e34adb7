"""What a feature does on somebody's own text or picture, as a tile and words."""

from __future__ import annotations

import base64

import numpy as np

from dashboard.browse import examples
from dashboard.browse.unit import Unit
from dashboard.figures.text import number


def tile(unit: Unit, result: dict, picture: bytes = b"") -> dict:
    """As `components.tiles` draws it; `result` as the job returns it."""
    values = np.asarray(result["values"], np.float32)
    strongest = int(values.argmax())
    made = {
        "sample": 0, "title": "your own", "value": number(float(values.max())), "where": "", "facts": "your own",
        "image": None, "box": None, "heat": None,
    }  # fmt: skip
    if picture:
        made["image"] = "data:image/png;base64," + base64.b64encode(picture).decode()
        if result["grid"] and len(values) > 1:
            made["heat"] = {
                "grid": list(result["grid"]),
                "values": examples.shades64(values, result["leading"]),
            }
    if result["tokens"]:
        made |= examples.text_of(list(result["tokens"]), values if len(values) > 1 else None, strongest)
    return made


def sentence(unit: Unit, result: dict) -> str:
    """How strong it is there, beside the strongest recorded row and how often it is active."""
    values = np.asarray(result["values"], np.float64)
    table, j = unit.index.table(), unit.number
    strongest = number(float(table["maximum"][j]))
    where = f"on {int((values != 0).sum()):,} of {len(values):,} tokens" if len(values) > 1 else "here"
    if not (values != 0).any():
        return (
            f"It is silent {'on all ' + format(len(values), ',') + ' tokens' if len(values) > 1 else 'here'}."
        )
    rate = 100 * float(table["fraction_nonzero"][j])
    return (
        f"Active {where}, at most {number(float(values.max()))}; its strongest recorded value is {strongest}, and it "
        f"is active on {rate:.2g} % of the recorded {unit.row_word}."
    )
