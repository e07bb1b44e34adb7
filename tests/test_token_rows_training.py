"""What tokens' methods say of networks while they are trained, and of two layers or models against each other: by hand,
and by second ways to the same numbers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from declared_subjects import description, mlp, table, write
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from scipy.linalg import svd

from analysis.activations import ArrayActivations, Layout
from analysis.compute.networks.optimiser_path import path_components, random_like
from analysis.errors import InputError, NotFound, ParameterError, ShapeError
from analysis.methods.tokens.attention_atlas import attention_atlas
from analysis.methods.tokens.attention_rollout import attention_rollout
from analysis.methods.tokens.bd_rates import ANSWER, BdRatesParams, bd_rates
from analysis.methods.tokens.box_attention import BoxAttentionParams, box_attention
from analysis.methods.tokens.gate_order import gate_order
from analysis.methods.tokens.head_functions import HeadFunctionsParams, head_functions
from analysis.methods.tokens.head_locality import HeadLocalityParams, head_locality
from analysis.methods.tokens.head_offsets import head_offsets
from analysis.methods.tokens.loss_slices import LossSlicesParams, loss_slices
from analysis.methods.tokens.ssm_drift import FAMILY, MODES, SsmDriftParams, ssm_drift
from analysis.methods.tokens.token_overfocus import token_overfocus
from analysis.recording.recorder import record
from analysis.results import Estimate
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data
from analysis.store.from_arrays import write_store
from analysis.store.manifest import TapSpec
from analysis.tokens.attention.heads import heads_of
from analysis.tokens.attention.locality_series import Series, locality_estimates
from analysis.tokens.attention.softmax_distance import of_weights
from analysis.tokens.cache.rate_curves import counted
from analysis.tokens.cache.rates import bd_rate, bjontegaard, rising
from analysis.tokens.cache.recoding import coder_of, rate_and_error
from analysis.tokens.kan import bases
from analysis.tokens.kan.head_maps import head_maps
from analysis.tokens.kan.head_maps_told import share_words
from analysis.tokens.kan.learned_curve import learned_reading
from analysis.tokens.mixers import mode_paths, ssm
from analysis.tokens.networks.slices_told import bent_at


def of_file(state: dict, path, rng, rows: int = 40):
    """A tap of a store that was recorded from a file with these tensors."""
    from safetensors.numpy import save_file

    save_file({k: np.ascontiguousarray(v, np.float32) for k, v in state.items()}, path)
    tap = ArrayActivations(rng.standard_normal((rows, 4)), f"{path.stem}:x")
    entry = {"path": str(path), "digest": open_checkpoint(path).digest}
    object.__setattr__(tap, "store", SimpleNamespace(manifest={"checkpoint": entry}))
    return tap


# ---------------------------------------------------------------------------- modes of state spaces
def s4d(a: np.ndarray, step: float = 0.1, name: str = "layers.0") -> dict[str, np.ndarray]:
    """Tensors of a layer with these modes (H, N)."""
    return {
        f"{name}.log_dt": np.log(np.full(len(a), step)),
        f"{name}.log_A_real": np.log(-a.real),
        f"{name}.A_imag": a.imag,
        f"{name}.C": np.ones((*a.shape, 2)),
        f"{name}.D": np.zeros(len(a)),
    }


def lin(channels: int = 3, modes: int = 6) -> np.ndarray:
    return np.tile(ssm.started(ssm.LIN, modes), (channels, 1))


def test_modes_are_followed_whatever_their_order_and_side(tmp_path, rng):
    moved = [lin(), lin() - 0.2, lin() - 0.2 + 0.3j]
    plain = [of_file(s4d(a), tmp_path / f"run-{k}.safetensors", rng) for k, a in enumerate(moved, 1)]
    mixed = [np.stack([row[rng.permutation(6)] for row in a]) for a in moved]
    mixed[1] = mixed[1].conj()
    other = [of_file(s4d(a), tmp_path / f"mix-{k}.safetensors", rng) for k, a in enumerate(mixed, 1)]
    one, two = (ssm_drift(*taps) for taps in (plain, other))
    np.testing.assert_allclose(one.series["layers.0"], [0, 0.2, np.hypot(0.2, 0.3)], atol=1e-6)
    np.testing.assert_allclose(two.series["layers.0"], one.series["layers.0"], atol=1e-6)
    assert one.x.tolist() == [1, 2, 3]
    by = {e.name: e for e in one.estimates}
    assert by["straightness of the paths"].value == pytest.approx(np.hypot(0.2, 0.3) / 0.5, abs=1e-6)
    assert by["share of the drift that is of decay"].value == pytest.approx(0.04 / 0.13, abs=1e-5)
    last = by["half-life of the slowest mode at run-3"]
    assert last.value == pytest.approx(np.log(2) / 0.07, rel=1e-5)
    assert last.null == pytest.approx(np.log(2) / 0.05, rel=1e-5)


@pytest.mark.parametrize("family", ssm.FAMILIES)
def test_drift_from_the_family_is_that_of_the_poles_of_one_checkpoint(tmp_path, rng, family):
    """A second way: `nearest_start`, which ssm_poles draws, matches a checkpoint straight to the family."""
    begun = np.tile(ssm.started(family, 6), (3, 1))
    turned = 0 if family == ssm.REAL else 0.05j * rng.standard_normal(begun.shape)
    late = begun * np.exp(0.02 * rng.standard_normal(begun.shape)) + turned
    late = late.real + 1j * np.abs(late.imag)
    taps = [of_file(s4d(a), tmp_path / f"run-{k}.safetensors", rng) for k, a in ((1, begun), (9, late))]
    found = ssm_drift(*taps, params=SsmDriftParams(since=FAMILY, show=MODES))
    own, drift = ssm.nearest_start(late)
    assert own == family
    assert found.estimates[0].value == pytest.approx(drift.mean(), abs=1e-5)
    assert found.series["mode 2"][0] == pytest.approx(0, abs=1e-5)
    assert any(family in c for c in found.caveats)


def test_a_random_walk_is_as_straight_as_chance_has_it(rng):
    """Of many steps of one length it comes √(π / 4 K) of its way in the plane; along a line √(2 / π K)."""
    steps = np.exp(2j * np.pi * rng.random((64, 5, 200)))
    walk = np.concatenate([np.zeros((1, 5, 200)), np.cumsum(steps, axis=0)])
    far = mode_paths.random_walk(walk, walk[0], 5, rng)[:, -1].mean() / 64
    assert far == pytest.approx(np.sqrt(np.pi / 4 / 64), rel=0.05)
    assert np.abs(walk[-1]).mean() / 64 == pytest.approx(far, rel=0.1)
    line = np.arange(65.0)[:, None, None] * np.ones((1, 5, 200)) + 0j
    assert mode_paths.random_walk(line, line[0], 5, rng)[:, -1].mean() / 64 == pytest.approx(
        np.sqrt(2 / np.pi / 64), rel=0.05
    )


def test_a_checkpoint_against_itself_has_not_moved(tmp_path, rng):
    tap = of_file(s4d(lin()), tmp_path / "a.safetensors", rng)
    found = ssm_drift(tap, tap)
    assert found.estimates[0].value <= found.estimates[0].rounding
    assert found.reading.startswith("Modes are at ")


def test_what_is_no_series_of_one_network_is_refused(tmp_path, rng):
    a, wide, other = (of_file(s, tmp_path / f"{n}.safetensors", rng) for n, s in (
        ("a", s4d(lin())), ("wide", s4d(lin(modes=5))), ("other", s4d(lin(), name="else"))))  # fmt: skip
    plain = ArrayActivations(rng.standard_normal((60, 4)), "rows")
    with pytest.raises(ShapeError, match="5"):
        ssm_drift(a, wide)
    with pytest.raises(InputError, match="same name"):
        ssm_drift(a, other)
    with pytest.raises(InputError, match="no state space is known of rows"):
        ssm_drift(a, plain)
    with pytest.raises(ParameterError, match="rising"):
        ssm_drift(a, a, params=SsmDriftParams(steps="5, 2"))
    with pytest.raises(NotFound, match="layer 7"):
        ssm_drift(a, a, params=SsmDriftParams(show=MODES, layer=7))


def test_of_rows_the_same_samples_and_orders_are_compared(rng):
    x = rng.standard_normal((90, 5)).cumsum(axis=0)
    taps = [ArrayActivations(x, n) for n in ("run-1", "run-2")]
    found = ssm_drift(*taps)
    assert found.estimates[0].value == found.estimates[0].null == 0.0  # paired: nothing differs
    assert any("No state space is known" in c for c in found.caveats)


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("matched", lambda here, there: np.arange(len(here))),
        ("folded", lambda a: a),
        ("followed", lambda series: np.stack([np.asarray(a, complex) for a in series])),
    ],
)
def test_the_check_of_drift_fails_on_broken_code(monkeypatch, name, broken):
    from analysis.methods.tokens import ssm_drift as file

    monkeypatch.setattr(mode_paths, name, broken)
    if hasattr(file, name):
        monkeypatch.setattr(file, name, broken)
    assert not all(line.passed for line in file._check())


# ---------------------------------------------------------------------------- locality of heads
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


# ---------------------------------------------------------------------------- BD-rate
RATE, QUALITY = np.array([0.5, 1.0, 2.0, 3.5, 5.0]), np.array([3.0, 6.0, 12.0, 20.0, 28.0])


@given(
    factor=st.floats(0.05, 20),
    shift=st.floats(-5, 5),
    rate=st.lists(st.floats(0.1, 1), min_size=5, max_size=5),
)
@settings(max_examples=40, deadline=None)
def test_a_factor_of_the_rate_is_the_bd_rate_whatever_the_curve(factor, shift, rate):
    rate = np.cumsum(rate)
    assert bjontegaard((rate, QUALITY), (factor * rate, QUALITY)) == pytest.approx(
        factor - 1, rel=1e-9, abs=1e-9
    )
    there, back = (bjontegaard(*pair) for pair in (
        ((rate, QUALITY), (rate**1.3, QUALITY + shift)), ((rate**1.3, QUALITY + shift), (rate, QUALITY))))  # fmt: skip
    assert (1 + there) * (1 + back) == pytest.approx(1, rel=1e-9)


def test_bd_rate_is_that_of_its_definition_where_curves_are_known():
    """ln R = a q and ln R = b q + c: the mean difference over the common quality, in closed form."""
    q, other_q = np.linspace(0, 10, 6), np.linspace(4, 14, 6)
    found = bjontegaard((np.exp(0.2 * q), q), (np.exp(0.3 * other_q - 1), other_q))
    assert found == pytest.approx(np.exp(0.1 * 7 - 1) - 1, rel=1e-9)  # 4 to 10: on average at 7
    dense = np.linspace(3, 28, 4000)
    fine = [np.exp(np.sin(dense / 20) + dense * k) for k in (0.1, 0.12)]
    assert bjontegaard((fine[0], dense), (fine[1], dense)) == pytest.approx(
        bd_rate(fine[0], dense, fine[1], dense), rel=1e-4
    )


def test_curves_without_common_quality_or_points_are_refused():
    with pytest.raises(InputError, match="no quality in common: a 3 to 28 and b 103 to 128"):
        bjontegaard((RATE, QUALITY), (RATE, QUALITY + 100), ("a", "b"))
    with pytest.raises(InputError, match="3 point"):
        bjontegaard((RATE[:3], QUALITY[:3]), (RATE, QUALITY))
    rate, quality = rising(np.array([1.0, 0.0, 3.0, 2.0]), np.array([1.0, 5.0, 2.0, 4.0]))
    assert (rate.tolist(), quality.tolist()) == ([1, 2], [1, 4])  # no rate, and worse at more rate


def test_entropies_and_errors_by_groups_are_those_of_their_rows(rng):
    """A second way: the same coder on the rows of some groups alone."""
    x, rows = rng.standard_normal((300, 4)) * [3, 1, 1, 0.2], np.arange(300)
    coder, group = coder_of(x, rows, rows, rng), np.arange(300) % 10
    for turned in (False, True):
        made = counted(
            coder, x, rows, group, int(group.max()) + 1, (1.0, 0.5, 0.25, 0.125), turned, lambda f: None
        )
        part = np.arange(10) < 4
        some = np.isin(group, np.flatnonzero(part))
        own = [
            rate_and_error(coder, x[some], rows[some], s * coder.size, turned)
            for s in (1.0, 0.5, 0.25, 0.125)
        ]
        rate, quality = made.curve(part)
        np.testing.assert_allclose(rate, [r for r, _ in own])
        spread = np.square(x[some] - coder.mean[coder.half[some]]).mean()
        np.testing.assert_allclose(quality, [10 * np.log10(spread / e) for _, e in own])


def test_layers_are_compared_in_every_pair_and_noise_is_told_from_a_difference(rng):
    """Uniform rows take less rate than Gaussian ones at the same error: by ½ log2(2πe/12) bits at fine steps."""
    wide = rng.uniform(-1, 1, (4000, 3))
    one, two = rng.standard_normal((2, 4000, 3))
    taps = [ArrayActivations(v, n) for v, n in ((one, "normal"), (two, "again"), (wide, "even"))]
    found = bd_rates(*taps, params=BdRatesParams(maximum_samples=4000, maximum_rows=4000))
    by = {e.name: e for e in found.estimates}
    np.testing.assert_allclose(np.diag(found.values), 0)
    np.testing.assert_allclose((1 + found.values / 100) * (1 + found.values.T / 100), 1)
    same, less = by["again over normal"], by["even over normal"]
    assert same.null_low <= same.value <= same.null_high
    assert same.low <= 0 <= same.high
    assert less.high < less.null_low
    assert found.significant[0, 2]
    assert not found.significant[0, 1]
    assert found.reading.startswith(("Most differs even over", "Most differs again over"))


def test_by_the_answer_only_what_is_read_counts(rng):
    """Seven units of noise beside the one that tells: half of the bits of a number are enough to answer as well where
    the noise is quieter, though by signal over noise nothing would tell the two taps apart."""
    label = np.arange(200) % 2
    tells, noise = 4.0 * label[:, None] + rng.standard_normal((200, 1)), rng.standard_normal((200, 7))
    both = (("loud", noise), ("quiet", 0.1 * noise))
    taps = [ArrayActivations(np.hstack([tells, v]), name, {"label": label}) for name, v in both]
    found = bd_rates(*taps, params=BdRatesParams(quality=ANSWER))
    (e,) = found.estimates
    assert e.name == "quiet over loud"
    assert e.high < -30
    assert any("probe" in c for c in found.caveats)
    same = bd_rates(taps[0], taps[0], params=BdRatesParams(quality=ANSWER))
    np.testing.assert_array_equal(same.values, 0)


@pytest.mark.parametrize(
    "broken",
    [
        lambda one, other, names=(): bd_rate(*one, *other) / 1.01,
        lambda one, other, names=(): 0.0,
        lambda one, other, names=(): float(np.log(other[0] / one[0]).mean()),
    ],
)
def test_the_check_of_bd_rates_fails_on_broken_code(monkeypatch, broken):
    from analysis.methods.tokens import bd_rates as file
    from analysis.tokens.cache import rate_pairs

    monkeypatch.setattr(file, "bjontegaard", broken)
    monkeypatch.setattr(rate_pairs, "bjontegaard", broken)
    assert not all(line.passed for line in file._check())


# ---------------------------------------------------------------------------- functions of heads
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


# ---------------------------------------------------------------------------- loss along the path of training
def trained(folder, states):
    """Stores of a small network with these tensors, on the same table of two classes."""
    rows = table(folder / "rows.csv")
    data = open_data(folder / "rows.csv", label="kind")
    _, layers = mlp(sizes=(3, 4, 2))
    said = description(layers, "table", {"columns": ["age", "rooms", "homes"]}, classes=["a", "b"])
    taps = []
    for step, state in states.items():
        path = write(folder / f"net-{step}", said, state)
        name = f"run-{step}"
        made = record(open_checkpoint(path), data, folder / name, name=name, taps=["1"], dtype="float32")
        taps.append(made.activations("1"))
    return taps, np.stack([rows["age"], rows["rooms"], rows["homes"]], axis=1)


def flat(state) -> np.ndarray:
    return np.concatenate([v.numpy().astype(np.float64).ravel() for v in state.values()])


def loss_by_hand(weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(n,) of a network 3 - 4 - 2 with a ReLU, its tensors in a row; labels are 0, 1, 0, 1, …"""
    w, b, v, c = np.split(weights, [12, 16, 24])
    scores = np.maximum(x @ w.reshape(4, 3).T + b, 0) @ v.reshape(2, 4).T + c
    return np.logaddexp(scores[:, 0], scores[:, 1]) - scores[np.arange(len(x)), np.arange(len(x)) % 2]


