"""Hugging Face directories opened from headers, and what of them is refused."""

import json

import pytest
import torch
from hugging_face_subjects import edit, image_model, text_model

from analysis.errors import InputError, NotFound, UnsafeFile
from analysis.sources.checkpoint import open_checkpoint


class TestOpening:
    def test_facts_come_from_headers(self, tmp_path):
        model = image_model(tmp_path)
        (tmp_path / "loupe_manifest.json").write_text('{"heldout_accuracy": 0.5}')
        checkpoint = open_checkpoint(tmp_path)
        assert checkpoint.kind == "hugging_face"
        assert checkpoint.architecture == "ViTForImageClassification"
        assert checkpoint.modality == "image"
        assert checkpoint.facts == {"heldout_accuracy": 0.5}
        assert checkpoint.n_parameters == sum(p.numel() for p in model.parameters())
        shapes = {line.name: line.shapes for line in checkpoint.tree()}
        assert shapes["classifier"] == {"bias": (3,), "weight": (3, 16)}
        assert json.dumps(checkpoint.as_dict())

    def test_nothing_heavy_is_imported(self, tmp_path):
        import subprocess
        import sys

        image_model(tmp_path)
        code = f"""
import sys
from analysis.sources.checkpoint import open_checkpoint
open_checkpoint({str(tmp_path)!r}).tree()
assert not {{"torch", "transformers"}} & set(sys.modules), "heavy import"
"""
        subprocess.run([sys.executable, "-c", code], check=True, timeout=120)

    def test_the_digest_follows_weights_and_settings_not_the_manifest(self, tmp_path):
        image_model(tmp_path)
        first = open_checkpoint(tmp_path).digest
        (tmp_path / "loupe_manifest.json").write_text("{}")
        assert open_checkpoint(tmp_path).digest == first
        edit(tmp_path / "preprocessor_config.json", image_mean=[0, 0, 0])
        assert open_checkpoint(tmp_path).digest != first

    def test_shards(self, tmp_path):
        model = image_model(tmp_path / "one")
        model.save_pretrained(tmp_path, max_shard_size="10KB")
        files = sorted(tmp_path.glob("*.safetensors"))
        assert len(files) > 1
        assert open_checkpoint(tmp_path).n_parameters == sum(p.numel() for p in model.parameters())
        files[0].unlink()
        with pytest.raises(NotFound, match=r"lacks 1 of"):
            open_checkpoint(tmp_path)

    def test_shards_outside_the_folder(self, tmp_path):
        image_model(tmp_path)
        index = {"weight_map": {"a": "../../secret.safetensors"}}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(UnsafeFile, match="outside its folder"):
            open_checkpoint(tmp_path)


class TestRefusals:
    def test_remote_code(self, tmp_path):
        image_model(tmp_path)
        edit(tmp_path / "config.json", auto_map={"AutoModel": "modeling_mine.Mine"})
        (tmp_path / "modeling_mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
        with pytest.raises(UnsafeFile, match=r"auto_map: modeling_mine\.Mine"):
            open_checkpoint(tmp_path)
        assert not (tmp_path / "ran").exists()

    @pytest.mark.parametrize("name", ["tokenizer_config.json", "preprocessor_config.json"])
    def test_remote_code_beside_the_config(self, tmp_path, name):
        image_model(tmp_path)
        (tmp_path / name).touch()
        (tmp_path / name).write_text(json.dumps({"auto_map": {"AutoTokenizer": "mine.Mine"}}))
        with pytest.raises(UnsafeFile, match=name):
            open_checkpoint(tmp_path)

    def test_kernels_from_a_hub(self, tmp_path):
        image_model(tmp_path)
        edit(tmp_path / "config.json", vision_config={"attn_implementation": "someone/kernel"})
        with pytest.raises(UnsafeFile, match="someone/kernel"):
            open_checkpoint(tmp_path)

    def test_unknown_model_type(self, tmp_path):
        image_model(tmp_path)
        edit(tmp_path / "config.json", model_type="vitt", architectures=["VittForImageClassification"])
        assert open_checkpoint(tmp_path).tree()  # its shapes can be looked at all the same
        with pytest.raises(InputError, match=r"model_type 'vitt'.*near: .*vit"):
            open_checkpoint(tmp_path).load()

    def test_unknown_architecture_opens_without_a_head(self, tmp_path):
        image_model(tmp_path)
        edit(tmp_path / "config.json", architectures=["ViTForTelepathy"])
        loaded = open_checkpoint(tmp_path).load()
        assert type(loaded.module).__name__ == "ViTModel"
        assert any("ViTForTelepathy" in note for note in loaded.notes)
        assert any("not used" in note for note in loaded.notes)  # the head in the file
        assert any("pooler is not in the file" in note for note in loaded.notes)

    @pytest.mark.parametrize("text", ["", "{", "[1]", '{"model_type": "vit", "hidden_size": "wide"}'])
    def test_broken_config(self, tmp_path, text):
        image_model(tmp_path)
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(InputError, match=r"config\.json"):
            open_checkpoint(tmp_path).load()

    def test_missing_weights_are_never_random(self, tmp_path):
        image_model(tmp_path)
        edit(tmp_path / "config.json", num_hidden_layers=3)
        with pytest.raises(InputError, match=r"missing .*random numbers"):
            open_checkpoint(tmp_path).load()

    def test_other_shapes(self, tmp_path):
        image_model(tmp_path)
        edit(tmp_path / "config.json", intermediate_size=64)
        with pytest.raises(InputError, match="ViTForImageClassification"):
            open_checkpoint(tmp_path).load()

    @pytest.mark.parametrize("keep", [0, 20, -100])
    def test_truncated_weights(self, tmp_path, keep):
        image_model(tmp_path)
        path = tmp_path / "model.safetensors"
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(InputError, match=r"model\.safetensors"):
            open_checkpoint(tmp_path)

    def test_only_pickled_weights(self, tmp_path):
        model = image_model(tmp_path)
        torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
        (tmp_path / "model.safetensors").unlink()
        with pytest.raises(NotFound, match=r"only pytorch_model\.bin.*save_pretrained"):
            open_checkpoint(tmp_path)

    def test_no_tokenizer(self, tmp_path):
        text_model(tmp_path)
        for path in tmp_path.glob("tokenizer*"):
            path.unlink()
        with pytest.raises(NotFound, match="no tokenizer files"):
            open_checkpoint(tmp_path).load()

    def test_no_image_processor(self, tmp_path):
        image_model(tmp_path)
        (tmp_path / "preprocessor_config.json").unlink()
        with pytest.raises(NotFound, match="preprocessor_config"):
            open_checkpoint(tmp_path).load()
