"""Concept bottlenecks: the sparse head against another implementation, the set of named concepts, what the method says
of planted concepts, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import save_file

from analysis.activations import ArrayActivations
from analysis.compute.dictionaries.bottleneck import label_alone, own_labels, random_concepts
from analysis.compute.linear.sparse_softmax import sparse_heads
from analysis.errors import InputError, NotFound, ParameterError, ShapeError
from analysis.features.classical.making import make
from analysis.features.encoding import encode_tap
from analysis.methods.dictionaries.concept_bottleneck import (
    EVIDENCE,
    ConceptBottleneckParams,
    concept_bottleneck,
)
from analysis.store.from_arrays import write_store

D = 6
FEW = {"draws": 2, "penalty": 0.05}


def planted(n=150, seed=0, noise=0.1, d=D):
    """Rows with two concepts along units 0 and 1, their four classes, and the concepts' columns."""
    rng = np.random.default_rng(seed)
    on = rng.integers(0, 2, (n, 2))
    x = noise * rng.standard_normal((n, d))
    x[:, :2] += on
    return x, 2 * on[:, 0] + on[:, 1], {"round": on[:, 0], "red": on[:, 1]}


def test_the_sparse_head_is_that_of_another_solver():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    of = np.arange(150) % 3
    x = rng.standard_normal((150, 5)) + np.eye(3, 5)[of]
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    most = np.abs(z.T @ (np.eye(3)[of] - 1 / 3)).max() / 150
    ours = sparse_heads(x, of, 3, (1.001, 0.2), 5000)
    assert not ours[0].weights.any()
    given = {"l1_ratio": 1.0} if LogisticRegression().l1_ratio is not None else {"penalty": "l1"}
    other = LogisticRegression(
        **given, C=1 / (150 * 0.2 * most), solver="saga", tol=1e-6, max_iter=2000, random_state=0
    ).fit(z, of)
    np.testing.assert_allclose((ours[1].weights * x.std(axis=0)[:, None]).T, other.coef_, atol=2e-3)
    assert ((ours[1].weights.T == 0) == (np.abs(other.coef_) < 1e-9)).all()


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_concepts_of_a_file_are_centred_named_and_few(tmp_path, ending):
    x, of, _ = planted()
    store = write_store(tmp_path / "s", name="s", taps={"x": x}, labels=of)
    path, directions = tmp_path / f"words.{ending}", np.eye(3, D) + 5.0
    if ending == "npz":
        np.savez(path, directions=directions, names=np.array(["round", "red", "none"]))
    else:
        save_file({"directions": directions}, path, {"names": '["round", "red", "none"]'})
    found = make(store, "x", "concepts", {"columns": "", "file": str(path), "active": 1})
    assert found.about["concepts"] == ["round", "red", "none"]
    read = (np.eye(3, D) - np.eye(3, D).mean(axis=0)).T
    cosine = np.einsum("dk,dk->k", found.encoder, read)
    cosine /= np.linalg.norm(found.encoder, axis=0) * np.linalg.norm(read, axis=0)
    np.testing.assert_allclose(cosine, 1, atol=1e-6)
    codes = found.encode(x.astype(np.float32))
    assert ((codes != 0).sum(axis=1) <= 1).all()
    np.savez(tmp_path / "twice.npz", directions=directions[:1], names=np.array(["label = 0"]))
    with pytest.raises(InputError, match="called 'label = 0'"):
        make(store, "x", "concepts", {"file": str(tmp_path / "twice.npz")})


def test_files_that_are_none_are_refused_in_words(tmp_path):
    store = write_store(tmp_path / "s", name="s", taps={"x": planted()[0]})
    np.savez(tmp_path / "narrow.npz", directions=np.eye(3), names=np.array(list("abc")))
    np.savez(tmp_path / "nameless.npz", directions=np.eye(3, D))
    np.savez(tmp_path / "objects.npz", directions=np.eye(3, D), names=np.array(["a", None, "c"], object))
    (tmp_path / "text.safetensors").write_text("no")
    for name, error, said in (
        ("narrow.npz", ShapeError, "as the tap has units"), ("nameless.npz", InputError, "names"),
        ("objects.npz", InputError, "allow_pickle"), ("text.safetensors", InputError, "cannot be read"),
        ("gone.npz", NotFound, "no file"),
    ):  # fmt: skip
        with pytest.raises(error, match=said):
            make(store, "x", "concepts", {"columns": "", "file": str(tmp_path / name)})
    with pytest.raises(ParameterError, match="no concepts are named"):
        make(store, "x", "concepts", {"columns": ""})


