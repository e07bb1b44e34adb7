"""Heads of recorded dumps along a series of checkpoints, and what they learned in place of softmax: by second ways."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import BSpline

from analysis.errors import InputError, NotFound, ShapeError
from analysis.methods.tokens.attention_atlas import attention_atlas
from analysis.methods.tokens.attention_rollout import attention_rollout
from analysis.methods.tokens.box_attention import BoxAttentionParams, box_attention
from analysis.methods.tokens.head_functions import HeadFunctionsParams, head_functions
from analysis.methods.tokens.head_locality import HeadLocalityParams, head_locality
from analysis.methods.tokens.head_offsets import head_offsets
from analysis.methods.tokens.token_overfocus import token_overfocus
from analysis.results import Estimate
from analysis.sources.checkpoint import open_checkpoint
from analysis.store.from_arrays import write_store
from analysis.store.manifest import TapSpec
from analysis.tokens.attention.heads import heads_of
from analysis.tokens.attention.locality_series import Series, locality_estimates
from analysis.tokens.attention.softmax_distance import of_weights
from analysis.tokens.kan import bases
from analysis.tokens.kan.head_maps import head_maps
from analysis.tokens.kan.head_maps_told import share_words
from analysis.tokens.kan.learned_curve import learned_reading

SIDE, LAYERS, HEADS = 4, 2, 3


def dumped(folder, name: str, attention: np.ndarray, gates=None):
    """A store with attention (layers, n, heads, T, T) of patches, and a checkpoint with gates (layers, heads)."""
    from safetensors.numpy import save_file

    rng, (_, n, _, t, _) = np.random.default_rng(0), attention.shape
    taps, specs = {}, {}
    for i, one in enumerate(attention):
        taps[f"blocks.{i}.hidden"] = rng.standard_normal((n, t, 5))
        taps[f"blocks.{i}.attention"] = one.transpose(0, 2, 1, 3).reshape(n, t, -1)
        specs |= {k: TapSpec(k, taps[k].shape[2], "float32", "all", grid=(SIDE, SIDE)) for k in taps}
    known = None
    if gates is not None:
        path = folder / f"{name}.safetensors"
        save_file({f"blocks.{i}.attn.gating_param": g.astype(np.float32) for i, g in enumerate(gates)}, path)
        known = {"path": str(path), "digest": open_checkpoint(path).digest, "kind": "state_dict"}
    made = write_store(folder / name, name=name, taps=taps, specs=specs, checkpoint=known)
    return made.activations("blocks.1.hidden")


def at_offset(down: int, across: int, n: int = 4) -> np.ndarray:
    """(n, T, T) every patch reads the one that lies there, within the border."""
    rows, columns = np.divmod(np.arange(SIDE * SIDE), SIDE)
    to = np.clip(rows + down, 0, SIDE - 1) * SIDE + np.clip(columns + across, 0, SIDE - 1)
    return np.broadcast_to(np.eye(SIDE * SIDE)[to], (n, SIDE**2, SIDE**2))


def test_every_head_of_a_dump_is_measured_at_every_checkpoint(tmp_path):
    """By hand: one to the right is ¾ over four columns, two down and one across as far as the border lets."""
    even = np.full((4, SIDE**2, SIDE**2), 1 / SIDE**2)
    first = np.stack([np.stack([even, at_offset(0, 1), at_offset(0, 0)], axis=1)] * 2)
    last = np.stack([np.stack([at_offset(0, 0), at_offset(2, 0), at_offset(0, 0)], axis=1)] * 2)
    gates = [np.zeros((2, 3)), np.array([[2.0, -2.0, 1.0], [2.0, -2.0, 1.0]])]
    taps = [
        dumped(tmp_path, f"run-{k}", a, g) for k, a, g in zip((10, 30), (first, last), gates, strict=True)
    ]
    found = head_locality(*taps)
    places = np.stack(np.divmod(np.arange(16), 4), axis=1)
    uniform = np.linalg.norm(places[:, None] - places[None], axis=2).mean()
    d = found.columns["distance"].reshape(2, 2, 3)
    np.testing.assert_allclose(d[0], [[uniform, 0.75, 0]] * 2, atol=1e-6)
    np.testing.assert_allclose(d[1], [[0, (2 + 2 + 1 + 0) / 4, 0]] * 2, atol=1e-6)
    assert sorted(set(found.positions[:, 0])) == [10, 30]
    assert [tuple(e) for e in found.edges] == [(i, i + 6) for i in range(6)]
    np.testing.assert_allclose(found.guides["all alike"][:, 1], uniform)
    by = {e.name: e for e in found.estimates}
    assert by["distance at run-10"].null == pytest.approx(uniform)
    assert by["heads that became more local"].value == pytest.approx((2 + 1) / 6)  # one of three stayed: half
    assert by["rank correlation of gate and distance at run-30"].value < 0
    assert by["rank correlation of gate and distance at run-10"].value == 0  # all gates alike
    gated = head_locality(*taps, params=HeadLocalityParams(show="against the gate"))
    np.testing.assert_allclose(gated.positions[6:9, 0], 1 / (1 + np.exp([-2.0, 2.0, -1.0])), atol=1e-6)
    deep = head_locality(*taps, params=HeadLocalityParams(show="over depth"))
    assert deep.edges is None
    assert set(deep.positions[:, 0]) == {1, 2}


def test_the_last_checkpoint_is_what_head_offsets_draws(tmp_path, rng):
    rows = rng.dirichlet(np.ones(SIDE**2), (LAYERS, 4, HEADS, SIDE**2))
    taps = [dumped(tmp_path, f"run-{k}", rows) for k in (1, 2)]
    found, own = head_locality(*taps), head_offsets(taps[1])
    np.testing.assert_allclose(found.columns["distance"][6:], own.columns["distance"], atol=1e-9)
    assert found.estimates[2].value == 0.0  # the same weights
    assert found.estimates[3].value == 0.5
    assert not any("gate" in e.name for e in found.estimates)
    without = head_locality(*taps, params=HeadLocalityParams(show="against the gate"))
    assert any("Not every checkpoint has gates" in c for c in without.caveats)


def test_heads_of_a_dump_are_those_that_were_recorded(tmp_path, rng):
    """Weights as they are, whether queries were recorded or not; of tokens alone one head a block."""
    rows = rng.dirichlet(np.ones(SIDE**2), (LAYERS, 4, HEADS, SIDE**2))
    reader = heads_of(dumped(tmp_path, "a", rows), 8, np.random.default_rng(0))
    assert (reader.layers, reader.heads, reader.n, reader.own) == (LAYERS, HEADS, 4, 1)
    np.testing.assert_allclose(reader.rows(1, 2), rows[1, :, 2], atol=1e-6)
    reader.weights = None  # log A stands for the products
    np.testing.assert_allclose(reader.rows(0, 1), rows[0, :, 1], atol=1e-6)
    assert any("were not recorded" in note for note in reader.notes)
    assert not any("rules go by" in note for note in reader.notes)
    x = rng.standard_normal((4, 9, 5))
    plain = write_store(tmp_path / "p", name="p", taps={"n.0.hidden": x, "n.1.hidden": 2 * x})
    reader = heads_of(plain.activations("n.0.hidden"), 8, np.random.default_rng(0))
    assert (reader.layers, reader.heads) == (2, 1)
    scores = np.exp(4 * x[0] @ x[0].T / 5**0.5)
    np.testing.assert_allclose(
        reader.rows(1, 0)[0], scores / scores.sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-9
    )
    assert len(attention_atlas(plain.activations("n.0.hidden")).row_names) == 2


def test_what_needs_spoiled_samples_refuses_a_dump_and_boxes_of_a_dump_are_read_once(tmp_path, rng):
    rows = rng.dirichlet(np.ones(SIDE**2), (LAYERS, 4, HEADS, SIDE**2))
    one = dumped(tmp_path, "a", rows)
    with pytest.raises(InputError, match="no network can be asked"):
        token_overfocus(one)
    both = (one.store.activations("blocks.0.hidden"), one)
    found = [box_attention(*taps, params=BoxAttentionParams(boxes="1-2, 1-2")) for taps in ((one,), both)]
    np.testing.assert_array_equal(found[0].values, found[1].values)
    assert found[0].row_names == found[1].row_names == tuple(f"layer {k + 1}" for k in range(LAYERS))
    inside = np.isin(np.arange(SIDE**2), [0, 1, SIDE, SIDE + 1])
    want = rows[..., inside, :][..., inside].sum(axis=-1).mean(axis=-1).mean(axis=(1, 2))
    np.testing.assert_allclose(found[1].values[:, 0], want, atol=1e-6)
    x = rng.standard_normal((4, 9, 5))
    plain = write_store(tmp_path / "p", name="p", taps={f"n.{k}.hidden": (k + 1) * x for k in range(3)})
    assert len(box_attention(plain.activations("n.0.hidden")).row_names) == 3


def test_checkpoints_with_other_heads_are_refused(tmp_path, rng):
    taps = [dumped(tmp_path, f"r-{h}", rng.dirichlet(np.ones(16), (2, 4, h, 16))) for h in (2, 3)]
    with pytest.raises(ShapeError, match="of 2, as in r-2"):
        head_locality(*taps)


def test_the_check_of_locality_fails_on_broken_code(monkeypatch):
    from analysis.methods.tokens import head_locality as file

    real = file.offsets
    monkeypatch.setattr(file, "offsets", lambda *a, **k: 1.01 * real(*a, **k))
    assert not all(line.passed for line in file._check())


class Weights:
    """A checkpoint in memory."""

    def __init__(self, state):
        self.state, self.shapes = state, {k: v.shape for k, v in state.items()}

    def tensor(self, key):
        return self.state[key]


def test_learned_functions_are_read_in_each_of_their_shapes(rng):
    """By hand: sums of cosines and sines; of splines SciPy's."""
    a, b = rng.standard_normal((2, 2, 3, 5, 4))  # heads, out, in, K
    own = Weights(
        {f"blocks.{i}.attn.karat.{h}.fouriercoeffs": np.stack([a[h], b[h]]) for h in (1, 0) for i in (2, 10)}
    )
    x, k = np.linspace(-3, 3, 7), np.arange(1, 5)
    by_hand = a[1, 2, 4] @ np.cos(np.outer(k, x)) + b[1, 2, 4] @ np.sin(np.outer(k, x))
    layers = head_maps(own)
    assert [m.name for m in layers] == ["blocks.2.attn.karat", "blocks.10.attn.karat"]
    np.testing.assert_allclose(layers[0].functions(1, x)[-1], by_hand)
    together = head_maps(Weights({"l.attention.map.fouriercoeffs": np.stack([a[:, 0], b[:, 0]])}))[0]
    assert together.coefficients.shape == (2, 5, 8)
    plain = head_maps(Weights({"l.attn.fourier_coef": np.concatenate([a[:, 0], b[:, 0]], axis=2)}))[0]
    np.testing.assert_array_equal(plain.functions(0, x), together.functions(0, x))
    knots, c = bases.even_knots(-1.0, 1.0, 5, 3), rng.standard_normal((2, 3, 8))
    spline = head_maps(Weights({"l.attn.coef": c, "l.attn.grid": knots}))[0]
    inside = np.linspace(-0.99, 0.99, 9)
    np.testing.assert_allclose(spline.functions(1, inside)[2], BSpline(knots, c[1, 2], 3)(inside), atol=1e-12)
    assert spline.span() == pytest.approx((-1, 1))
    assert head_maps(Weights({"l.mlp.coef": c, "l.mlp.grid": knots, "l.attn.coef": c[:, :, :7]})) == []


