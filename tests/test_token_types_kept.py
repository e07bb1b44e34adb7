"""Head tokens behind patches: what a token-type map says holds for a dump of one's own and for rules run live."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.errors import ParameterError
from analysis.recording.import_dump import import_dump
from analysis.recording.recorder import record
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data
from analysis.sources.dumps import open_dump
from analysis.sources.token_types import fitting
from analysis.tokens.attention.heads import heads_of
from analysis.tokens.dump import simulate
from analysis.tokens.recorded_dump import parts_of, recorded_dump
from analysis.tokens.rule import rules
from analysis.tokens.schedule import schedule
from analysis.tokens.state import GONE
from analysis.tokens.view import CLASS, PATCH, REGISTER

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from test_token_bad_input import Block  # noqa: E402
from tiny_networks import FAMILIES  # noqa: E402

HEADED, PATCHES, HEADS, T = "class:1+patch:4x4+head:2", 16, 2, 19


class Attention(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj, self.num_heads = torch.nn.Linear(8, 24), torch.nn.Linear(8, 8), HEADS

    def parts(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(x).reshape(b, t, 3, HEADS, d // HEADS).permute(2, 0, 3, 1, 4)
        return q, k, v, (q @ k.transpose(2, 3) * (d // HEADS) ** -0.5).softmax(dim=3)

    def forward(self, x):
        _, _, v, paid = self.parts(x)
        return self.proj((paid @ v).transpose(1, 2).reshape(x.shape))


class Headed(torch.nn.Module):
    """A class token, patches, and behind them a token of each head of what its slice of the patches holds on average.
    The answer is read from the class token and the head tokens, wherever the last of them stand."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.cls_token = torch.nn.Conv2d(3, 8, 4, 4), torch.nn.Parameter(torch.randn(1, 1, 8))
        self.to_head, self.head = torch.nn.Linear(8 // HEADS, 8), torch.nn.Linear(8, 3)
        self.blocks = torch.nn.ModuleList([Block(Attention()) for _ in range(2)])

    def tokens(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        b = len(x)
        own = self.to_head(x.mean(dim=1).reshape(b, HEADS, -1))
        return torch.cat([self.cls_token.expand(b, -1, -1), x, own], dim=1)

    def forward(self, x):
        x = self.tokens(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, 0] + x[:, -HEADS:].mean(dim=1))


@pytest.fixture(scope="module")
def headed():
    torch.manual_seed(0)
    return Headed().eval()


def pictures(n: int = 4) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((n, 3, 16, 16)).astype(np.float32)


def arrays(model) -> dict[str, np.ndarray]:
    """What the network has, in its own order of tokens."""
    out = {}
    with torch.no_grad():
        x = model.tokens(torch.from_numpy(pictures()))
        for i, block in enumerate(model.blocks):
            q, k, _, paid = block.attn.parts(block.norm1(x))
            x = block(x)
            out[f"blocks.{i}.hidden"] = x
            out |= {f"blocks.{i}.{what}": y.transpose(1, 2).flatten(2)
                    for what, y in (("keys", k), ("queries", q), ("attention", paid))}  # fmt: skip
    return {name: np.ascontiguousarray(y.numpy()) for name, y in out.items()}


@pytest.fixture(params=["in the npz", "as an option"])
def dumped(request, tmp_path, headed):
    inside = {"token_types": np.array(HEADED)} if request.param == "in the npz" else {}
    np.savez(tmp_path / "d.npz", **arrays(headed), **inside)
    dump = open_dump(tmp_path / "d.npz", types="" if inside else HEADED)
    return import_dump(dump, tmp_path / "s", name="s").activations("blocks.1.hidden")


def test_a_dump_with_head_tokens_is_a_grid_with_three_tokens_before_it(dumped, headed):
    x, order = arrays(headed), (0, 17, 18, *range(1, 17))
    assert (dumped.layout.grid, dumped.layout.leading) == ((4, 4), 3)
    rows = dumped.take(np.arange(4 * T)).reshape(4, T, 8)
    np.testing.assert_array_equal(rows, x["blocks.1.hidden"][:, list(order)])
    dump, _, _ = recorded_dump(parts_of(dumped), 4, np.random.default_rng(0), lambda *_: None)
    kinds = dump.layout.kinds[0]
    counts = {kind: int((kinds == kind).sum()) for kind in (CLASS, REGISTER, PATCH)}
    assert counts == {CLASS: 1, REGISTER: HEADS, PATCH: PATCHES}
    assert sum(counts.values()) == T
    np.testing.assert_array_equal(dump.layout.free[0], kinds == PATCH)  # without head tokens: the grid, H x W
    np.testing.assert_array_equal(dump.layout.cell[0][kinds == PATCH], np.arange(PATCHES))


def test_columns_of_recorded_attention_go_with_its_rows(dumped, headed):
    reader, x = heads_of(dumped, 4, np.random.default_rng(0)), arrays(headed)
    order = [0, 17, 18, *range(1, 17)]
    want = x["blocks.1.attention"].reshape(4, T, HEADS, T)[:, order][..., order]
    for h in range(HEADS):
        np.testing.assert_allclose(reader.rows(1, h), want[:, :, h], atol=1e-6)
        own = reader.weights
        reader.weights = None  # the same from queries and keys, which have no columns to put in order
        np.testing.assert_allclose(reader.rows(1, h), want[:, :, h], atol=1e-5)
        reader.weights = own


@pytest.mark.parametrize("name", ["random", "class_attention", "tome", "token_norm"])
def test_rules_on_the_dump_and_live_leave_class_and_head_tokens_alone(dumped, headed, name):
    from analysis.sources.loaded_model import LoadedModel
    from analysis.tokens.networks.token_network import TokenNetwork

    rule = rules()[name]
    plan = lambda tokens: schedule("once", 0.5, 2, tokens)  # noqa: E731
    dump, _, _ = recorded_dump(parts_of(dumped), 4, np.random.default_rng(0), lambda *_: None)
    told = simulate(dump, rule, plan, rng=np.random.default_rng(0)).states[-1]
    prepare = lambda items: torch.from_numpy(np.stack(items))  # noqa: E731
    items = list(pictures())
    network = TokenNetwork(LoadedModel(headed, "image", prepare), items, types=(HEADED,))
    run = network.run(prepare(items), rule, plan, rng=np.random.default_rng(0))
    assert run.layout.grid == (4, 4)
    for kinds, state in ((dump.layout.kinds, told), (run.layout.kinds, run.states[-1])):
        assert (kinds >= 0).sum() == 4 * T
        kept = np.where(kinds == PATCH, True, state.place != GONE)
        assert kept.all()
        assert (state.counts == HEADS + 1 + PATCHES // 2).all()
        sizes = np.take_along_axis(state.size, np.maximum(state.place, 0), axis=1)
        assert (sizes[kinds != PATCH] == 1).all()  # nor is anything merged into them
    with torch.no_grad():
        whole = headed(prepare(items))
    torch.testing.assert_close(network.run(prepare(items)).logits, whole, rtol=1e-4, atol=1e-5)


def test_live_the_map_is_that_which_was_said_when_the_tap_was_recorded(tmp_path):
    from analysis.tokens.opened import opened, types_said

    torch.manual_seed(0)
    model, processor = FAMILIES["registers"][0](transformers)
    model.save_pretrained(tmp_path / "net")
    processor.save_pretrained(tmp_path / "net")
    size, said = processor.size["height"], "class:1+patch:4x4+head:4"
    pixels = np.random.default_rng(0).integers(0, 255, (3, size, size, 3)).astype(np.uint8)
    np.savez(tmp_path / "d.npz", images=pixels)
    checkpoint, data = open_checkpoint(tmp_path / "net"), open_data(tmp_path / "d.npz")
    for choice, tokens, patches in ((f"@types={said}", "all", (1, 17)), (f"@types={said}", "mean", (1, 17)),
                                    ("", "all", (5, 21))):  # fmt: skip
        name = f"{tokens}-{bool(choice)}"
        made = record(checkpoint, data, tmp_path / name, name=name, tokens=tokens, dtype="float32",
                      taps=[f"encoder.layer.0{choice}", "encoder.layer.1"])  # fmt: skip
        for tap in ("encoder.layer.0", "encoder.layer.1"):
            one = made.activations(tap)
            assert types_said(one) == ((said,) if choice else ())
            found = opened(one, 3)
            layout = found.network.layout(found.prepared(0, 3), 21)
            np.testing.assert_array_equal(np.flatnonzero(layout.free[0]), np.arange(*patches))
            assert layout.grid == (4, 4)


def test_maps_of_other_counts_are_passed_over_or_refused(tmp_path, headed):
    assert fitting([HEADED, "class:1+patch:4x4"], 17).grid == (4, 4)
    assert fitting([HEADED], 18) is None
    assert fitting(["", "patch:4"], 4).leading == 0
    np.savez(tmp_path / "d.npz", **arrays(headed))
    with pytest.raises(ParameterError, match="20 tokens"):
        open_dump(tmp_path / "d.npz", types="class:1+patch:4x4+head:3")
    plain = open_dump(tmp_path / "d.npz")
    assert plain.taps["blocks.0.hidden"].grid is None
    assert plain.digest != open_dump(tmp_path / "d.npz", types=HEADED).digest
    mean = open_dump(tmp_path / "d.npz", types=HEADED, tokens="mean")
    chunk = next(mean.chunks()).values["blocks.0.hidden"]
    np.testing.assert_allclose(chunk, arrays(headed)["blocks.0.hidden"][:, 1:17].mean(axis=1), atol=1e-6)


def test_head_tokens_without_a_class_token_are_no_class_token(tmp_path, rng):
    x = rng.standard_normal((3, 6, 4)).astype(np.float32)
    np.savez(tmp_path / "d.npz", **{f"b.{i}.hidden": x + i for i in range(2)}, token_types="patch:2x2+head:2")
    tap = import_dump(open_dump(tmp_path / "d.npz"), tmp_path / "s", name="s").activations("b.0.hidden")
    dump, _, _ = recorded_dump(parts_of(tap), 3, np.random.default_rng(0), lambda *_: None)
    assert dump.layout.kinds[0].tolist() == [REGISTER, REGISTER, PATCH, PATCH, PATCH, PATCH]
