"""Classical dictionaries as feature sets: each against another implementation or a closed form, on rows that it has not
seen, and what goes wrong is said."""

from __future__ import annotations

import json

import numpy as np
import pytest

from analysis.errors import InputError
from analysis.features.classical.making import make
from analysis.features.row_stream import held_out_rows
from analysis.jobs.handlers import HANDLERS
from analysis.spec import no_progress
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.cli import main

D = 8


def rows(n=400, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, D)) * np.arange(1, D + 1) @ rng.standard_normal((D, D)) + 3).astype(
        np.float32
    )


def stored(folder, x, **more):
    return write_store(folder / "s", name="s", taps={"x": x}, **more)


def seen(store, tap="x", seed=0):
    """The rows that a fit with this seed sees, in float64, and those it does not."""
    a = store.activations(tap)
    held = held_out_rows(a, 0.1, seed)[0]
    x = a.take(np.arange(a.shape[0])).astype(np.float64)
    return x[~held], x[held]


# ---------------------------------------------------------------------- PCA
def test_pca_is_that_of_the_rows_it_has_seen(tmp_path):
    from sklearn.decomposition import PCA

    store = stored(tmp_path, rows() + 1000)
    found, (x, held) = make(store, "x", "pca", {"components": 3}), seen(store)
    other = PCA(3, svd_solver="full").fit(x)
    assert np.abs(np.abs(found.decoder @ other.components_.T) - np.eye(3)).max() < 1e-5
    np.testing.assert_allclose(found.about["components"]["variance"], other.explained_variance_, rtol=1e-6)
    np.testing.assert_allclose(
        found.about["components"]["share of variance"], other.explained_variance_ratio_, rtol=1e-6
    )
    left = ((held - other.inverse_transform(other.transform(held))) ** 2).sum()
    assert found.about["held_out"]["explained_variance"] == pytest.approx(
        1 - left / ((held - held.mean(axis=0)) ** 2).sum(), abs=1e-5
    )
    assert found.about["rows"]["trained_on"] == 360
    assert found.about["held_out"]["random_directions"] == 3 / D
    assert (found.decoder[np.arange(3), np.abs(found.decoder).argmax(axis=1)] > 0).all()


def test_pca_of_fewer_rows_than_units_and_than_components(tmp_path):
    x = np.random.default_rng(0).standard_normal((12, 30)).astype(np.float32)
    store = stored(tmp_path, x)
    found, (own, _) = make(store, "x", "pca", {"components": 64}), seen(store)
    assert found.n_features == len(own) - 1
    assert any("span" in line for line in found.about["caveats"])
    np.testing.assert_allclose(found.reconstruct(own.astype(np.float32)), own, atol=1e-4)


# ---------------------------------------------------------------------- of every kind
def test_a_job_makes_one_and_the_command_line_too(tmp_path, capsys):
    workspace = Workspace.create(tmp_path / "w")
    write_store(workspace.path / "stores" / "net", name="net", taps={"x": rows()})
    asked = {"input": "net:x", "kind": "pca", "name": "axes", "params": {"components": 2}}
    assert HANDLERS["make_features"](workspace.path, asked, no_progress) == {"features": "axes"}
    assert workspace.encode("net:x", "axes") == "net:x@axes"
    with pytest.raises(InputError, match="encoded by a feature set"):
        make(workspace.store("net"), "x@axes", "pca")
    with pytest.raises(InputError, match="already"):
        HANDLERS["make_features"](workspace.path, asked, no_progress)
    at = ["--workspace", str(workspace.path)]
    given = ["features", "make", "net:x", "pca", "--name", "two", "--set", "components=3", "--json", *at]
    assert main(given) == 0
    assert json.loads(capsys.readouterr().out)["n_features"] == 3
    assert workspace.features.open("two").about["parameters"] == {"components": 3}
    assert main(["features", "make", "net:x", "magic", *at]) == 1
    assert "one of pca" in capsys.readouterr().err
    assert main(["features", "make", "net:x", "pca", "--set", "components=0", *at]) == 2
