"""Record the sample networks into `sample_data/workspace`, and keep the results that the first pages draw.

    python sample_data/make_workspace.py

Needs the checkpoints beside it (train_digits.py, train_gpt.py). Takes about a minute on two cores.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from analysis.recording.recorder import record
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data
from analysis.workspace import Workspace

HERE = Path(__file__).resolve().parent
DIGITS = HERE / "data" / "digits_heldout"
PYTHON = HERE / "data" / "python_heldout"

SOME = "*[0369].png"  # two fifths of the digits of every class: 17 rows each add up

# name, checkpoint, data, files of the data (None: all), taps, tokens
STORES = [
    ("digits-vit", "digits-vit-seed0", DIGITS, None, ("vit.layers.*", "vit.layernorm"), "mean"),
    ("digits-vit-patches", "digits-vit-seed0", DIGITS, SOME, ("vit.layers.2", "vit.layers.3"), "all"),
    ("digits-vit-seed1", "digits-vit-seed1", DIGITS, None, ("vit.layers.*", "vit.layernorm"), "mean"),
    ("digits-resnet", "digits-resnet", DIGITS, None, ("resnet.encoder.stages.*",), "spatial-mean"),
    ("python-gpt", "python-gpt", PYTHON, None, ("transformer.h.*",), "all"),
]


def main() -> None:
    """Make the workspace anew."""
    target = HERE / "workspace"
    shutil.rmtree(target, ignore_errors=True)
    workspace = Workspace.create(target)
    for name, checkpoint, data, files, taps, tokens in STORES:
        store = record(
            open_checkpoint(HERE / "checkpoints" / checkpoint),
            open_data(data, pattern=files),
            workspace.new_store_path(name),
            name=name,
            taps=taps,
            tokens=tokens,
        )
        print(f"{name}: {store.n_samples} samples, {', '.join(store.taps)}, {store.n_bytes / 2**20:.2f} MiB")
    for entry in workspace.stores():
        for tap in [t for t in entry.store.taps if not t.startswith("outputs.")]:
            for method in ("pca", "localmap", "umap"):
                workspace.run(method, [f"{entry.name}:{tap}"])
    for reference in ("digits-vit:vit.layers.3", "digits-resnet:resnet.encoder.stages.2"):
        for method in (
            "unit_correlation",
            "class_selectivity",
            "map_quality",
            "pca_spectrum",
            "unit_statistics",
        ):
            workspace.run(method, [reference])
    for graph in (target / "cache").glob("shared-*"):  # neighbours of so few points are made in no time
        graph.unlink()


if __name__ == "__main__":
    main()
