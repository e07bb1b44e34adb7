"""Where a recording comes from, and whether an interrupted one may be gone on with."""

from __future__ import annotations

from analysis.errors import InputError
from analysis.recording.plan import Plan
from analysis.store.manifest import tap_entry
from analysis.store.text import readable
from analysis.store.writer import StoreWriter

DECISIVE = (
    "taps", "tokens", "batch", "dtype", "limit", "seed", "eval", "device", "parameter_dtype", "attention", "torch",
    "transformers",
)  # fmt: skip

MOST_SKIPPED = 100  # skipped items named in the manifest
MOST_SAID = 10  # of them named among the store's problems


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
    text, more = "; ".join(skipped[:MOST_SAID]), len(skipped) - MOST_SAID
    if more <= 0:
        return text
    cut = f"; the list ends after {MOST_SKIPPED}" if len(skipped) > MOST_SKIPPED else ""
    return f"{text}; and {more} more, listed by `loupe info`{cut}"


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
