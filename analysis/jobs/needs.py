"""What memory a job will need, before it starts, and what there is: a job that needs more is refused in words.

Nothing is estimated that costs more than looking at shapes. What cannot be estimated is None; the watchdog
(`watchdog.py`) is there for that, and for estimates that were too low.
"""

from __future__ import annotations

from pathlib import Path

from analysis.compute import memory
from analysis.errors import LoupeError, TooLarge
from analysis.jobs.limits import Limits, in_words

SAFETY = 1.2  # an estimate times this must be there
RESERVE = 0.05  # of all memory stays free: the server, the database and the system answer from it
LEAST_RESERVE, MOST_RESERVE = 128 << 20, 1 << 30


def reserve() -> int:
    """Bytes that stay free whatever jobs do."""
    return int(min(max(RESERVE * memory.total_bytes(), LEAST_RESERVE), MOST_RESERVE))


def available(found: Limits) -> int:
    """Bytes that a job may take beyond what its worker holds already."""
    free = max(0, memory.free_bytes() - reserve())
    return free if found.memory is None else min(free, found.memory)


def needed(workspace: Path, kind: str, arguments: dict) -> float | None:
    """Peak bytes of a job beyond its input, or None where nothing says so. Whatever is wrong with its arguments is for
    the job itself to refuse."""
    estimate = ESTIMATES.get(kind)
    if estimate is None:
        return None
    try:
        return estimate(workspace, arguments)
    except (LoupeError, KeyError, TypeError, ValueError, OSError, AttributeError):
        return None


def refuse_too_large(title: str, needs: float | None, there: int, found: Limits) -> None:
    """Raises TooLarge where a job needs more than there is."""
    if needs is None or SAFETY * needs <= there:
        return
    configured = found.memory is not None and there == found.memory
    limit = "what one job may take here (LOUPE_JOB_MEMORY)" if configured else "what is free on this machine"
    raise TooLarge(
        f"{title} needs about {in_words(needs)} of memory, with a margin {in_words(SAFETY * needs)}",
        f"at most {in_words(there)}, {limit}",
        "Use fewer rows, fewer units or a pooled tap, or start it when less is running",
    )


def too_much(title: str, held: int, limit: int, needs: float | None) -> dict:
    """What is said of a job that was ended because it grew beyond its limit."""
    expected = "" if needs is None else f" ({in_words(needs)} were expected)"
    return {
        "found": f"{title} was ended: it held {in_words(held)} of memory{expected}",
        "expected": f"at most {in_words(limit)}, so that the machine goes on for everybody",
        "remedy": "Use fewer rows, fewer units or a smaller batch, or start it when less is running",
    }


def _of_method(workspace: Path, arguments: dict) -> float:
    from analysis import pipeline
    from analysis.workspace import Workspace

    opened = Workspace.open(workspace)
    taps = [opened.activations(name) for name in arguments["inputs"]]
    return pipeline.cost_of(arguments["method"], taps, arguments.get("params")).bytes


def _of_training(workspace: Path, arguments: dict) -> float:
    from analysis.features.asking import asked
    from analysis.features.training_cost import training_bytes
    from analysis.workspace import Workspace

    shape = Workspace.open(workspace).activations(arguments["input"]).shape
    _, params, training = asked(arguments["architecture"], arguments.get("params"), arguments.get("training"))
    return training_bytes(shape, params, training)


def _of_weights(workspace: Path, arguments: dict) -> float | None:
    """A network in memory takes at least what its files take."""
    return _weights_at(Path(arguments["checkpoint"]).expanduser())


def _of_the_taps_network(workspace: Path, arguments: dict) -> float | None:
    """The same of the network that a tap was recorded from, which is opened again to be asked."""
    from analysis.workspace import Workspace

    store = Workspace.open(workspace).store(arguments["input"].partition(":")[0])
    return _weights_at(Path(store.manifest["checkpoint"]["path"]))


def _of_published_features(workspace: Path, arguments: dict) -> float | None:
    """The weights as the file has them, and as they are kept."""
    found = _weights_at(Path(arguments["path"]).expanduser())
    return None if found is None else 2 * found


def _of_encoding(workspace: Path, arguments: dict) -> float:
    """The set's weights with their copy in working precision, the rows of one read, and what their codes take on the
    way to the disk."""
    from analysis.activations import CHUNK_ROWS
    from analysis.features.encoding import BLOCK_BYTES
    from analysis.workspace import Workspace

    opened = Workspace.open(workspace)
    d = opened.activations(arguments["input"]).shape[1]
    k = {found.name: found.n_features for found in opened.features.facts()}[arguments["features"]]
    return 2 * 4.0 * (2 * k * d + k + d) + 2 * 4 * CHUNK_ROWS * d + CODES_ALIVE * BLOCK_BYTES


def _of_classical(workspace: Path, arguments: dict) -> float:
    """Rows held in float64 with a copy, where the kind holds rows at all; else some matrices of units by units."""
    from analysis.features.classical.classical import classical
    from analysis.spec import make_params
    from analysis.workspace import Workspace

    n, d = Workspace.open(workspace).activations(arguments["input"]).shape
    params = make_params(classical(arguments["kind"]).params, dict(arguments.get("params") or {}))
    held = min(n, int(getattr(params, "maximum_rows", 0)))
    return 2 * 8.0 * held * d + 4 * 8.0 * d * d


def _of_erasing(workspace: Path, arguments: dict) -> float:
    """Moments in float64: several matrices of units by units, and the rows of one batch."""
    from analysis.activations import CHUNK_ROWS
    from analysis.workspace import Workspace

    d = Workspace.open(workspace).activations(f"{arguments['store']}:{arguments['tap']}").shape[1]
    return 6 * 8.0 * d * d + 2 * 8.0 * CHUNK_ROWS * d


def _weights_at(path: Path) -> float | None:
    if path.is_dir():
        sizes = [p.stat().st_size for p in path.iterdir() if p.suffix in WEIGHTS]
        return float(sum(sizes)) or None
    return float(path.stat().st_size) if path.suffix in WEIGHTS else None


CODES_ALIVE = (
    4  # blocks of codes at a time: before and after the rule, as indices, and on their way to the disk
)
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
ESTIMATES = {
    "method": _of_method,
    "train": _of_training,
    "sweep": _of_training,
    "record": _of_weights,
    "estimate": _of_weights,
    "dry_run": _of_weights,
    "training_cost": _of_training,
    "try_input": _of_the_taps_network,
    "what_if": _of_the_taps_network,
    "token_dump": _of_the_taps_network,
    "token_run": _of_the_taps_network,
    "import_features": _of_published_features,
    "encode": _of_encoding,
    "make_features": _of_classical,
    "erase": _of_erasing,
}
