"""Words for features and features for words: attributes of rows, detection, planted names, bad input."""

import dataclasses

import dictionary_subjects as subjects
import numpy as np
import pytest
from scipy.sparse import csc_array
from sklearn.metrics import f1_score, roc_auc_score

from analysis.activations import ArrayActivations, Layout
from analysis.compute.dictionaries import detection, held_out_names
from analysis.compute.dictionaries.planted_names import TextActivations, planted_texts
from analysis.compute.dictionaries.row_attributes import row_attributes
from analysis.errors import NotEnoughData, ParameterError
from analysis.methods.dictionaries.feature_names import FeatureNamesParams, feature_names
from analysis.methods.dictionaries.kind_features import KindFeaturesParams, kind_features
from analysis.registry import methods

FEW = FeatureNamesParams(draws=4)


def attributes_of(texts, **more):
    """{name: rows} of texts with a row for every letter."""
    lengths = [len(t) for t in texts]
    layout = Layout(np.r_[0, np.cumsum(lengths)])
    tap = TextActivations(np.zeros((sum(lengths), 1)), "t", {"text": np.array(texts), **more}, layout)
    rows, found = row_attributes(tap, np.arange(len(texts)))
    dense = found.hot.toarray() > 0
    return {name: rows[dense[:, i]].tolist() for i, name in enumerate(found.names)}


def test_attributes_are_what_a_reader_sees():
    texts = ["    if self(x):\n", "self.ab = 'q' \n", "    if self(x):\n", "self.zb = 'q' \n"] * 5
    found = attributes_of(texts)
    one = [i for i in found["indentation"] if i < 31]
    assert one == [0, 1, 2, 3]
    assert [i for i in found["word 'self'"] if i < 31] == [7, 8, 9, 10, 16, 17, 18, 19]
    assert [i for i in found["end of word 'self'"] if i < 31] == [10, 19]
    assert [i for i in found["opening bracket"] if i < 31] == [11]
    assert [i for i in found["after full stop"] if i < 31] == [21]
    assert [i for i in found["quoted text"] if i < 31] == [26, 27, 28]
    assert [i for i in found["start of the text"] if i < 31] == [0, 16]
    assert "token '('" not in found  # the same rows as the opening brackets


def test_rows_that_stand_for_a_whole_text_have_what_is_in_it():
    texts = np.array(["a(b", "abc"] * 10)
    tap = TextActivations(np.zeros((20, 1)), "t", {"text": texts})
    _, found = row_attributes(tap, np.arange(20))
    on = found.hot.toarray()[:, found.names.tolist().index("opening bracket")]
    np.testing.assert_array_equal(on > 0, texts == "a(b")


def test_places_of_an_image_and_columns_of_its_sample():
    layout = Layout(np.arange(13) * 10, grid=(3, 3), leading=1)
    tap = ArrayActivations(
        np.zeros((120, 1)), "v", {"label": np.arange(12) % 2, "many": np.arange(12)}, layout
    )
    _, found = row_attributes(tap, np.arange(12))
    at = {n: np.flatnonzero(found.hot.toarray()[:, i]) for i, n in enumerate(found.names)}
    np.testing.assert_array_equal(at["leading token"][:2], [0, 10])
    np.testing.assert_array_equal(at["top edge"][:3], [1, 2, 3])
    np.testing.assert_array_equal(at["right edge"][:3], [3, 6, 9])
    assert len(at["label 0"]) == 60


@pytest.fixture
def random_pair(rng):
    sample = np.repeat(np.arange(60), 20)
    yes = rng.random(1200) < np.repeat(rng.random(60) / 3, 20)
    has = np.where(rng.random(1200) < 0.6, yes, rng.random(1200) < 0.1)
    return sample, yes, has


def test_scores_are_scikit_learns(random_pair):
    sample, yes, has = random_pair
    found = detection.Detectors(csc_array(yes[:, None].astype(float)), np.zeros((1, 1)))
    one = np.zeros(1, int)
    got = detection.judged_pairs(found, csc_array(has[:, None].astype(float)), one, one, sample)
    assert got.f1[0] == pytest.approx(f1_score(has, yes), abs=1e-12)
    assert got.auroc[0] == pytest.approx(roc_auc_score(yes, has), abs=1e-12)


def test_errors_are_those_of_a_bootstrap_over_samples(random_pair, rng):
    sample, yes, has = random_pair
    found = detection.Detectors(csc_array(yes[:, None].astype(float)), np.zeros((1, 1)))
    one = np.zeros(1, int)
    got = detection.judged_pairs(found, csc_array(has[:, None].astype(float)), one, one, sample)
    drawn = []
    for _ in range(400):
        at = (rng.integers(60, size=60)[:, None] * 20 + np.arange(20)).ravel()
        drawn.append((f1_score(has[at], yes[at]), roc_auc_score(yes[at], has[at])))
    f1, auroc = np.std(drawn, axis=0)
    assert got.f1_error[0] == pytest.approx(f1, rel=0.2)
    assert got.auroc_error[0] == pytest.approx(auroc, rel=0.2)


