"""The state dict of a file of weights, by its content: safetensors, or what torch.save wrote."""

from __future__ import annotations

from pathlib import Path

from analysis.installed import need
from analysis.sources.file_magic import magic


def read_state(path: Path, state_key: str | None = None) -> tuple[dict, list[str]]:
    """State dict of a file and notes on where in it it was. By content, whatever the file's suffix."""
    if magic(path) == "safetensors":
        need("torch", f"Loading {path}")
        from safetensors.torch import load_file

        from analysis.sources.safetensors_file import opened

        with opened(path):  # its refusals, in words
            pass
        return load_file(str(path), device="cpu"), []
    from analysis.sources.state_dict import find_state_dict
    from analysis.sources.torch_files import load_weights

    return find_state_dict(load_weights(path), str(path), state_key)
