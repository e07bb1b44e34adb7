"""Too few samples, and options, names, parameters, recipes and paths that mean nothing."""

from __future__ import annotations

import pytest
from bad_input import (
    N,
    accepted,
    job_refused,
    recording,
    refused,
    weights,
)

from analysis.workspace import Workspace


def test_one_sample(capsys, spare, tmp_path, rows):
    accepted(capsys, *recording(weights(tmp_path), rows, spare, "--taps", "*", "--limit", 1))
    accepted(capsys, "info", spare / "stores" / "new")
    for method in ("pca", "unit_statistics", "umap"):
        refused(capsys, "run", method, "new:0", "--workspace", spare, says=["1 row(s)", "at least"])


def test_limits_and_batches_beyond_the_data(capsys, spare, tmp_path, rows):
    given = recording(weights(tmp_path), rows, spare, "--taps", "0", "--limit", 10**9, "--batch", 10**12)
    accepted(capsys, *given)
    assert Workspace.open(spare).store("new").n_samples == N


@pytest.mark.parametrize(
    "more",
    [
        ("--limit", "0"), ("--limit", "1e3"), ("--batch", "-1"), ("--seed", "-1"), ("--seed", "9" * 30),
        ("--dtype", "float64"), ("--tokens", "all of them"), ("--kind", "video"),
    ],
)  # fmt: skip
def test_wrong_options(capsys, workspace, tmp_path, rows, more):
    err = refused(capsys, *recording(weights(tmp_path), rows, workspace, *more), code=2, says=more[0])
    assert "_whole" not in err
    assert "_positive" not in err


@pytest.mark.parametrize("name", ["../../x", "a/b", "", ".", "a\nb", "x" * 200, "ü", "a\0b", "<b>"])
def test_names_that_cannot_name_a_store(capsys, workspace, tmp_path, rows, name):
    given = [*recording(weights(tmp_path), rows, workspace)]
    given[given.index("--name") : given.index("--name") + 2] = [f"--name={name}"]
    refused(capsys, *given, code=2, says="cannot name a store")
    arguments = {"path": str(rows), "name": name}
    job_refused(workspace, "import", arguments, "cannot name a store")


@pytest.mark.parametrize(
    "text",
    ["k=1e999", "components=1e999", "components=nan", "components", "=", "components=", "components=-1"],
)
def test_wrong_parameters(capsys, workspace, text):
    refused(capsys, "run", "pca", "good:0", "--workspace", workspace, "--set", text, code=2)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "\0", '{"method": "pca", "inputs": 3}', '{"method": "pca", "inputs": [3]}', "[" * 100_000,
        '{"method": "pca", "inputs": [{"name": "good:0"}], "seed": "x"}',
        '{"method": "pca", "inputs": [{"name": "good:0"}], "params": [1]}',
        '{"method": "pca", "inputs": [{"name": "good:0"}], "figure": [1]}',
        '{"method": "none", "inputs": [{"name": "good:0"}]}',
    ],
)  # fmt: skip
def test_recipes(capsys, workspace, tmp_path, text):
    (tmp_path / "recipe.json").write_text(text)
    arguments = ("--out", tmp_path / "x.csv", "--workspace", workspace)
    refused(capsys, "render", tmp_path / "recipe.json", *arguments)
    refused(
        capsys, "render", tmp_path, "--out", tmp_path / "out", "--workspace", workspace
    )  # as a basket of one
    assert sorted(p.name for p in tmp_path.iterdir()) == ["recipe.json"]


def test_a_basket_is_no_table(capsys, workspace, tmp_path):
    refused(
        capsys, "render", tmp_path, "--out", tmp_path / "x.csv", "--workspace", workspace, code=2, says=".zip"
    )


def test_paths_that_are_something_else(capsys, workspace, tmp_path, rows):
    path = weights(tmp_path)
    refused(capsys, *recording(path, rows, path), says="is a file")
    refused(capsys, *recording(path, rows, path / "below"), says="Not a directory")
    refused(capsys, *recording(workspace, rows, workspace), says="no config.json")
    refused(capsys, *recording(path, workspace, workspace))
    refused(capsys, *recording(path, path, workspace))
    refused(capsys, "import", workspace, "--workspace", workspace, "--name", "new")
    refused(capsys, "run", "pca", "good:0", "--workspace", path, says="not a workspace")
    refused(capsys, "run", "pca", "good:0", "--workspace", workspace, "--out", tmp_path / "x.exe", code=2)
