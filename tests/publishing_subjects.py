"""A workspace whose every text is an attack, a bundle of it, and reading a bundle as its pages do."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path

import numpy as np
import page_stores

from analysis.selection import Selection
from analysis.store.from_arrays import write_store
from analysis.store.manifest import TapSpec
from analysis.workspace import Workspace

ATTACKS = (
    "</script><script>window.pwned=1</script>",
    '<img src=x onerror="window.pwned=2">',
    '"><svg onload=window.pwned=3>',
    "javascript:window.pwned=4",
    "\u2028window.pwned=5\u2029//",
    "{{window.pwned=6}}${window.pwned=7}`",
    "=HYPERLINK(1)",
    "]]><!--",
)
SENT = re.compile(r'loupe\.(put|unzip)\(("(?:[^"\\]|\\.)*"),(.*)\);\n', re.DOTALL)


def made(folder: Path) -> Workspace:
    """Stores of images, texts and tables, and one of attacks; a map, a heat map and figures are kept."""
    workspace = page_stores.make_workspace(folder / "private place" / "workspace")
    attacked(workspace.path / "stores" / "attacked")
    for k, text in enumerate(ATTACKS[:6]):
        workspace.note("attacked", "a.tap", k, text)
    workspace.star("attacked", "a.tap", 2)
    workspace.note("images", "pooled", 5, "sees class c")
    workspace.save_selection(Selection(ATTACKS[1], "units", "images", "pooled", [2, 5, 9], note=ATTACKS[0]))
    for reference in ("images:pooled", "images:blocks.0", "texts:h.0", "attacked:a.tap"):
        workspace.run("pca", [reference])
    workspace.run("pca", ["images:pooled"], {"of": "units"})
    workspace.run("correlation_map", ["images:pooled"])
    workspace.run("pca_spectrum", ["images:pooled"])
    workspace.run("class_selectivity", ["attacked:a.tap"], {"column": ATTACKS[0]})
    return workspace


def attacked(path: Path, n: int = 64) -> None:
    """Attacks as ids, classes, unit names, column names and values, and texts."""
    rng = np.random.default_rng(5)
    which = [ATTACKS[i % len(ATTACKS)] for i in range(n)]
    values = rng.standard_normal((n, len(ATTACKS))).astype(np.float32)
    labels = [ATTACKS[i % 3] for i in range(n)]
    write_store(
        path, name=path.name, taps={"a.tap": values}, labels=labels,
        samples={"id": [f"{i} {text}" for i, text in enumerate(which)], ATTACKS[0]: labels, "other": which},
        specs={"a.tap": TapSpec("a.tap", len(ATTACKS), "float32", unit_names=ATTACKS)},
        tokens=[[text, " and ", text] for text in which],
        thumbnails=[page_stores.png(rng.integers(0, 255, (8, 8))) for _ in range(n)],
    )  # fmt: skip


def read(path: Path) -> tuple[str, object]:
    """(name, value) of a data file, as a browser understands it."""
    kind, name, value = SENT.fullmatch(path.read_bytes().decode("utf-8")).groups()
    if kind == "unzip":
        value = zlib.decompress(base64.b64decode(value.strip('"')), -15)
    return json.loads(name), json.loads(value)


def data(folder: Path, name: str):
    """The value of one data file."""
    said, value = read(folder / "data" / f"{name}.js")
    assert said == name
    return value


def tap_of(folder: Path, reference: str) -> dict:
    return next(t for t in data(folder, "site")["taps"] if t["reference"] == reference)


def card_of(folder: Path, reference: str, unit: int) -> dict:
    """One published card."""
    site, tap = data(folder, "site"), tap_of(folder, reference)
    at = data(folder, f"taps/{tap['slug']}/list")["units"].index(unit)
    return data(folder, f"taps/{tap['slug']}/cards-{at // site['cards']}")[at % site["cards"]]


def everything(folder: Path) -> str:
    """All texts of a bundle: what was deflated as it was before."""
    texts = []
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".js" and "data" in path.relative_to(folder).parts:
            texts.append(json.dumps(read(path), ensure_ascii=False))
        elif path.suffix in (".js", ".html", ".css", ".csv", ".json", ".svg", ".txt"):
            texts.append(path.read_text(encoding="utf-8"))
    return "\n".join(texts)
