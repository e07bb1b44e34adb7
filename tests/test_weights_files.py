"""Weights of the network that a tap was recorded from: read as they are, of the same file still, or refused."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from safetensors.numpy import save_file

from analysis.activations import ArrayActivations
from analysis.errors import InputError, NotFound, ParameterError, UnsafeFile
from analysis.sources.digests import file_digest
from analysis.sources.unit_weights import layer_of, reader_weights, unit_weights
from analysis.sources.weights import weights_of
from analysis.store.from_arrays import write_store
from analysis.store.manifest import TapSpec


def plain_network(rng):
    """0: 6 → 8, BatchNorm 1, ReLU, 3: 8 → 5; a head 5 → 4 that no number leads to."""
    return {
        "0.weight": rng.standard_normal((8, 6)), "0.bias": rng.standard_normal(8),
        "1.weight": rng.uniform(0.5, 2, 8), "1.bias": rng.standard_normal(8),
        "1.running_mean": rng.standard_normal(8), "1.running_var": rng.uniform(0.5, 2, 8),
        "3.weight": rng.standard_normal((5, 8)), "3.bias": rng.standard_normal(5),
        "head.weight": rng.standard_normal((4, 5)),
    }  # fmt: skip


def store_of(tmp_path, weights, taps=("0",), path=None, specs=None, units=8, **entry):
    path = path or tmp_path / "net.safetensors"
    if not path.exists():
        save_file({k: np.ascontiguousarray(v) for k, v in weights.items()}, str(path))
    known = {"kind": "state_dict", "path": str(path), "digest": file_digest(path), **entry}
    x = {tap: np.random.default_rng(1).standard_normal((20, units)) for tap in taps}
    store = write_store(tmp_path / "store", name="s", taps=x, specs=specs, checkpoint=known)
    return {tap: store.activations(tap) for tap in taps}


# ---------------------------------------------------------------------------- reading
def test_the_recorded_module_has_its_weights(tmp_path, rng):
    weights = plain_network(rng)
    found = unit_weights(store_of(tmp_path, weights)["0"], norm="none")
    np.testing.assert_array_equal(found.weight, weights["0.weight"])
    np.testing.assert_array_equal(found.bias, weights["0.bias"])
    assert found.unit_names == tuple("01234567")
    assert found.own
    assert found.with_bias().shape == (8, 7)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32", "float64"])
def test_every_floating_type_is_read_exactly(tmp_path, rng, kind):
    import torch
    from safetensors.torch import save_file as save_tensors

    path = tmp_path / "net.safetensors"
    weights = {k: torch.from_numpy(v).to(getattr(torch, kind)) for k, v in plain_network(rng).items()}
    save_tensors(weights, str(path))
    network = weights_of(store_of(tmp_path, {}, path=path)["0"])
    for name, value in weights.items():
        np.testing.assert_array_equal(network.tensor(name), value.double().numpy())


@pytest.mark.parametrize("prefix", ["", "module.", "net.body."])
def test_a_torch_file_is_read_with_weights_only_and_prefixes_are_seen_through(tmp_path, rng, prefix):
    import torch

    path = tmp_path / "net.pt"
    weights = {prefix + k: torch.from_numpy(v) for k, v in plain_network(rng).items()}
    torch.save({"state_dict": weights, "epoch": 3}, path)
    found = unit_weights(store_of(tmp_path, {}, path=path)["0"], norm="none")
    assert found.layer == f"{prefix}0"
    np.testing.assert_array_equal(found.weight, weights[f"{prefix}0.weight"].numpy())


def test_code_in_a_file_is_not_run(tmp_path, proof):
    import torch
    from payload import Payload

    path = tmp_path / "net.pt"
    torch.save({"0.weight": torch.ones(2, 2), "x": Payload(proof)}, path)
    with pytest.raises(UnsafeFile):
        unit_weights(store_of(tmp_path, {}, path=path)["0"])


def test_weights_stored_the_other_way_round_are_turned(tmp_path, rng):
    """GPT-2 keeps (inputs, units); its square layers follow the others, and torch's Linear is left alone."""
    turned = {"c_fc.weight": rng.standard_normal((6, 8)), "c_fc.bias": rng.standard_normal(8),
              "c_proj.weight": rng.standard_normal((8, 6)), "c_proj.bias": rng.standard_normal(6),
              "square.weight": rng.standard_normal((6, 6)), "square.bias": rng.standard_normal(6)}  # fmt: skip
    network = weights_of(store_of(tmp_path, turned)["0"])
    for name in ("c_fc", "c_proj", "square"):
        np.testing.assert_array_equal(network.layer(name).weight, turned[f"{name}.weight"].T)
    assert network.reader_of("c_fc") == "c_proj"
    (tmp_path / "plain").mkdir()
    network = weights_of(
        store_of(tmp_path / "plain", {**plain_network(rng), "square.weight": np.eye(5)})["0"]
    )
    np.testing.assert_array_equal(network.layer("square").weight, np.eye(5))
    assert (network.units("3"), network.inputs("3")) == (5, 8)


