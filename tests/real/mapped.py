"""Published points and scikit-learn's data into a workspace, through the files that a user would import."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from pathlib import Path

import numpy as np

from analysis.recording.import_dump import import_dump
from analysis.sources.dumps import open_dump
from analysis.workspace import Workspace


def imported(workspace: Workspace, name: str, points, **about) -> str:
    """The reference "store:tap" of points: an array (saved as .npy first) or a file. `about`: columns of a table
    beside them, or one `metadata` file, and `labels`, the column that is the label."""
    labels, metadata = about.pop("labels", None), about.pop("metadata", None)
    folder = workspace.path.parent
    if not isinstance(points, Path):
        np.save(folder / f"{name}.npy", points)
        points = folder / f"{name}.npy"
    if about:
        metadata = folder / f"{name}.csv"
        with open(metadata, "w", newline="") as file:
            table = csv.writer(file)
            table.writerow(about)
            table.writerows(zip(*(np.asarray(column).tolist() for column in about.values()), strict=True))
    dump = open_dump(points, labels=labels, metadata=metadata)
    [tap] = import_dump(dump, workspace.new_store_path(name), name=name).taps
    return f"{name}:{tap}"


def arxiv(real: Path, workspace: Workspace) -> str:
    """117,592 points of a published map of papers, with titles and six label columns."""
    plain = workspace.path.parent / "arxiv.tsv"
    with gzip.open(real / "arxiv_map" / "arxiv_ml_metadata.tsv.gz") as packed, open(plain, "wb") as file:
        shutil.copyfileobj(packed, file)
    points = real / "arxiv_map" / "arxiv_ml_data_map.npz"
    return imported(workspace, "arxiv", points, metadata=plain, labels="simplified")


def clothes(real: Path, workspace: Workspace) -> tuple[str, str]:
    """2,000 images of clothes: a published three-dimensional UMAP, and the 784 pixels of each, read off the sprite."""
    from PIL import Image

    read = json.loads((real / "fashion" / "umap3d_2000.json").read_text())
    place, number = np.array(read["projection"], np.float32), np.array(read["labels"])
    label = np.array(read["labelNames"])[number]
    with Image.open(real / "fashion" / "umap3d_2000_sprite.png") as sprite:
        pixels = 255 - np.asarray(sprite.convert("L"))
    tiles = pixels.reshape(45, 28, 45, 28).transpose(0, 2, 1, 3).reshape(-1, 784)[: len(label)]
    return (
        imported(workspace, "clothes-umap", place, labels="label", label=label, number=number),
        imported(workspace, "clothes", tiles.astype(np.float32), labels="label", label=label),
    )


def mammoth(real: Path, workspace: Workspace) -> str:
    """50,000 points on the skeleton of a mammoth."""
    points = json.loads((real / "point_cloud" / "mammoth_3d_50k.json").read_text())
    return imported(workspace, "mammoth", np.array(points, np.float32))