def test_without_an_exception_the_rule_of_three_stands():
    has = csc_array(np.repeat([1.0, 0, 0, 0], 30)[:, None])
    one, sample = np.zeros(1, int), np.arange(120)
    got = detection.judged_pairs(detection.Detectors(has, np.zeros((1, 1))), has, one, one, sample)
    assert (got.f1[0], got.auroc[0]) == (1, 1)
    assert detection.Z95 * got.f1_error[0] == pytest.approx(3 / 30)
    assert detection.Z95 * got.auroc_error[0] == pytest.approx(1.5 / 30)


def test_levels_are_shares_of_what_is_not_0(tmp_path):
    x = subjects.planted_codes(300) @ subjects.atoms()
    store = subjects.encoded(tmp_path / "s", x, [subjects.set_of("a", subjects.atoms())])
    tap = store.activations("mlp@a")
    dense, rows = tap.take(np.arange(300)), np.arange(0, 300, 2)
    found = detection.detectors(tap, rows)
    yes = found.yes.toarray() > 0
    for level, share in enumerate(detection.LEVELS):
        for j in (0, 5):
            values = np.sort(dense[rows, j][dense[rows, j] > 0])
            cut = values[int(np.floor(share * len(values)))]
            np.testing.assert_array_equal(yes[:, level * dense.shape[1] + j], dense[rows, j] >= cut)


def test_a_dense_tap_is_read_by_its_upper_tenth():
    tap, _ = planted_texts(np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((tap.shape[0], 1))
    found = detection.detectors(ArrayActivations(x), np.arange(len(x)))
    np.testing.assert_array_equal(found.yes.toarray()[:, 0] > 0, x[:, 0] > np.quantile(x[:, 0], 0.9))


def test_names_are_judged_on_samples_that_they_were_not_chosen_on(rng):
    """In noise the best name of a search flatters itself where it was chosen, not where it is judged."""
    tap, _ = planted_texts(rng, samples=30)
    noise = rng.random((tap.shape[0], 60)) * (rng.random((tap.shape[0], 60)) < 0.02)
    c = feature_names(dataclasses.replace(tap, values=noise, unit_names=(), digest=""), FEW).columns
    assert np.nanmean(c["detection AUROC"]) == pytest.approx(0.5, abs=0.04)
    assert (c["beyond chance"] == "yes").mean() < 0.2


@pytest.mark.parametrize("broken", ["F1 without recall", "no exchange"])
def test_the_checks_fail_on_broken_code(monkeypatch, broken):
    if broken == "no exchange":
        monkeypatch.setattr(held_out_names.Observed, "exchanged", lambda self, rng: np.arange(len(self.rows)))
    else:
        monkeypatch.setattr(held_out_names, "f1_of", lambda t, p, a: t / np.maximum(a, 1))
    names = ("feature_names", "kind_features")
    assert not all(line.passed for name in names for line in methods()[name].check())


def test_bad_input():
    with pytest.raises(NotEnoughData, match="8"):
        feature_names(ArrayActivations(np.ones((5, 2)), "x", {"label": np.arange(5)}))
    with pytest.raises(NotEnoughData, match="neither classes"):
        feature_names(ArrayActivations(np.ones((50, 2)), "x"))
    tap, _ = planted_texts(np.random.default_rng(0))
    with pytest.raises(ParameterError, match="name: word"):
        kind_features(tap, KindFeaturesParams(kinds="loop for while"))
    silent = dataclasses.replace(tap, values=np.zeros(tap.shape), digest="")
    said = feature_names(silent, FEW)
    assert "None of the 5 features is active" in said.reading
    gone = tap.values.copy()
    gone[:5] = np.nan
    assert feature_names(dataclasses.replace(tap, values=gone, digest=""), FEW).columns["F1"][0] > 0.95


def test_exchanged_samples_keep_neither_their_class_nor_their_place(rng):
    sample = np.repeat(np.arange(40), np.tile([3, 9], 20))
    seen = held_out_names.Observed(np.arange(240), sample, None, None, None, "")
    order = seen.exchanged(rng)
    assert (sample[order] != sample).all()  # also where a short sample stands before long ones
    classes = np.repeat(np.arange(4), 60)  # in runs, as data sets are often stored
    alike = [(classes[seen.exchanged(rng)] == classes).mean() for _ in range(40)]
    assert max(alike) < 0.6
    place = np.concatenate([np.arange(n) for n in np.tile([3, 9], 20)])
    assert (place[order] == place).mean() < 0.5


def test_features_of_a_place_are_named(rng):
    place, size = np.tile(np.arange(16), 60), 1 + rng.random(960)
    tap = ArrayActivations(
        ((place % 4 == 0) * size)[:, None], "v", {}, Layout(np.arange(61) * 16, grid=(4, 4))
    )
    assert feature_names(tap, FEW).columns["name"].tolist() == ["left edge"]


def test_a_token_does_not_follow_what_it_holds_itself():
    class Words(TextActivations):
        def tokens(self, sample):
            return ["a", " b", " ", "c"]

    tap = Words(np.zeros((80, 1)), "t", {"text": np.full(20, "a b c")}, Layout(np.arange(21) * 4))
    _, found = row_attributes(tap, np.arange(20))
    assert "after space between words" not in found.names  # but for the c, which "token 'c'" says
