"""The journal: one JSON line per finished batch and per finished shard group, appended after the data.

What the last whole line says is finished; everything beyond is cut off on resume. A kill of the process loses
nothing that was journaled (the bytes are in the kernel's page cache). After a loss of power the last batches
may be gone: each line holds checksums of its batch, and on resume everything from the first batch that does
not match is recorded again.

    {"batch": 7, "samples": 32, "rows": {slug: 32}, "ends": {file: bytes}, "crc": {file: crc32}, "overflow": {slug: 1},
     "shards": [{"tap": slug, "number": 3, "first": 4096, "rows": 6272, "digest": "..."}]}   # shards: written directly
    {"gathered": [{...as above}]}                # shards made from write-ahead rows
    {"problem": "3 items could not be read"}
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from analysis.errors import StoreDamaged

FILE = "journal.jsonl"


@dataclass
class JournalState:
    """What the journal says is finished.

    batches : the batch lines. shards : per tap slug, the shard lines in order. rows : per slug, rows in finished
    batches. end : bytes of whole lines. line_ends, last_gathered : for going back to an earlier batch.
    """

    batches: list[dict] = field(default_factory=list)
    shards: dict[str, list[dict]] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)  # byte where each batch line starts
    settled: int = 0  # batches before this one were synced to disk because a shard line followed
    end: int = 0

    @property
    def n_samples(self) -> int:
        return sum(b["samples"] for b in self.batches)

    def rows_in_shards(self, slug: str) -> int:
        return sum(s["rows"] for s in self.shards.get(slug, ()))

    def add(self, line: dict, start: int, end: int) -> None:
        for shard in line.get("shards", line.get("gathered", ())):
            self.shards.setdefault(shard["tap"], []).append(shard)
        if "batch" in line:
            if line["batch"] != len(self.batches):
                raise ValueError("a batch is missing")
            self.batches.append(line)
            self.starts.append(start)
            for slug, rows in line["rows"].items():
                self.rows[slug] = self.rows.get(slug, 0) + rows
        if "problem" in line:
            self.problems.append(line["problem"])
        if line.get("shards") or "gathered" in line:
            self.settled = len(self.batches)
        self.end = end


def read(directory: Path) -> JournalState:
    """Replay the journal; a torn last line is left out. Raises StoreDamaged for a bad line before the end."""
    path = Path(directory) / FILE
    state = JournalState()
    data = path.read_bytes() if path.exists() else b""
    position = 0
    while position < len(data):
        end = data.find(b"\n", position)
        if end < 0:
            break  # torn by a kill: never finished
        try:
            state.add(json.loads(data[position:end]), position, end + 1)
        except (ValueError, KeyError, TypeError):
            if end + 1 == len(data):
                break
            raise StoreDamaged(
                f"{path} has an unreadable line at byte {position}",
                "one JSON object per line",
                "Record again",
            ) from None
        position = end + 1
    return state


def encode(line: dict) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"
