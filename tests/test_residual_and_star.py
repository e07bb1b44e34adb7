"""Unrolled residual streams, star products and their quadratic forms: exact sums, known ranks, dense second ways."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import special_ortho_group

import analysis
from analysis.activations import ArrayActivations, Layout
from analysis.compute.linear.star_forms import form_eigenvalues, function_count
from analysis.compute.neighbours.left_out_votes import left_out_votes
from analysis.compute.networks.residual_stream import decaying, unrolled
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.subspaces.shortcut_echo import (
    COSINE,
    NEAR,
    NORM,
    RANK,
    SHARE,
    ShortcutEchoParams,
    shortcut_echo,
)
from analysis.methods.subspaces.star_product import ENTROPY, RATIO, StarProductParams, star_product
from analysis.methods.subspaces.star_product import NEAR as ZERO
from analysis.methods.subspaces.star_product import RANK as COUNT
from analysis.methods.weights.star_forms import chance, star_forms
from analysis.registry import methods

WORKSPACE = Path(__file__).parents[1] / "sample_data" / "workspace"
FEW = settings(max_examples=25, deadline=None)


def stream(rng, states=5, n=60, d=7):
    return list(rng.standard_normal((states, n, d)).cumsum(axis=0))


# ---------------------------------------------------------------------------- the shortcut's echo
@FEW
@given(st.integers(0, 10**6), st.integers(2, 8), st.floats(0, 1))
def test_echo_and_writes_sum_to_the_last_state(seed, count, last):
    rng = np.random.default_rng(seed)
    states, alphas = stream(rng, count + 1), decaying(last, count)
    parts = unrolled(states, alphas)
    np.testing.assert_allclose(sum(parts), states[-1], atol=1e-11)
    np.testing.assert_allclose(parts[0], np.prod(alphas) * states[0], atol=1e-12)
    # second way: run the network forward with its writes
    writes = [x - a * before for x, a, before in zip(states[1:], alphas, states[:-1], strict=True)]
    for silent in range(count):
        x = states[0]
        for j in range(count):
            x = alphas[j] * x + (0 if j == silent else writes[j])
        np.testing.assert_allclose(states[-1] - x, parts[silent + 1], atol=1e-11)


def test_weight_of_the_first_state():
    """Linear decay to 0.6 over 12 blocks leaves 0.047; ordinary shortcuts leave all."""
    assert np.prod(decaying(0.6, 12)) == pytest.approx(0.047, abs=0.0005)
    assert np.prod(decaying(1.0, 30)) == 1.0
    assert decaying(0.6, 12)[-1] == pytest.approx(0.6)


def test_numbers_of_the_echo_by_hand(rng):
    states = stream(rng)
    found, x0, last = shortcut_echo(*states), states[0], states[-1]
    for i, x in enumerate(states):
        inner = (x * x0).sum(axis=1) / np.linalg.norm(x, axis=1) / np.linalg.norm(x0, axis=1)
        write = x if i == 0 else x - states[i - 1]
        assert found.series[COSINE][i] == pytest.approx(inner.mean(), abs=1e-12)
        share = (write * last).sum(axis=1) / (last**2).sum(axis=1)
        assert found.series[SHARE][i] == pytest.approx(share.mean(), abs=1e-12)
        norm = np.linalg.norm(write, axis=1) / np.linalg.norm(last, axis=1)
        assert found.series[NORM][i] == pytest.approx(norm.mean(), abs=1e-12)
        lam = np.linalg.eigvalsh(np.cov(x.T))
        p = lam / lam.sum()
        assert found.series[RANK][i] == pytest.approx(np.exp(-(p * np.log(p)).sum()) / 7, abs=1e-9)
    assert found.series[SHARE].sum() == pytest.approx(1, abs=1e-12)
    assert NEAR not in found.series


def test_the_null_is_the_mean_over_all_other_samples(rng):
    states = [x + 2 for x in stream(rng, 3, 12)]
    found, unit = shortcut_echo(*states), [x / np.linalg.norm(x, axis=1, keepdims=True) for x in states]
    pairs = [unit[2][i] @ unit[0][j] for i in range(12) for j in range(12) if i != j]
    assert found.null[COSINE][2] == pytest.approx(np.mean(pairs), abs=1e-12)
    write = states[1] - states[0]
    pairs = [
        write[i] @ states[2][j] / (states[2][j] ** 2).sum() for i in range(12) for j in range(12) if i != j
    ]
    assert found.null[SHARE][1] == pytest.approx(np.mean(pairs), abs=1e-12)


def test_rotating_all_states_changes_nothing_and_shifting_does(rng):
    states, turn = stream(rng), special_ortho_group.rvs(7, random_state=1)
    base, other = shortcut_echo(*states).series, shortcut_echo(*(x @ turn for x in states)).series
    for name in base:
        np.testing.assert_allclose(other[name], base[name], atol=1e-9)
    assert abs(shortcut_echo(*(x + 50 for x in states)).series[COSINE][-1] - base[COSINE][-1]) > 0.1


def test_neighbours_find_separate_classes_and_chance_is_the_largest(rng):
    label = np.r_[np.zeros(30, int), np.ones(20, int), -np.ones(10, int)]
    apart = rng.standard_normal((60, 5)) + 20 * label[:, None]
    mixed = rng.standard_normal((60, 5))
    taps = [
        ArrayActivations(x, name=f"s{i}", samples={"label": label})
        for i, x in enumerate((mixed, apart, apart))
    ]
    found = shortcut_echo(*taps)
    assert found.series[NEAR][1] == 1.0
    assert found.series[NEAR][0] < 0.85
    np.testing.assert_allclose(found.null[NEAR], 0.6)
    assert any("10 sample(s) without a label" in c for c in found.caveats)
    with pytest.raises(NotFound, match="no sample column 'other'"):
        shortcut_echo(*taps, params=ShortcutEchoParams(column="other"))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_votes_are_those_of_a_plain_loop(rng, k):
    x, codes = rng.standard_normal((40, 3)), rng.integers(0, 3, 40)
    found = left_out_votes(x, codes, k)
    for i in range(40):
        near = [j for j in np.argsort(((x - x[i]) ** 2).sum(axis=1)) if j != i][:k]
        counts = np.bincount(codes[near], minlength=3)
        best = np.flatnonzero(counts == counts.max())
        if len(best) == 1:
            assert found[i] == (best[0] == codes[i])
        elif codes[near[0]] in best:
            assert found[i] == (codes[near[0]] == codes[i])


def test_streams_that_are_none_are_refused(rng):
    states = stream(rng)
    with pytest.raises(InputError, match="states of one stream"):
        shortcut_echo(states[0], states[1][:, :5], states[2])
    with pytest.raises(NotEnoughData):
        shortcut_echo(*(x[:6] for x in states))
    one = [ArrayActivations(x, name="s", samples={"label": np.ones(60, int)}) for x in states]
    assert NEAR not in shortcut_echo(*one).series  # one class has no neighbours of another
    silent = [x.copy() for x in states]
    silent[1][3] = 0.0
    assert any("1 sample(s) that are 0" in c for c in shortcut_echo(*silent).caveats)


def test_a_trained_network(rng):
    workspace = analysis.open_workspace(WORKSPACE)
    found = shortcut_echo(*(workspace.activations(f"digits-vit:vit.layers.{i}") for i in range(4)))
    assert found.series[SHARE].sum() == pytest.approx(1, abs=1e-9)
    assert found.series[NEAR][-1] > found.series[NEAR][0] > 0.3
    assert (np.diff(found.series[COSINE]) < 0).all()


# ---------------------------------------------------------------------------- star products
@pytest.mark.parametrize("inputs", [2, 3, 4, 5])
def test_affine_branches_span_that_many_functions(rng, inputs):
    """15 for four inputs; one is the constant, which a covariance does not see."""
    x = np.c_[rng.standard_normal((600, inputs)), np.ones(600)]
    a, b = (x @ rng.standard_normal((inputs + 1, 40)) for _ in range(2))
    assert np.linalg.matrix_rank(a * b) == function_count(inputs) == (inputs + 1) * (inputs + 2) // 2
    found = star_product(a, b).columns
    np.testing.assert_array_equal(found[COUNT], [inputs, inputs, function_count(inputs) - 1])
    np.testing.assert_array_equal(
        star_product(a.astype(np.float32), b.astype(np.float32)).columns[COUNT][:2], inputs
    )
    assert found[ENTROPY][2] > found[ENTROPY][0]


def test_ranks_by_hand(rng):
    a, b = rng.standard_normal((2, 300, 6)) * np.arange(1, 7)
    found = star_product(a, b).columns
    for i, x in enumerate((a, b, a * b)):
        lam = np.linalg.eigvalsh(np.cov(x.T))
        p = lam / lam.sum()
        assert found[ENTROPY][i] == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-9)
        assert found[RATIO][i] == pytest.approx(1 / (p**2).sum(), rel=1e-9)
        small = np.abs(x) < 0.1 * np.sqrt((x**2).mean(axis=0))
        assert found[ZERO][i] == pytest.approx(small.mean(), abs=1e-12)


def test_branches_that_have_nothing_to_do_with_each_other_lie_in_the_null():
    """And a branch that follows the other does not."""
    p, rng = [], np.random.default_rng(3)
    for _ in range(40):
        a, b = rng.standard_normal((2, 60, 5)) @ np.diag([3, 2, 1, 1, 1])
        entropy = star_product(a, b, params=StarProductParams(draws=39)).estimates[8]
        assert entropy.name == f"{ENTROPY}, product"
        p.append(entropy.p_value)
    assert np.mean(np.array(p) <= 0.1) < 0.3  # 0.1, exactly
    assert 0.25 < np.mean(np.array(p) <= 0.5) < 0.75
    signs = rng.choice([-1.0, 1.0], (200, 5))
    undone = np.c_[signs[:, :4], rng.standard_normal(200)]  # four of five units then multiply to 1
    follows = star_product(signs, undone).estimates[8]
    assert follows.value == pytest.approx(1, abs=1e-9)
    assert follows.null_low > 4


def test_tokens_stay_with_their_sample_and_bad_branches_are_refused(rng):
    a, b = rng.standard_normal((2, 120, 5))
    layout = Layout(np.arange(31) * 4)
    taps = [ArrayActivations(x, name=n, layout=layout) for n, x in (("a", a), ("b", b))]
    found = star_product(*taps).columns
    np.testing.assert_allclose(found[ENTROPY], star_product(a, b).columns[ENTROPY], rtol=1e-12)
    with pytest.raises(InputError, match="as many in both"):
        star_product(a, b[:, :4])
    with pytest.raises(InputError, match="same tokens"):
        star_product(taps[0], b[:60])
    with pytest.raises(NotEnoughData):
        star_product(a[:10], b[:10])
    gate = np.zeros((120, 5))
    gate[0] = 1.0
    shut = star_product(gate, b).columns
    assert shut[ZERO][0] == pytest.approx(119 / 120)
    assert shut[COUNT][2] == 1


@FEW
@given(st.integers(0, 10**6), st.integers(1, 7))
def test_eigenvalues_of_a_form_by_a_dense_one(seed, inputs):
    a, b = np.random.default_rng(seed).standard_normal((2, 3, inputs))
    positive, negative = form_eigenvalues(a, b)
    for j in range(3):
        w = np.outer(a[j], b[j])
        values = np.linalg.eigvalsh((w + w.T) / 2)
        assert positive[j] == pytest.approx(max(values[-1], 0), abs=1e-12)
        assert negative[j] == pytest.approx(min(values[0], 0), abs=1e-12)
        x = np.random.default_rng(seed + 1).standard_normal(inputs)
        assert (a[j] @ x) * (b[j] @ x) == pytest.approx(x @ ((w + w.T) / 2) @ x, abs=1e-9)


def test_chance_of_a_cosine_is_exact(rng):
    """Against drawn directions; in two dimensions the angle is uniform."""
    v = rng.standard_normal((20_000, 6))
    cosine = v[:, 0] / np.linalg.norm(v, axis=1)
    for level in (0.3, 0.6):
        p = chance(np.array([level]), 6)[0]
        assert (np.abs(cosine) >= level).mean() == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 20_000))
    assert chance(np.array([np.cos(0.4)]), 2)[0] == pytest.approx(0.8 / np.pi, abs=1e-12)
    assert chance(np.array([1.0]), 1)[0] == 1.0


def test_forms_of_tables_and_of_layers(rng):
    a, b = rng.standard_normal((2, 9, 4))
    full = star_forms(a[2:], b[2:]).columns
    a[0, 0], b[1, 0] = np.nan, np.nan  # different inputs: both go, from both
    found = star_forms(a, b)
    np.testing.assert_allclose(found.columns["cosine"], full["cosine"], rtol=1e-12)
    assert any("2 input(s) with NaN" in c for c in found.caveats)
    with pytest.raises(InputError):
        star_forms(a, b[:, :3])
    with pytest.raises(InputError, match="zeros"):
        star_forms(np.zeros((5, 3)), b[2:7, :3])
    with pytest.raises(ParameterError):
        star_forms(a, b, params=methods()["star_forms"].params(first="layer"))
    tap = analysis.open_workspace(WORKSPACE).activations("digits-vit:vit.layers.1")
    names = [f"vit.encoder.layer.1.attention.attention.{k}" for k in ("query", "key")]
    layers = star_forms(tap, tap, params=methods()["star_forms"].params(first=names[0], second=names[1]))
    assert len(layers.columns["channel"]) == 48
    assert "48 inputs" in layers.reading
    assert "1,225 functions" in layers.reading
    assert (layers.columns["positive"] >= 0).all()
    assert (layers.columns["negative"] <= 0).all()


# ---------------------------------------------------------------------------- checks that fail on broken code
echo = "analysis.methods.subspaces.shortcut_echo"
star = "analysis.methods.subspaces.star_product"
forms = "analysis.methods.weights.star_forms"
BROKEN = [
    ("shortcut_echo", f"{echo}.decaying", lambda last, blocks: np.linspace(1, last, blocks)),
    ("shortcut_echo", f"{echo}.unrolled", lambda s, a: [s[0], *np.diff(np.array(s), axis=0)]),
    ("shortcut_echo", f"{echo}.unit_rows", lambda x: x),
    ("star_product", f"{star}.SMALLEST", 0.3),
    ("star_product", f"{star}.entropy_rank", lambda lam: float(len(lam))),
    ("star_forms", f"{forms}.form_eigenvalues", lambda a, b: tuple(v / 2 for v in form_eigenvalues(a, b))),
    ("star_forms", f"{forms}.chance", lambda c, d: np.abs(c)),
]


@pytest.mark.parametrize(
    ("method", "target", "broken"), BROKEN, ids=[f"{m}-{t.split('.')[-1]}" for m, t, _ in BROKEN]
)
def test_the_checks_fail_on_broken_code(monkeypatch, method, target, broken):
    monkeypatch.setattr(target, broken)
    assert not all(line.passed for line in methods()[method].check())


def test_parameters_of_the_product_are_used(rng):
    a, b = rng.standard_normal((2, 400, 4))
    wide = star_product(a, b, params=StarProductParams(near=0.5)).columns[ZERO]
    assert (wide > 2 * star_product(a, b).columns[ZERO]).all()


def test_without_names_the_branches_stand_side_by_side():
    workspace = analysis.open_workspace(WORKSPACE)
    tap = workspace.activations("digits-vit:vit.layers.1")
    found = star_forms(tap, tap)
    assert "vit.encoder.layer.1.attention.attention.key" in found.title
    assert any("No layer was named" in c for c in found.caveats)
    alone = workspace.activations("digits-resnet:resnet.encoder.stages.2")
    with pytest.raises(InputError, match="side by side"):
        star_forms(alone, alone)
