"""Checkpoints and data that can be offered by name: those used before, and the samples that come along."""

from __future__ import annotations

from pathlib import Path

from analysis.roots import is_readable
from dashboard import state

SAMPLES = Path(__file__).parents[2] / "sample_data"


def checkpoints() -> list[str]:
    """Paths of checkpoints: of the recorded stores first, then the sample networks."""
    samples = SAMPLES / "checkpoints"
    return _there(
        [*_recorded("checkpoint"), *sorted(str(p) for p in samples.glob("*") if (p / "config.json").exists())]
    )


def data() -> list[str]:
    """Paths of data: of the recorded stores first, then the sample data."""
    samples = SAMPLES / "data"
    kept = [
        str(p) for p in sorted(samples.glob("*")) if p.is_dir() or p.suffix in (".npz", ".csv", ".parquet")
    ]
    return _there([*_recorded("data"), *kept])


def _recorded(part: str) -> list[str]:
    entries = [entry.store for entry in state.workspace().stores() if entry.store is not None]
    return [str((store.manifest.get(part) or {}).get("path") or "") for store in entries]


def _there(paths: list[str]) -> list[str]:
    """Those that are there and that this host reads (all, on one's own machine)."""
    return list(
        dict.fromkeys(
            path for path in paths if path and Path(path).exists() and is_readable(Path(path).resolve())
        )
    )