@pytest.fixture
def run_of_four(tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    module, _ = mlp(sizes=(3, 4, 2))
    states = {}
    for step in (1, 10, 30, 90):
        states[step] = {k: v.clone() for k, v in module.state_dict().items()}
        with torch.no_grad():
            for p in module.parameters():
                p += 0.05 * torch.randn_like(p)
    return states, *trained(tmp_path, states)


def test_slices_are_the_loss_of_the_network_with_those_weights(run_of_four):
    """By hand: the loss at the last weights and so far along the principal components of all four, by SciPy's SVD."""
    states, taps, x = run_of_four
    found = loss_slices(*taps, params=LossSlicesParams(maximum_samples=40, draws=1))
    vectors = np.stack([flat(s) for s in states.values()])
    _, sizes, axes = svd(vectors - vectors.mean(axis=0), full_matrices=False)
    for j, name in enumerate(("first component", "second component")):
        axis = axes[j] * (1 if axes[j] @ (vectors[-1] - vectors[0]) > 0 else -1)
        by_hand = [loss_by_hand(vectors[-1] + a * axis, x).mean() for a in found.x]
        np.testing.assert_allclose(found.series[name], by_hand, rtol=1e-3, atol=1e-5)
        if j == 0:
            np.testing.assert_allclose(found.marks[name], (vectors - vectors[-1]) @ axis, atol=1e-5)
    on = np.searchsorted(found.x, found.marks["first component"])
    np.testing.assert_allclose(
        found.series["the path"][on], [loss_by_hand(v, x).mean() for v in vectors], rtol=1e-4
    )
    by = {e.name: e for e in found.estimates}
    share = sizes**2 / (sizes**2).sum()
    assert by["share of the path in the first component"].value == pytest.approx(share[0], abs=1e-4)
    assert by["loss at run-90"].null == pytest.approx(loss_by_hand(vectors[0], x).mean(), rel=1e-4)
    line = np.linspace(0, 1, 11)[1:-1]
    ends = loss_by_hand(vectors[0], x), loss_by_hand(vectors[-1], x)
    there = [loss_by_hand((1 - t) * vectors[0] + t * vectors[-1], x) for t in line]
    hill = max((v - (1 - t) * ends[0] - t * ends[1]).mean() for v, t in zip(there, line, strict=True))
    assert by["barrier on the straight line"].value == pytest.approx(hill, abs=1e-4)


def test_the_network_is_as_before_and_a_still_run_is_refused(run_of_four):
    _, taps, _ = run_of_four
    few = LossSlicesParams(places=5, draws=1)
    one, two = (loss_slices(*taps, params=few) for _ in range(2))
    np.testing.assert_array_equal(one.series["first component"], two.series["first component"])
    with pytest.raises(InputError, match="same weights"):
        loss_slices(taps[0], taps[0], taps[0])


def test_networks_that_are_not_known_are_probed(rng):
    label = np.arange(90) % 3
    means = np.eye(3, 5)[label]
    rows = [
        ArrayActivations(rng.standard_normal((90, 5)) + k * means, f"r{k}", {"label": label})
        for k in range(4)
    ]
    found = loss_slices(*rows)
    assert any("linear probes of 'label'" in c for c in found.caveats)
    by = {e.name: e for e in found.estimates}
    assert by["loss at r3"].value < by["loss at r3"].null  # fitted to it
    with pytest.raises(ShapeError, match="units"):
        loss_slices(*rows[:2], ArrayActivations(rng.standard_normal((90, 4)), "w", {"label": label}))


def test_a_random_walk_in_many_dimensions_has_the_shares_that_are_told(rng):
    """Antognini & Sohl-Dickstein: nothing but chance, and yet most of it in one component."""
    walk = np.cumsum(rng.standard_normal((30, 20_000)), axis=0)
    found = path_components(walk)
    np.testing.assert_allclose(found.shares, found.walk, atol=0.01)
    assert found.walk[0] > 0.55
    axis, parts = rng.standard_normal(60), np.repeat([0, 1, 2], 20)
    axis[parts == 1] = 0
    drawn = random_like(axis, parts, rng)
    for part in range(3):
        assert np.linalg.norm(drawn[parts == part]) == pytest.approx(np.linalg.norm(axis[parts == part]))


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("path_components", lambda vectors: path_components(np.roll(vectors, 1, axis=1))),
        ("walk_shares", lambda steps: np.full(len(steps), 1 / len(steps))),
        ("bent_at", lambda x, loss, at: np.gradient(loss, axis=0)[at]),
    ],
)
def test_the_check_of_slices_fails_on_broken_code(monkeypatch, name, broken):
    from analysis.methods.tokens import loss_slices as file

    monkeypatch.setattr(file, name, broken)
    assert not all(line.passed for line in file._check())


