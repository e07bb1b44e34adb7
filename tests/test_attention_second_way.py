"""The atlas of attention once more, by another way: loops over queries and keys, NumPy alone; slopes by differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.methods.tokens.attention_rollout import attention_rollout
from analysis.methods.tokens.head_similarity import likeness
from analysis.tokens.attention import measures as m
from analysis.tokens.attention.heads import HeadReader
from analysis.tokens.attention.isotropic import shares
from analysis.tokens.attention.position_null import even, measured
from analysis.tokens.attention.rollout import rolled, weighted_by_slope, with_shortcut
from analysis.tokens.attention.weight_shares import share_of_heads
from analysis.tokens.view import CLASS, PADDING, PATCH, TEXT, TokenLayout
from analysis.workspace import Workspace

RNG = np.random.default_rng
CLOSE = 1e-9
STEP, OFF = 1e-3, 1e-4  # of a weight; what a softmax in single precision makes of a difference over it


def made(samples=4, side=4, leading=1, layers=2, heads=2, lengths=()):
    """(reader, queries (L, n, H, T, e), keys): a picture with a class token, or texts of these lengths."""
    rng, t = RNG(7), max(lengths) if lengths else side**2 + leading
    q, k = rng.standard_normal((2, layers, len(lengths) or samples, heads, t, 3)) * 1.3
    if lengths:
        there = np.arange(t) < np.array(lengths)[:, None]
        kinds = np.where(there, TEXT, PADDING)
        layout = TokenLayout(kinds, there, np.full(kinds.shape, -1), None, causal=True)
    else:
        kinds = np.full((samples, t), PATCH)
        kinds[:, :leading] = CLASS
        cell = np.broadcast_to(np.arange(t) - leading, kinds.shape)
        layout = TokenLayout(kinds, kinds == PATCH, cell, (side, side))
    return HeadReader(layout, list(q), list(k), np.arange(len(kinds)), 3), q, k


def readable(layout, b: int, i: int) -> np.ndarray:
    return layout.present[b] & ((np.arange(layout.present.shape[1]) <= i) | (not layout.causal))


def attention(q, k, layout) -> np.ndarray:
    out = np.zeros((len(q), q.shape[1], q.shape[1]))
    for b, i in zip(*np.nonzero(layout.present), strict=True):
        keys = np.flatnonzero(readable(layout, b, i))
        weight = np.exp([q[b, i] @ k[b, j] / np.sqrt(q.shape[2]) for j in keys])
        out[b, i, keys] = weight / weight.sum()
    return out


def by_places(a, layout, b: int) -> np.ndarray:
    """The mean of the others among what b may read; all alike where no other has the query."""
    out = np.zeros_like(a[b])
    for i in np.flatnonzero(layout.present[b]):
        others = sum(a[c, i] for c in range(len(a)) if c != b) * layout.present[b]
        row = others if others.sum() > 1e-9 else readable(layout, b, i).astype(float)
        out[i] = row / row.sum()
    return out


def alike(layout, b: int) -> np.ndarray:
    rows = np.array([readable(layout, b, i) * 1.0 for i in range(layout.present.shape[1])])
    return rows / np.maximum(rows.sum(axis=1, keepdims=True), 1)


def said(a, layout, b: int, name: str) -> float:
    there = np.flatnonzero(layout.present[b])
    a = a[np.ix_(there, there)]
    if name == m.ENTROPY:
        return np.mean([-(row[row > 0] * np.log(row[row > 0])).sum() for row in a])
    if name == m.KEYS:
        return np.mean([1 + np.searchsorted(np.cumsum(np.sort(row)[::-1]), 0.9 - 1e-12) for row in a])
    if name == m.SHARE:
        keys = [sum(readable(layout, b, i)) for i in there]
        each = [1 + np.searchsorted(np.cumsum(np.sort(row)[::-1]), 0.9 - 1e-12) for row in a]
        return np.median([e / k for e, k in zip(each, keys, strict=True)])
    if name == m.GINI:  # by the Lorenz curve
        lorenz = np.cumsum(np.sort(a.sum(axis=0)))
        return 1 - 2 * (lorenz / lorenz[-1]).sum() / len(a) + 1 / len(a)
    if name == m.COSINE:
        return np.mean(
            [r @ s / np.sqrt((r @ r) * (s @ s)) for i, r in enumerate(a) for j, s in enumerate(a) if i != j]
        )
    if name == m.RANK:
        s = np.sqrt(np.linalg.eigvalsh(a @ a.T)[::-1].clip(0))
        return (s > 0.01 * s[0]).sum()
    cell = layout.cell[b][there] if layout.grid else np.arange(len(there))
    on, wide = cell >= 0, layout.grid[1] if layout.grid else 1
    place = np.stack(np.divmod(cell[on], wide), axis=1)
    apart = place[:, None] - place[None]
    far = np.sqrt((apart**2).sum(axis=2)) if name == m.DISTANCE else np.abs(apart).max(axis=2) <= 1
    a = a[np.ix_(on, on)]
    return (a * far).sum(axis=1).dot(1 / a.sum(axis=1)) / on.sum()


@pytest.mark.parametrize("name", list(m.UNITS))
@pytest.mark.parametrize(
    "given", [{}, {"leading": 0, "side": 3}, {"lengths": (9, 6, 9)}], ids=["class", "plain", "text"]
)
def test_values_nulls_of_place_and_even_attention_are_those_of_loops(given, name):
    reader, q, k = made(**given)
    found, flat = measured(reader, name, held=500), even(reader, name, held=300)
    for layer, head, b in np.ndindex(found.value.shape):
        a = attention(q[layer][:, head], k[layer][:, head], reader.layout)
        assert found.value[layer, head, b] == pytest.approx(said(a[b], reader.layout, b, name), abs=CLOSE)
        null = by_places(a, reader.layout, b)
        assert found.null[layer, head, b] == pytest.approx(said(null, reader.layout, b, name), abs=CLOSE)
        assert flat[b] == pytest.approx(said(alike(reader.layout, b), reader.layout, b, name), abs=CLOSE)


def test_likeness_of_heads_is_the_cosine_of_what_goes_beyond_places():
    reader, q, k = made(samples=5, side=3)
    own, _, content = likeness(reader, held=100)
    parts = []
    for layer, head in np.ndindex(2, 2):
        a = attention(q[layer][:, head], k[layer][:, head], reader.layout)
        parts.append((a, np.array([a[b] - np.delete(a, b, axis=0).mean(axis=0) for b in range(5)])))
    for s, (i, (whole, one)) in ((s, p) for s in range(5) for p in enumerate(parts)):
        share = 4 / 5 * np.square(one[s]).sum() / np.square(whole[s]).sum()
        assert content[s, i] == pytest.approx(share, abs=CLOSE)
        for j, (_, other) in enumerate(parts):
            x, y = one[s].ravel(), other[s].ravel()
            assert own[s, i, j] == pytest.approx(x @ y / np.sqrt((x @ x) * (y @ y)), abs=CLOSE)


def test_isotropic_shares_are_those_of_whole_matrices_and_of_samples_left_out():
    rng, d, e = RNG(1), 12, 4
    w_q, w_k = rng.standard_normal((2, 5, d, e))
    whole = np.einsum("hde,hfe->hdf", w_q, w_k)
    known = [np.trace(w) ** 2 / (d * np.square(w).sum()) for w in whole]
    found, trace = share_of_heads(w_q, w_k)
    np.testing.assert_allclose(found, known, rtol=CLOSE)
    np.testing.assert_allclose(trace, np.trace(whole, axis1=1, axis2=2), rtol=CLOSE)
    x, there = rng.standard_normal((6, 9, d)), np.ones((6, 9), bool)
    there[2, 7:] = False
    q, k = x @ w_q[0], x @ w_k[0]
    means = [np.concatenate([z[b][there[b]] for b in range(6)]).mean(axis=0) for z in (q, k)]

    def of(samples) -> float:
        a, c = (
            np.concatenate([z[b][there[b]] - mean for b in samples])
            for z, mean in zip((q, k), means, strict=True)
        )
        return np.mean((a * c).sum(axis=1)) ** 2 / (d * np.mean(np.square(a @ c.T)))

    known = [6 * of(range(6)) - 5 * of([c for c in range(6) if c != b]) for b in range(6)]
    np.testing.assert_allclose(shares(q, k, there, d)[0], known, rtol=1e-8)


def test_slopes_of_the_rollout_are_differences_of_the_answer(monkeypatch):
    """One entry of attention after the other is raised by a little, and the likeliest answer read again."""
    torch, t = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from transformers.models.vit import modeling_vit

    from analysis.sources.loaded_model import LoadedModel

    torch.manual_seed(0)
    small = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    config = t.ViTConfig(image_size=4, patch_size=2, num_labels=3, attn_implementation="eager", **small)
    model = t.ViTForImageClassification(config).double().eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.5)
    x = torch.randn(1, 3, 4, 4, dtype=torch.float64)
    found, answer = weighted_by_slope(LoadedModel(model, "image", lambda items: items), x)
    paid = [a[0].detach().numpy() for a in model(x, output_attentions=True).attentions]
    plain, raised = modeling_vit.eager_attention_forward, {"call": 0}

    def more(module, query, key, value, *rest, **named):
        out, weights = plain(module, query, key, value, *rest, **named)
        if raised["call"] == raised["layer"]:
            h, i, j = raised["at"]
            out = out.clone()
            out[0, i, h] += raised["step"] * value[0, h, j]
        raised["call"] += 1
        return out, weights

    def read(layer, at, step) -> float:
        raised.update(call=0, layer=layer, at=at, step=step)
        with torch.no_grad():
            return float(model(x).logits[0, int(answer)])

    monkeypatch.setattr(modeling_vit, "eager_attention_forward", more)
    known = np.zeros((2, 5, 5))
    for layer in range(2):
        for h, i, j in np.ndindex(2, 5, 5):
            slope = (read(layer, (h, i, j), STEP) - read(layer, (h, i, j), -STEP)) / (2 * STEP)
            known[layer, i, j] += max(paid[layer][h, i, j] * slope, 0) / 2
    assert known.max() > 100 * OFF
    np.testing.assert_allclose(found, known, rtol=0, atol=OFF)
    np.testing.assert_allclose([rolled(with_shortcut(found), r).sum() for r in range(5)], 1, atol=1e-12)


def test_a_text_of_128_tokens_has_its_largest_flow():
    workspace = Workspace(Path(__file__).parents[1] / "sample_data" / "workspace")
    found = attention_rollout(workspace.activations("python-gpt:transformer.h.2"))
    assert found.names[-1] == "largest flow"
    assert found.values[-1].mean() == pytest.approx(1, abs=1e-9)
