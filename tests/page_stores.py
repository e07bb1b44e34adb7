"""Small real stores for the tests of the Map and Features pages: images, text, a table, and a single sample."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from analysis.store.from_arrays import write_store
from analysis.store.manifest import TapSpec
from analysis.workspace import Workspace

HOSTILE = "<script>alert(1)</script>"


def make_workspace(path: Path) -> Workspace:
    """A workspace with the four stores."""
    workspace = Workspace.create(path)
    images(workspace.path / "stores" / "images")
    texts(workspace.path / "stores" / "texts")
    table(workspace.path / "stores" / "table")
    single(workspace.path / "stores" / "zz-single")
    return workspace


def png(pixels: np.ndarray) -> bytes:
    """Grey pixels (h, w) as a PNG file."""
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def images(path: Path, n: int = 240, units: int = 16) -> None:
    """Three classes of 8 x 8 images with a bright quarter; unit 3 of `blocks.0` sees class 'b' in patch 2 only.

    Unit 0 is dead, unit 1 always on. `pooled` is the mean over tokens; `blocks.0` has a class token and 2 x 2 patches.
    """
    rng = np.random.default_rng(1)
    label = np.arange(n) % 3
    pixels = rng.integers(0, 60, (n, 8, 8))
    for i, c in enumerate(label):
        pixels[i, 4 * (c // 2) : 4 * (c // 2) + 4, 4 * (c % 2) : 4 * (c % 2) + 4] += 180
    tokens = np.maximum(rng.standard_normal((n, 5, units)), 0)
    tokens[:, :, 0], tokens[:, :, 1] = 0, 5 + rng.random((n, 5))
    tokens[:, :, 3] = 0.05 * rng.random((n, 5))
    tokens[label == 1, 3, 3] += 4 + rng.random((label == 1).sum())
    tokens[np.arange(n), 1 + label % 4, 4] += 2
    pooled = tokens.mean(axis=1)
    pooled[:, 5] += 3 * (label == 2)
    predicted = np.where(rng.random(n) < 0.9, label, (label + 1) % 3)
    names = np.array(["a", "b", "c"])
    write_store(
        path, name=path.name, taps={"pooled": pooled, "blocks.0": tokens}, labels=names[label].tolist(),
        specs={
            "pooled": TapSpec("pooled", units, "float32", "mean"),
            "blocks.0": TapSpec("blocks.0", units, "float32", "all", "Block", (2, 2), 1),
        },
        samples={
            "predicted": names[predicted].tolist(), "correct": (predicted == label).tolist(),
            "loss": rng.random(n).tolist(), "source": [HOSTILE if i % 7 == 0 else "scan" for i in range(n)],
        },
        thumbnails=[png(p) for p in pixels],
    )  # fmt: skip


def texts(path: Path, n: int = 60) -> None:
    """Texts of different lengths; unit 2 fires on the token "while" only."""
    rng = np.random.default_rng(2)
    words = ["def", " f", "(", "x", ")", ":", "\n", "while", " <b>bold</b>", "😀"]
    tokens = [[words[k] for k in rng.integers(0, len(words), rng.integers(3, 30))] for _ in range(n)]
    values = []
    for line in tokens:
        v = np.abs(rng.standard_normal((len(line), 6))).astype(np.float32)
        v[:, 2] = [3 + rng.random() if t == "while" else 0 for t in line]
        values.append(v)
    write_store(
        path, name=path.name, taps={"h.0": values}, tokens=tokens, samples={"id": [f"t{i}" for i in range(n)]}
    )


def table(path: Path, n: int = 80) -> None:
    """Rows of a table without labels."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((n, 4))
    write_store(
        path, name=path.name, taps={"mlp": np.tanh(x @ rng.standard_normal((4, 8)))},
        samples={"age": x[:, 0].tolist(), "city": ["Rome" if v > 0 else "<i>Bonn</i>" for v in x[:, 1]]},
    )  # fmt: skip


def single(path: Path) -> None:
    """One sample, two units."""
    write_store(path, name=path.name, taps={"t": np.array([[1.0, 2.0]])}, samples={"id": ["only"]})


def refused_messages(monkeypatch) -> list[str]:
    """Fills with what pages send to components that is not plain JSON: Streamlit would send its repr or a NaN."""
    import json

    from streamlit.components.v2.bidi_component import main

    refused, real = [], main.serialize_mixed_data

    def checked(data, proto):
        try:
            json.dumps(data, allow_nan=False)
        except (TypeError, ValueError) as error:
            refused.append(f"{error}: {str(data)[:300]}")
        return real(data, proto)

    monkeypatch.setattr(main, "serialize_mixed_data", checked)
    return refused
