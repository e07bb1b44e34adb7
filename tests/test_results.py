"""Results go to disk and back unchanged, and a damaged file says so."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from analysis import results
from analysis.errors import StoreDamaged
from analysis.results import KINDS, Estimate, Origin
from analysis.store.cache import ResultCache

ORIGIN = Origin(
    "pca", 1, {"components": 2}, ({"name": "s:t", "digest": "d", "shape": [3, 2]},), 0, {"numpy": "2"}, 0.1
)
COMMON = {
    "title": "a title",
    "reading": "what it means",
    "caveats": ("one", "two"),
    "estimates": (Estimate("share", 0.5, 0.4, 0.6, null=0.1, n=10, d=3),),
    "origin": ORIGIN,
}
x = np.arange(6.0).reshape(3, 2)
EXAMPLES = {
    "scatter": {
        "positions": x,
        "rows": np.arange(3),
        "columns": {"label": np.array(["a", "<b>", "ü"]), "q": x[:, 0]},
        "pictures": np.zeros((3, 2, 2, 3), np.uint8),
    },
    "matrix": {
        "values": x,
        "row_names": ("a", "b", "c"),
        "column_names": ("d", "e"),
        "null_band": (-0.1, 0.1),
    },
    "heatmap": {
        "overview": x.astype(np.float32),
        "shape": x.shape,
        "row_names": np.array(["a", "<b>", "ü"]),
        "column_names": np.array(["d", "e"]),
        "row_units": np.arange(3),
        "column_units": np.arange(2),
        "row_order": np.array([2, 0, 1]),
        "column_order": np.arange(2),
        "threshold": 0.4,
    },
    "spectrum": {"values": x[:, 0], "null": x[:, 1]},
    "curve": {
        "x": x[:, 0],
        "x_name": "k",
        "y_name": "recall",
        "series": {"a": x[:, 1]},
        "low": {"a": x[:, 0]},
    },
    "distribution": {
        "edges": np.arange(4.0),
        "counts": {"all": np.array([1, 2, 3])},
        "value_name": "activation",
    },
    "table": {"columns": {"unit": np.arange(3), "name": np.array(["x", "y", "z"])}, "sort": "unit"},
    "partition": {
        "codes": np.array([0, 1, -1], np.int32),
        "rows": np.arange(3),
        "strength": np.array([1, 0.5, 0], np.float32),
        "columns": {"name": np.array(["a", "<b>"]), "size": np.array([1, 1])},
        "levels": np.array([[0, 0], [0, 1]], np.int32),
        "level_names": np.array([["all", "all"], ["a", "<b>"]]),
    },
    "gallery": {"groups": {"top": np.arange(3)}, "values": {"top": x[:, 0]}},
    "token_map": {"samples": np.arange(3), "values": x, "value_name": "activation", "grid": (1, 2),
                  "tokens": np.arange(2), "token_names": ("patch 1", "patch 2"), "asked": 1},
    "token_film": {
        "names": ("input", "layer 1"), "owner": np.array([[0, 1, 2], [0, 0, -1]]), "score": np.zeros((2, 3)),
        "judged": np.array([[False] * 3, [True] * 3]), "grid": (1, 3), "cell": np.arange(3),
    },
    "ledger": {
        "names": ("a", "b", "c"), "values": x[:, 0], "start": 0.5, "end": 1.0, "low": x[:, 1], "value_name": "logit",
    },
}  # fmt: skip


def same(a, b) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return a == b


def test_every_kind_has_an_example():
    assert set(EXAMPLES) == set(KINDS)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_round_trip(tmp_path, kind):
    result = KINDS[kind](**COMMON, **EXAMPLES[kind])
    results.save(result, tmp_path / "r.npz")
    back = results.load(tmp_path / "r.npz")
    assert type(back) is type(result)
    for f in dataclasses.fields(result):
        assert same(getattr(result, f.name), getattr(back, f.name)), f.name


def test_objects_are_refused(tmp_path):
    result = results.Table(title="t", columns={"a": np.array([{}], dtype=object)})
    with pytest.raises(TypeError, match="Python objects"):
        results.save(result, tmp_path / "r.npz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["empty", "cut", "flip", "not a zip"])
def test_damage_is_found(tmp_path, damage):
    path = tmp_path / "r.npz"
    results.save(results.Spectrum(title="t", values=np.random.default_rng(0).normal(size=500)), path)
    raw = bytearray(path.read_bytes())
    if damage == "empty":
        raw = bytearray()
    elif damage == "cut":
        raw = raw[: len(raw) // 2]
    elif damage == "flip":
        raw[len(raw) // 2] ^= 0xFF
    else:
        raw = bytearray(b"hello")
    path.write_bytes(raw)
    with pytest.raises(StoreDamaged, match=r"r\.npz"):
        results.load(path)
    cache = ResultCache(tmp_path)
    assert cache.get("r") is None  # a damaged cache entry counts as absent, and goes
    assert not path.exists()


def test_recipe_is_json(tmp_path):
    import json

    recipe = json.loads(json.dumps(ORIGIN.recipe()))
    assert recipe["method"] == "pca"
    assert recipe["inputs"][0]["digest"] == "d"