# ---------------------------------------------------------------------------- channel and spatial gates in either order
def gates(rng, n=20, c=5, t=7):
    g, s, x = rng.random((n, c)), rng.random((n, t)), rng.standard_normal((n, t, c))
    layout = Layout(np.arange(n + 1) * t)
    spatial = ArrayActivations(s.reshape(-1, 1), "spatial", layout=layout)
    return (
        g,
        s,
        x,
        ArrayActivations(g, "channel"),
        spatial,
        ArrayActivations(x.reshape(-1, c), "x", layout=layout),
    )


def test_difference_is_what_least_squares_leaves_of_the_sequential_output(rng):
    """A second way: regress the sequential output on the parallel one, sample by sample, with inputs and without."""
    g, s, x, *taps = gates(rng)
    for inputs, some in ((x, taps), (np.ones_like(x), taps[:2])):
        beside = ((g[:, None] + s[:, :, None]) * inputs).reshape(len(g), -1)
        after = (g[:, None] * s[:, :, None] * inputs).reshape(len(g), -1)
        left = [
            np.linalg.lstsq(p[:, None], q, rcond=None)[1][0] / (q @ q)
            for p, q in zip(beside, after, strict=True)
        ]
        found = gate_order(*some)
        by = {e.name: e for e in found.estimates}
        assert by["difference that no factor mends"].value == pytest.approx(np.mean(left), rel=1e-9)
        size = np.square(inputs).reshape(len(g), -1).sum(axis=1)
        assert by["left of the input, sequential"].value == pytest.approx(
            np.sqrt(np.square(after).sum(axis=1) / size).mean()
        )
        assert by["left of the input, parallel"].value == pytest.approx(
            np.sqrt(np.square(beside).sum(axis=1) / size).mean() / 2
        )
        assert found.counts["samples"].sum() == found.null.sum() == len(g)


