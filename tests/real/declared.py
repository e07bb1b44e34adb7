"""Descriptions of networks that other people trained, from the shapes of their weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path


def layer(name, type: str, **args) -> dict:
    return {"name": str(name), "type": type, "args": args}


def linear(name, inputs: int, outputs: int) -> dict:
    return layer(name, "Linear", in_features=inputs, out_features=outputs)


def conv(name, axes: int, inputs: int, outputs: int, size: int, **more) -> dict:
    return layer(name, f"Conv{axes}d", in_channels=inputs, out_channels=outputs, kernel_size=size, **more)


def fashion(names) -> dict:
    layers = [
        conv(0, 2, 1, 16, 4, stride=2, padding=1), layer(1, "ReLU"), conv(2, 2, 16, 32, 4, stride=2, padding=1),
        layer(3, "ReLU"), layer(4, "Flatten"), linear(5, 1568, 100), layer(6, "ReLU"), linear(7, 100, 10),
    ]  # fmt: skip
    return {
        "layers": layers,
        "modality": "image",
        "input": {"size": 28, "channels": 1},
        "classes": list(names),
    }


def california() -> dict:
    sizes, layers = (8, 100, 50, 10, 1), []
    for i in range(4):
        layers += [linear(f"lin{i + 1}", *sizes[i : i + 2]), layer(f"relu{i + 1}", "ReLU")]

    def ratio(name, *of) -> dict:
        return {"name": f"{name}/household", "ratio": list(of)}

    columns = [
        "median_income", "housing_median_age", ratio("rooms", "total_rooms", "households"),
        ratio("bedrooms", "total_bedrooms", "households"), "population", ratio("people", "population", "households"),
        "latitude", "longitude",
    ]  # fmt: skip
    return {"layers": layers[:-1], "modality": "table", "input": {"columns": columns},
            "output": {"name": "house value", "unit": "100,000 dollars"}}  # fmt: skip


def signals(names) -> dict:
    def convs(*sizes) -> list:
        return [
            x for at, i, o, k in sizes for x in (conv(at, 1, i, o, k, padding=k // 2), layer(at + 1, "ReLU"))
        ]

    features = [
        *convs((0, 2, 64, 7), (2, 64, 64, 7)), layer(4, "MaxPool1d", kernel_size=2),
        *convs((5, 64, 128, 5), (7, 128, 128, 5)), layer(9, "MaxPool1d", kernel_size=2), *convs((10, 128, 256, 3)),
        layer(12, "AdaptiveAvgPool1d", output_size=1),
    ]  # fmt: skip
    head = [linear(0, 256, 128), layer(1, "ReLU"), linear(2, 128, 11)]
    layers = [{"name": "features", "type": "Sequential", "layers": features}, layer("flat", "Flatten"),
              {"name": "head", "type": "Sequential", "layers": head}]  # fmt: skip
    return {"layers": layers, "modality": "array", "input": {"shape": [2, 1024]}, "classes": list(names)}


def characters(prefix: str) -> dict:
    layers = []
    for i, inputs in enumerate((1, 64, 64, 64)):
        layers += [conv(4 * i, 2, inputs, 64, 3, padding=1), layer(4 * i + 1, "BatchNorm2d", num_features=64),
                   layer(4 * i + 2, "ReLU"), layer(4 * i + 3, "MaxPool2d", kernel_size=2)]  # fmt: skip
    given = {"size": 28, "channels": 1, "resample": "bilinear", "range": "min-max"}
    return {"layers": [*layers, layer(16, "Flatten")], "modality": "image", "input": given,
            "prefixes": {"": prefix} if prefix else {}}  # fmt: skip


def beside(folder: Path, weights: Path, said: dict) -> Path:
    """The description in `folder`, beside a copy of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(weights, folder / "weights.pt")
    said = {"format": "feature-loupe-network", "version": 1, "weights": "weights.pt", **said}
    (folder / "network.json").write_text(json.dumps(said))
    return folder / "network.json"
