"""What is wrong, odd or at the edge in tokens and networks: a message that says so, or what is right all the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_token_state import LAYERS, B, T, _view, planted

from analysis.errors import InputError, ParameterError, ShapeError
from analysis.tokens.coverage import boxes_of
from analysis.tokens.dump import TokenDump, simulate
from analysis.tokens.rule import rule, rules
from analysis.tokens.schedule import Schedule, schedule
from analysis.tokens.state import TokenState, after
from analysis.tokens.view import CLASS, NO_CLASS, PADDING, PATCH, REGISTER, TEXT, TokenLayout

torch = pytest.importorskip("torch")


def half(one, dump, share=0.5):
    return simulate(dump, one, lambda n: schedule(one.schedule, share, LAYERS, n))


def laid(kinds: np.ndarray, cell=None, grid=None, causal=False, free=None) -> TokenDump:
    """The planted numbers as tokens of these kinds (T,)."""
    kinds = np.broadcast_to(kinds, (B, T)).copy()
    free = kinds == PATCH if free is None else free
    cell = np.full((B, T), -1) if cell is None else cell
    return TokenDump(TokenLayout(kinds, free, cell, grid, causal), planted().recorded)


# ---------------------------------------------------------------------------- rules
@pytest.mark.parametrize("id", list(rules()))
def test_two_protected_tokens_stay_alone_and_so_do_registers_in_the_middle(id):
    kinds = np.full(T, PATCH)
    kinds[[0, 1, 8]] = CLASS, REGISTER, REGISTER
    found = half(rule(id), laid(kinds), 0.25).states[-1]
    at = found.place[:, [0, 1, 8]]
    assert (found.owner[:, [0, 1, 8]] == [0, 1, 8]).all()
    assert (np.take_along_axis(found.size, at, axis=1) == 1).all()
    assert (found.counts < T).all() or rule(id).own_count


@pytest.mark.parametrize("id", list(rules()))
def test_without_a_class_token_rules_rank_by_what_all_tokens_read_and_say_so(id):
    found = half(rule(id), laid(np.full(T, PATCH)))
    asks_class = id in ("class_attention", "evit", "fastv", "feather", "pyramid_drop", "correlation_guided")
    assert (NO_CLASS in found.notes) == asks_class
    assert (found.counts[-1] >= 1).all()


@pytest.mark.parametrize("id", list(rules()))
@pytest.mark.parametrize("wanted", [T // 2 + 1, T - 1, 3 * T])
def test_more_than_a_rule_can_take_spares_what_is_protected(id, wanted):
    dump, one = planted(), rule(id)
    step = one.decide(_view(dump, one), np.full(B, wanted), one.settings(), np.random.default_rng(0))
    new = after(TokenState.start(dump.layout.present), step)
    assert (new.owner[:, 0] == 0).all()
    assert (new.size[:, 0] == 1).all()
    if one.merges:
        assert (new.size.sum(axis=1) == T).all()


def test_more_than_half_is_cut_to_half_and_said():
    for id in ("tome", "mctf", "pitome"):
        found = half(rule(id), planted(), 0.01)
        assert "takes at most 50% of the free tokens at once" in found.notes[0]
        assert (np.diff(found.counts, axis=0) * -2 <= found.counts[:-1] - 1).all()


def test_nothing_to_choose_from_changes_nothing():
    none = np.zeros((B, T), bool)
    one = none.copy()
    one[:, 5] = True
    for free in (none, one):
        dump = TokenDump(replace(planted().layout, free=free), planted().recorded)
        for each in rules().values():
            assert (half(each, dump).counts[-1] == T).all(), each.id


def test_a_ratio_that_leaves_nothing_is_refused_and_a_tiny_one_leaves_a_token():
    for share in (0.0, -0.1, 1.5, float("nan")):
        with pytest.raises(ParameterError, match="more than 0 and at most 1"):
            schedule("even", share, 4, 16)
    assert schedule("even", 1e-9, 4, 16).kept[-1] == 1
    with pytest.raises(InputError, match="takes all 17 tokens"):
        simulate(laid(np.full(T, PATCH)), rule("even"), Schedule((T, 0, 0, 0), T))
    left = simulate(planted(), rule("even"), Schedule((T - 1, 0, 0, 0), T - 1))
    assert (left.counts[-1] == 1).all()  # the class token


def test_attention_that_is_not_square_is_refused():
    dump = planted()
    for name, part in (("mean attention", np.s_[:, :, ::2]), ("mean keys", np.s_[:, ::2])):
        with pytest.raises(ShapeError, match=f"'{name}' of layer 1 has shape"):
            TokenDump(dump.layout, dump.recorded | {name: [x[part] for x in dump.recorded[name]]})


@pytest.mark.parametrize("id", [i for i in rules() if i != "random"])
def test_padding_on_either_side_and_sequences_of_other_lengths_are_as_alone(id):
    """Of text: the middle sample has five tokens fewer, before or behind, where padding reads as networks let it."""
    alone = T - 5
    only = TokenLayout(
        np.full((1, alone), TEXT), _inner(np.ones((1, alone), bool)), np.full((1, alone), -1), None, True
    )
    cut = {name: [_cut(x, alone) for x in values] for name, values in planted().recorded.items()}
    expected = half(rule(id), TokenDump(only, cut)).states[-1].owner[0]
    for left in (True, False):
        there = np.ones((B, T), bool)
        there[1, :5] = not left
        there[1, alone:] = left
        at = np.flatnonzero(there[1])
        kept = {k: [_put(x, at) for x in v] for k, v in planted().recorded.items()}
        layout = TokenLayout(np.where(there, TEXT, PADDING), _inner(there), np.full((B, T), -1), None, True)
        found = half(rule(id), TokenDump(layout, kept))
        owner = found.states[-1].owner[1, at]
        np.testing.assert_array_equal(np.where(owner >= 0, owner - at[0], -1), expected)
        assert (np.delete(found.states[-1].owner[1], at) == -1).all()


def _inner(there: np.ndarray) -> np.ndarray:
    """All but the first and the last token of each sample."""
    free = there.copy()
    for row in free:
        row[np.flatnonzero(row)[[0, -1]]] = False
    return free


def _between(x: np.ndarray) -> bool:
    return x.ndim > 2 and x.shape[-1] == x.shape[-2] == T


def _cut(x: np.ndarray, alone: int) -> np.ndarray:
    """The planted numbers of the middle sample's first tokens."""
    if not _between(x):
        return x[1:2, ..., :alone, :]
    part = np.tril(x[1:2, ..., :alone, :alone])
    return part / part.sum(axis=-1, keepdims=True)