def test_gates_before_their_sigmoid_and_shares_of_positions_are_taken_alike(rng):
    g, s, _, channel, spatial, x = gates(rng)
    logit = [ArrayActivations(np.log(v / (1 - v)), n, layout=tap.layout) for v, n, tap in (
        (g, "channel", channel), (s.reshape(-1, 1), "spatial", spatial))]  # fmt: skip
    one, two = gate_order(channel, spatial, x), gate_order(*logit, x)
    assert two.estimates[0].value == pytest.approx(one.estimates[0].value, rel=1e-9)
    assert sum("A sigmoid is taken" in c for c in two.caveats) == 2
    pooled = gate_order(channel, ArrayActivations(s, "positions as units"))
    assert pooled.estimates[0].value == pytest.approx(gate_order(channel, spatial).estimates[0].value)


def test_gates_that_know_each_other_are_told_from_gates_that_do_not(rng):
    """Where a sample's two gates are sharp together, the order matters less than with another sample's."""
    sharp = np.repeat([0.02, 0.98], 40)[:, None]
    power = 1 + 8 * sharp
    g, s = rng.random((80, 30)) ** power, rng.random((80, 30)) ** power
    found = gate_order(ArrayActivations(g, "g"), ArrayActivations(s, "s"))
    assert found.estimates[1].high < 0
    assert found.reading.endswith("differ more.")
    free = gate_order(ArrayActivations(rng.random((80, 30)), "g"), ArrayActivations(s, "s"))
    assert free.estimates[1].low < 0 < free.estimates[1].high


