"""Feature Loupe's backend: see what a neural network has learned, and how much of it noise would show too.

    import analysis

    workspace = analysis.open_workspace("sample_data/workspace")
    tap = workspace.activations("digits-vit:vit.layers.2")          # lazy rows x units
    result = analysis.run("pca", [tap])                               # any method, by id
    analysis.registry.methods()                                       # what there is

Importing this package needs NumPy and SciPy only.
"""

from __future__ import annotations

__version__ = "0.1.0"

_PUBLIC = {
    "ArrayActivations": "analysis.activations",
    "Activations": "analysis.activations",
    "Layout": "analysis.activations",
    "LoupeError": "analysis.errors",
    "Estimate": "analysis.results",
    "Result": "analysis.results",
    "Selection": "analysis.selection",
    "Store": "analysis.store.reader",
    "Workspace": "analysis.workspace",
    "run": "analysis.pipeline",
    "open_workspace": "analysis.workspace",
    "open_checkpoint": "analysis.sources.checkpoint",
    "open_data": "analysis.sources.data",
    "open_dump": "analysis.sources.dumps",
    "record": "analysis.recording.recorder",
    "write_store": "analysis.store.from_arrays",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str):
    """Public names load their module when first used: `import analysis` stays instant."""
    import importlib

    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    if name == "registry":
        return importlib.import_module("analysis.registry")
    raise AttributeError(f"module 'analysis' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
