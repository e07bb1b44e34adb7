"""The journal: one JSON line per finished batch and per finished shard group, appended after the data.

What the last whole line says is finished; everything beyond is cut off on resume. A kill of the process loses
nothing that was journaled (the bytes are in the kernel's page cache). After a loss of power the last batches
may be gone, or the journal may have a hole where its last lines were: each line holds checksums of its batch, and on
resume everything from the first batch that does not match is recorded again.

    {"batch": 7, "samples": 32, "rows": {slug: 32}, "ends": {file: bytes}, "crc": {file: crc32}, "overflow": {slug: 1},
     "underflow": {slug: 5},
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
LOST = ("overflow", "underflow")  # counts of values that the stored dtype could not hold


@dataclass
class JournalState:
    """What the journal says is finished.

    n_batches, n_samples : finished. rows : per tap slug, rows in finished batches. shards : per slug, the shard lines
    in order. ends : per file, its finished bytes. lost : per kind of `LOST` and slug, values. settled : batches before
    this one were synced to disk, because a shard line followed. end : bytes of whole lines.
    batches, starts : the batch lines and the byte where each starts; only where `keeps_lines`, which a check of what is
    on disk needs and a long recording does not.
    """

    keeps_lines: bool = True
    n_batches: int = 0
    n_samples: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    shards: dict[str, list[dict]] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    lost: dict[str, dict[str, int]] = field(default_factory=lambda: {kind: {} for kind in LOST})
    problems: list[str] = field(default_factory=list)
    batches: list[dict] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    settled: int = 0
    end: int = 0

    def rows_in_shards(self, slug: str) -> int:
        return sum(s["rows"] for s in self.shards.get(slug, ()))

    def pending(self, slug: str) -> list[dict]:
        """Batch lines whose rows of one tap are not in a shard. Raises StoreDamaged where a shard ends inside one."""
        at, start = 0, self.rows_in_shards(slug)
        for k, line in enumerate(self.batches):
            if at >= start:
                return self.batches[k:]
            at += line["rows"][slug]
            if at > start:
                raise StoreDamaged(f"a shard of {slug} ends inside batch {line['batch']}", "whole batches")
        return []

    def forget_lines(self) -> None:
        """Keep the totals only, from now on."""
        self.keeps_lines = False
        self.batches, self.starts = [], []

    def add(self, line: dict, start: int, end: int) -> None:
        """Take up one line of bytes start … end. Raises ValueError, KeyError or TypeError, and is then unchanged."""
        made = line.get("shards", line.get("gathered", ()))
        taps = [(shard["tap"], shard["rows"]) for shard in made]
        if "batch" in line:
            self._add_batch(line, start)
        for (slug, _), shard in zip(taps, made, strict=True):
            self.shards.setdefault(slug, []).append(shard)
        if "problem" in line:
            self.problems.append(line["problem"])
        if made or "gathered" in line:
            self.settled = self.n_batches
        self.end = end

    def _add_batch(self, line: dict, start: int) -> None:
        if line["batch"] != self.n_batches:
            raise ValueError("a batch is missing")
        samples, ends, _ = int(line["samples"]), dict(line["ends"]), line["crc"]
        sums = [(self.rows, line["rows"]), *((self.lost[kind], line.get(kind, {})) for kind in LOST)]
        sums = [(total, {slug: int(n) for slug, n in part.items()}) for total, part in sums]
        for total, part in sums:
            for slug, n in part.items():
                total[slug] = total.get(slug, 0) + n
        self.n_batches, self.n_samples, self.ends = self.n_batches + 1, self.n_samples + samples, ends
        if self.keeps_lines:
            self.batches.append(line)
            self.starts.append(start)


def read(directory: Path) -> JournalState:
    """Replay the journal up to the first line that is torn, a hole, or unreadable.

    Raises StoreDamaged where a shard line follows: everything before it had been synced, so the disk is at fault.
    """
    path = Path(directory) / FILE
    state = JournalState()
    data = path.read_bytes() if path.exists() else b""
    position = 0
    while (end := data.find(b"\n", position)) >= 0:
        try:
            state.add(json.loads(data[position:end]), position, end + 1)
        except (ValueError, KeyError, TypeError, AttributeError):
            if _settles(data[position:]):
                raise StoreDamaged(
                    f"{path} has an unreadable line at byte {position}",
                    "one JSON object per line",
                    "Record again",
                ) from None
            break
        position = end + 1
    return state


def _settles(data: bytes) -> bool:
    """Whether any line of `data` is a whole one that names shards."""
    for line in data.split(b"\n"):
        try:
            entry = json.loads(line.lstrip(b"\0"))
        except ValueError:
            continue
        if isinstance(entry, dict) and (entry.get("shards") or "gathered" in entry):
            return True
    return False


def encode(line: dict) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"
