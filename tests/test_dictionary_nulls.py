"""What analyses of dictionaries say of data without structure: frequent values, noise of tensors, few contexts, pairs
that are listed twice; sets and taps that two processes write at once; rows that the dictionary was fitted to."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations, Layout
from analysis.compute.dictionaries.families import families
from analysis.compute.tensors.component_facts import between_labels
from analysis.compute.tensors.cp import Components
from analysis.errors import InputError, NotFound, StoreDamaged
from analysis.features import feature_set_files, rules
from analysis.features.checkpoints import load_checkpoint
from analysis.features.classical.concepts import read_directions
from analysis.features.classical.making import make
from analysis.features.encoding import encode_tap
from analysis.features.feature_set import FeatureSet
from analysis.features.gradient_effects import gradient_effects
from analysis.features.importing import import_feature_set
from analysis.features.shelf import FeatureShelf
from analysis.features.tap_dictionary import tap_dictionary
from analysis.features.unfinished import drop
from analysis.methods.dictionaries.attribute_coverage import attribute_coverage
from analysis.methods.dictionaries.co_activation import CoActivationParams, co_activation
from analysis.methods.dictionaries.co_activation_heat import CoActivationHeatParams, co_activation_heat
from analysis.methods.dictionaries.concept_f1 import ConceptF1Params, concept_f1
from analysis.methods.dictionaries.dictionary_report import dictionary_report
from analysis.methods.dictionaries.gradient_plane import GradientPlaneParams, gradient_plane
from analysis.methods.dictionaries.read_write import ReadWriteParams, read_write
from analysis.methods.dictionaries.tensor_components import TensorComponentsParams, tensor_components
from analysis.methods.dictionaries.tensor_number import TensorNumberParams, tensor_number
from analysis.methods.dictionaries.tensor_profiles import _in_order
from analysis.methods.dictionaries.tucker_core import tucker_core
from analysis.spec import no_progress
from analysis.store.encoded import EncodedWriter, encoded_entries, remove_encoded
from analysis.store.from_arrays import write_store
from analysis.store.manifest import TapSpec


def test_noise_tells_no_value_that_most_samples_have_and_a_feature_does():
    """Saying yes always has F1 0.94 for a value of 88 %: features of noise have 0.9 too, and stand for nothing."""
    rng = np.random.default_rng(0)
    x, often = rng.standard_normal((400, 6)), (rng.random(400) < 0.88).astype(int)
    noise = attribute_coverage(ArrayActivations(x, "noise", {"a": often})).columns
    assert not set(noise["verdict"]) & {"over-split", "one feature"}
    assert noise["copies"].max() == 0
    x[:, 2] += 10 * often
    told = attribute_coverage(ArrayActivations(x, "told", {"a": often})).columns
    assert list(told["verdict"]) == ["one feature"]
    classes = concept_f1(ArrayActivations(x[:, 3:], "n", {"label": often}), ConceptF1Params(draws=4)).columns
    assert list(classes["over-split"]) == ["no", "no"]


def test_of_features_that_avoid_each_other_the_largest_pair_is_no_feature_with_itself():
    on = np.eye(3)[np.arange(600) % 3]
    on[:12] = 1
    said = co_activation_heat(ArrayActivations(on), CoActivationHeatParams(draws=2, rank=2)).reading
    assert "0 with 1 (-1.79)" in said


def test_a_pair_that_is_listed_both_ways_counts_once():
    """Pairs that are resampled with their mirror image have an interval √2 as wide as that of as many independent."""
    rng = np.random.default_rng(0)
    share, base = rng.uniform(0.2, 0.9, 40), rng.random((2000, 40)) < 0.1
    x = np.empty((2000, 80))
    x[:, ::2] = base
    x[:, 1::2] = np.where(rng.random((2000, 40)) < share, base, rng.random((2000, 40)) < 0.1)
    found = co_activation(ArrayActivations(x), CoActivationParams(partners=1, draws=2))
    value, e = found.columns["PMI"], found.estimates[1]
    plain = 1.96 * value.std() / np.sqrt(len(value))
    assert (e.high - e.low) / 2 > 1.2 * plain
    assert e.value == pytest.approx(value.mean())


def test_noise_has_no_rank_beyond_noise():
    """The largest of one draw of noise would have let half of them through: here 5 % of each mode."""
    beyond = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        tap = ArrayActivations(rng.standard_normal((30 * 4, 6)), layout=Layout(np.arange(31) * 4))
        found = tucker_core(tap, rng=rng)
        beyond += sum(e.value > 0 for e in found.estimates if e.name.startswith("rank"))
    assert beyond <= 4  # of 24; a binomial of 5 % is above in 0.3 %, of 45 % below in 0.2 %


def test_the_largest_label_share_is_read_beside_the_largest_of_exchanged_labels():
    rng = np.random.default_rng(0)
    factor, labels = rng.standard_normal((60, 12)), np.arange(60) % 3
    tap = ArrayActivations(np.zeros((60, 1)), samples={"label": labels})
    share, null = between_labels(tap, np.arange(60), factor, 200, rng)
    single = 2 / 59
    assert null.mean() > 2 * single  # the largest of twelve
    assert null.min() < share.max() < null.max()
    unknown = ArrayActivations(np.zeros((60, 1)), samples={"label": np.where(labels == 2, -1, labels)})
    own, _ = between_labels(unknown, np.arange(60), factor, 2, rng)
    keep = labels < 2
    other, _ = between_labels(
        ArrayActivations(np.zeros((40, 1)), samples={"label": labels[keep]}),
        np.arange(40),
        factor[keep],
        2,
        rng,
    )
    np.testing.assert_allclose(own, other)
    x = rng.standard_normal((30 * 3, 5))
    tap = ArrayActivations(x, samples={"label": np.arange(30) % 2}, layout=Layout(np.arange(31) * 3))
    e = {
        e.name: e
        for e in tensor_components(tap, params=TensorComponentsParams(components=3, copies=2)).estimates
    }
    assert e["largest share between labels"].null > 1 / 29
    lowest = e["lowest cosine when samples are drawn again"]
    assert lowest.null_low <= lowest.null <= lowest.null_high < 1


def test_a_feature_with_two_contexts_reads_nothing_by_luck():
    """One of two contexts is of one of ten classes by luck in a fifth of cases; a level from a hundred contexts would
    call all of these readers."""
    rng, reads = np.random.default_rng(0), []
    for _ in range(3):
        of, x = rng.integers(0, 10, 300), np.zeros((300, 50))
        for j in range(50):
            x[rng.choice(300, 150 if j < 8 else 2, replace=False), j] = 1
        asked = ReadWriteParams(amplification=1.0, draws=30)
        found = read_write(ArrayActivations(x, "s:x", {"label": of}), asked, rng)
        few = found.columns["contexts"] < 5
        assert few.sum() == 42
        assert (
            found.columns["input score to beat"][few].min() > found.columns["input score to beat"][~few].max()
        )
        reads.append(np.char.find(found.columns["place"][few].astype(str), "reads") >= 0)
    assert np.mean(reads) < 0.3


def test_what_was_not_measured_is_not_0():
    rng = np.random.default_rng(0)
    of = np.arange(120) % 2
    x = rng.standard_normal((120, 8)) + 3
    x[:, 0] += 2 * of
    c = gradient_plane(ArrayActivations(x, "p", {"label": of}), GradientPlaneParams(measured=3)).columns
    assert (np.isnan(c["loss when removed"]) == (c["was removed"] == 0)).all()
    assert 0 < c["was removed"].sum() <= 3


def test_how_many_components_mixed_samples_pass_for_is_counted():
    """A component of one unit is as stable where the samples of every unit are mixed: nothing units share."""
    rng = np.random.default_rng(0)
    x = 0.01 * rng.standard_normal((30, 4, 5))
    x[:, :, 2] += np.outer(rng.standard_normal(30), [1, 2, 3, 1])
    tap = ArrayActivations(x.reshape(-1, 5), layout=Layout(np.arange(31) * 4))
    found = tensor_number(tap, params=TensorNumberParams(largest=1, copies=3)).estimates[0]
    assert found.null == 1


def test_what_slopes_change_in_a_topk_does_not_hang_on_the_rows_looked_at_together(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((64, 6)).astype(np.float32), rng.standard_normal((12, 6))
    made = FeatureSet("t", rules.TOPK, w.T, w, np.zeros(12), np.zeros(6), np.zeros(6), active=2)
    store = encode_tap(write_store(tmp_path / "s", name="s", taps={"x": x}), "x", made)
    own, slopes = tap_dictionary(store.activations("x@t")), rng.standard_normal((64, 6))
    slopes *= np.repeat([0.1, 10], 32)[:, None]  # one half has small slopes

    def swapped():
        seed = np.random.default_rng(1)
        return gradient_effects(own, np.arange(64), slopes, 1.0, seed, no_progress, (0, 1)).swapped

    whole = swapped()
    monkeypatch.setattr("analysis.features.gradient_effects.BLOCK_VALUES", 16 * 12)
    np.testing.assert_array_equal(swapped(), whole)
    assert whole[:32].sum() < whole[32:].sum()


def test_families_of_pairs_in_any_order():
    first, second = np.array([0, 2, 0, 1]), np.array([3, 3, 1, 2])
    count, low, fires = np.array([4, 6, 8, 5]), np.array([0.4, 0.6, 0.8, 0.5]), np.array([40, 30, 20, 10])
    turn = np.array([2, 0, 3, 1])
    one = families(first, second, count, low, fires)
    other = families(first[turn], second[turn], count[turn], low[turn], fires)
    for name in ("parent", "together", "weight", "root", "depth"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert list(one.parent) == [-1, 0, 1, 2]
    assert list(one.together) == [0, 8, 5, 6]


# ---------------------------------------------------------------------- two at once
def a_set(seed: int, name: str = "a") -> FeatureSet:
    w, zero = np.random.default_rng(seed).standard_normal((4, 3)), np.zeros
    return FeatureSet(name, rules.RELU, w.T, w, zero(4), zero(3), zero(3))


def test_of_two_that_add_a_set_of_one_name_the_second_is_refused_and_the_first_is_whole(
    tmp_path, monkeypatch
):
    shelf, plain, once = FeatureShelf(tmp_path), feature_set_files.write_file, []

    def meanwhile(path, *parts, **more):
        if path.name == feature_set_files.ABOUT and not once:
            once.append(1)
            shelf.add(a_set(2))
        return plain(path, *parts, **more)

    monkeypatch.setattr(feature_set_files, "write_file", meanwhile)
    with pytest.raises(InputError, match="already a feature set 'a'"):
        shelf.add(a_set(1))
    assert shelf.open("a").digest == a_set(2).digest
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    shelf.delete("a")
    assert not list(tmp_path.iterdir())
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "weights.safetensors").write_bytes(b"half")  # of a process that was killed
    assert shelf.add(a_set(3)).name == "a"
    assert shelf.open("a").digest == a_set(3).digest


def test_of_two_that_encode_one_name_the_second_is_refused_at_the_end(tmp_path):
    x = np.random.default_rng(0).random((20, 3)).astype(np.float32)
    store = write_store(tmp_path / "s", name="s", taps={"x": x})

    def writer():
        made = EncodedWriter(store, "x", TapSpec("x@set", 3, "float32"), {"name": "set", "digest": "f"})
        made.append(np.full(20, 3), np.tile(np.arange(3), 20), x.ravel())
        return made

    first, second = writer(), writer()
    with second:
        with first:
            first.finish()
        with pytest.raises(InputError, match="has a tap 'x@set' already"):
            second.finish()
    from analysis.store.reader import Store

    again = Store.open(store.path)
    assert list(again.taps) == ["x", "x@set"]
    assert len([p for p in (store.path / "features").iterdir() if p.is_dir()]) == 1
    other = Store.open(store.path)
    remove_encoded(again, "x@set")
    with pytest.raises(NotFound, match="gone already"):
        remove_encoded(other, "x@set")


def test_a_dictionary_that_saw_the_rows_it_is_judged_on_says_so(tmp_path):
    x = np.random.default_rng(0).standard_normal((80, 5)).astype(np.float32)
    store = write_store(tmp_path / "s", name="s", taps={"x": x, "y": x + 1})
    made = make(store, "x", "pca", {"components": 2}, name="p")
    assert made.about["held_out_share"] == 0.1
    for tap, said in (("x", True), ("y", False)):
        store = encode_tap(store, tap, made)
        encoded = store.activations(f"{tap}@p")
        assert bool(tap_dictionary(encoded).fitted_note) == said
        assert any("was fitted to rows of this tap" in c for c in dictionary_report(encoded).caveats) == said
    assert not tap_dictionary(store.activations("x")).fitted_note


# ---------------------------------------------------------------------- files that are not what they seem
def test_a_damaged_file_is_refused_in_words(tmp_path):
    whole = tmp_path / "whole.npz"
    np.savez(whole, directions=np.eye(3), names=np.array(["a", "b", "c"]))
    assert read_directions(whole, 3)[0] == ["a", "b", "c"]
    cut, text, single = (tmp_path / f for f in ("cut.npz", "text.npz", "single.npy"))
    cut.write_bytes(whole.read_bytes()[:200])
    np.savez(text, directions=np.full((3, 3), "x"), names=np.array(["a", "b", "c"]))
    np.save(single, np.eye(3))
    for path in (cut, text, single):
        with pytest.raises(InputError, match="cannot be read as concept directions"):
            read_directions(path, 3)
    (tmp_path / "none.npz").write_bytes(b"")
    for path in (cut, tmp_path / "none.npz"):
        with pytest.raises(InputError, match="Copy it again"):
            import_feature_set(path)
    for said in ("[]", '{"file": 3}', '"x"'):
        (tmp_path / "checkpoint.json").write_text(said)
        with pytest.raises(StoreDamaged, match="cannot be read"):
            load_checkpoint(tmp_path)
    (tmp_path / "features" / "x").mkdir(parents=True)
    (tmp_path / "features" / "x" / "manifest.json").write_text("[]")
    assert encoded_entries(tmp_path) == []
    drop(tmp_path / "gone")  # by another process


def test_a_refit_that_lacks_a_component_has_the_others_in_their_places():
    rng = np.random.default_rng(0)
    factors = [np.linalg.qr(rng.standard_normal((size, 3)))[0] for size in (9, 5, 6)]
    found = Components(tuple(factors), np.array([3.0, 2.0, 1.0]), 0.0, 1.0)
    turned = [factors[0][:, [2, 0]], -factors[1][:, [2, 0]], factors[2][:, [2, 0]]]
    again = _in_order(Components(tuple(turned), np.array([1.0, 3.0]), 0.0, 1.0), found)
    assert list(again.weights) == [3, 0, 1]
    np.testing.assert_allclose((again.factors[1] * factors[1]).sum(axis=0), [1, 0, 1], atol=1e-12)
