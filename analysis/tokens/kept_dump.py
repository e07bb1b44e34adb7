"""A dump of one sample on disk: what a page needs to run any rule on it without the network."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.errors import StoreDamaged
from analysis.tokens.arithmetic import NetworkShape
from analysis.tokens.dump import TokenDump
from analysis.tokens.view import TokenLayout

SCHEMA = 3


@dataclass(frozen=True)
class KeptDump:
    """`dump` of one sample, its `picture` or `words`, the sizes of the network, and its answer without any removal:
    (name, probability) of the likeliest, falling. `note` on what stands for the network where it cannot be run."""

    dump: TokenDump
    shape: NetworkShape
    picture: np.ndarray | None
    words: tuple[str, ...]
    answers: tuple[tuple[str, float], ...]
    note: str = ""


def place_of(workspace: Path, digest: str, sample: int) -> Path:
    """The file of the dump of a sample of a tap."""
    return Path(workspace) / "cache" / "tokens" / f"{digest}-{sample}-{SCHEMA}.npz"


def keep(kept: KeptDump, path: Path) -> None:
    """Write one npz file: beside, then renamed."""
    layout = kept.dump.layout
    head = {
        "schema": SCHEMA, "grid": layout.grid, "causal": layout.causal, "frames": layout.frames,
        "shape": dataclasses.asdict(kept.shape), "words": kept.words, "answers": kept.answers, "note": kept.note,
        "layers": {name: len(values) for name, values in kept.dump.recorded.items()},
    }  # fmt: skip
    arrays = {f"{name}/{i}": x for name, values in kept.dump.recorded.items() for i, x in enumerate(values)}
    arrays |= {"kinds": layout.kinds, "free": layout.free, "cell": layout.cell}
    if kept.picture is not None:
        arrays["picture"] = kept.picture
    buffer = io.BytesIO()
    np.savez(buffer, __header__=np.frombuffer(json.dumps(head).encode(), np.uint8), **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        beside.write_bytes(buffer.getbuffer())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def load(path: Path) -> KeptDump:
    """Read what `keep` wrote. Raises StoreDamaged naming the file."""
    try:
        with np.load(path, allow_pickle=False) as data:
            head = json.loads(bytes(data["__header__"]).decode())
            if head["schema"] != SCHEMA:
                raise ValueError(f"schema {head['schema']}")
            layout = TokenLayout(data["kinds"], data["free"], data["cell"], head["grid"] and tuple(head["grid"]),
                                 head["causal"], head["frames"])  # fmt: skip
            recorded = {name: [data[f"{name}/{i}"] for i in range(n)] for name, n in head["layers"].items()}
            picture = data["picture"] if "picture" in data.files else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreDamaged(
            f"the dump {Path(path).name} cannot be read ({error})", "a file that Feature Loupe wrote",
            "Delete it; it is made again when it is asked for",
        ) from error  # fmt: skip
    answers = tuple((str(name), float(p)) for name, p in head["answers"])
    return KeptDump(
        TokenDump(layout, recorded), NetworkShape(**head["shape"]), picture, tuple(head["words"]), answers, head["note"]
    )  # fmt: skip