def kan_dump(folder, name, weigh, coefficients=None, rng=None):
    """A dump with queries, keys and weights `weigh(scores)` of two blocks with two heads; its functions on disk."""
    from safetensors.numpy import save_file

    rng = rng or np.random.default_rng(3)
    n, t, e, taps = 5, 8, 3, {}
    for i in range(2):
        q, k = rng.standard_normal((2, n, 2, t, e))
        scores = q @ k.swapaxes(-1, -2) / e**0.5
        flat = {"queries": q, "keys": k, "attention": weigh(scores)}
        taps |= {f"blocks.{i}.{w}": v.transpose(0, 2, 1, 3).reshape(n, t, -1) for w, v in flat.items()}
        taps[f"blocks.{i}.hidden"] = rng.standard_normal((n, t, 6))
    known = None
    if coefficients is not None:
        path = folder / f"{name}.safetensors"
        save_file(
            {f"blocks.{i}.attn.fourier_coef": c.astype(np.float32) for i, c in enumerate(coefficients)}, path
        )
        known = {"path": str(path), "digest": open_checkpoint(path).digest, "kind": "state_dict"}
    specs = {k: TapSpec(k, v.shape[2], "float32", "all") for k, v in taps.items()}
    made = write_store(folder / name, name=name, taps=taps, specs=specs, checkpoint=known)
    return made.activations("blocks.1.hidden")


