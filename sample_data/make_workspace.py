"""Record the sample networks into `sample_data/workspace`, encode two of their layers with the sample dictionaries, and
keep the results that the first pages draw.

    python sample_data/make_workspace.py

Needs the checkpoints and dictionaries beside it (train_digits.py, train_gpt.py, train_table.py,
train_dictionaries.py). Takes about
three minutes on two cores.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from analysis.certificates import certify
from analysis.features.feature_set import FeatureSet
from analysis.recording.recorder import record
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data
from analysis.workspace import Workspace

HERE = Path(__file__).resolve().parent
DIGITS = HERE / "data" / "digits_heldout"
PYTHON = HERE / "data" / "python_heldout"
CODE = HERE / "data" / "python_code.jsonl"
TUMOURS = HERE / "data" / "tumours_heldout.csv"
DICTIONARIES = HERE / "dictionaries"

SOME = "*[0369].png"  # two fifths of the digits of every class: 17 rows each add up

# name, checkpoint, data, files of the data (None: all), taps, tokens
STORES = [
    ("digits-vit", "digits-vit-seed0", DIGITS, None, ("vit.layers.*", "vit.layernorm"), "mean"),
    ("digits-vit-patches", "digits-vit-seed0", DIGITS, SOME, ("vit.layers.2", "vit.layers.3"), "all"),
    ("digits-vit-seed1", "digits-vit-seed1", DIGITS, None, ("vit.layers.*", "vit.layernorm"), "mean"),
    ("digits-resnet", "digits-resnet", DIGITS, None, ("resnet.encoder.stages.*",), "spatial-mean"),
    ("python-gpt", "python-gpt", PYTHON, None, ("transformer.h.*",), "all"),
    ("python-gpt-code", "python-gpt", CODE, None, ("transformer.h.2",), "all"),
    ("tumours-mlp", "tumour-mlp", TUMOURS, None, ("inputs", "hidden*"), "all"),
]
NAMED = {CODE: {"text": "text", "id": "id"}, TUMOURS: {"id": "id", "label": "label"}}  # columns of tables
KEYWORDS = (
    "keyword: if for in return not None True False while else elif def class import raise try except with as"
)

# tap, its dictionaries (the first is certified against the others), taps of other networks on the same samples
ENCODED = [
    ("digits-vit-patches:vit.layers.2", "vit-topk", ()),
    ("python-gpt-code:transformer.h.2", "gpt-topk", ()),
]
JUDGED = (
    "dictionary_court",
    "dictionary_report",
    "seed_consistency",
    "feature_table",
    "feature_names",
    "kind_features",
)


def main() -> None:
    """Make the workspace anew."""
    target = HERE / "workspace"
    shutil.rmtree(target, ignore_errors=True)
    workspace = Workspace.create(target)
    for name, checkpoint, data, files, taps, tokens in STORES:
        store = record(
            open_checkpoint(HERE / "checkpoints" / checkpoint),
            open_data(data, **NAMED.get(data, {"pattern": files})),
            workspace.new_store_path(name),
            name=name,
            taps=taps,
            tokens=tokens,
            dtype="float32" if data == TUMOURS else "float16",  # columns of a table keep their digits
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
    _dictionaries(workspace)
    for graph in (target / "cache").glob("shared-*"):  # neighbours of so few points are made in no time
        graph.unlink()


def _dictionaries(workspace: Workspace) -> None:
    """The sample dictionaries on the shelf, what they do on a tap each, and what judges the first of each."""
    for tap, name, networks in ENCODED:
        sets = [FeatureSet.open(path) for path in sorted(DICTIONARIES.glob(f"{name}-s*"))]
        taps = [workspace.encode(tap, workspace.features.add(features).name) for features in sets]
        certify(workspace, taps[0], taps[1:], networks)
        for method in JUDGED:
            found = workspace.run(method, taps if method == "seed_consistency" else taps[:1])
            print(f"{taps[0]} {method}: {found.reading}")
        if "gpt" in name:
            found = workspace.run("kind_features", taps[:1], {"kinds": KEYWORDS})
            print(f"{taps[0]} with keywords: {found.reading}")


if __name__ == "__main__":
    main()
