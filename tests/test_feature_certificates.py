"""The tests behind a certificate: features above the noise, stable over samples, present elsewhere, firing together."""

from __future__ import annotations

import numpy as np
import pytest
from dictionary_subjects import K, atoms, encoded, planted_codes, set_of
from scipy.sparse import csr_array

from analysis.activations import ArrayActivations, Layout
from analysis.compute.dictionaries.families import families
from analysis.compute.dictionaries.own_part import OwnParts, moved_directions, own_parts, weighted_directions
from analysis.compute.dictionaries.presence import presence
from analysis.compute.streaming import Pass
from analysis.errors import InputError, ShapeError
from analysis.features import rules
from analysis.features.tap_dictionary import tap_dictionary
from analysis.methods.dictionaries import spike_detectability as spikes
from analysis.methods.dictionaries.co_activation import CoActivationParams, co_activation
from analysis.methods.dictionaries.direction_stability import DirectionStabilityParams, direction_stability
from analysis.methods.dictionaries.feature_families import feature_families
from analysis.methods.dictionaries.presence_elsewhere import PresenceElsewhereParams, presence_elsewhere
from analysis.methods.dictionaries.spike_detectability import SpikeDetectabilityParams, spike_detectability
from analysis.spec import no_progress


@pytest.fixture(scope="module")
def planted():
    """(codes, x) of 600 rows: planted atoms and noise of 0.05."""
    codes = planted_codes(600)
    x = codes @ atoms() + 0.05 * np.random.default_rng(5).standard_normal((600, 16))
    return codes, x