def softmax(x):
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


def test_functions_of_a_checkpoint_are_drawn_over_the_scores_of_its_dump(tmp_path, rng):
    c = rng.standard_normal((2, 2, 3, 6))
    found = head_functions(kan_dump(tmp_path, "kan", softmax, c))
    assert found.title == "Functions of heads in blocks.1.attn, learned"
    assert found.controls == ("density of scores",)
    x, k = found.x, np.arange(1, 4)
    by_hand = (c[1, 0, :, :3] @ np.cos(np.outer(k, x)) + c[1, 0, :, 3:] @ np.sin(np.outer(k, x))).mean(axis=0)
    np.testing.assert_allclose(found.series["head 1"], by_hand, atol=1e-5)
    ratio = found.null["head 2"] / np.exp(x)
    np.testing.assert_allclose(ratio, ratio[0])  # an exponential
    assert {e.name for e in found.estimates} >= {"below 0, head 1", "explained by an exponential, head 2"}
    without = head_functions(kan_dump(tmp_path, "first", softmax, c), HeadFunctionsParams(layer=1))
    assert "blocks.0.attn" in without.title
    with pytest.raises(NotFound, match="layer 3"):
        head_functions(kan_dump(tmp_path, "none", softmax, c), HeadFunctionsParams(layer=3))