def test_what_is_gated_has_to_fit(rng):
    *_, channel, spatial, _ = gates(rng)
    with pytest.raises(ShapeError, match="7 of 5"):
        gate_order(channel, spatial, ArrayActivations(rng.standard_normal((20, 5)), "x"))


def test_gates_of_tokens_are_opened_before_they_are_averaged(rng):
    """Saturated either way, half of the time: a gate of one half, which a sigmoid of the mean would give too; of logits
    3 and 0 it would not."""
    g, layout = rng.choice([0.0, 3.0], (20, 2, 5)), Layout(np.arange(21) * 2)
    s = ArrayActivations(rng.random((20, 7)), "spatial")
    raw = gate_order(ArrayActivations(g.reshape(-1, 5), "g", layout=layout), s)
    own = gate_order(ArrayActivations((1 / (1 + np.exp(-g))).mean(axis=1), "g"), s)
    assert raw.estimates[0].value == pytest.approx(own.estimates[0].value, rel=1e-9)


def test_what_is_shut_in_sequence_alone_is_a_difference_and_nothing_to_gate_is_left_out(rng):
    g, s = np.zeros((20, 5)), rng.random((20, 7))
    shut = gate_order(ArrayActivations(g, "g"), ArrayActivations(s, "s"))
    assert shut.estimates[0].value == 1.0
    assert shut.estimates[2].value == pytest.approx(np.sqrt(np.square(s).mean(axis=1)).mean() / 2)
    _, _, x, channel, spatial, tap = gates(rng)
    x[3] = 0
    found = gate_order(channel, spatial, ArrayActivations(x.reshape(-1, x.shape[2]), "x", layout=tap.layout))
    assert found.estimates[0].n == 19
    assert any(c.startswith("1 sample(s) with NaN, infinity or nothing but 0") for c in found.caveats)


