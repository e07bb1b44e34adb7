"""Hugging Face networks run: images, texts and clips in; logits, losses and tokens out."""

import math

import numpy as np
import pytest
import torch
from hugging_face_subjects import SMALL, VISION, add_tokenizer, image_model, picture, text_model

from analysis.errors import InputError
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.clips import Clip


class TestImages:
    def test_mixed_sizes_and_modes(self, tmp_path):
        image_model(tmp_path)
        loaded = open_checkpoint(tmp_path).load()
        images = [picture(0, 20, 30, 3), picture(1, 9, 9), picture(2, 8, 8, 4), picture(3, 9, 9).convert("P")]
        outputs = loaded.forward(loaded.prepare(images), [0, 1, 2, -1])
        assert outputs.logits.shape == (4, 3)
        assert outputs.loss.isnan().tolist() == [False, False, False, True]
        assert loaded.class_names == ("cat", "dog", "eel")

    def test_grey_networks(self, tmp_path):
        image_model(tmp_path, channels=1)
        inputs = open_checkpoint(tmp_path).load().prepare([picture(0, 9, 9, 3), picture(1, 16, 16)])
        assert inputs["pixel_values"].shape == (2, 1, 16, 16)
        flat = (np.asarray(picture(1, 16, 16)) / 255 - 0.5) / 0.5
        assert torch.allclose(inputs["pixel_values"][1, 0].double(), torch.from_numpy(flat), atol=1e-6)

    def test_arrays_as_images(self, tmp_path):
        image_model(tmp_path)
        loaded = open_checkpoint(tmp_path).load()
        grey = np.asarray(picture(1, 16, 16))
        rgb = np.repeat(grey[None], 3, axis=0)  # channels first
        values = loaded.prepare([grey, rgb, grey / 255.0])["pixel_values"]
        assert torch.allclose(values[0], values[1])
        assert torch.allclose(values[0], values[2], atol=0.01)


class TestText:
    def test_padding_changes_nothing(self, tmp_path):
        """A text's loss and logits are the same alone and beside a longer one."""
        text_model(tmp_path)
        loaded = open_checkpoint(tmp_path).load()
        alone = loaded.forward(loaded.prepare(["a b c"]))
        inputs = loaded.prepare(["a b c", "a b c d a b"])
        both = loaded.forward(inputs)
        assert loaded.token_mask(inputs)[0].tolist() == [True] * 3 + [False] * 3
        assert torch.allclose(both.logits[0, :3], alone.logits[0], atol=1e-5)
        assert both.loss[0].item() == pytest.approx(alone.loss[0].item(), abs=1e-5)
        assert both.token_loss[0].isnan().tolist() == [True, False, False, True, True, True]
        assert both.predicted[0] == alone.predicted[0]
        assert loaded.tokens(["a zzz"]) == [["a", "[UNK]"]]

    def test_next_token_loss_against_transformers(self, tmp_path):
        """The independent implementation: GPT-2's own `labels=` loss."""
        model = text_model(tmp_path)
        loaded = open_checkpoint(tmp_path).load()
        inputs = loaded.prepare(["a b c d"])
        own = model(input_ids=inputs["input_ids"], labels=inputs["input_ids"]).loss.item()
        outputs = loaded.forward(inputs)
        assert outputs.loss[0].item() == pytest.approx(own, abs=1e-5)
        assert torch.equal(outputs.predicted, model(**inputs).logits[:, -1].argmax(1))

    def test_one_token_has_no_loss(self, tmp_path):
        text_model(tmp_path)
        loaded = open_checkpoint(tmp_path).load()
        outputs = loaded.forward(loaded.prepare(["a"]))
        assert math.isnan(outputs.loss[0].item())
        assert loaded.decode(int(outputs.predicted[0]))

    def test_long_texts_are_cut_and_counted(self, tmp_path):
        text_model(tmp_path)
        loaded = open_checkpoint(tmp_path).load()
        inputs = loaded.prepare(["a b " * 30, "c"])
        assert inputs["input_ids"].shape == (2, 8)
        assert (loaded.text_inputs.limit, loaded.text_inputs.left_out) == (8, [52, 0])
        assert len(loaded.tokens(["a b " * 30])[0]) == 8

    @pytest.mark.parametrize("special", [{"eos_token": "[EOS]"}, {"unk_token": "[UNK]"}])
    def test_without_a_padding_token(self, tmp_path, special):
        text_model(
            tmp_path, **{k: v for k, v in special.items() if k != "unk_token"} or {"mask_token": "[MASK]"}
        )
        loaded = open_checkpoint(tmp_path).load()
        assert loaded.prepare(["a b", "c"])["attention_mask"].sum() == 3
        assert any("no padding token" in n for n in loaded.notes) == ("eos_token" in special)

    def test_classification(self, tmp_path):
        text_model(tmp_path, "bert")
        loaded = open_checkpoint(tmp_path).load()
        outputs = loaded.forward(loaded.prepare(["a b", "c"]), [0, 2])
        assert outputs.logits.shape == (2, 3)
        assert outputs.token_loss is None
        assert not loaded.causal

    def test_masked_models_have_no_next_token_loss(self, tmp_path):
        text_model(tmp_path, "mlm")
        outputs = (loaded := open_checkpoint(tmp_path).load()).forward(loaded.prepare(["a b"]))
        assert outputs.logits.shape == (1, 2, 16)
        assert outputs.loss is None

    def test_wrong_items(self, tmp_path):
        text_model(tmp_path)
        loaded = open_checkpoint(tmp_path).load()
        with pytest.raises(InputError, match="takes text"):
            loaded.prepare([picture(0, 4, 4)])
        with pytest.raises(InputError, match="without any token"):
            loaded.prepare([""])

    def test_attention_weights_on_request(self, tmp_path):
        text_model(tmp_path)
        loaded = open_checkpoint(tmp_path, attention="eager").load()
        assert loaded.module.config._attn_implementation == "eager"


