"""Where a recording comes from, and whether an interrupted one may be gone on with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis.errors import InputError
from analysis.recording.columns import CUT
from analysis.recording.plan import Plan
from analysis.store.manifest import tap_entry
from analysis.store.samples import LINES, read_lines
from analysis.store.text import readable
from analysis.store.writer import StoreWriter

DECISIVE = (
    "taps", "tokens", "batch", "dtype", "limit", "seed", "eval", "device", "parameter_dtype", "attention", "torch",
    "transformers",
)  # fmt: skip

MOST_SKIPPED = 100  # skipped items named in the manifest
MOST_SAID = 10  # items named in one of the store's problems


def checkpoint_entry(checkpoint, loaded) -> dict:
    """The manifest's words on the checkpoint."""
    return {
        **checkpoint.as_dict(), "modality": loaded.modality, "causal": loaded.causal, "notes": list(loaded.notes),
    }  # fmt: skip


def data_entry(data) -> dict:
    """The manifest's words on the data, with the items that could not be read."""
    return {**data.as_dict(), "skipped_items": list(data.skipped[:MOST_SKIPPED])}


def beforehand(data, plan: Plan) -> list[str]:
    """What is wrong before the first batch, in sentences for `Store.problems`."""
    said = [plan.classes.note] if plan.classes.note else []
    if data.skipped:
        said.append(f"{len(data.skipped)} item(s) were skipped: {_named(data.skipped)}")
    return said


def _named(skipped: list[str]) -> str:
    """The first few, and where the others are."""
    if len(skipped) <= MOST_SAID:
        return first_few(skipped)
    cut = f"; the list ends after {MOST_SKIPPED}" if len(skipped) > MOST_SKIPPED else ""
    return f"{first_few(skipped)}, listed by `loupe info`{cut}"


def first_few(items: Sequence[str], between: str = "; ") -> str:
    """At most ten of them, and how many more there are."""
    more = len(items) - MOST_SAID
    return between.join([*items[:MOST_SAID], *([f"and {more} more"] if more > 0 else [])])


def said_of_cuts(directory: Path, limit: int) -> list[str]:
    """How many of the recorded texts were cut at `limit` tokens, in a sentence; [] for none."""
    n = most = 0
    for line in read_lines(Path(directory) / LINES):
        left_out = [k for k in line["columns"].get(CUT) or () if k]
        n, most = n + len(left_out), max([most, *left_out])
    if not n:
        return []
    return [
        f"{n:,} text(s) were cut at {limit:,} tokens, the most that the network takes (of the longest {most:,} more "
        f"were left out): column {CUT} says how many of each"
    ]


def note_once(writer: StoreWriter, said: list[str]) -> None:
    """Note each sentence unless the store has it: a recording may have been killed before it could say all."""
    for text in said:
        if readable(text) not in writer.problems:
            writer.note_problem(text)


def refuse_other(manifest: dict, checkpoint, data, plan: Plan) -> None:
    """Raise InputError unless `manifest` was begun from the same checkpoint, data and settings, naming the first
    thing that differs: a store must not be half of one and half of another."""
    before, now = manifest.get("settings", {}), plan.settings
    pairs = [
        ("checkpoint", manifest["checkpoint"].get("digest"), checkpoint.digest),
        ("data", manifest["data"].get("digest"), data.digest),
        *((key, before.get(key), now.get(key)) for key in DECISIVE),
        (
            "the taps' shapes",
            [_essence(t) for t in manifest["taps"]],
            [_essence(tap_entry(s, "")) for s in plan.specs],
        ),
    ]
    for what, then, given in pairs:
        if then != given:
            raise InputError(
                f"this recording was begun with {what} = {then!r}, not {given!r}",
                "the same checkpoint, data and settings",
                "Record under another name, or resume with what it was begun with",
            )


def _essence(tap: dict) -> tuple:
    return tap["name"], tap["n_units"], tap["tokens"], tap["dtype"]
