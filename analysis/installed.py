"""Libraries that are not installed, in words: what needs them, and the line that installs them."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from importlib.util import find_spec

from analysis.errors import NotInstalled

OWN = "feature-loupe"
LIBRARIES = {  # by what is imported: what is installed
    "torch": "torch", "transformers": "transformers", "tokenizers": "tokenizers", "safetensors": "safetensors",
    "sklearn": "scikit-learn", "umap": "umap-learn", "openTSNE": "openTSNE", "numba": "numba", "pandas": "pandas",
    "pyarrow": "pyarrow", "PIL": "pillow", "soundfile": "soundfile", "matplotlib": "matplotlib", "plotly": "plotly",
    "captum": "captum",
}  # fmt: skip


def need(library: str, what: str) -> None:
    """Raises NotInstalled where `library` of `LIBRARIES` is not there; nothing is imported. `what` needs it, in words
    that begin a sentence."""
    try:
        there = find_spec(library) is not None
    except ValueError:  # put into sys.modules by hand
        there = sys.modules.get(library) is not None
    if not there:
        raise _refusal(library, what)


def not_installed(error: BaseException) -> NotInstalled | None:
    """The refusal for an import that failed, where it is of one of `LIBRARIES`."""
    library = (getattr(error, "name", None) or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or library not in LIBRARIES:
        return None
    try:
        need(library, "This")
    except NotInstalled as refusal:
        return refusal
    return None  # it is there; a part of it is not


def _refusal(library: str, what: str) -> NotInstalled:
    asked = requirement(LIBRARIES[library])
    return NotInstalled(
        f"{what} needs {LIBRARIES[library]}, which is not installed", asked,
        f'Install it: python -m pip install "{asked}", and start again',
    )  # fmt: skip


def requirement(name: str) -> str:
    """The distribution with the versions that this program asks for, such as "torch>=2.6"."""
    try:
        asked = metadata.requires(OWN) or []
    except metadata.PackageNotFoundError:
        asked = []
    found = (line.partition(";")[0].strip() for line in asked)
    return next((r for r in found if re.split(r"[^\w.-]", r)[0].lower() == name.lower()), name)
