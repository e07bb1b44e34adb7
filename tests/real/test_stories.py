"""A small language model in the llama2.c format: perplexity, greedy text, token positions."""

import numpy as np
import pytest
from recorded import recorded, rows
from story_model import StoryModel

from analysis.sources.data import open_data

STORY = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
    "One day, she saw a big, red ball."
)
NONSENSE = "the cat the quantum derivative financial of was on banana is not mortgage seventeen"


@pytest.fixture(scope="module")
def store(real, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stories")
    (folder / "texts.txt").write_text(f"{STORY}\n{NONSENSE}\n")
    model = StoryModel(real / "lm" / "stories260K.bin", real / "lm" / "tok512.bin")
    return recorded(
        model, None, open_data(folder / "texts.txt"), folder / "s", taps=["*blocks*", "outputs.logits"],
        tokens="all", dtype="float32",
    )  # fmt: skip


def test_perplexity(store):
    story, nonsense = np.exp(store.samples["loss"])
    assert story == pytest.approx(1.38, abs=0.005)
    assert nonsense == pytest.approx(131.8, abs=0.05)


def test_token_losses_average_to_the_loss_of_their_sample(store):
    losses = store.activations("outputs.token_loss")
    assert np.diff(losses.layout.offsets).tolist() == [44, 49]
    for i in range(2):
        own = losses.take(np.arange(*losses.layout.offsets[i : i + 2]))
        assert own.mean() == pytest.approx(store.samples["loss"][i], abs=1e-6)


def test_greedy_decoding_writes_the_story(store, real):
    """At every position of its own greedy text the most likely next token is the next token."""
    encode = StoryModel(real / "lm" / "stories260K.bin", real / "lm" / "tok512.bin").pieces.encode
    logits = store.activations("outputs.logits")
    guessed = np.asarray(logits.take(np.arange(44))).argmax(1)
    assert guessed.tolist() == encode(STORY)[1:]
    assert "".join(store.tokens(0)[1:]).strip() == STORY


def test_padding_is_not_recorded(store):
    for tap in ("layers.0", "layers.4", "outputs.logits"):
        assert np.diff(store.activations(tap).layout.offsets).tolist() == [45, 50]
    assert [len(store.tokens(i)) for i in range(2)] == [45, 50]


def test_last_token_and_its_mean(store, real, tmp_path):
    folder = tmp_path
    (folder / "texts.txt").write_text(f"{STORY}\n{NONSENSE}\n")
    model = StoryModel(real / "lm" / "stories260K.bin", real / "lm" / "tok512.bin")
    everything = rows(store, "layers.2")
    for tokens, expected in (
        ("last", everything[[44, 94]]),
        ("mean", np.stack([everything[:45].mean(0), everything[45:].mean(0)])),
    ):
        pooled = recorded(
            model, None, open_data(folder / "texts.txt"), folder / tokens, taps="layers.2", tokens=tokens,
            dtype="float32",
        )  # fmt: skip
        np.testing.assert_allclose(rows(pooled, "layers.2"), expected, atol=1e-5)