def test_encoder_decoders_run(tmp_path):
    import transformers as t

    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 16}
    t.T5ForConditionalGeneration(t.T5Config(**sizes, decoder_start_token_id=0)).save_pretrained(tmp_path)
    add_tokenizer(tmp_path)
    loaded = open_checkpoint(tmp_path).load()
    assert loaded.forward(loaded.prepare(["a b", "c"])).logits is None


def test_both_sides_of_a_dual_encoder(tmp_path):
    import transformers as t

    text = SMALL | {"vocab_size": 16, "max_position_embeddings": 20, "eos_token_id": 7, "bos_token_id": 8}
    t.CLIPModel(t.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=8)).save_pretrained(
        tmp_path
    )
    add_tokenizer(tmp_path)
    size = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
    t.CLIPImageProcessor(**size).save_pretrained(tmp_path)
    loaded = open_checkpoint(tmp_path).load()
    assert "pixel_values" in loaded.prepare([picture(0, 9, 9)])
    inputs = loaded.prepare(["a b", "c"])
    assert inputs["input_ids"].shape == (2, 2)
    assert loaded.forward(inputs).logits is None


class TestAudio:
    def folder(self, tmp_path, architecture="Wav2Vec2ForSequenceClassification"):
        import transformers as t

        config = t.Wav2Vec2Config(
            **SMALL, conv_dim=[8, 8], conv_stride=[4, 4], conv_kernel=[8, 4], num_feat_extract_layers=2,
            num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, vocab_size=12,
        )  # fmt: skip
        torch.manual_seed(0)
        getattr(t, architecture)(config).save_pretrained(tmp_path)
        t.Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(tmp_path)
        return tmp_path

    def test_clips_of_other_rates_are_resampled(self, tmp_path, rng):
        checkpoint = open_checkpoint(self.folder(tmp_path))
        assert checkpoint.modality == "audio"
        loaded = checkpoint.load()
        assert loaded.sampling_rate == 16000
        clips = [Clip.of(rng.standard_normal(1000), 8000), rng.standard_normal(1600).astype(np.float32)]
        inputs = loaded.prepare(clips)
        assert loaded.token_mask(inputs).sum(1).tolist() == [2000, 1600]
        assert loaded.forward(inputs, [0, 1]).logits.shape == (2, 2)

    def test_ctc_has_no_classes(self, tmp_path, rng):
        loaded = open_checkpoint(self.folder(tmp_path, "Wav2Vec2ForCTC")).load()
        outputs = loaded.forward(loaded.prepare([rng.standard_normal(800).astype(np.float32)]))
        assert outputs.logits.ndim == 3
        assert outputs.predicted is None