def test_spatial_gates_are_exchanged_among_samples_of_one_length_alone(rng):
    """Ten samples of four positions, nine of six, one of five: that one has none to change with."""
    lengths = np.r_[np.full(10, 4), np.full(9, 6), 5]
    rows = rng.random((lengths.sum(), 1))
    spatial = ArrayActivations(rows, "s", layout=Layout(np.concatenate([[0], np.cumsum(lengths)])))
    found = gate_order(ArrayActivations(rng.random((20, 5)), "g"), spatial)
    assert (found.estimates[0].n, found.estimates[1].n) == (20, 19)
    assert found.null.sum() == 19
    assert any(c.startswith("1 sample(s) that none has as many") for c in found.caveats)


def test_the_check_of_gate_order_fails_on_broken_code(monkeypatch):
    from analysis.methods.tokens import gate_order as file

    real = file._compared
    monkeypatch.setattr(file, "_compared", lambda g, s, w: real(g, g[: len(s)], w))
    assert not all(line.passed for line in file._check())


# ---------------------------------------------------------------------------- what is said of small shares, of few rows
def test_a_share_that_is_there_is_never_called_nothing():
    assert [share_words(s) for s in (0, 1e-6, 3e-4, 0.004, 0.0949, 0.5)] == [
        "0 %", "below 0.01 %", "0.03 %", "0.4 %", "9.5 %", "50 %"]  # fmt: skip
    told = [Estimate(f"{what}, head {h}", v) for h, (a, b) in enumerate(((2e-5, 0.0), (0.003, 0.002)))
            for what, v in (("explained by an exponential", a), ("below 0", b))]  # fmt: skip
    said = learned_reading(told)
    assert "explains below 0.01 % to 0.3 % of" in said
    assert "Up to 0.2 % lies below 0" in said


