"""A small workspace with everything that a pack holds, and packs that were tampered with."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np

from analysis.features import rules
from analysis.features.feature_set import FeatureSet
from analysis.results import Curve
from analysis.selection import Selection
from analysis.sharing.container import MANIFEST, digest_of
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data
from analysis.store.manifest import TapSpec
from analysis.store.writer import StoreWriter, TapBlock
from analysis.workspace import Workspace

NETWORK = Path(__file__).parents[1] / "sample_data" / "checkpoints" / "digits-vit-seed0"
SAMPLES, KEY = 40, "0" * 32


def made(folder: Path) -> Workspace:
    """folder/data (texts) and folder/work: a store with media, a feature set, a selection, a note, a kept result."""
    texts = folder / "data" / "texts"
    texts.mkdir(parents=True)
    for k in range(SAMPLES):
        (texts / f"{k:02d}.txt").write_text(f"the text {k}")
    (texts / "private.key").write_text("no text of the data set")
    data, workspace = open_data(texts, kind="text"), Workspace.create(folder / "work")
    rng, path = np.random.default_rng(0), workspace.new_store_path("first")
    checkpoint = open_checkpoint(NETWORK).as_dict()
    writer = StoreWriter.create(
        path, name="first", taps=(TapSpec("a/tap", 5),), checkpoint=checkpoint, data=data.as_dict()
    )
    with writer as w:
        media = [data.media_path(k) for k in range(SAMPLES)]
        w.append({"id": data.ids.tolist(), "media_path": media},
                 {"a/tap": TapBlock(rng.normal(size=(SAMPLES, 5)).astype(np.float32))})  # fmt: skip
        w.finish()
    atoms, zero = rng.normal(size=(5, 3)).astype(np.float32), np.zeros(5, np.float32)
    workspace.features.add(FeatureSet("atoms", rules.LINEAR, atoms, atoms.T.copy(), zero[:3], zero, zero))
    workspace.save_selection(Selection("odd ones", "samples", "first", "", data.ids[1::2], note="look"))
    workspace.note("first", "a/tap", 2, "likes vowels")
    workspace.star("first", "a/tap", 3)
    series = {"s": np.arange(9.0)}
    workspace.cache.put(
        KEY, Curve(title="kept", x=np.arange(9.0), x_name="step", y_name="loss", series=series)
    )
    (workspace.path / "jobs" / "1").mkdir(parents=True)
    (workspace.path / "jobs" / "1" / "job.json").write_text("{}")
    return workspace


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def forged(path: Path, content: dict[str, bytes], change=lambda infos: None, **about) -> Path:
    """A pack as a forger makes it: every checksum right. `change` may alter the zip entries, {name: ZipInfo}, whose
    names are what the manifest says; `about` replaces what the manifest says."""
    known = json.loads(content[MANIFEST])
    own = {name: data for name, data in content.items() if name != MANIFEST}
    known["files"] = {n: [len(d), hashlib.sha256(d).hexdigest()] for n, d in own.items()}
    known |= about
    known["digest"] = digest_of(known["files"])
    body = json.dumps({k: v for k, v in known.items() if k != "checksum"}, sort_keys=True).encode()
    known["checksum"] = hashlib.sha256(body).hexdigest()
    infos = {name: zipfile.ZipInfo(name) for name in (*own, MANIFEST)}
    change(infos)
    with zipfile.ZipFile(path, "w") as file:
        for name, info in infos.items():
            file.writestr(info, own.get(name) or (json.dumps(known).encode() if name == MANIFEST else b""))
    return path
