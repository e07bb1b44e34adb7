"""The command line: what it prints, what it writes, and its exit codes (0 fine, 1 refused, 2 wrong usage)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dashboard.cli import main

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "sample_data"
DIGITS = SAMPLES / "data" / "digits_heldout"
VIT = SAMPLES / "checkpoints" / "digits-vit-seed0"


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return code, out, err


def run_json(capsys, *arguments: object):
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """One small recording of a sample network, made by the command itself."""
    path = tmp_path_factory.mktemp("cli") / "w"
    arguments = [
        "record",
        VIT,
        DIGITS,
        "--workspace",
        path,
        "--name",
        "vit",
        "--taps",
        "vit.layers.3",
        "--limit",
        60,
    ]
    assert main([str(a) for a in arguments]) == 0
    return path


def test_record_then_info(capsys, workspace):
    facts = run_json(capsys, "info", workspace)
    (store,) = facts["stores"]
    assert (store["name"], store["samples"], store["complete"]) == ("vit", 60, True)
    assert {t["name"]: t["n_units"] for t in store["taps"]}["vit.layers.3"] == 48
    assert run_json(capsys, "info", workspace / "stores" / "vit")["kind"] == "store"
    code, out, _ = run(capsys, "info", workspace)
    assert code == 0
    assert "60 samples" in out


def test_a_taken_name_is_refused_and_nothing_lost(capsys, workspace):
    before = run_json(capsys, "info", workspace)
    code, _, err = run(capsys, "record", VIT, DIGITS, "--workspace", workspace, "--name", "vit")
    assert code == 1
    assert "already" in err
    assert run_json(capsys, "info", workspace) == before


def test_a_damaged_index_is_named_and_made_again(capsys, workspace, tmp_path):
    import shutil

    copied = tmp_path / "copied"
    shutil.copytree(workspace / "stores" / "vit", copied)
    table = next(copied.glob("taps/*/index/table.npy"))
    whole = table.read_bytes()
    table.write_bytes(whole[: len(whole) // 2])
    code, _, _ = run(capsys, "info", copied, "--verify")
    assert code == 1
    code, out, _ = run(capsys, "info", copied, "--rebuild-index", "--verify")
    assert code == 0
    assert "every byte is as written" in out
    assert table.read_bytes() == whole
    assert run(capsys, "info", workspace, "--rebuild-index")[0] == 2


def test_info_of_a_checkpoint_and_of_data(capsys):
    facts = run_json(capsys, "info", VIT)
    assert facts["kind"] == "checkpoint"
    assert facts["architecture"] == "ViTForImageClassification"
    assert facts["n_parameters"] == 77530
    assert any("vit" in m["name"] for m in facts["modules"])
    data = run_json(capsys, "info", DIGITS)
    assert (data["samples"], len(data["classes"])) == (450, 10)


def test_dry_run_lists_taps_and_records_nothing(capsys, tmp_path):
    target = tmp_path / "w"
    facts = run_json(capsys, "record", VIT, DIGITS, "--workspace", target, "--name", "x", "--dry-run")
    assert facts["cost"]["bytes"] > 0
    assert any(t["chosen"] for t in facts["taps"])
    assert not target.exists()


def test_run_render_and_recipe(capsys, workspace, tmp_path):
    report = run_json(
        capsys, "run", "pca", "vit:vit.layers.3", "--workspace", workspace, "--set", "components=2"
    )
    assert report["kind"] == "scatter"
    assert all(e["n"] == 60 for e in report["estimates"])
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(report["recipe"]))
    for suffix, start in (
        ("pdf", b"%PDF"),
        ("svg", b"<?xml"),
        ("png", b"\x89PNG"),
        ("csv", b""),
        ("json", b"{"),
    ):
        out = tmp_path / f"figure.{suffix}"
        code, _, err = run(capsys, "render", recipe, "--out", out, "--workspace", workspace)
        assert code == 0, err
        assert out.read_bytes().startswith(start)
        again = tmp_path / f"again.{suffix}"
        run(capsys, "render", recipe, "--out", again, "--workspace", workspace)
        assert out.read_bytes() == again.read_bytes(), f"{suffix} is not the same file twice"


def test_a_recipe_with_a_colour_draws_the_colour(capsys, workspace, tmp_path):
    report = run_json(capsys, "run", "pca", "vit:vit.layers.3", "--workspace", workspace)
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({**report["recipe"], "figure": {"colour": "Label"}}))
    out = tmp_path / "figure.csv"
    code, _, err = run(capsys, "render", recipe, "--out", out, "--workspace", workspace)
    assert code == 0, err
    assert "abel" in out.read_text().splitlines()[0]


@pytest.mark.parametrize("figure", [{"colour": "no such column"}, {"nonsense": 1}, {"dpi": 1e9}])
def test_a_recipe_with_an_unknown_wish_is_refused(capsys, workspace, tmp_path, figure):
    report = run_json(capsys, "run", "pca", "vit:vit.layers.3", "--workspace", workspace)
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps({**report["recipe"], "figure": figure}))
    for suffix in ("pdf", "csv"):
        out = tmp_path / f"figure.{suffix}"
        code, _, err = run(capsys, "render", recipe, "--out", out, "--workspace", workspace)
        assert code in (1, 2)
        assert "xpected" in err
        assert not out.exists()


def test_a_recipe_for_changed_data_is_refused(capsys, workspace, tmp_path):
    report = run_json(capsys, "run", "pca", "vit:vit.layers.3", "--workspace", workspace)
    report["recipe"]["inputs"][0]["digest"] = "0" * 32
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(report["recipe"]))
    code, _, err = run(capsys, "render", recipe, "--out", tmp_path / "x.pdf", "--workspace", workspace)
    assert code == 1
    assert "changed" in err
    assert not (tmp_path / "x.pdf").exists()


def rendered(capsys, workspace, tmp_path, recipe, /, **changes) -> tuple[int, str]:
    """The exit code, and what `loupe render` says to a recipe with these changes."""
    path, out = tmp_path / "changed.json", tmp_path / "changed.csv"
    out.unlink(missing_ok=True)
    path.write_text(json.dumps({**recipe, **changes}))
    code, _, err = run(capsys, "render", path, "--out", out, "--workspace", workspace)
    assert out.exists() == (code == 0)
    assert "Traceback" not in err
    return code, err


def test_a_recipe_that_cannot_be_made_here_says_why_and_what_to_do(capsys, workspace, tmp_path):
    recipe = run_json(capsys, "run", "pca", "vit:vit.layers.3", "--workspace", workspace)["recipe"]
    (given,) = recipe["inputs"]
    moved = {**given, "name": "elsewhere:vit.layers.3"}
    code, said = rendered(capsys, workspace, tmp_path, recipe, inputs=[moved])
    assert code == 1
    assert "no store 'elsewhere'" in said
    assert "vit:vit.layers.3 holds the activations of the recipe: write this name into it" in said
    gone = {"name": "vit:no such tap", "digest": "f" * 32}
    code, said = rendered(capsys, workspace, tmp_path, recipe, inputs=[gone])
    assert code == 1
    assert "no tap 'no such tap'" in said
    assert "Open the workspace that the recipe was made in (--workspace)" in said
    code, said = rendered(capsys, workspace, tmp_path, recipe, inputs=[{**given, "digest": "f" * 32}])
    assert code == 1
    assert f"digest {given['digest'][:12]}, in the recipe ffffffffffff)" in said
    code, said = rendered(capsys, workspace, tmp_path, recipe, method="pcaa")
    assert code == 1
    assert "one such as pca" in said
    assert len(said) < 400
    code, said = rendered(capsys, workspace, tmp_path, recipe, version=99)
    assert code == 1
    assert "version 99" in said
    assert "Update Feature Loupe" in said
    code, said = rendered(capsys, workspace, tmp_path, recipe, recipe=99)
    assert code == 1
    assert "schema 99" in said


def test_a_recipe_of_other_versions_is_made_and_says_so(capsys, workspace, tmp_path):
    recipe = run_json(capsys, "run", "pca", "vit:vit.layers.3", "--workspace", workspace)["recipe"]
    assert rendered(capsys, workspace, tmp_path, recipe) == (0, "")
    older = {"version": recipe["version"] - 1, "versions": {**recipe["versions"], "numpy": "1.0"}}
    code, said = rendered(capsys, workspace, tmp_path, recipe, **older)
    assert code == 0
    assert f"version {recipe['version'] - 1} of the analysis then, {recipe['version']} now" in said
    assert f"numpy 1.0 then, {recipe['versions']['numpy']} now" in said
    for odd in ({"versions": "x"}, {"versions": None, "version": "x"}, {"version": [1]}):
        assert rendered(capsys, workspace, tmp_path, recipe, **odd)[0] == 0


def test_import_a_dump(capsys, tmp_path, rng):
    np.save(tmp_path / "acts.npy", rng.normal(size=(30, 4)).astype(np.float32))
    (tmp_path / "labels.txt").write_text("\n".join("ab"[i % 2] for i in range(30)) + "\n")
    arguments = ("import", tmp_path / "acts.npy", "--workspace", tmp_path / "w", "--name", "d")
    facts = run_json(capsys, *arguments, "--labels", tmp_path / "labels.txt")
    assert facts["samples"] == 30
    assert facts["classes"] == ["a", "b"]


def test_methods_with_papers_spelled_as_declared(capsys):
    found = {m["id"]: m for m in run_json(capsys, "methods")}
    assert {"pca", "umap", "map_quality", "unit_statistics", "class_selectivity"} <= set(found)
    for m in found.values():
        assert m["parameters"] is not None
        assert m["result"]
        assert isinstance(m["papers"], list)
    code, out, _ = run(capsys, "methods")
    assert code == 0
    assert "pca" in out


def test_check(capsys):
    (report,) = run_json(capsys, "check", "pca")
    assert report["passed"]
    assert {"expected", "got", "tolerance", "passed"} <= set(report["lines"][0])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["info", "/nonexistent"], 1),
        (["run", "nothing", "a:b"], 1),
        (["run", "pca", "no-tap"], 2),
        (["run", "pca", "vit:nothing"], 1),
        (["run", "pca", "vit:vit.layers.3", "--set", "components=99"], 2),
        (["run", "pca", "vit:vit.layers.3", "--set", "components"], 2),
        (["check", "nothing"], 1),
        (["render", "/nonexistent.json", "--out", "x.pdf"], 1),
        (["record"], 2),
        (["wrong"], 2),
        (["record", str(VIT), str(DIGITS), "--name", "../x"], 2),
        (["record", str(VIT), str(DIGITS), "--name", "y", "--taps", "nothing.*"], 1),
        (["record", str(VIT), "/nonexistent", "--name", "y"], 1),
        (["record", "/nonexistent", str(DIGITS), "--name", "y"], 1),
        (["record", str(VIT), str(DIGITS), "--name", "y", "--batch", "0"], 2),
        (["--port", "99999999"], 2),
    ],
)
def test_exit_codes(capsys, workspace, arguments, code):
    extra = ["--workspace", workspace] if arguments[0] in ("run", "record", "render") else []
    got, _, err = run(capsys, *arguments, *extra)
    assert got == code, err
    assert err


def test_the_sample_workspace_opens_without_being_named(capsys):
    if not (SAMPLES / "workspace" / "workspace.json").exists():
        pytest.fail("the sample workspace is not in the checkout")
    report = run_json(capsys, "run", "pca", "digits-vit:vit.layers.3")
    assert report["estimates"]


def test_resume_of_an_interrupted_store(capsys, workspace, tmp_path):
    copy = tmp_path / "w"
    shutil.copytree(workspace, copy)
    arguments = (
        "record",
        VIT,
        DIGITS,
        "--workspace",
        copy,
        "--name",
        "vit",
        "--taps",
        "vit.layers.3",
        "--limit",
        60,
    )
    code, _, err = run(capsys, *arguments, "--resume")
    assert code in (0, 1), err  # a finished store has nothing to resume; either way nothing is lost
    assert run_json(capsys, "info", copy)["stores"][0]["samples"] == 60