@pytest.fixture(scope="module")
def store(planted, tmp_path_factory):
    """Encoded by the planted atoms, and by half of them with half at random."""
    half = np.concatenate([atoms()[: K // 2], atoms(K // 2, seed=8)])
    sets = [
        set_of("true", atoms(), silent=2),
        set_of("half", half),
        set_of("scaled", atoms(), scale=3.0, silent=2),
    ]
    return encoded(tmp_path_factory.mktemp("s") / "s", planted[1], sets)


def random_parts(m=500, k=200, d=30, strength=0.0, seed=0) -> OwnParts:
    """Codes in a third of the rows; noise of variance 1 for what is left; directions so that l is `strength`."""
    rng = np.random.default_rng(seed)
    codes = rng.random((m, k)) * (rng.random((m, k)) < 0.3)
    directions = atoms(k, d, seed=2) * np.sqrt(strength) / codes.std(axis=0)[:, None]
    left = rng.standard_normal((m, d))
    return OwnParts(csr_array(codes), left - left.mean(axis=0), directions, np.arange(m), m, float(d))


# ---------------------------------------------------------------------------- what is left for a feature
def test_own_directions_are_covariances_with_what_the_others_leave():
    parts = random_parts(m=60, k=5, d=4, strength=2.0)
    rng = np.random.default_rng(1)
    weight = rng.integers(0, 3, 60).astype(float)
    g, fires = weighted_directions(parts, weight, slice(1, 4))
    e = parts.lengths.toarray()
    for place, j in enumerate((1, 2, 3)):
        y = parts.left + np.outer(e[:, j], parts.directions[j])
        rows = np.repeat(np.arange(60), weight.astype(int))
        centred = e[rows, j] - e[rows, j].mean()
        assert np.allclose(g[place], centred @ (y[rows] - y[rows].mean(axis=0)) / len(rows), atol=1e-12)
        assert fires[place] == ((e[:, j] != 0) * (weight > 0)).sum()
    order = rng.permutation(60)
    moved, _ = moved_directions(parts, np.ones(60), slice(0, 5), order)
    y = (parts.left + np.outer(e[:, 2], parts.directions[2]))[order]
    assert np.allclose(moved[2], (e[:, 2] - e[:, 2].mean()) @ (y - y.mean(axis=0)) / 60, atol=1e-12)


@pytest.mark.parametrize("name", ["true", "scaled"])
def test_lengths_and_what_is_left_add_up_to_the_activations(store, name):
    made = tap_dictionary(store.activations(f"mlp@{name}"))
    parts = own_parts(
        made.codes, made.source, made.features, 600, np.random.default_rng(0), Pass(), no_progress, (0, 1)
    )
    x = made.source.take(np.arange(600)).astype(float)
    rebuilt = parts.lengths @ parts.directions.astype(float) + parts.left
    assert np.allclose(rebuilt - rebuilt.mean(axis=0), x - x.mean(axis=0), atol=1e-5)


# ---------------------------------------------------------------------------- above the noise
def test_strength_is_what_was_planted_and_chance_is_a_chi_square():
    parts = random_parts(m=2000, strength=3.0)
    columns, n, d = spikes._columns(
        parts, np.arange(200).astype(str), spikes.SAMPLES, np.random.default_rng(0)
    )
    assert np.median(columns["strength"]) == pytest.approx(3.0, rel=0.05)
    assert (n, d) == (2000, 30)
    assert columns["threshold"][0] == pytest.approx(np.sqrt(30 / 1999))
    assert (columns["verdict"] == spikes.SHOWS).mean() > 0.95
    none = random_parts(m=2000)  # directions of length 0: what is left has nothing to do with the codes
    g, _ = weighted_directions(none, np.ones(2000), slice(None))
    variance = none.lengths.power(2).mean(axis=0) - none.lengths.mean(axis=0) ** 2
    raw = (g**2).sum(axis=1) / variance / (none.left**2).mean()
    deviation = np.sqrt(2 * 30) / 2000
    assert raw.mean() == pytest.approx(30 / 1999, abs=5 * deviation / np.sqrt(200))
    chance = spikes._columns(none, np.arange(200).astype(str), spikes.SAMPLES, np.random.default_rng(0))[0]
    assert (chance["strength"] > chance["by chance"]).mean() == pytest.approx(0.025, abs=0.035)
    assert (chance["verdict"] == spikes.SHOWS).sum() == 0


def test_eigenvalue_and_overlap_are_those_that_a_spectrum_shows():
    """Planted in noise: the textbook's l = 3 at c = 1/2 gives 4.67 and 0.81, and PCA finds them."""
    rng = np.random.default_rng(3)
    n, d = 1000, 500
    axis, code = atoms(1, d)[0], np.sqrt(3) * rng.standard_normal(n)
    left = rng.standard_normal((n, d))
    parts = OwnParts(csr_array(code[:, None]), left - left.mean(axis=0), axis[None], np.arange(n), n, d + 3.0)
    c = spikes._columns(parts, np.array(["0"]), spikes.SAMPLES, rng)[0]
    assert c["eigenvalue"][0] == pytest.approx(4.67, abs=0.3)
    assert c["overlap"][0] == pytest.approx(0.81, abs=0.02)
    values, axes = np.linalg.eigh(np.cov((left + np.outer(code, axis)).T))
    assert c["eigenvalue"][0] == pytest.approx(values[-1], abs=0.2)
    assert c["overlap"][0] == pytest.approx((axes[:, -1] @ axis) ** 2, abs=0.03)
    weak = OwnParts(csr_array(0.3 * code[:, None]), parts.left, parts.directions, parts.sample, n, float(d))
    assert spikes._columns(weak, np.array(["0"]), spikes.SAMPLES, rng)[0]["verdict"][0] == spikes.HIDDEN


def test_planted_features_show_and_dead_ones_are_dead(store):
    c = spike_detectability(store.activations("mlp@true")).columns
    assert (c["verdict"][: K - 2] == spikes.SHOWS).all()
    assert (c["agreement"][: K - 2] > 0.97).all()
    assert spike_detectability(store.activations("mlp@scaled")).columns["strength"] == pytest.approx(
        c["strength"], rel=1e-3
    )  # the same code, three times as long, for activations three times as long


def test_shares_of_variance_add_up_whatever_the_order_of_the_rows(rng):
    """Classes in runs differ between the blocks that are read, not within them."""
    x = rng.standard_normal((20_000, 4))
    x[:, 0] += 10 * np.repeat(np.arange(20), 1000)
    found = spike_detectability(ArrayActivations(x.astype(np.float32)))
    assert found.columns["share of variance"].sum() == pytest.approx(1.0, abs=1e-6)
    middle = found.estimates[1]
    assert middle.value == np.median(found.columns["strength"])
    assert middle.low <= middle.value <= middle.high


def test_tokens_count_as_one_observation_unless_asked(planted):
    tap = ArrayActivations(planted[1], layout=Layout(np.arange(0, 601, 20)))
    few = spike_detectability(tap)
    many = spike_detectability(tap, params=SpikeDetectabilityParams(count=spikes.TOKENS))
    assert few.columns["threshold"][0] == pytest.approx(np.sqrt(16 / 29))
    assert many.columns["threshold"][0] == pytest.approx(np.sqrt(16 / 599))
    assert any("30 samples" in c for c in few.caveats)


# ---------------------------------------------------------------------------- stable over samples
def test_planted_features_are_stable_and_random_ones_less_so(store):
    true = direction_stability(store.activations("mlp@true"))
    fires = true.columns["verdict"] != "dead"
    assert fires.sum() == K - 2
    assert (true.columns["verdict"][fires] == "stable").all()
    assert true.columns["stability"][fires].min() > 0.97
    assert abs(true.estimates[0].null) < 0.1
    half = direction_stability(store.activations("mlp@half")).columns["stability"]
    assert np.nanmean(half[K // 2 :]) < np.nanmean(half[: K // 2])


def test_refits_use_different_samples(planted, monkeypatch):
    """Tokens of one sample never fall on both sides."""
    from analysis.methods.dictionaries import direction_stability as module

    sides = []
    own = module.weighted_directions
    monkeypatch.setattr(module, "weighted_directions", lambda p, w, b: sides.append(w) or own(p, w, b))
    tap = ArrayActivations(planted[1], layout=Layout(np.arange(0, 601, 20)))
    direction_stability(tap, params=DirectionStabilityParams(draws=2))
    for inside, outside in (sides[:2], sides[2:]):
        assert not (inside * outside).any()
        assert np.array_equal(np.ptp(inside.reshape(30, 20), axis=1), np.zeros(30))
        assert ((inside > 0) | (outside > 0)).all()


# ---------------------------------------------------------------------------- present elsewhere
def test_partners_are_scored_on_samples_that_did_not_choose_them():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 10)), rng.standard_normal((60, 40))
    halves = np.arange(60) < 30
    found = presence(x, y, halves, 1, rng, lambda: None)
    expected = np.zeros(10)
    for h in (halves, ~halves):
        r = np.corrcoef(x[h].T, y[h].T)[:10, 10:]
        other = np.corrcoef(x[~h].T, y[~h].T)[:10, 10:]
        expected += other[np.arange(10), r.argmax(axis=1)] / 2
    assert found.many == pytest.approx(expected, abs=1e-12)
    seen = np.corrcoef(x.T, y.T)[:10, 10:]
    assert found.partner.tolist() == seen.argmax(axis=1).tolist()
    assert (
        abs(found.many.mean()) < 0.15 < seen.max(axis=1).mean()
    )  # of nothing, the best of 40 looks like something


def test_one_partner_serves_one_feature_when_matched_once():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((200, 3))
    twice = np.column_stack([x, x[:, 0] + 0.01 * rng.standard_normal(200)])
    result = presence_elsewhere(ArrayActivations(twice), ArrayActivations(x))
    assert (result.columns["held-out r"] > 0.99).all()
    assert (result.columns["matched once"] > 0.99).sum() == 3
    many, once = result.estimates
    assert many.value > 0.99 > 0.9 > once.value
    assert many.low <= many.value <= many.high


def test_rare_and_dead_features_are_not_looked_for():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((100, 4))
    x[:, 2], x[:, 3] = 0, 0
    x[:4, 3] = 1
    c = presence_elsewhere(ArrayActivations(x), ArrayActivations(x[:, ::-1])).columns
    assert c["verdict"].tolist() == ["present", "present", "too few samples", "too few samples"]
    assert c["partner 1"].tolist()[:2] == ["3", "2"]
    with pytest.raises(InputError, match="fires in 8 samples"):
        presence_elsewhere(ArrayActivations(x[:, 2:]), ArrayActivations(x))
    with pytest.raises(InputError, match="1 tap"):
        presence_elsewhere(ArrayActivations(x), params=PresenceElsewhereParams())


# ---------------------------------------------------------------------------- firing together
def test_pmi_by_hand_and_by_a_dense_count():
    x = np.random.default_rng(4).random((400, 8)) < np.linspace(0.1, 0.5, 8)
    x[:, 3] &= x[:, 6]
    c = co_activation(ArrayActivations(x * 1.5), params=CoActivationParams(partners=8)).columns
    assert len(c["feature"])
    for a, b, both, pmi, low, high, share in zip(
        c["feature"], c["partner"], c["together"], c["PMI"], c["low"], c["high"], c["share"], strict=True
    ):
        i, j = int(a), int(b)
        assert both == (x[:, i] & x[:, j]).sum()
        assert pmi == pytest.approx(np.log(both * 400 / (x[:, i].sum() * x[:, j].sum())))
        assert low < pmi < high
        assert pmi > 0
        assert share == pytest.approx(both / x[:, i].sum())
    strongest = c["partner"][np.flatnonzero(c["feature"] == "3")[0]]
    assert strongest == "6"


def test_the_null_of_independent_features_holds_what_they_reach():
    x = (np.random.default_rng(6).random((1500, 20)) < 0.2) * 1.0
    estimate = co_activation(ArrayActivations(x), params=CoActivationParams(draws=20)).estimates[0]
    assert estimate.null_low - 0.1 <= estimate.value <= estimate.null_high + 0.1
    x[:, ::2] = x[:, 1::2]
    assert co_activation(ArrayActivations(x)).estimates[0].value == 1 > estimate.null_high
    with pytest.raises(InputError, match="1 feature"):
        co_activation(ArrayActivations(x[:, :2] * [1, 0]))


def test_families_of_planted_features_over_two_sets():
    """Two general features in one set; in the other the halves of each and a stranger."""
    rng = np.random.default_rng(8)
    general = rng.random((900, 2)) < 0.4
    half = rng.random(900) < 0.5
    parts = np.column_stack([general[:, g] & (half ^ flip) for g in (0, 1) for flip in (False, True)])
    fine = np.column_stack([parts, rng.random(900) < 0.3])
    found = feature_families(
        ArrayActivations(general * 1.0, "s:small"), ArrayActivations(fine * 2.0, "s:large")
    )
    c = found.columns
    assert c["parent"].tolist() == ["", "", "small 0", "small 0", "small 1", "small 1", ""]
    assert (c["inside"][2:6] == 1).all()
    assert c["by chance"][2] == pytest.approx(general[:, 0].mean())
    assert c["children"].tolist() == [2, 2, 0, 0, 0, 0, 0]
    assert c["family size"].tolist() == [3, 3, 3, 3, 3, 3, 1]
    share = found.estimates[0]
    assert share.value == pytest.approx(4 / 7)
    assert share.null < 0.3
    with pytest.raises(ShapeError, match="rows"):
        feature_families(ArrayActivations(general), ArrayActivations(fine[:800]))


def test_the_forest_is_the_heaviest_and_its_edges_are_no_longer_than_any_way_round():
    rng = np.random.default_rng(9)
    k = 12
    first, second = np.triu_indices(k, 1)
    weight, fires = rng.random(len(first)) + 0.1, rng.permutation(100)[:k]
    found = families(first, second, np.arange(len(first)), weight, fires)
    best, tree = 0.0, np.arange(k)  # Kruskal by hand
    for i in np.argsort(-weight):
        if tree[first[i]] != tree[second[i]]:
            tree[tree == tree[first[i]]] = tree[second[i]]
            best += weight[i]
    assert found.weights.sum() == pytest.approx(best)
    has = found.parent >= 0
    assert (fires[found.parent[has]] > fires[has]).all()
    assert found.parent[fires.argmax()] == -1
    for j in np.flatnonzero(has):
        mine = [w for (a, b), w in zip(found.edges, found.weights, strict=True)
                if j in (a, b) and fires[a + b - j] > fires[j]]  # fmt: skip
        assert found.weight[j] == max(mine)


def test_linear_sets_and_sparse_ones_agree_on_rows(store, planted):
    """The same counts from an encoded tap and from its dense values."""
    tap = store.activations("mlp@true")
    dense = ArrayActivations(tap.take(np.arange(600)), "dense")
    a, b = (co_activation(t).columns for t in (tap, dense))
    assert all(np.array_equal(a[k], b[k]) for k in ("feature", "partner", "together", "PMI"))
    assert tap_dictionary(tap).features.rule == rules.TOPK


@pytest.mark.parametrize("method", [co_activation, feature_families])
def test_pairs_that_were_chosen_for_sharing_rows_are_not_beyond_chance_for_that(rng, method):
    """Of independent features those that share most are listed: as much as the same search finds in moved rows."""
    x = (rng.random((3000, 60)) < rng.uniform(0.02, 0.2, 60)).astype(float)
    mean = method(ArrayActivations(x)).estimates[1]
    assert mean.null == pytest.approx(mean.value, rel=0.15)
