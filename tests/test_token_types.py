"""Tokens of other kinds than a class token before patches: the map that says what they are, and what is kept."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.errors import InputError, ParameterError
from analysis.recording.hooks import Taps, Want
from analysis.recording.layout import Axes
from analysis.recording.recorder import record
from analysis.sources.token_types import token_types
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data
from analysis.store import manifest
from analysis.tokens.pooling.token_sets import token_sets

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from tiny_networks import FAMILIES  # noqa: E402

HEADED = "class:1+patch:4x4+head:4"


def test_counts_add_up_and_without_head_tokens_the_patches_are_the_grid():
    found = token_types(HEADED, 21)
    assert sum(count for _, _, count in found.parts) == 21
    assert found.leading == 5
    assert found.order == (0, 17, 18, 19, 20, *range(1, 17))
    assert len(found.order) - found.leading == found.grid[0] * found.grid[1] == 16
    assert (
        found.told == "token types, in the order kept: row 0: class, rows 1 to 4: head, rows 5 to 20: patch"
    )


@pytest.mark.parametrize(
    ("text", "tokens", "order", "grid"),
    [
        ("patch:4", 4, (0, 1, 2, 3), (2, 2)),
        ("head:2+patch:1x3+class:1", 6, (5, 0, 1, 2, 3, 4), (1, 3)),
        ("head token:1 + patch:2x1", 3, (0, 1, 2), (2, 1)),
    ],
)
def test_the_class_token_comes_first_and_patches_last(text, tokens, order, grid):
    found = token_types(text, tokens)
    assert (found.order, found.grid) == (order, grid)
    assert sorted(found.order) == list(range(tokens))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class:1+patch:4x4+head:3", "20 tokens"),
        ("class:1+patch:20", "no square"),
        ("class:1+head:20", "without patches"),
        ("patch:2x2+head:1+patch:4x4", "several runs of patches"),
        ("class:2+patch:1x19", "several class tokens"),
        ("class:1+patch:0+head:20", "'patch:0'"),
        ("class=1", "class=1"),
        ("", "''"),
    ],
)
def test_a_map_that_does_not_fit_is_refused_in_words(text, said):
    with pytest.raises(ParameterError) as raised:
        token_types(text, 21)
    assert said in str(raised.value)


class Headed(torch.nn.Module):
    """A class token, patches, and behind them one token of each head: the mean of its slice of the patches."""

    def __init__(self, heads: int = 4):
        super().__init__()
        self.heads, self.block = heads, torch.nn.Identity()

    def forward(self, patches):
        b, _, d = patches.shape
        means = patches.mean(dim=1).reshape(b, self.heads, d // self.heads)
        head = torch.zeros(b, self.heads, d)
        for h in range(self.heads):
            head[:, h, h * d // self.heads : (h + 1) * d // self.heads] = means[:, h]
        return self.block(torch.cat([torch.ones(b, 1, d), patches, head], dim=1))


def captured(tokens: str, patches, typed: bool = True):
    model, axes = Headed(), Axes(batch=0, unit=2, tokens=(1,))
    order = token_types(HEADED, 21).order if typed else ()
    with Taps(model, [Want("block", "block", axes, tokens, 5, order=order)]) as taps:
        model(patches)
        return taps.take()["block"].values.numpy()


def test_of_a_network_with_head_tokens_means_are_of_patches_alone():
    patches = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 16, 8)).astype(np.float32))
    rows = captured("all", patches).reshape(3, 21, 8)
    np.testing.assert_array_equal(rows[:, 0], 1.0)
    np.testing.assert_array_equal(rows[:, 5:], patches.numpy())
    np.testing.assert_allclose(captured("mean", patches), patches.numpy().mean(axis=1), atol=1e-6)
    np.testing.assert_array_equal(captured("cls", patches), np.ones((3, 8)))
    plain = captured("mean", patches, typed=False)
    assert (
        np.abs(plain - patches.numpy().mean(axis=1)).max() > 1e-3
    )  # without the map it takes head tokens for patches
    with pytest.raises(InputError, match="gave 20 tokens"):
        captured("all", patches[:, 1:])


def test_a_store_is_recorded_by_its_map_and_reads_as_a_grid(tmp_path):
    torch.manual_seed(0)
    model, processor = FAMILIES["registers"][0](transformers)
    model.save_pretrained(tmp_path / "net")
    processor.save_pretrained(tmp_path / "net")
    size = processor.size["height"]
    pixels = np.random.default_rng(0).integers(0, 255, (5, size, size, 3)).astype(np.uint8)
    np.savez(tmp_path / "d.npz", images=pixels)
    checkpoint, data = open_checkpoint(tmp_path / "net"), open_data(tmp_path / "d.npz")

    def made(name: str, choice: str):
        return record(checkpoint, data, tmp_path / name, name=name, tokens="all", dtype="float32",
                      taps=[f"encoder.layer.0{choice}"])  # fmt: skip

    plain, typed = made("plain", ""), made("typed", f"@types={HEADED}")
    rows, tap = plain.activations("encoder.layer.0"), typed.activations("encoder.layer.0")
    given, kept = (a.take(np.arange(a.shape[0])).reshape(5, 21, -1) for a in (rows, tap))
    np.testing.assert_array_equal(kept, given[:, list(token_types(HEADED, 21).order)])
    assert (tap.layout.grid, tap.layout.leading) == ((4, 4), 5)
    sets = token_sets(tap, 5, np.random.default_rng(0))
    np.testing.assert_allclose(sets.x, given[:, 1:17])  # head tokens dropped: the patches, on their grid
    assert sets.grid == (4, 4)
    assert any("rows 1 to 4: head" in note for note in manifest.read(typed.path)["settings"]["notes"])
    with pytest.raises(ParameterError, match="20 tokens"):
        made("wrong", "@types=class:1+patch:4x4+head:3")