def test_a_set_of_concepts_is_read_by_name(tmp_path):
    x, of, columns = planted(noise=0.2, d=30)
    store = write_store(tmp_path / "s", name="s", taps={"x": x}, labels=of, samples=columns)
    store = encode_tap(store, "x", make(store, "x", "concepts", {"columns": "round, red"}, name="c"))
    tap = store.activations("x@c")
    assert tap.unit_names == ("round = 0", "round = 1", "red = 0", "red = 1")
    found = concept_bottleneck(tap, ConceptBottleneckParams(**FEW))
    assert set(found.column_names) <= {"round = 0", "round = 1", "red = 0", "red = 1"}
    told, raw, leak, _ = found.estimates
    assert told.value > 0.95
    assert raw.value > 0.95
    assert abs(leak.value) < 0.05
    assert told.low > told.null_high
    off = concept_bottleneck(tap, ConceptBottleneckParams(off=", ".join(found.column_names), **FEW))
    assert off.estimates[5].value < 0.6
    with pytest.raises(NotFound, match="no concept 'blue'"):
        concept_bottleneck(tap, ConceptBottleneckParams(off="blue", **FEW))


def test_evidence_adds_up_to_the_logits_that_name_the_class():
    x, of, _ = planted()
    tap = ArrayActivations(x, "s:x", {"label": of, "id": [f"n{i}" for i in range(len(of))]})
    found = concept_bottleneck(tap, ConceptBottleneckParams(shown=EVIDENCE, sample="n7", **FEW))
    assert f"is {of[7]} and is named {found.values.sum(axis=1).argmax()}" in found.reading
    assert found.column_names[-1] == "all else"
    with pytest.raises(NotFound, match="no labelled sample 'n999'"):
        concept_bottleneck(tap, ConceptBottleneckParams(shown=EVIDENCE, sample="n999", **FEW))


def test_weights_are_of_one_deviation_and_a_sample_uses_only_concepts_with_a_weight():
    x, of, _ = planted()
    scaled = x * np.r_[10.0, np.ones(D - 1)]
    one, two = (
        concept_bottleneck(
            ArrayActivations(v, "s:x", {"label": of}), ConceptBottleneckParams(draws=2, penalty=0.3)
        )
        for v in (x, scaled)
    )
    assert set(one.column_names) == {"0", "1"}
    np.testing.assert_allclose(np.sort(one.values, axis=1), np.sort(two.values, axis=1), atol=1e-3)
    assert 0 < one.estimates[3].value <= 2  # all six are never 0


def test_the_evidence_of_a_wrong_sample_is_that_of_the_head_that_did_not_see_it():
    x, of, _ = planted(noise=1.0)
    tap = ArrayActivations(x, "s:x", {"label": of})
    found = concept_bottleneck(tap, ConceptBottleneckParams(shown=EVIDENCE, draws=2, penalty=0.01))
    true, named = found.reading.split(" is ")[1][0], found.reading.split(" is named ")[1][0]
    assert true != named
    assert str(found.values.sum(axis=1).argmax()) == named


def test_weights_of_noise_are_not_all_of_one_sign_in_every_fold(rng):
    tap = ArrayActivations(rng.standard_normal((90, 12)), "s:x", {"label": np.arange(90) % 3})
    found = concept_bottleneck(tap, ConceptBottleneckParams(draws=2, penalty=0.02))
    used = found.values != 0
    assert not (found.significant & ~used).any()
    assert found.significant.sum() < 0.9 * used.sum()


def test_exchanges_keep_what_they_claim_to_keep(rng):
    codes = np.maximum(rng.standard_normal((80, 3)), 0)
    codes[:, 2] = rng.standard_normal(80) + 5
    own, known = own_labels(codes, ["a", "kind = 1", "c"], {"kind": np.arange(80) % 2})
    assert known == 1
    np.testing.assert_array_equal(own[:, 0], codes[:, 0] != 0)
    np.testing.assert_array_equal(own[:, 1], np.arange(80) % 2 == 1)
    assert own[:, 2].sum() == 40
    moved = label_alone(codes, own, rng)
    for j in range(3):
        for side in (own[:, j], ~own[:, j]):
            np.testing.assert_array_equal(np.sort(moved[side, j]), np.sort(codes[side, j]))
    assert (moved[:, 2] != codes[:, 2]).mean() > 0.8
    drawn = random_concepts(rng.standard_normal((100, 4)) + 9, np.array([1.0, 0.25]), rng)
    assert abs(drawn[:, 0].mean()) < 1e-9
    assert ((drawn != 0).sum(axis=0) == [100, 25]).all()