def test_curvature_is_not_taken_of_checkpoints_that_hardly_differ(rng):
    """A parabola with rounding noise: a neighbour 1e-6 away would make thousands of it."""
    x = np.sort(np.r_[np.linspace(-1, 1, 11), 1e-6])
    loss = (3 * x**2)[:, None] + 1e-6 * rng.standard_normal((12, 4))
    np.testing.assert_allclose(bent_at(x, loss, int(np.searchsorted(x, 0.0))), 6.0, atol=1e-2)
    np.testing.assert_allclose(bent_at(x, 3 * x[:, None] ** 2, 11), 6.0, atol=1e-6)  # at an end too


def test_a_group_without_rows_is_a_group(rng):
    x, rows = rng.standard_normal((60, 3)), np.arange(60)
    coder = coder_of(x, rows, rows, rng)
    made = counted(coder, x, rows, rows % 9, 10, (1.0, 0.5, 0.25, 0.125), False, lambda f: None)
    whole, less = made.curve(np.ones(10, bool)), made.curve(np.arange(10) < 9)
    np.testing.assert_allclose(whole, less)


def test_checkpoints_of_which_one_lacks_a_sample_are_not_paired():
    far = [np.ones((1, 2, 4)), np.ones((1, 2, 3))]
    made = locality_estimates(Series(far, [np.ones(4), np.ones(3)], None, [np.arange(4)] * 2, ()), ("a", "b"))
    assert made[2].interval == "none: checkpoints of different samples"
