"""`torch.load` with weights only, on the CPU, and its failures in words.

The restricted unpickler builds tensors and plain containers; anything else in the pickle is refused before it
could run. Zip and legacy files are read alike.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from analysis.errors import InputError, UnsafeFile
from analysis.installed import need
from analysis.sources.file_magic import existing, magic, refuse_empty
from analysis.sources.inflated import refuse_swelling_zip, refuse_swollen


def load_weights(path: str | Path):
    """The object in a .pt/.pth/.bin file: tensors in plain containers.

    Raises
    ------
    UnsafeFile
        It holds anything that is not a tensor or a plain container (a whole pickled module, code).
    InputError
        Empty, truncated, or not a torch file.
    TooLarge
        It says that it becomes far more than it is.
    NotInstalled
        There is no torch.
    """
    need("torch", f"Reading {path}")
    import torch

    path = existing(path, "file")
    refuse_empty(path)
    refuse_swelling_zip(path)
    try:
        with warnings.catch_warnings():  # torch warns about TorchScript archives and old storages
            warnings.simplefilter("ignore")
            found = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises a dozen types here; none of them is a word to a person
        raise _refusal(path, error) from None
    refuse_swollen(path, found)
    return found


def _refusal(path: Path, error: Exception) -> InputError:
    text = str(error)
    if "TorchScript" in text:
        return UnsafeFile(
            f"{path} is a TorchScript archive, which holds code; it was not opened",
            "weights only",
            "Save module.state_dict() and give --model package.module:factory",
        )
    refused = "Weights only load failed" in text and re.search(r"[Uu]nsupported|not allowed|blocked", text)
    if refused or ".tar format" in text:
        named = re.search(r"GLOBAL ([\w.]+)", text)
        return UnsafeFile(
            f"{path} holds more than weights{f' ({named.group(1)})' if named else ''} and could run code when "
            "opened; it was not opened",
            "tensors in plain dicts and lists",
            "Where you trust it, load it yourself and save module.state_dict(), best as .safetensors",
        )
    return _damaged(path, text)


def _damaged(path: Path, text: str) -> InputError:
    lines = text.strip().splitlines() or [""]
    known = magic(path) in ("pickle", "zip")
    reason = lines[0].split(". ")[0][:160] if known and len(lines[0]) > 8 else ""
    return InputError(
        f"{path} cannot be read as torch weights" + (f" ({reason})" if reason else ""),
        "a whole file written by torch.save(module.state_dict())",
        "It may be truncated: compare its size with the original"
        if known
        else "Check what kind of file it is",
    )
