"""Small networks with their descriptions, written into a folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def layer(name: str, type: str, **args) -> dict:
    return {"name": name, "type": type, **({"args": args} if args else {})}


def linear(name: str, inputs: int, outputs: int) -> dict:
    return layer(name, "Linear", in_features=inputs, out_features=outputs)


def description(layers: list, modality: str, given: dict, **more) -> dict:
    return {"format": "feature-loupe-network", "version": 1, "weights": "net.pt", "layers": layers,
            "modality": modality, "input": given, **more}  # fmt: skip


def write(folder: Path, said: dict, state: dict | None = None) -> Path:
    """network.json, and the weights where they are given. Returns the description's path."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    if state is not None:
        torch.save(state, folder / "net.pt")
    (folder / "network.json").write_text(json.dumps(said))
    return folder / "network.json"


def mlp(seed: int = 0, sizes=(3, 5, 2)):
    """A module and its layers as a description says them."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(sizes[0], sizes[1]), nn.ReLU(), nn.Linear(sizes[1], sizes[2])).eval()
    return module, [linear("0", sizes[0], sizes[1]), layer("1", "ReLU"), linear("2", sizes[1], sizes[2])]


def table(path: Path, n: int = 40, holes: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
    """A csv with the columns rooms, age, homes, price and kind; `holes` : rows without rooms."""
    rng = np.random.default_rng(4)
    columns = {
        "rooms": rng.integers(10, 90, n).astype(float), "age": rng.normal(size=n).round(3),
        "homes": rng.integers(1, 9, n).astype(float), "price": rng.normal(size=n).round(3),
    }  # fmt: skip
    lines = [",".join((*columns, "kind"))]
    for i in range(n):
        told = ["" if k == "rooms" and i in holes else repr(float(v[i])) for k, v in columns.items()]
        lines.append(",".join((*told, "ab"[i % 2])))
    path.write_text("\n".join(lines) + "\n")
    return columns
