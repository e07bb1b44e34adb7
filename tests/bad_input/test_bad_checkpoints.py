"""Checkpoints that are cut, foreign, hostile or do not fit."""

from __future__ import annotations

import json
import pickle  # to write what must never be read
import shutil
from pathlib import Path

import bad_input_nets as nets
import pytest
import torch
from bad_input import (
    job_refused,
    loupe,
    recording,
    refused,
    refused_everywhere,
    weights,
)
from payload import Payload
from safetensors.torch import save_file


def st_truncated(path: Path) -> None:
    save_file(nets.plain().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-20])


def pt_truncated(path: Path) -> None:
    torch.save(nets.plain().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-300])


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("cut.safetensors", st_truncated, "not a whole safetensors file"),
        ("text.safetensors", lambda p: p.write_text("not a tensor in sight"), "not a whole safetensors file"),
        ("empty.safetensors", Path.touch, "0 bytes"),
        ("cut.pt", pt_truncated, "truncated"),
        ("text.pt", lambda p: p.write_text("hello"), "text.pt"),
    ],
)
def test_truncated_and_foreign_weights(capsys, workspace, tmp_path, rows, name, write, says):
    write(tmp_path / name)
    refused_everywhere(capsys, workspace, tmp_path / name, rows, says)
    refused(capsys, "info", tmp_path / name, says=says)


@pytest.mark.parametrize("name", ["zip.pt", "legacy.pth", "pickle.safetensors"])
def test_weights_that_would_run_code(capsys, workspace, tmp_path, rows, proof, name):
    path = tmp_path / name
    if name.startswith("pickle"):
        path.write_bytes(pickle.dumps(Payload(proof)))
    else:
        state = {"a": torch.ones(2), "b": Payload(proof)}
        torch.save(state, path, _use_new_zipfile_serialization=name.startswith("zip"))
    refused_everywhere(capsys, workspace, path, rows, "could run code")
    refused(capsys, "info", path, says="could run code")


def test_a_hugging_face_directory_with_only_a_pickle(capsys, workspace, vit, images, tmp_path, proof):
    folder = Path(shutil.copytree(vit, tmp_path / "hf"))
    (folder / "model.safetensors").unlink()
    torch.save({"w": Payload(proof)}, folder / "pytorch_model.bin")
    refused_everywhere(capsys, workspace, folder, images, "pytorch_model.bin", model="")


CONFIGS = {
    "deep": ("[" * 100_000, "nested too deeply"),
    "list": ("[]", "a list"),
    "no JSON": ("\0", "not JSON"),
    "unknown type": ('{"model_type": "nope"}', "nope"),
    "huge": (json.dumps({"a": "x" * 5_000_000}), "model_type"),
    "remote code": ('{"model_type": "vit", "auto_map": {"AutoModel": "evil.E"}}', "was not run"),
    "no name": ('{"model_type": "vit", "architectures": [3]}', "architectures = [3]"),
    "endless": (json.dumps({"model_type": "vit", "num_hidden_layers": 10**7}), "10,000,000"),
    "wrong type": ('{"model_type": "vit", "hidden_size": "x"}', "hidden_size"),
    "negative": ('{"model_type": "vit", "hidden_size": -5, "num_attention_heads": 0}', "config.json"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_hostile_configurations(capsys, workspace, tmp_path, images, case):
    text, says = CONFIGS[case]
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "config.json").write_text(text)
    save_file({"w": torch.ones(2)}, folder / "model.safetensors")
    refused(capsys, *recording(folder, images, workspace, model=""), says=says)
    code, _, _ = loupe(capsys, "info", folder)
    assert code in (0, 1)


def test_keys_that_do_not_fit(capsys, workspace, tmp_path, rows):
    path = tmp_path / "other.pt"
    state = {"0.weight": torch.ones(8, 7), **{f"q{i}": torch.ones(1) for i in range(30)}}
    torch.save(state, path)
    refused_everywhere(capsys, workspace, path, rows, "3 missing (0.bias, 2.weight, 2.bias)")
    says = ["30 not known to the module (q0, q1,", "1 of another shape (0.weight (8, 7) instead of (8, 6))"]
    refused(capsys, *recording(path, rows, workspace), says=says)


@pytest.mark.parametrize(
    ("model", "says"),
    [("number", "returned a int"), ("broken", "out of order"), ("nothing", "has no 'nothing'")],
)
def test_factories_that_fail(capsys, workspace, tmp_path, rows, model, says):
    refused_everywhere(capsys, workspace, weights(tmp_path), rows, says, model=model)


def test_a_state_dict_without_a_factory(capsys, workspace, tmp_path, rows):
    refused_everywhere(capsys, workspace, weights(tmp_path), rows, "--model package.module:factory", model="")


def test_a_page_may_not_name_code(workspace, tmp_path, rows):
    given = {"checkpoint": str(weights(tmp_path)), "data": str(rows), "model": "os:getcwd", "name": "new"}
    job_refused(workspace, "dry_run", given, "may not run code")
