"""A network of pictures among words, from its files to the tokens that are left of a picture."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
t = pytest.importorskip("transformers")

from hugging_face_subjects import SMALL, VISION, WORDS, add_tokenizer  # noqa: E402

from analysis.methods.tokens.attention_pattern import AttentionPatternParams, attention_pattern  # noqa: E402
from analysis.methods.tokens.attention_rollout import AttentionRolloutParams, attention_rollout  # noqa: E402
from analysis.methods.tokens.token_film import TokenFilmParams, token_film  # noqa: E402
from analysis.recording.recorder import record  # noqa: E402
from analysis.sources.checkpoint import open_checkpoint  # noqa: E402
from analysis.sources.data import open_data  # noqa: E402
from analysis.tokens.asking import TokenDesk  # noqa: E402
from analysis.tokens.attention.heads import heads_of  # noqa: E402
from analysis.tokens.attention.rollout import rollouts  # noqa: E402
from analysis.tokens.state import GONE  # noqa: E402

PICTURE = len(WORDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("llava")
    torch.manual_seed(0)
    vision, text = VISION | {"patch_size": 4, "projection_dim": 8}, dict(**SMALL, vocab_size=16)
    config = t.LlavaConfig(vision_config=t.CLIPVisionConfig(**vision), text_config=t.LlamaConfig(**text),
                           image_token_id=PICTURE, vision_feature_layer=-1)  # fmt: skip
    model = t.LlavaForConditionalGeneration(config)
    for p in model.parameters():
        if p.ndim > 1:
            torch.nn.init.normal_(p, std=0.2)
    model.save_pretrained(place / "net")
    add_tokenizer(place / "net")
    size = {"height": 16, "width": 16}
    t.ViTImageProcessor(size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3).save_pretrained(place / "net")
    np.save(place / "images.npy", np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8))
    return place


def test_a_picture_is_asked_about_and_a_text_is_read(folder):
    loaded = open_checkpoint(folder / "net").load()
    items = open_data(folder / "images.npy").items(0, 2)
    inputs = loaded.prepare(items)
    assert (inputs["input_ids"] == PICTURE).sum(dim=1).tolist() == [16, 16]
    assert loaded.forward(inputs).logits.shape[:2] == inputs["input_ids"].shape
    assert loaded.tokens(items)[0].count("picture") == 16
    assert any("asked about in the same words" in n for n in loaded.notes)
    assert loaded.forward(loaded.prepare(["a b c"])).logits.shape == (1, 3, 16)


@pytest.fixture(scope="module")
def tap(folder):
    checkpoint = open_checkpoint(folder / "net")
    store = record(checkpoint, open_data(folder / "images.npy"), folder / "s", name="s", tokens="all",
                   taps="model.language_model.layers.1", dtype="float32", loaded=checkpoint.load())  # fmt: skip
    return store.activations("model.language_model.layers.1")


@pytest.mark.parametrize(
    ("method", "params"),
    [
        (attention_pattern, AttentionPatternParams(sample=1, head=2)),
        (attention_rollout, AttentionRolloutParams(sample=1)),
    ],
)
def test_what_is_read_of_a_picture_lies_on_the_picture_and_words_are_told(tap, method, params):
    found = method(tap, params)
    reader = heads_of(tap, 32, np.random.default_rng(0), also=1)
    here = reader.layout.cell[1] >= 0
    assert (found.grid, found.leading, here.sum()) == ((4, 4), (~here & reader.layout.present[1]).sum(), 16)
    assert found.pictures.shape[1:3] == (16, 16)
    readout = int(reader.layout.present[1].sum()) - 1
    if method is attention_pattern:
        row = reader.rows(1, 1, readout, readout + 1)[1, 0]
    else:
        row = rollouts(reader, np.full(reader.n, readout), lambda *_: None)[1]
    np.testing.assert_allclose(found.values[0, found.leading :], row[here] * (readout + 1), rtol=1e-9)
    np.testing.assert_allclose(found.values[0].sum(), readout + 1, rtol=1e-9)
    beside = next(c for c in found.caveats if c.startswith("Not on the picture"))
    assert beside.count("'") == 2 * found.leading


def test_tokens_of_the_picture_are_removed_and_words_stay(tap):
    film = token_film(tap, TokenFilmParams(rule="fastv", sample=1, share=0.25, draws=2))
    assert not any("not run" in c for c in film.caveats)
    pictured = np.array([w == "picture" for w in TokenDesk(tap).dump(1).words])
    assert pictured.sum() == 16
    assert (film.owner[-1][~pictured] != GONE).all()
    assert (film.owner[-1][pictured] != GONE).sum() == 4
    assert film.grid == (4, 4)