def _put(x: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The same at its places; elsewhere large numbers, and attention of padding to the last tokens."""
    own, x = _cut(x, len(at))[0], x.copy()
    if not _between(x):
        x[1] = 50.0
        x[1][..., at, :] = own
        return x
    x[1] = 0
    x[1][..., at[-4:]] = 0.25
    x[1][..., at, :] = 0
    x[1][..., at[:, None], at] = own
    return x


# ---------------------------------------------------------------------------- boxes
@pytest.mark.parametrize("box", ["5, 1", "1, 5", "0, 1", "3-2, 1", "1-9, 1-9"])
def test_boxes_outside_the_picture_are_refused(box):
    with pytest.raises(ParameterError, match="inside the picture, which has 4 rows and 4 columns"):
        boxes_of(box, 4, 4)
    with pytest.raises(ParameterError, match="one row of 4"):
        boxes_of("2, 1", 1, 4)


# ---------------------------------------------------------------------------- networks
class Attention(torch.nn.Module):
    def __init__(self, every: int = 1, bias: bool = False) -> None:
        super().__init__()
        self.qkv, self.proj, self.num_heads, self.every = (
            torch.nn.Linear(8, 24),
            torch.nn.Linear(8, 8),
            2,
            every,
        )
        self.bias = torch.nn.Parameter(torch.randn(17, 17)) if bias else None

    def forward(self, x):
        q, k, v = self.qkv(x).reshape(*x.shape[:2], 3, 2, 4).permute(2, 0, 3, 1, 4)
        k, v = k[:, :, :: self.every], v[:, :, :: self.every]
        out = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=self.bias)
        return self.proj(out.transpose(1, 2).reshape(x.shape))


class Fused(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inside = torch.nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.inside(x, x, x, need_weights=False)[0]


class Block(torch.nn.Module):
    def __init__(self, attention) -> None:
        super().__init__()
        self.norm1, self.attn, self.norm2 = torch.nn.LayerNorm(8), attention, torch.nn.LayerNorm(8)
        self.mlp = torch.nn.Linear(8, 8)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Own(torch.nn.Module):
    """A small network; `cut`: patches by a convolution, or by reshaping the picture."""

    def __init__(self, first: bool, prompts: int = 0, cut: bool = True, attention=Attention) -> None:
        super().__init__()
        self.patch = torch.nn.Conv2d(3, 8, 4, 4) if cut else torch.nn.Linear(48, 8)
        self.cls_token = torch.nn.Parameter(torch.randn(1, 1, 8)) if first else None
        self.prompts = torch.nn.Parameter(torch.randn(1, prompts, 8)) if prompts else None
        self.blocks, self.head = (
            torch.nn.ModuleList([Block(attention()) for _ in range(2)]),
            torch.nn.Linear(8, 3),
        )

    def forward(self, x):
        b, c, h, w = x.shape
        if isinstance(self.patch, torch.nn.Conv2d):
            x = self.patch(x).flatten(2).transpose(1, 2)
        else:
            x = self.patch(x.reshape(b, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 1, 3, 5).reshape(b, -1, 48))
        before = [p.expand(b, -1, -1) for p in (self.cls_token, self.prompts) if p is not None]
        x = torch.cat([*before, x], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(dim=1))


def opened(module, items=None):
    from analysis.sources.loaded_model import LoadedModel
    from analysis.tokens.networks.token_network import TokenNetwork

    items = list(np.random.default_rng(0).standard_normal((2, 3, 16, 16))) if items is None else items
    prepare = lambda given: torch.from_numpy(np.stack(given)).float()  # noqa: E731
    return TokenNetwork(LoadedModel(module.eval(), "image", prepare), items), prepare(items)


@pytest.mark.parametrize(("first", "prompts"), [(True, 0), (True, 4), (False, 0), (False, 3)])
@pytest.mark.parametrize("cut", [True, False])
def test_class_tokens_and_prompts_are_told_from_patches(first, prompts, cut):
    network, inputs = opened(Own(first, prompts, cut))
    layout = network.run(inputs).layout
    assert layout.kinds[0].tolist() == [CLASS] * first + [REGISTER] * prompts + [PATCH] * 16
    assert layout.grid == (4, 4)
    assert layout.class_at == (0 if first else None)
    left = network.run(inputs, rule("mctf"), lambda n: schedule("even", 0.5, 2, n)).states[-1]
    assert (left.counts == 8 + first + prompts).all()


def test_wide_pictures_lie_as_they_are():
    wide = list(np.random.default_rng(0).standard_normal((1, 3, 16, 24)))
    for cut in (True, False):
        network, inputs = opened(Own(True, 2, cut), wide)
        assert network.run(inputs).layout.grid == (4, 6)


def windowed():
    attention = Attention()
    attention.window_size = (2, 2)
    return attention


@pytest.mark.parametrize(
    ("attention", "said"),
    [
        (windowed, r"has attention in windows \(blocks.0.attn: 2 x 2\)"),
        (Fused, "attention of Fused without the parts 'qkv'"),
        (lambda: Attention(every=2), "gives other answers than by itself"),
        (lambda: Attention(bias=True), "gives other answers than by itself"),
    ],
    ids=["windows", "fused", "fewer keys", "another mask"],
)
def test_attention_that_cannot_be_taken_apart_is_refused(attention, said):
    module = Own(True, attention=attention)
    with pytest.raises(InputError, match=said):
        opened(module)
    assert not any("forward" in vars(m) for m in module.modules())


def test_attention_to_fewer_keys_through_a_registry_is_refused():
    from analysis.tokens.networks.attending import Attending

    attend = Attending(lambda mask, query: None, wanted=True)
    query, key = torch.randn(1, 2, 16, 4), torch.randn(1, 2, 4, 4)
    with pytest.raises(InputError, match="attention of 16 queries to 4 keys"):
        attend(query, key, key, None, 1.0)


@pytest.mark.parametrize("name", ["softcap", "position_bias", "s_aux"])
def test_attention_whose_logits_are_changed_is_refused(name):
    """Not read as plain softmax: its weights would be others than those that the network pays."""
    from analysis.tokens.networks.attending import _registered

    q, k, v = torch.randn(3, 1, 2, 4, 3)
    with pytest.raises(InputError, match=name):
        _registered(torch.nn.Identity(), q, k, v, None, **{name: 30.0})
    out, _ = _registered(torch.nn.Identity(), q, k, v, None, **{name: None})
    weights = torch.softmax(q @ k.transpose(2, 3) * 3**-0.5, dim=-1)
    torch.testing.assert_close(out, (weights @ v).transpose(1, 2))
