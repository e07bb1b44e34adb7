"""Train the sample network of a table: is a tumour benign or malignant, from 30 measures of its cell nuclei?

    python sample_data/train_table.py

The Wisconsin diagnostic data of scikit-learn: half of the 569 rows train it, the other half are written as a CSV. The
network is described by a JSON file beside its weights, so that it is opened without code. Takes seconds; the number of
steps is fixed beforehand.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import torch
from manifest import library_versions, write_manifest
from safetensors.torch import save_file
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).parent
FOLDER, ROWS = HERE / "checkpoints" / "tumour-mlp", HERE / "data" / "tumours_heldout.csv"
SEED, HELDOUT, STEPS, RATE, DECAY = 0, 285, 100, 3e-3, 1e-2
HIDDEN = (24, 12)


def build(inputs: int, outputs: int) -> nn.Sequential:
    """Columns as they are, each brought to mean 0 and deviation 1 of the training rows, two hidden layers."""
    network = nn.Sequential()
    network.add_module("inputs", nn.Identity())
    network.add_module("scaled", nn.BatchNorm1d(inputs, affine=False))
    sizes = (inputs, *HIDDEN)
    for k, (i, o) in enumerate(zip(sizes, HIDDEN, strict=False), 1):
        network.add_module(f"linear{k}", nn.Linear(i, o))
        network.add_module(f"hidden{k}", nn.ReLU())
    network.add_module("answer", nn.Linear(sizes[-1], outputs))
    return network


def described(network: nn.Sequential, columns: list[str], classes: list[str]) -> dict:
    """The description that lies beside the weights."""
    layers = []
    for name, layer in network.named_children():
        found = {"name": name, "type": type(layer).__name__}
        if isinstance(layer, nn.Linear):
            found["args"] = {"in_features": layer.in_features, "out_features": layer.out_features}
        if isinstance(layer, nn.BatchNorm1d):
            found["args"] = {"num_features": layer.num_features, "affine": False}
        layers.append(found)
    return {"format": "feature-loupe-network", "version": 1, "weights": "model.safetensors", "layers": layers,
            "modality": "table", "input": {"columns": columns}, "classes": classes}  # fmt: skip


def train(network: nn.Sequential, x: torch.Tensor, y: torch.Tensor) -> None:
    """All rows at every step."""
    with torch.no_grad():
        network.scaled.running_mean.copy_(x.mean(dim=0))
        network.scaled.running_var.copy_(x.var(dim=0))
    network.eval()  # the scale of the columns stays as it is
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    for _ in range(STEPS):
        optimiser.zero_grad()
        F.cross_entropy(network(x), y).backward()
        optimiser.step()


def write_rows(x, y, numbers, columns, classes) -> None:
    """The held-out rows, each with its number in the data set and its class."""
    with open(ROWS, "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["id", *columns, "label"])
        for row, label, number in zip(x, y, numbers, strict=True):
            out.writerow([f"row {number}", *(f"{v:g}" for v in row), classes[label]])


def main() -> None:
    data = load_breast_cancer()
    columns, classes = [str(c) for c in data.feature_names], [str(c) for c in data.target_names]
    chosen = train_test_split(
        np.arange(len(data.data)), test_size=HELDOUT, stratify=data.target, random_state=SEED
    )
    training, heldout = (np.sort(part) for part in chosen)
    torch.manual_seed(SEED)
    network = build(len(columns), len(classes))
    x, y = torch.tensor(data.data, dtype=torch.float32), torch.tensor(data.target)
    train(network, x[training], y[training])
    with torch.no_grad():
        logits = network(x[heldout])
    accuracy = float((logits.argmax(dim=1) == y[heldout]).float().mean())
    loss = float(F.cross_entropy(logits, y[heldout]))
    FOLDER.mkdir(parents=True, exist_ok=True)
    save_file(
        {k: v for k, v in network.state_dict().items() if v.is_floating_point()}, FOLDER / "model.safetensors"
    )
    (FOLDER / "network.json").write_text(json.dumps(described(network, columns, classes), indent=2) + "\n")
    write_manifest(
        FOLDER,
        what="multilayer perceptron that tells malignant tumours from benign ones by 30 measures",
        script="sample_data/train_table.py", seed=SEED, step=STEPS, steps_total=STEPS,
        training_data=f"{len(training)} of the {len(data.data)} rows of scikit-learn's Wisconsin diagnostic data",
        heldout_data=f"sample_data/data/{ROWS.name}", heldout_samples=len(heldout),
        heldout_accuracy=round(accuracy, 4), heldout_loss=round(loss, 4),
        versions=library_versions("torch", "safetensors", "scikit-learn", "numpy"),
    )  # fmt: skip
    write_rows(data.data[heldout], data.target[heldout], heldout, columns, classes)
    print(f"accuracy {accuracy:.4f}, loss {loss:.4f} over {len(heldout)} held-out rows")


if __name__ == "__main__":
    main()
