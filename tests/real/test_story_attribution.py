"""Who is responsible in a language model that others trained, run from a Hugging Face directory as a page runs it."""

import numpy as np
import pytest
import torch
from llama_directory import llama_directory
from story_model import StoryModel
from test_stories import NONSENSE, STORY

from analysis.attribution.attention_maps import attention_of
from analysis.attribution.sample_run import SampleRun
from analysis.features.readers import AUTOMATIC
from analysis.methods.attribution.direct_logit_attribution import DirectLogitParams, direct_logit_attribution
from analysis.methods.attribution.patching_illusion import PatchingIllusionParams, patching_illusion
from analysis.methods.attribution.sample_attribution import SampleAttributionParams, sample_attribution
from analysis.recording.recorder import record
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data
from analysis.sources.loaded_model import LoadedModel

NAMES = {
    "girl": ("Lily", "Lucy", "Mia", "Anna", "Sue", "Amy"),
    "boy": ("Tim", "Tom", "Ben", "Max", "Sam", "Bob"),
}
THINGS = ("ball", "dog", "cat", "car", "tree")


def stories(n: int) -> list[tuple[str, str]]:
    found = []
    for i in range(n):
        who = ("girl", "boy")[i % 2]
        name, thing = NAMES[who][i // 2 % 6], THINGS[i % 5]
        text = f"There was a little {who} named {name}. {name} loved to play with the {thing}. One day,"
        found.append((text, who))
    return found


@pytest.fixture(scope="module")
def folder(real, tmp_path_factory):
    return llama_directory(real, tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def store(folder, tmp_path_factory):
    here = tmp_path_factory.mktemp("girls and boys")
    lines = [f'"{text}",{who}' for text, who in stories(40)]
    (here / "texts.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    return record(open_checkpoint(folder), open_data(here / "texts.csv"), here / "s", name="s",
                  taps=["*blocks*"], tokens="all", dtype="float32")  # fmt: skip


@pytest.fixture(scope="module")
def own(real):
    """The same network written out, with positions turned in pairs and not in halves."""
    model = StoryModel(real / "lm" / "stories260K.bin", real / "lm" / "tok512.bin").eval()
    return LoadedModel(model, "text", model.prepare, token_texts=model.tokens, causal=True)


@pytest.mark.parametrize(("text", "known"), [(STORY, 1.38), (NONSENSE, 131.8)])
def test_the_converted_network_says_what_the_original_says(folder, own, text, known):
    loaded = open_checkpoint(folder).load()
    inputs = loaded.prepare([text])
    assert inputs["input_ids"].tolist() == own.prepare([text])["input_ids"].tolist()
    both = [m.forward(m.prepare([text])) for m in (loaded, own)]
    assert float((both[0].logits - both[1].logits).abs().max()) < 1e-4
    assert np.exp(float(both[0].loss[0])) == pytest.approx(known, rel=0.004)


def test_attention_is_the_same_read_off_either_way(folder, own):
    """One network is switched to attention that tells its weights; the other's are taken from the fused kernel."""
    text = "Tim saw Lily and Max in the red car. Tim saw Lily and Max in the red car."
    told = attention_of(SampleRun(open_checkpoint(folder).load(), text, "model.embed_tokens"))
    taken = attention_of(SampleRun(own, text, "embedding"))
    np.testing.assert_allclose(told, taken, atol=1e-5)
    tokens = told.shape[-1]
    assert told.shape == (5, 8, tokens, tokens)
    np.testing.assert_allclose(told.sum(axis=-1), 1, atol=1e-5)
    assert np.abs(told[..., ~np.tri(tokens, dtype=bool)]).max() == 0  # nobody looks ahead
    one_before = np.diagonal(told[:, :, 2:, 1:], axis1=2, axis2=3).mean(axis=-1)
    assert np.unravel_index(one_before.argmax(), one_before.shape) == (1, 6)
    assert one_before.max() > 0.5
    again = np.arange(16, tokens)  # the second time: the token that followed the same one the first time
    after = told[:, :, again, again - 13].mean(axis=-1)
    assert np.unravel_index(after.argmax(), after.shape) == (4, 0)
    assert after.max() > 3 * (1 / (again + 1)).mean()


def test_what_parts_write_straight_to_the_answer_adds_up(store):
    found = direct_logit_attribution(
        store.activations("model.layers.2"), DirectLogitParams(maximum_samples=12)
    )
    assert len(found.names) == 1 + 5 * 8 + 5 + 1  # embedding, heads, MLPs, biases
    assert abs(found.residual) < 1e-4 * np.abs(found.values).sum()
    assert {e.name: e.value for e in found.estimates}["residual of the sum"] < 1e-4


def test_at_the_last_layer_the_next_word_is_owed_to_the_last_token_alone(store):
    tap = store.activations("model.layers.4")
    found = sample_attribution(
        tap, SampleAttributionParams(players="tokens", null_samples=2, reader=AUTOMATIC)
    )
    assert np.abs(found.values[:-1]).max() == 0
    assert abs(found.residual) < 2e-3 * abs(found.end - found.start)


def test_from_girl_to_boy_one_direction_takes_she_to_he(store):
    found = patching_illusion(store.activations("model.layers.2"), PatchingIllusionParams())
    assert "faithful" in found.reading
    assert "' she' less ' he'" in found.reading
    effect = found.estimates[0]
    assert effect.low > 10 * abs(effect.null)


def test_no_attention_is_left_switched(store, folder):
    loaded = open_checkpoint(folder).load()
    was = loaded.module.config._attn_implementation
    loaded.module.model.layers[1].train()
    with torch.no_grad():
        attention_of(SampleRun(loaded, "One day", "model.embed_tokens"))
    assert loaded.module.config._attn_implementation == was
    assert [layer.training for layer in loaded.module.model.layers] == [False, True, False, False, False]
