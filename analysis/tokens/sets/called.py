"""What a sample of a second tap is called in a sentence: its id where that says more than its number."""

from __future__ import annotations

from analysis.activations import Activations

MOST = 24  # letters


def called(kind: str, tap: Activations, sample: int) -> str:
    """ "prompt 3 (a dog runs)", or "prompt 3"."""
    name = str(tap.samples["id"][sample])
    if name == str(sample):
        return f"{kind} {sample}"
    return f"{kind} {sample} ({name if len(name) <= MOST else name[: MOST - 1] + '…'})"
