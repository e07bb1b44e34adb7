"""What must never be unpickled, for the tests of unsafe files."""

from __future__ import annotations

from pathlib import Path


class Payload:
    """Unpickling it creates a file: the proof that code ran."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return Path.touch, (self.proof,)
