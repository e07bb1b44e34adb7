"""Tensors of a file of dictionary weights as float32 arrays, whatever the format: safetensors, torch or NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from analysis.errors import InputError
from analysis.sources.file_magic import magic
from analysis.sources.inflated import refuse_large_zip

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".npz")


def read_tensors(path: Path) -> dict:
    """Arrays by name, nested dicts of a torch file joined by dots ("state_dict.encoder.weight"); numbers and texts
    that stand beside them as they are. bfloat16 is widened, which loses nothing.

    Raises NotFound, UnsafeFile, InputError.
    """
    if magic(path) == "safetensors":
        from safetensors.torch import load_file

        from analysis.sources.safetensors_file import opened

        with opened(path):  # its refusals, in words
            pass
        return _flat(load_file(str(path), device="cpu"))
    if magic(path) not in ("zip", "pickle", "tar", "empty"):
        named = Path(path).suffix == ".safetensors"
        raise InputError(
            f"{path} is {'named .safetensors and is none' if named else 'no file of weights'}",
            f"one of {', '.join(f'*{s}' for s in SUFFIXES)}",
            "It may be cut off: fetch it again" if named else "Choose the file with the weights",
        )
    if Path(path).suffix == ".npz":
        refuse_large_zip(Path(path))
        try:
            with np.load(path, allow_pickle=False) as file:
                return _flat({name: file[name] for name in file.files})
        except (ValueError, EOFError, BadZipFile, TypeError, AttributeError) as error:
            raise InputError(
                f"{path} cannot be read: {error}", "a whole npz file with arrays of numbers",
                "Copy it again, or save it with numpy.savez",
            ) from None  # fmt: skip
    from analysis.sources.torch_files import load_weights

    found = load_weights(path)
    if not isinstance(found, Mapping):
        raise InputError(f"{path} holds {type(found).__name__}", "tensors by name")
    return _flat(found)


def _flat(found: Mapping, before: str = "") -> dict:
    flat = {}
    for name, value in found.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{before}{name}.")
        elif hasattr(value, "detach"):
            flat[before + str(name)] = value.detach().float().numpy()
        elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            flat[before + str(name)] = value.astype(np.float32)
        else:
            flat[before + str(name)] = value
    return flat
