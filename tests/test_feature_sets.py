"""Feature sets: every rule against its equation row by row, every import format there and back, declarations asserted,
and the codes of a tap as a tap."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.optimize import nnls
from scipy.sparse import csr_array

from analysis import registry
from analysis.errors import InputError, NotFound, ParameterError, ShapeError, StoreDamaged
from analysis.features import rules
from analysis.features.encoding import encode_tap, firing_counts
from analysis.features.feature_set import FeatureSet
from analysis.features.importing import import_feature_set
from analysis.features.nonnegative import RIDGE
from analysis.features.nonzero_codes import NonzeroCodes
from analysis.features.tap_dictionary import tap_dictionary
from analysis.features.weights import read_tensors
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace

D, K = 6, 15


def weights(seed=0, unit=True):
    rng = np.random.default_rng(seed)
    decoder = rng.standard_normal((K, D))
    if unit:
        decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    return {
        "encoder": rng.standard_normal((D, K)), "decoder": decoder, "bias": 0.3 * rng.standard_normal(K),
        "centre": rng.standard_normal(D), "shift": rng.standard_normal(D),
    }  # fmt: skip


def rows(n=40, seed=1):
    return 2 * np.random.default_rng(seed).standard_normal((n, D)).astype(np.float32)


def made(rule, **more):
    return FeatureSet("set", rule, **weights(), **more)


# ---------------------------------------------------------------------- rules, row by row in float64
def expected(features: FeatureSet, x: np.ndarray) -> np.ndarray:
    """The equations of `rules`, one number at a time."""
    f = {n: None if getattr(features, n) is None else getattr(features, n).astype(np.float64)
         for n in ("encoder", "bias", "decoder", "shift", "threshold", "gate", "log_scale")}  # fmt: skip
    out = np.zeros((len(x), K))
    for i, row in enumerate(x.astype(np.float64)):
        z = row * features.scale - f["shift"]
        p = np.array([z @ f["encoder"][:, j] for j in range(K)]) + f["bias"]
        if features.rule == rules.LINEAR:
            out[i] = p
        elif features.rule == rules.RELU:
            out[i] = [max(v, 0) for v in p]
        elif features.rule == rules.TOPK:
            for j in sorted(range(K), key=lambda j: (-p[j], j))[: features.active]:
                out[i, j] = max(p[j], 0)
        elif features.rule == rules.JUMP:
            out[i] = [v if v > max(t, 0) else 0 for v, t in zip(p, f["threshold"], strict=True)]
        elif features.rule == rules.GATED:
            q = p - f["bias"]
            for j in range(K):
                if q[j] + f["gate"][j] > 0:
                    out[i, j] = max(np.exp(f["log_scale"][j]) * q[j] + f["bias"][j], 0)
        elif features.rule == rules.NEAREST:
            out[i, np.argmin([np.linalg.norm(z - c) for c in f["decoder"]])] = 1
        elif features.rule == rules.BY_STAGE:
            for start, end in ((0, 5), (5, 9), (9, K)):
                j = start + int(np.argmin([np.linalg.norm(z - c) for c in f["decoder"][start:end]]))
                out[i, j] = 1
                z = z - f["decoder"][j]
        elif features.rule == rules.PROTOTYPE:
            d2 = [((z - c) ** 2).sum() for c in f["decoder"]]
            out[i] = [np.log((d + 1) / (d + features.epsilon)) for d in d2]
        elif features.rule == rules.NONNEGATIVE:
            short = np.diag(np.sqrt(RIDGE) * np.linalg.norm(f["decoder"], axis=1))
            out[i] = nnls(np.vstack([f["decoder"].T, short]), np.r_[z, np.zeros(K)])[0]
        else:
            for _ in range(features.active):
                products = f["decoder"] @ z
                j = int(np.argmax(products))
                if products[j] <= 0:
                    break
                out[i, j] += products[j]
                z = z - products[j] * f["decoder"][j]
    return out


SETTINGS = {
    rules.LINEAR: {}, rules.RELU: {}, rules.TOPK: {"active": 4}, rules.NEAREST: {}, rules.NONNEGATIVE: {},
    rules.PURSUIT: {"active": 5}, rules.BY_STAGE: {"levels": (5, 9, K)}, rules.PROTOTYPE: {"epsilon": 1e-4},
    rules.JUMP: {"threshold": np.linspace(-1, 2, K)},
    rules.GATED: {"gate": np.linspace(-1, 1, K), "log_scale": np.linspace(-0.5, 0.5, K)},
}  # fmt: skip


@pytest.mark.parametrize("scale", [1.0, 0.25])
@pytest.mark.parametrize("rule", rules.RULES)
def test_codes_follow_the_equation(rule, scale):
    features = made(rule, scale=scale, **SETTINGS[rule])
    x = rows()
    np.testing.assert_allclose(features.encode(x), expected(features, x), atol=2e-5)
    codes = features.encode(x)
    if rule == rules.PROTOTYPE:
        with pytest.raises(InputError, match="rebuild nothing"):
            features.decode(codes)
        return
    np.testing.assert_allclose(
        features.decode(codes), (codes @ features.decoder + features.centre) / scale, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("rule", rules.RULES)
def test_listed_codes_are_the_dense_ones(rule):
    """In blocks that grow and shrink, with ties between units; 200 features so that there are several runs."""
    x, rng = rows(37), np.random.default_rng(5)
    w = {"encoder": np.repeat(rng.standard_normal((D, 100)), 2, axis=1), "decoder": rng.standard_normal((200, D)),
         "bias": np.repeat(0.3 * rng.standard_normal(100), 2), "centre": np.zeros(D), "shift": np.zeros(D)}  # fmt: skip
    line = np.linspace(-1, 2, 200)
    more = {rules.JUMP: {"threshold": line}, rules.GATED: {"gate": line, "log_scale": line / 4},
            rules.BY_STAGE: {"levels": (80, 200)}, rules.PROTOTYPE: {"epsilon": 1e-4}}  # fmt: skip
    for active in (3, 2, 150) if rule == rules.TOPK else (5,):
        features = FeatureSet("listed", rule, **w, **{"active": active, **more.get(rule, {})})
        listing = NonzeroCodes(features)
        for part in (x[:5], x, x[:1], x[:0]):
            counts, units, values = listing.of(part)
            found = np.zeros((len(part), 200), np.float32)
            found[np.repeat(np.arange(len(part)), counts), units] = values
            dense = features.encode(part)
            np.testing.assert_array_equal(counts, (dense != 0).sum(axis=1))
            np.testing.assert_allclose(found, dense, rtol=1e-5, atol=1e-6)
            own = np.repeat(np.arange(len(part)), counts)
            assert (np.diff(units)[np.diff(own) == 0] > 0).all()


def test_topk_fires_at_most_k_and_ties_go_to_the_lower_unit():
    p = np.array([[1, 3, 3, 3, -1], [-1, -2, 0, -1, -3], [5, 5, 5, 5, 5]], np.float32)
    np.testing.assert_array_equal(
        rules.keep_largest(p, 2), [[0, 3, 3, 0, 0], [0, 0, 0, 0, 0], [5, 5, 0, 0, 0]]
    )


def test_pursuit_is_monotone_and_orthogonal_to_the_last_direction():
    features, x = made(rules.PURSUIT, active=K), rows()
    z = x - features.shift
    before = None
    for k in range(1, 6):
        codes = rules.pursued(z, features.decoder, k)
        left = z - codes @ features.decoder
        energy = (left.astype(np.float64) ** 2).sum(axis=1)
        if before is not None:
            assert (energy <= before[0] + 1e-5).all()
            last = np.abs(codes - before[1]).argmax(axis=1)
            moved = np.abs(codes - before[1]).max(axis=1) > 0
            assert np.abs(np.einsum("ij,ij->i", left, features.decoder[last])[moved]).max() < 1e-5
        before = energy, codes


@pytest.mark.parametrize("normalise", ["layer norm", "norm"])
def test_normalised_rows_are_put_back(normalise):
    """The linear rule with a square orthogonal dictionary reconstructs every row, whatever its mean and length."""
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((D, D)))[0]
    zero = np.zeros(D)
    features = FeatureSet("t", rules.LINEAR, turn, turn.T, zero, zero, zero, normalise=normalise)
    x = rows() * np.linspace(0.1, 50, 40)[:, None] + 3
    np.testing.assert_allclose(features.reconstruct(x), x, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose((features.encode(x) ** 2).sum(axis=1), D, rtol=1e-4)


# ---------------------------------------------------------------------- to disk, and from other programs
def test_a_set_is_read_as_it_was_written(tmp_path):
    features = made(rules.JUMP, threshold=np.linspace(0, 1, K), scale=0.5, levels=(5, 15), about={"a": 1})
    features.save(tmp_path / "f")
    again = FeatureSet.open(tmp_path / "f")
    assert (again.digest, again.name, again.levels, again.about) == (
        features.digest,
        "set",
        (5, 15),
        {"a": 1},
    )
    np.testing.assert_array_equal(again.encode(rows()), features.encode(rows()))
    about = json.loads((tmp_path / "f" / "feature_set.json").read_text())
    (tmp_path / "f" / "feature_set.json").write_text(json.dumps({**about, "scale": 0.6}))
    with pytest.raises(StoreDamaged, match="have changed"):
        FeatureSet.open(tmp_path / "f")
    with pytest.raises(NotFound):
        FeatureSet.open(tmp_path / "g")


def tensors(w, **more):
    named = {"W_enc": w["encoder"], "W_dec": w["decoder"], "b_enc": w["bias"], "b_dec": w["centre"], **more}
    return {n: torch.tensor(np.ascontiguousarray(v), dtype=torch.float32) for n, v in named.items()}


def sae_lens(folder, w, architecture, more=None, **config):
    folder.mkdir()
    save_file(tensors(w, **(more or {})), folder / "sae_weights.safetensors")
    about = {"architecture": architecture, "d_in": D, "d_sae": K, "apply_b_dec_to_input": True, **config}
    (folder / "cfg.json").write_text(json.dumps(about))
    return folder


def test_sae_lens_folders(tmp_path):
    w, x = weights(unit=False), rows()
    p = (x - w["centre"]) @ w["encoder"] + w["bias"]
    found = import_feature_set(sae_lens(tmp_path / "relu", w, "standard"))
    np.testing.assert_allclose(found.encode(x), np.maximum(p, 0), atol=1e-4)
    found = import_feature_set(sae_lens(tmp_path / "old", w, "standard", activation_fn_str="topk",
                                        activation_fn_kwargs={"k": 3}))  # fmt: skip
    assert ((found.encode(x) != 0).sum(axis=1) <= 3).all()
    found = import_feature_set(sae_lens(tmp_path / "topk", w, "topk", k=3, rescale_acts_by_decoder_norm=True))
    size = np.linalg.norm(w["decoder"], axis=1)
    top = rules.keep_largest((p * size).astype(np.float32), 3)
    np.testing.assert_allclose(found.encode(x), top, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        found.decode(top), (top / size) @ w["decoder"] + w["centre"], rtol=1e-4, atol=1e-4
    )
    plain = (x @ w["encoder"] + w["bias"]).astype(np.float32)
    more = {"threshold": np.linspace(0, 1, K)}
    found = import_feature_set(sae_lens(tmp_path / "jump", w, "jumprelu", more, apply_b_dec_to_input=False))
    np.testing.assert_allclose(found.encode(x), np.where(plain > more["threshold"], plain, 0), atol=1e-4)
    gates = {"b_gate": np.linspace(-1, 1, K), "r_mag": np.linspace(-1, 1, K), "b_mag": w["bias"]}
    found = import_feature_set(sae_lens(tmp_path / "gated", w, "gated", gates))
    q = (x - w["centre"]) @ w["encoder"]
    mag = np.maximum(np.exp(gates["r_mag"]) * q + w["bias"], 0)
    np.testing.assert_allclose(found.encode(x), mag * (q + gates["b_gate"] > 0), rtol=1e-4, atol=1e-4)
    found = import_feature_set(sae_lens(tmp_path / "ln", w, "standard", normalize_activations="layer_norm"))
    assert found.normalise == "layer norm"


def test_dictionary_learning_folders(tmp_path):
    w, x = weights(unit=False), rows()
    size = np.linalg.norm(w["decoder"], axis=1)
    linear = {"encoder.weight": w["encoder"].T, "decoder.weight": w["decoder"].T}

    def folder(name, cls, state, **trainer):
        (tmp_path / name).mkdir()
        state = {
            n: torch.tensor(np.asarray(v, np.float32)) if n != "k" else torch.tensor(v)
            for n, v in state.items()
        }
        torch.save(state, tmp_path / name / "ae.pt")
        config = {"trainer": {"dict_class": cls, **trainer}, "buffer": {}}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        return import_feature_set(tmp_path / name)

    p = (x - w["centre"]) @ w["encoder"] + w["bias"]
    found = folder("relu", "AutoEncoder", {**linear, "encoder.bias": w["bias"], "bias": w["centre"]})
    np.testing.assert_allclose(found.encode(x), np.maximum(p, 0), rtol=1e-4, atol=1e-4)
    state = {**linear, "encoder.bias": w["bias"], "b_dec": w["centre"], "k": 4, "threshold": 0.7}
    found = folder("topk", "AutoEncoderTopK", state, k=4)
    np.testing.assert_allclose(
        found.encode(x), rules.keep_largest(p.astype(np.float32), 4), rtol=1e-4, atol=1e-4
    )
    found = folder("batch", "BatchTopKSAE", state, k=4)
    np.testing.assert_allclose(found.encode(x), np.where(p > 0.7, p, 0), rtol=1e-4, atol=1e-4)
    named = {"W_enc": w["encoder"], "W_dec": w["decoder"], "b_enc": w["bias"], "b_dec": w["centre"]}
    found = folder("jump", "JumpReluAutoEncoder", {**named, "threshold": np.full(K, 0.2)})
    plain = x @ w["encoder"] + w["bias"]
    codes = np.where(plain > 0.2, plain, 0) * size
    np.testing.assert_allclose(found.encode(x), codes, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        found.decode(codes), (codes / size) @ w["decoder"] + w["centre"], rtol=1e-4, atol=1e-4
    )
    gated = {**linear, "decoder_bias": w["centre"], "r_mag": np.full(K, 0.3), "gate_bias": np.full(K, -0.2),
             "mag_bias": w["bias"]}  # fmt: skip
    found = folder("gated", "GatedAutoEncoder", gated)
    q = (x - w["centre"]) @ w["encoder"]
    codes = np.maximum(np.exp(0.3) * q + w["bias"], 0) * (q - 0.2 > 0) * size
    np.testing.assert_allclose(found.encode(x), codes, rtol=1e-4, atol=1e-4)


def test_other_files(tmp_path):
    w, x = weights(), rows()
    p = (x - w["centre"]) @ w["encoder"] + w["bias"]
    state = {"pre_bias": w["centre"], "encoder.weight": w["encoder"].T, "latent_bias": w["bias"],
             "decoder.weight": w["decoder"].T}  # fmt: skip
    state = {n: torch.tensor(v) for n, v in state.items()}
    torch.save({**state, "activation": "TopK", "activation_state_dict": {"k": 3}}, tmp_path / "openai.pt")
    found = import_feature_set(tmp_path / "openai.pt")
    assert (found.rule, found.active, found.normalise) == (rules.TOPK, 3, "layer norm")
    plain = {n: v.numpy() for n, v in tensors(w).items()}
    np.savez(tmp_path / "plain.npz", **plain)
    np.testing.assert_allclose(
        import_feature_set(tmp_path / "plain.npz").encode(x), np.maximum(p, 0), atol=1e-4
    )
    found = import_feature_set(tmp_path / "plain.npz", architecture="TopK", k=2)
    assert ((found.encode(x) != 0).sum(axis=1) <= 2).all()
    tied = {n: v for n, v in tensors(w).items() if n != "W_enc"}
    save_file(tied, tmp_path / "tied.safetensors")
    found = import_feature_set(tmp_path / "tied.safetensors")
    np.testing.assert_array_equal(found.encoder, found.decoder.T)
    assert found.about["tied"]
    narrow = {n: v.to(torch.bfloat16) for n, v in tensors(w).items()}
    save_file(narrow, tmp_path / "bf16.safetensors")
    found = import_feature_set(tmp_path / "bf16.safetensors")
    np.testing.assert_array_equal(found.decoder, narrow["W_dec"].float().numpy())


def test_what_is_declared_is_asserted(tmp_path):
    w = weights(unit=False)
    with pytest.raises(InputError, match="lengths"):
        import_feature_set(sae_lens(tmp_path / "a", w, "standard", normalize_sae_decoder=True))
    import_feature_set(sae_lens(tmp_path / "b", weights(), "standard", normalize_sae_decoder=True))
    with pytest.raises(InputError, match="has no threshold"):
        import_feature_set(sae_lens(tmp_path / "c", w, "jumprelu"))
    with pytest.raises(InputError, match="k = 99"):
        import_feature_set(sae_lens(tmp_path / "d", w, "topk", k=99))
    with pytest.raises(InputError, match="not by how much"):
        import_feature_set(
            sae_lens(tmp_path / "e", w, "standard", normalize_activations="expected_average_only_in")
        )
    assert import_feature_set(tmp_path / "e", scale=0.5).scale == 0.5
    with pytest.raises(InputError, match="architecture 'magic'"):
        import_feature_set(sae_lens(tmp_path / "f", w, "magic"))
    with pytest.raises(InputError, match="declares k = 3"):
        import_feature_set(sae_lens(tmp_path / "g", w, "topk", k=3), k=4)
    save_file(tensors(w), tmp_path / "g" / "more.safetensors")
    with pytest.raises(InputError, match="2 dictionaries"):
        import_feature_set(tmp_path / "g")
    with pytest.raises(NotFound, match="Name one of its folders"):
        import_feature_set(tmp_path)
    bad = tensors(w)
    bad["W_dec"][0, 0] = float("nan")
    save_file(bad, tmp_path / "nan.safetensors")
    with pytest.raises(InputError, match="NaN"):
        import_feature_set(tmp_path / "nan.safetensors")
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="W_dec"):
        import_feature_set(tmp_path / "other.safetensors")
    bad = tensors(w)
    bad["b_enc"] = torch.zeros(3)
    save_file(bad, tmp_path / "shape.safetensors")
    with pytest.raises(ShapeError, match="bias"):
        import_feature_set(tmp_path / "shape.safetensors")


# ---------------------------------------------------------------------- on a tap
def test_codes_of_a_tap_are_a_tap(tmp_path):
    x = rows(300)
    x[[7, 250]] = np.nan
    store = write_store(tmp_path / "s", name="s", taps={"mlp": x})
    features = made(rules.TOPK, active=4)
    seen = []
    found = encode_tap(store, "mlp", features, progress=lambda share, doing="": seen.append(share))
    assert list(found.taps) == ["mlp", "mlp@set"]
    good = np.isfinite(x).all(axis=1)
    codes = found.activations("mlp@set").take(np.arange(300))
    np.testing.assert_array_equal(codes[good], features.encode(x[good]))
    assert np.isnan(codes[~good]).all()
    np.testing.assert_array_equal(
        firing_counts(found, "mlp@set"), (features.encode(x[good]) != 0).sum(axis=0)
    )
    assert found.entry("mlp@set")["feature_set"]["digest"] == features.digest
    assert seen == sorted(seen)
    assert found.verify() == []
    other = write_store(tmp_path / "t", name="t", taps={"mlp": np.zeros((5, 3), np.float32)})
    with pytest.raises(ShapeError, match="3 units"):
        encode_tap(other, "mlp", features)
    assert list(other.path.glob("features/*")) == []


def test_a_workspace_keeps_sets_and_encodes_with_them(tmp_path):
    workspace = Workspace.create(tmp_path / "w")
    x = rows(60)
    write_store(workspace.path / "stores" / "net", name="net", taps={"mlp": x})
    assert list(workspace.store("net").taps) == ["mlp"]
    features = workspace.features.add(made(rules.TOPK, active=3))
    assert workspace.features.names() == ["set"]
    reference = workspace.encode("net:mlp", "set")
    assert reference == "net:mlp@set"
    assert list(workspace.store("net").taps) == ["mlp", "mlp@set"]
    np.testing.assert_array_equal(workspace.activations(reference).unit(2), features.encode(x)[:, 2])
    found = workspace.run("unit_statistics", [reference]) if "unit_statistics" in registry.methods() else None
    assert found is None or found.kind == "table"
    with pytest.raises(InputError, match="already"):
        workspace.features.add(features)
    with pytest.raises(ParameterError, match="cannot name"):
        workspace.features.add(FeatureSet("../x", rules.RELU, **weights()))
    with pytest.raises(NotFound, match="one of set"):
        workspace.encode("net:mlp", "other")
    workspace.features.delete("set")
    assert workspace.features.entries() == []
    assert list(workspace.store("net").taps) == ["mlp", "mlp@set"]


def test_an_encoded_tap_leads_to_its_directions_and_its_source(tmp_path):
    x = rows(50)
    store = write_store(tmp_path / "s", name="s", taps={"mlp": x})
    features = made(rules.TOPK, active=3, scale=0.5, normalise="layer norm")
    store = encode_tap(store, "mlp", features)
    found = tap_dictionary(store.activations("mlp@set"))
    assert not found.of_units
    assert found.features.digest == features.digest
    assert found.source.digest == store.activations("mlp").digest
    codes = found.codes.take(np.arange(50))
    back = found.features.decode_beside(csr_array(codes), x)
    np.testing.assert_allclose(back, features.reconstruct(x), rtol=1e-5, atol=1e-5)
    plain = tap_dictionary(store.activations("mlp"))
    assert plain.of_units
    np.testing.assert_array_equal(plain.features.reconstruct(x), x)


def test_the_set_beside_an_encoded_tap_is_watched_and_part_of_its_digest(tmp_path):
    store = write_store(tmp_path / "s", name="s", taps={"mlp": rows(50)})
    w = weights()
    store = encode_tap(store, "mlp", FeatureSet("a", rules.RELU, **w))
    store = encode_tap(store, "mlp", FeatureSet("b", rules.RELU, **{**w, "decoder": -w["decoder"]}))
    one, two = store.activations("mlp@a"), store.activations("mlp@b")
    np.testing.assert_array_equal(one.unit(3), two.unit(3))
    assert one.digest != two.digest
    file = one.set_folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    assert any("weights.safetensors" in line for line in store.verify())
    with pytest.raises(StoreDamaged, match="have changed"):
        tap_dictionary(one)
    shutil.rmtree(two.set_folder)
    with pytest.raises(NotFound, match="no feature set beside it"):
        tap_dictionary(two)


def test_a_file_of_something_else_is_called_by_what_it_is(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="no file of weights"):
        read_tensors(tmp_path / "notes.txt")
    (tmp_path / "cut.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match=r"named \.safetensors and is none"):
        read_tensors(tmp_path / "cut.safetensors")