def test_weights_that_are_no_shares_are_told_and_a_rollout_of_negative_ones_refused(tmp_path):
    plain = head_functions(kan_dump(tmp_path, "soft", softmax))
    assert max(e.value for e in plain.estimates) < 1e-5
    np.testing.assert_allclose(plain.series["head 1"], plain.null["head 1"], atol=1e-6)
    tap = kan_dump(tmp_path, "signed", lambda s: 0.25 * np.cos(s))
    found = head_functions(tap)
    by = {e.name: e for e in found.estimates}
    assert by["negative share of the mass, head 1"].value > 0.01
    assert by["row sums off 1, head 2"].low > 0.1
    assert by["away from softmax, head 1"].low > by["away from softmax, head 1"].null
    said = heads_of(tap, 8, np.random.default_rng(0)).notes
    assert any("is negative and counts as 0 here" in note for note in said)
    assert any("sum to 1 only within" in note for note in said)
    with pytest.raises(InputError, match="weights of attention below 0"):
        attention_rollout(tap)
    attention_rollout(kan_dump(tmp_path, "whole", softmax))


def test_a_dump_without_queries_has_no_scores_to_compare_with(tmp_path, rng):
    tap = dumped(tmp_path, "a", rng.dirichlet(np.ones(SIDE**2), (LAYERS, 4, HEADS, SIDE**2)))
    with pytest.raises(InputError, match="without queries and keys"):
        head_functions(tap)


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("explained", lambda x, y: 1 - np.square(y - np.exp(x)).sum() / (y @ y)),
        ("of_weights", lambda name, paid, soft, may: of_weights(name, np.abs(paid), soft, may)),
    ],
)
def test_the_check_of_head_functions_fails_on_broken_code(monkeypatch, name, broken):
    from analysis.methods.tokens import head_functions as file

    monkeypatch.setattr(file, name, broken)
    assert not all(line.passed for line in file._check())


def test_a_share_that_is_there_is_never_called_nothing():
    assert [share_words(s) for s in (0, 1e-6, 3e-4, 0.004, 0.0949, 0.5)] == [
        "0 %", "below 0.01 %", "0.03 %", "0.4 %", "9.5 %", "50 %"]  # fmt: skip
    told = [Estimate(f"{what}, head {h}", v) for h, (a, b) in enumerate(((2e-5, 0.0), (0.003, 0.002)))
            for what, v in (("explained by an exponential", a), ("below 0", b))]  # fmt: skip
    said = learned_reading(told)
    assert "explains below 0.01 % to 0.3 % of" in said
    assert "Up to 0.2 % lies below 0" in said


def test_checkpoints_of_which_one_lacks_a_sample_are_not_paired():
    far = [np.ones((1, 2, 4)), np.ones((1, 2, 3))]
    made = locality_estimates(Series(far, [np.ones(4), np.ones(3)], None, [np.arange(4)] * 2, ()), ("a", "b"))
    assert made[2].interval == "none: checkpoints of different samples"
