"""What a sample of a second tap is called in a sentence: its text, id or label where that says more than its number."""

from __future__ import annotations

from analysis.activations import Activations

MOST = 24  # letters
COLUMNS = ("text", "id", "label")  # that may name a sample, the plainest first


def called(kind: str, tap: Activations, sample: int) -> str:
    """ "prompt 3 (a dog runs)", or "prompt 3"."""
    for column in COLUMNS:
        name = " ".join(str(tap.samples[column][sample]).split()) if column in tap.samples else ""
        if name and not _is_number(name):
            return f"{kind} {sample} ({name if len(name) <= MOST else name[: MOST - 1] + '…'})"
    return f"{kind} {sample}"


def _is_number(name: str) -> bool:
    return name.lstrip("+-").replace(".", "", 1).isdigit()
