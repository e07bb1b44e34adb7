"""safetensors files: names, shapes and types from the header, tensors on demand. No torch needed."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import InputError
from analysis.sources.file_magic import existing, refuse_empty, refuse_pickle


@dataclass(frozen=True)
class TensorHeader:
    """One tensor as the header tells: its type in safetensors' words ("F32", "BF16", "I64", …) and shape."""

    dtype: str
    shape: tuple[int, ...]


@contextmanager
def opened(path: str | Path, framework: str = "numpy"):
    """The file as `safetensors.safe_open`, or a refusal that says what is wrong with it.

    Raises
    ------
    UnsafeFile
        A pickle under another name.
    InputError
        Empty, truncated, or not safetensors at all.
    """
    from safetensors import SafetensorError, safe_open

    path = existing(path, "file")
    refuse_empty(path)
    refuse_pickle(path, "a safetensors file")
    try:
        handle = safe_open(str(path), framework=framework)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{path} is not a whole safetensors file ({error})",
            "a complete file in the safetensors format",
            "Copy or download it again; compare its size and checksum with the original",
        ) from None
    with handle:
        yield handle


def headers(path: str | Path) -> dict[str, TensorHeader]:
    """Every tensor's type and shape by name, without reading any value."""
    with opened(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 — not a mapping
        return {name: TensorHeader(s.get_dtype(), tuple(s.get_shape())) for name, s in slices.items()}
