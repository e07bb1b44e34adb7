"""The dictionary report against a second computation with whole arrays, and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from dictionary_subjects import D, K, atoms, encoded, planted_codes, set_of
from scipy.sparse import csr_array

from analysis.activations import ArrayActivations
from analysis.compute.dictionaries.coherence import (
    coherence,
    coherence_together,
    nearest,
    nearest_by_chance,
    nearest_p,
    random_directions,
    welch_bound,
)
from analysis.compute.dictionaries.sparse_codes import CodeRows, together
from analysis.errors import NotFound
from analysis.features import rules
from analysis.methods.dictionaries.dictionary_report import DictionaryReportParams, dictionary_report
from analysis.store import encoded as encoded_module


def lines(result) -> dict[str, dict[str, float]]:
    c = result.columns
    return {n: {k: c[k][i] for k in c if k != "dictionary"} for i, n in enumerate(c["dictionary"])}


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    """600 rows in 200 samples of three tokens, far from 0, two of them unknown; the planted dictionary encodes them."""
    a, codes = atoms(), planted_codes(600)
    x = codes @ a + 50 + 0.05 * np.random.default_rng(2).standard_normal((600, D))
    x[[4, 300]] = np.nan
    labels = np.arange(200) % 4
    features = set_of("planted", a, centre=np.full(D, 50.0), silent=2)
    store = encoded(tmp_path_factory.mktemp("s") / "s", x, [features], labels, tuple("abcd"), np.full(200, 3))
    return store, features


def test_every_number_again_from_whole_arrays(subject):
    store, features = subject
    tap = store.activations("mlp@planted")
    found = lines(dictionary_report(tap, DictionaryReportParams(column="label")))
    x = store.activations("mlp").take(np.arange(600)).astype(float)
    good = np.isfinite(x).all(axis=1)
    x, codes = x[good], tap.take(np.arange(600))[good]
    z = x - x.mean(axis=0)
    total = (z**2).sum()
    own = found["dictionary"]
    left = ((x - codes @ features.decoder - features.centre) ** 2).sum()
    assert own["explained variance"] == pytest.approx(1 - left / total, abs=1e-5)
    assert own["low"] <= own["explained variance"] <= own["high"]
    assert own["active per row"] == pytest.approx((codes != 0).sum(axis=1).mean())
    assert own["active, 95 % of rows"] == np.sort((codes != 0).sum(axis=1))[int(0.95 * len(codes))]
    assert own["dead"] == (~(codes != 0).any(axis=0)).mean() == 2 / K
    cosine = np.abs(features.decoder.astype(float) @ features.decoder.T)
    np.fill_diagonal(cosine, 0)
    assert own["coherence"] == pytest.approx(cosine.max(), abs=1e-6)
    on = (codes != 0).astype(float)
    assert own["coherence together"] == pytest.approx(cosine[on.T @ on >= 5].max(), abs=1e-6)
    spectrum = np.linalg.eigvalsh(np.cov(x.T))[::-1]
    pca = found["principal components"]
    assert pca["active per row"] == 2
    assert pca["explained variance"] == pytest.approx(spectrum[:2].sum() / spectrum.sum(), abs=1e-9)
    of = np.repeat(np.arange(200) % 4, 3)[good]
    means = np.stack([x[of == c].mean(axis=0) for c in range(4)])
    assert found["class means"]["explained variance"] == pytest.approx(
        1 - ((x - means[of]) ** 2).sum() / total, abs=1e-9
    )


def test_the_planted_dictionary_is_far_above_its_rivals_and_wrong_definitions(subject):
    """About 0 instead of about the mean anything would explain nearly all: activations lie at 50."""
    store, _ = subject
    result = dictionary_report(store.activations("mlp@planted"))
    found = lines(result)
    assert (
        found["dictionary"]["explained variance"] > found["principal components"]["explained variance"] + 0.3
    )
    assert found["random dictionary"]["explained variance"] < 0.5
    wrong = set_of("far", atoms(seed=9), centre=np.full(D, 50.0))
    x = store.activations("mlp").take(np.arange(5, 200)).astype(float)
    about_zero = 1 - ((x - wrong.reconstruct(x)) ** 2).sum() / (x**2).sum()
    assert about_zero > 0.99
    estimate = result.estimates[0]
    assert estimate.null == found["random dictionary"]["explained variance"]
    assert any("598 rows" in c or "2 of 600" in c for c in result.caveats)
    with pytest.raises(NotFound):
        dictionary_report(store.activations("mlp@planted"), DictionaryReportParams(column="colour"))


def test_a_bad_dictionary_explains_less_than_nothing(tmp_path):
    """Right directions, wrong sign of the centre: the error is larger than the variance, and stays so in the table."""
    a, codes = atoms(), planted_codes(200)
    store = encoded(tmp_path / "s", codes @ a + 3, [set_of("off", a, centre=np.full(D, -3.0))])
    assert lines(dictionary_report(store.activations("mlp@off")))["dictionary"]["explained variance"] < 0


def test_a_linear_set_is_compared_with_projections(tmp_path):
    """Components as a set explain what components explain; random projections of white rows explain k / d."""
    x = np.random.default_rng(0).standard_normal((3000, D))
    axes = np.linalg.eigh(np.cov(x.T))[1][:, ::-1].T[:5]
    features = set_of("pca", axes, rules.LINEAR)
    tap = encoded(tmp_path / "s", x, [features]).activations("mlp@pca")
    found = lines(dictionary_report(tap))
    assert found["dictionary"]["explained variance"] == pytest.approx(
        found["principal components"]["explained variance"], abs=1e-3
    )
    assert found["random dictionary"]["explained variance"] == pytest.approx(5 / D, abs=0.03)


def test_adding_a_constant_changes_nothing():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 6)) * (rng.random((300, 6)) < 0.3)
    label = {"label": np.arange(300) % 3}
    first = lines(dictionary_report(ArrayActivations(x, "x", label)))
    moved = lines(dictionary_report(ArrayActivations(x + 1e6, "x", label)))
    for name in ("dictionary", "class means"):
        assert moved[name]["explained variance"] == pytest.approx(first[name]["explained variance"], abs=1e-6)


# ---------------------------------------------------------------------- directions
def test_welch_bound_and_what_random_directions_reach():
    """0.121 at 1,024 in 64 dimensions, reached by the simplex; random ones have a nearest of 0.393 on average."""
    assert welch_bound(1024, 64) == pytest.approx(0.121, abs=5e-4)
    simplex = np.eye(4) - 0.25
    assert coherence(simplex) == pytest.approx(welch_bound(4, 3), abs=1e-6)
    near = nearest(random_directions(1024, 64, np.random.default_rng(0))).cosine
    assert near.mean() == pytest.approx(0.393, abs=0.005)
    assert np.median(near) == pytest.approx(nearest_by_chance(1024, 64), abs=0.005)


def test_chance_of_the_nearest_is_calibrated():
    rng, p = np.random.default_rng(0), []
    for _ in range(400):
        p.append(nearest_p(nearest(random_directions(6, 5, rng)).cosine[:1], 6, 5)[0])
    assert np.mean(np.array(p) < 0.1) == pytest.approx(0.1, abs=0.04)
    assert np.mean(p) == pytest.approx(0.5, abs=0.05)


def test_only_features_active_together_count():
    directions = np.array([[1, 0.0], [1, 0.1], [0, 1]])
    codes = np.array([[1, 0, 1]] * 6 + [[0, 2, 0]] * 6 + [[1, 1, 0]] * 2, float)
    for counts in (
        together([csr_array(codes)]),
        csr_array(codes.astype(bool).astype(float)).T @ (codes != 0),
    ):
        assert coherence_together(directions, counts, 5) == pytest.approx(0.0, abs=1e-6)
        assert coherence_together(directions, counts, 2) > 0.99


def test_codes_are_read_across_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(encoded_module, "SHARD_ROWS", 70)
    codes = planted_codes(300)
    tap = encoded(tmp_path / "s", codes @ atoms(), [set_of("p", atoms())]).activations("mlp@p")
    expected, reader = tap.take(np.arange(300)), CodeRows(tap)
    for rows in (np.arange(0, 50), np.r_[50:60, 65:160], np.r_[200], np.r_[201:299:2]):
        np.testing.assert_array_equal(reader.of(rows).toarray(), expected[rows])
