"""What kind of network a store's checkpoint is, by its configuration or description alone; no network is opened."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

MOST_BYTES = 1 << 20
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads")
SCANS = ("state_size", "ssm_state_size", "mamba_d_state")
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
ATTENTION, BLOCKS, MIXTURE, SELECTIVE = "attention", "blocks", "experts", "scans"
KINDS = {  # settings above 0 of a configuration, words of a description's layers
    ATTENTION: (HEADS, ("attention", "transformer")),
    BLOCKS: (HEADS + SCANS, ("attention", "transformer")),  # attention with MLPs, or scans
    MIXTURE: (EXPERTS, ("expert",)),
    SELECTIVE: (SCANS, ()),
}


def is_of(kind: str, checkpoint: Mapping) -> bool:
    """Whether a checkpoint, as a manifest tells of it, is of a kind of network; of "" every one is."""
    if not kind:
        return True
    settings, words = KINDS[kind]
    path = Path(str(checkpoint.get("path") or ""))
    file = path / "config.json" if path.is_dir() else path
    found = _read(str(file), _stamp(file))
    if path.is_dir():
        return _any(found, settings)
    layers = " ".join(_layers(found)).lower()
    return any(word in layers for word in words)


def _stamp(file: Path) -> tuple[int, int]:
    try:
        found = os.stat(file)
        return found.st_mtime_ns, found.st_size
    except OSError:
        return 0, 0


@lru_cache(maxsize=128)
def _read(path: str, stamp: tuple[int, int]):
    """What a small file holds; None where it cannot be read. `stamp` forgets it when it changes."""
    try:
        if os.path.getsize(path) > MOST_BYTES:
            return None
        return json.loads(Path(path).read_bytes())
    except (OSError, ValueError):
        return None


def _any(found, settings: tuple[str, ...]) -> bool:
    """Of a configuration and those inside it (text, vision)."""
    if not isinstance(found, dict):
        return False
    own = any(isinstance(found.get(name), int) and found[name] > 0 for name in settings)
    return own or any(_any(inner, settings) for inner in found.values())


def _layers(found) -> list[str]:
    """Types of the layers of a description, at any depth."""
    if isinstance(found, dict):
        own = [str(found["type"])] if "type" in found else []
        return own + [kind for inner in found.values() for kind in _layers(inner)]
    return [kind for inner in found for kind in _layers(inner)] if isinstance(found, list) else []