def test_a_convolution_has_every_position_as_an_input(tmp_path, rng):
    weights = {"conv1.weight": rng.standard_normal((4, 3, 3, 3)), "conv2.weight": rng.standard_normal((5, 4, 1, 1)),
               "up.weight": rng.standard_normal((4, 6, 2, 2)), "up.bias": np.zeros(6),
               "deep.weight": rng.standard_normal((4, 1, 3, 3))}  # fmt: skip
    store_tap = store_of(tmp_path, weights)["0"]
    network = weights_of(store_tap)
    assert "in groups" not in " ".join(unit_weights(store_tap, layer="conv1").notes)
    assert "in groups" in " ".join(unit_weights(store_tap, layer="deep").notes)
    first = network.layer("conv1")
    np.testing.assert_array_equal(first.weight, weights["conv1.weight"].reshape(4, 27))
    assert first.kernel == (3, 3)
    assert network.reader_of("conv1") == "conv2"
    np.testing.assert_array_equal(network.layer("conv2").outgoing(4), weights["conv2.weight"][:, :, 0, 0].T)
    assert first.outgoing(3) is None
    with pytest.raises(InputError, match="6 biases"):
        network.layer("up")


def test_batch_normalisation_is_folded_as_torch_evaluates_it(tmp_path, rng):
    import torch
    from torch import nn

    weights = plain_network(rng)
    net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8)).double().eval()
    net.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items() if k[0] in "01"}, strict=False)
    found = unit_weights(store_of(tmp_path, weights)["0"])
    x = rng.standard_normal((10, 6))
    expected = net(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(x @ found.weight.T + found.bias, expected, atol=1e-12)
    assert "BatchNorm '1' was folded" in found.notes[0]


@pytest.mark.parametrize(
    ("names", "of", "expected"),
    [
        ({"0": (8, 6), "3": (5, 8)}, "0", "3"),
        ({"0": (8, 6), "3": (5, 7)}, "0", None),  # other width
        ({"0": (6, 6), "1": (6, 6), "2": (6, 6)}, "0", None),  # may stand side by side
        ({"block.fc1": (9, 4), "block.fc2": (4, 9), "other.fc2": (4, 9)}, "block.fc1", "block.fc2"),
        (
            {"l.intermediate.dense": (9, 4), "l.output.dense": (4, 9)},
            "l.intermediate.dense",
            "l.output.dense",
        ),
        ({"l.output.dense": (4, 4), "m.output.dense": (4, 4)}, "l.output.dense", None),
        ({"head": (3, 8), "0": (8, 6)}, "0", None),
    ],
)
def test_the_layer_that_reads_the_units_is_found_only_where_it_is_certain(tmp_path, names, of, expected):
    weights = {f"{k}.weight": np.zeros(shape) for k, shape in names.items()}
    assert weights_of(store_of(tmp_path, weights)["0"]).reader_of(of) == expected


def test_embeddings_are_no_layer_of_units(tmp_path):
    weights = {"wte.weight": np.ones((50, 8)), "embed_tokens.weight": np.ones((50, 8)), "fc.weight": np.ones((8, 8)),
               "patch_embed.weight": np.ones((8, 3, 2, 2))}  # fmt: skip
    assert weights_of(store_of(tmp_path, weights)["0"]).layers == ["fc", "patch_embed"]


def test_a_hugging_face_folder_with_several_files(tmp_path, rng):
    folder, weights = tmp_path / "model", plain_network(rng)
    folder.mkdir()
    halves = {"a.safetensors": list(weights)[:4], "b.safetensors": list(weights)[4:]}
    for name, keys in halves.items():
        save_file({k: weights[k] for k in keys}, str(folder / name))
    index = {"weight_map": {k: name for name, keys in halves.items() for k in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps({"model_type": "vit", "hidden_act": "gelu"}))
    from analysis.sources.checkpoint import open_checkpoint

    digest = open_checkpoint(folder).digest
    tap = store_of(tmp_path, {}, path=folder / "a.safetensors", kind="hugging_face", digest=digest)["0"]
    tap.store.manifest["checkpoint"]["path"] = str(folder)
    network = weights_of(tap)
    np.testing.assert_array_equal(network.tensor("3.weight"), weights["3.weight"])
    np.testing.assert_array_equal(network.tensor("0.weight"), weights["0.weight"])
    assert network.activation == "gelu"


# ---------------------------------------------------------------------------- refusing
def test_a_changed_file_is_refused_also_after_it_was_read(tmp_path, rng):
    weights, path = plain_network(rng), tmp_path / "net.safetensors"
    tap = store_of(tmp_path, weights)["0"]
    unit_weights(tap)
    weights["0.weight"] = weights["0.weight"] + 1
    save_file(weights, str(path))
    os.utime(path, ns=(1, 1))
    with pytest.raises(InputError, match="not the one that s:0 was recorded from"):
        unit_weights(tap)


def test_a_missing_file_and_a_network_from_memory_are_refused(tmp_path, rng):
    tap = store_of(tmp_path, plain_network(rng))["0"]
    (tmp_path / "net.safetensors").unlink()
    with pytest.raises(NotFound, match=r"not at .*net.safetensors any more"):
        unit_weights(tap)
    tap.store.manifest["checkpoint"] = {"kind": "module", "path": None}
    with pytest.raises(InputError, match="network in memory"):
        unit_weights(tap)
    dump = {"kind": "dump", "path": str(tmp_path / "numbers.npy")}
    np.save(dump["path"], np.zeros(3))
    tap.store.manifest["checkpoint"] = dump
    with pytest.raises(InputError, match="imported as numbers of no known network"):
        unit_weights(tap)
    tap.store.manifest["checkpoint"] = {}
    with pytest.raises(InputError, match=r"knows no checkpoint.*as a table"):
        unit_weights(tap)


def test_a_tap_without_weights_names_layers_that_have_some(tmp_path, rng):
    specs = {"2": TapSpec("2", 8, module="ReLU", dtype="float32")}
    tap = store_of(tmp_path, plain_network(rng), taps=("2",), specs=specs)["2"]
    with pytest.raises(NotFound, match=r"no weights of its own \(ReLU\).*0 \(8 units\), 3 \(5 units\)"):
        unit_weights(tap)
    with pytest.raises(NotFound, match="no layer 'fc'"):
        unit_weights(tap, layer="fc")
    with pytest.raises(NotFound, match=r"no BatchNorm 'bn'.*one of 1"):
        unit_weights(tap, layer="0", norm="bn")
    found = unit_weights(tap, layer="3")
    assert found.weight.shape == (5, 8)
    assert not found.own


def test_a_reader_that_does_not_fit_is_refused(tmp_path, rng):
    units = unit_weights(store_of(tmp_path, plain_network(rng))["0"])
    reader, said = reader_weights(units, "")
    assert reader.name == "3"
    assert "by name and shape" in said
    with pytest.raises(InputError, match=r"'head' reads 5 inputs.*the 8 units"):
        reader_weights(units, "head")


def test_weights_may_be_a_table_with_units_as_columns(rng):
    w = rng.standard_normal((6, 4))
    w[2, 1] = np.nan
    found = unit_weights(ArrayActivations(w, name="w", unit_names=("a", "b", "c", "d")))
    np.testing.assert_array_equal(found.weight, np.delete(w, 2, axis=0).T)
    assert found.unit_names == ("a", "b", "c", "d")
    assert "1 input(s) with NaN" in found.notes[0]
    with pytest.raises(ParameterError, match="table of weights itself"):
        unit_weights(ArrayActivations(w), layer="fc1")


def test_a_store_may_be_said_to_hold_a_table(tmp_path, rng):
    tap = store_of(tmp_path, plain_network(rng))["0"]
    assert unit_weights(tap, table=True).weight.shape == (8, 20)
    assert unit_weights(tap, table=True).network is None


# ---------------------------------------------------------------------------- activations of the units
def test_activations_after_the_nonlinearity_are_told_from_others(tmp_path, rng):
    weights = {k: v for k, v in plain_network(rng).items() if not k.startswith("1.")}
    specs = {"0": TapSpec("0", 8, module="Linear", tokens="all", dtype="float32"),
             "2": TapSpec("2", 8, module="ReLU", tokens="all", dtype="float32"),
             "pooled": TapSpec("pooled", 8, module="Linear", tokens="mean", dtype="float32")}  # fmt: skip
    taps = store_of(tmp_path, weights, taps=("0", "2", "pooled"), specs=specs)
    before, after = (np.asarray(taps[k].take(np.arange(20)), float) for k in ("0", "2"))

    own = layer_of([taps["0"]], rng, relu=True)
    np.testing.assert_array_equal(own.activations, np.maximum(before, 0))
    np.testing.assert_array_equal(own.outgoing, weights["3.weight"].T)
    assert layer_of([taps["0"]], rng, relu=False).activations is None
    recorded = layer_of([taps["2"]], rng, layer="0", relu=False)
    np.testing.assert_array_equal(recorded.activations, after)
    other = layer_of([taps["pooled"]], rng, layer="0", relu=True)
    assert other.activations is None
    assert "as a second tap" in " ".join(other.notes)
    given = layer_of([taps["pooled"], taps["2"]], rng, layer="0")
    np.testing.assert_array_equal(given.activations, after)
    with pytest.raises(InputError, match="has 8 units"):
        layer_of([taps["0"], taps["2"]], rng, layer="3")


def test_a_mean_over_tokens_is_not_put_through_the_nonlinearity(tmp_path, rng):
    weights = {k: v for k, v in plain_network(rng).items() if not k.startswith("1.")}
    specs = {"0": TapSpec("0", 8, module="Linear", tokens="mean", dtype="float32")}
    found = layer_of([store_of(tmp_path, weights, specs=specs)["0"]], rng, relu=True)
    assert found.activations is None
    assert "a mean over tokens" in " ".join(found.notes)


# ---------------------------------------------------------------------------- the methods on a store's checkpoint
def chain(rng):
    return {"0.weight": rng.standard_normal((8, 6)), "0.bias": rng.standard_normal(8),
            "2.weight": rng.standard_normal((7, 8)), "2.bias": rng.standard_normal(7),
            "4.weight": rng.standard_normal((5, 7))}  # fmt: skip


def test_twins_in_a_checkpoint_are_merged_without_error(tmp_path, rng):
    from analysis.methods.weights.feature_merging import FeatureMergingParams, feature_merging

    weights = chain(rng)
    weights["0.weight"][5], weights["0.bias"][5] = 3 * weights["0.weight"][2], 3 * weights["0.bias"][2]
    x = rng.standard_normal((20, 6))
    acts = np.maximum(x @ weights["0.weight"].T + weights["0.bias"], 0)
    save_file(weights, str(tmp_path / "net.safetensors"))
    known = {"kind": "state_dict", "path": str(tmp_path / "net.safetensors"),
             "digest": file_digest(tmp_path / "net.safetensors")}  # fmt: skip
    specs = {"1": TapSpec("1", 8, module="ReLU", tokens="all", dtype="float32")}
    store = write_store(tmp_path / "store", name="s", taps={"1": acts}, specs=specs, checkpoint=known)
    found = feature_merging(store.activations("1"), params=FeatureMergingParams(layer="0", beta=0.001))
    left, closest, error = found.estimates
    assert left.value == 7 / 8
    assert closest.value < 1e-9
    assert error.value < 1e-6  # activations are stored as float32
    assert any("'2' is taken to read these units (by name and shape)" in c for c in found.caveats)


def test_transport_follows_the_layers_before(tmp_path, rng):
    """The second layer of a reordered copy: alike only once the first one's plan is applied to its inputs."""
    from analysis.methods.weights.weight_transport import WeightTransportParams, weight_transport

    one, p, q = chain(rng), rng.permutation(8), rng.permutation(7)
    other = {"0.weight": one["0.weight"][p], "0.bias": one["0.bias"][p], "2.weight": one["2.weight"][q][:, p],
             "2.bias": one["2.bias"][q], "4.weight": one["4.weight"][:, q]}  # fmt: skip
    taps = []
    for name, weights in (("a", one), ("b", other)):
        (tmp_path / name).mkdir()
        taps.append(store_of(tmp_path / name, weights, taps=("2",), units=7)["2"])
    blind = weight_transport(*taps)
    assert any("taken to be the same" in c for c in blind.caveats)
    found = weight_transport(*taps, params=WeightTransportParams(before="0"))
    np.testing.assert_allclose(found.values, np.eye(7)[:, q], atol=1e-12)
    assert found.estimates[0].value == pytest.approx(1)
    assert blind.estimates[0].value < 0.9
    last = weight_transport(*taps, params=WeightTransportParams(layer="4", before="0, 2"))
    np.testing.assert_allclose(last.values, np.eye(5), atol=1e-12)
    with pytest.raises(InputError, match=r"'4' reads 7 inputs.*the 8 before it"):
        weight_transport(*taps, params=WeightTransportParams(layer="4", before="0"))
    with pytest.raises(InputError, match="one tap is a table"):
        weight_transport(taps[0], rng.standard_normal((8, 7)))


def test_symmetry_of_a_checkpoints_layers(tmp_path, rng):
    from analysis.compute.networks.coalescing import grown
    from analysis.methods.weights.neighbour_symmetry import (
        WEIGHTS,
        NeighbourSymmetryParams,
        neighbour_symmetry,
    )

    small = rng.standard_normal((6, 5))
    weights = {"a.weight": grown(small), "b.weight": rng.standard_normal((12, 10))}
    tap = store_of(tmp_path, weights, taps=("a",), units=12)["a"]
    found = neighbour_symmetry(tap, params=NeighbourSymmetryParams(by=WEIGHTS, layers="a, b")).columns
    assert found["compared"].tolist() == ["channels of a", "channels of b", "a and b"]
    assert found["equal"].tolist()[:2] == [1, 0]
    assert len(neighbour_symmetry(tap, params=NeighbourSymmetryParams(by=WEIGHTS)).columns["p"]) == 1
