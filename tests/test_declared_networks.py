"""Networks that a JSON file describes: the same bits as torch's own modules, and everything else refused in words."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from declared_subjects import description, layer, linear, mlp, table, write
from torch import nn

from analysis.errors import InputError, LoupeError, NewerSchema, NotFound, UnsafeFile
from analysis.recording.recorder import record
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data
from analysis.sources.rerun import rerun

INPUTS = {"columns": [{"name": "rooms/home", "ratio": ["rooms", "homes"]}, "age", "homes"]}


class Block(nn.Module):
    def __init__(self, shortcut: bool) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        if shortcut:
            self.shortcut = nn.Sequential(nn.Conv2d(4, 4, 1))

    def forward(self, x):
        side = self.shortcut(x) if hasattr(self, "shortcut") else x
        return side + self.bn(self.conv(x))


class Cnn(nn.Module):
    """Nested, with residual sums, batch norms that have seen data, and a mean over the image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2, padding=(1, 0)), nn.GELU(approximate="tanh"))
        self.block1, self.block2 = Block(False), Block(True)
        self.pool, self.norm, self.head = nn.MaxPool2d(2, ceil_mode=True), nn.LayerNorm(4), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.norm(self.pool(self.block2(self.block1(self.stem(x)))).mean(dim=(2, 3))))


def cnn_layers() -> list:
    convs = [layer("conv", "Conv2d", in_channels=4, out_channels=4, kernel_size=3, padding=1),
             layer("bn", "BatchNorm2d", num_features=4)]  # fmt: skip
    side = [layer("0", "Conv2d", in_channels=4, out_channels=4, kernel_size=1)]
    stem = [layer("0", "Conv2d", in_channels=1, out_channels=4, kernel_size=3, stride=2, padding=[1, 0]),
            layer("1", "GELU", approximate="tanh")]  # fmt: skip
    return [
        {"name": "stem", "type": "Sequential", "layers": stem},
        {"name": "block1", "type": "Residual", "layers": convs},
        {"name": "block2", "type": "Residual", "layers": convs, "shortcut": side},
        layer("pool", "MaxPool2d", kernel_size=2, ceil_mode=True),
        layer("mean", "GlobalMean"),
        layer("norm", "LayerNorm", normalized_shape=4),
        linear("head", 4, 3),
    ]


def trained_cnn() -> Cnn:
    torch.manual_seed(1)
    net = Cnn()
    for _ in range(3):
        net(2 + 3 * torch.randn(8, 1, 9, 9))
    return net.eval()


# ---------------------------------------------------------------------------- the same network
def test_a_nested_network_gives_the_same_bits_under_the_same_names(tmp_path):
    net = trained_cnn()
    said = description(cnn_layers(), "image", {"size": [9, 9], "channels": 1}, classes=["a", "b", "c"])
    path = write(tmp_path, said, net.state_dict())
    checkpoint = open_checkpoint(tmp_path, allow_code=False)  # as a page opens it
    assert (checkpoint.kind, checkpoint.path, checkpoint.modality) == ("declared", path, "image")
    assert checkpoint.n_parameters == sum(p.numel() for p in net.parameters())
    loaded = checkpoint.load()
    own, made = dict(net.named_modules()), dict(loaded.module.named_modules())
    assert set(own) < set(made)
    assert set(made) - set(own) == {"mean"}
    assert {line.name: line.type for line in checkpoint.tree()}["block2.shortcut.0"] == "Conv2d"
    x = torch.randn(5, 1, 9, 9)
    seen = {}
    handles = [m.register_forward_hook(lambda m, i, o, n=n: seen.setdefault(n, []).append(o))
               for net_ in (own, made) for n, m in net_.items() if n in own]  # fmt: skip
    with torch.no_grad():
        assert torch.equal(net(x), loaded.module(x))
    assert len(handles) == 2 * len(own)
    assert all(torch.equal(*both) for both in seen.values())


def test_double_precision_is_kept_unless_another_is_asked_for(tmp_path):
    net, layers = mlp()
    net.double()
    said = description(layers, "array", {"shape": 3})
    kept = open_checkpoint(write(tmp_path, said, net.state_dict())).load()
    assert any("kept in float64" in n for n in kept.notes)
    x = np.random.default_rng(0).normal(size=(4, 3))
    assert torch.equal(kept.module(kept.prepare(list(x))), net(torch.from_numpy(x)))
    single = open_checkpoint(write(tmp_path, {**said, "precision": "float32"})).load()
    assert any("converted from float64 to float32" in n for n in single.notes)
    assert torch.equal(
        single.module(single.prepare(list(x))), copy.deepcopy(net).float()(torch.from_numpy(x).float())
    )


def test_keys_of_the_file_by_prefixes(tmp_path):
    net, layers = mlp()
    state = {f"encoder.{k}": v for k, v in net.state_dict().items()} | {"aux.weight": torch.zeros(2)}
    said = description(layers, "array", {"shape": 3})
    path = write(tmp_path, said, state)
    with pytest.raises(InputError, match=r"4 missing \(0.weight.*5 not known.*encoder.0.weight"):
        open_checkpoint(path).load()
    path = write(tmp_path, {**said, "prefixes": {"": "encoder."}, "left_out": ["aux."]})
    loaded = open_checkpoint(path).load()
    assert torch.equal(loaded.module(torch.ones(1, 3)), net(torch.ones(1, 3)))
    assert any("1 weights of the file are not used" in n for n in loaded.notes)
    write(tmp_path, said, {k: v for k, v in state.items() if k.startswith("encoder")})
    with pytest.raises(InputError, match=r'"prefixes": \{"": "encoder."\}'):
        open_checkpoint(path).load()


# ---------------------------------------------------------------------------- recorded, and run again
@pytest.fixture
def recorded(tmp_path):
    """(store, folder of the network)."""
    net, layers = mlp(sizes=(3, 5, 1))
    folder = tmp_path / "net"
    write(
        folder,
        description(layers, "table", INPUTS, output={"name": "price", "unit": "euro"}),
        net.state_dict(),
    )
    table(tmp_path / "rows.csv", holes=(3,))
    data = open_data(tmp_path / "rows.csv", label="price", missing="drop")
    return record(open_checkpoint(folder), data, tmp_path / "s", name="s", batch=39, dtype="float32"), folder


def test_a_recorded_network_runs_again_with_the_same_bits(recorded):
    store, _ = recorded
    tap = store.activations("1")
    run = rerun(tap, store.n_samples)
    x = run.loaded.prepare(run.data.items(0, run.n))
    with torch.no_grad():
        again = run.loaded.module[1](run.loaded.module[0](x)).numpy()
    stored = tap.take(np.arange(store.n_samples))
    assert store.n_samples == 39  # one row has no rooms
    assert np.array_equal(stored, again)
    assert stored.any()
    assert store.samples["predicted"].dtype.kind == "f"
    assert "confidence" not in store.samples


def test_numbers_are_attributed_and_not_taken_for_classes(recorded):
    """A softmax over one output is 1 whatever happens: the loss and the divergence would say that nothing matters."""
    from analysis.attribution.targets import LOGIT
    from analysis.features.network_reader import NetworkReader
    from analysis.methods.attribution.sample_attribution import SampleAttributionParams, sample_attribution
    from analysis.sources.live_tap import live_tap

    tap = recorded[0].activations("1")
    for opened in (lambda: NetworkReader(tap, 10), lambda: live_tap(tap)):
        with pytest.raises(InputError, match="of s:1 gives price, not classes"):
            opened()
    found = sample_attribution(tap, SampleAttributionParams(sample=2, number=LOGIT, null_samples=2))
    assert found.residual == pytest.approx(0, abs=1e-6)  # what follows the tap is linear
    assert found.end == pytest.approx(float(recorded[0].samples["predicted"][2]), abs=1e-6)


@pytest.mark.parametrize("what", ["net.pt", "network.json"])
def test_a_changed_file_is_not_run(recorded, what):
    store, folder = recorded
    rerun(store.activations("1"), 5)
    file = folder / what
    if what == "net.pt":
        torch.save(mlp(seed=1, sizes=(3, 5, 1))[0].state_dict(), file)
    else:
        file.write_text(file.read_text().replace('"ReLU"', '"SiLU"'))
    with pytest.raises(InputError, match=r"is not the one that s:1 was recorded from"):
        rerun(store.activations("1"), 5)


def test_weights_of_layers_are_read_through_the_description(recorded):
    from analysis.sources.weights import weights_of

    store, folder = recorded
    found = weights_of(store.activations("1"))
    state = torch.load(folder / "net.pt", weights_only=True)
    assert found.layers == ["0", "2"]
    np.testing.assert_array_equal(found.layer("0").weight, state["0.weight"].double().numpy())
    assert found.reader_of("0") == "2"


# ---------------------------------------------------------------------------- inputs
def test_columns_by_name_with_ratios(tmp_path):
    net, layers = mlp()
    given = {**INPUTS, "mean": [1.0, 0.5, 0.0], "scale": 2.0}
    loaded = open_checkpoint(write(tmp_path, description(layers, "table", given), net.state_dict())).load()
    columns = table(tmp_path / "rows.csv", holes=(3,))
    data = open_data(tmp_path / "rows.csv", label="kind")
    x = loaded.prepare(data.items(0, 40)).numpy()
    wanted = np.stack([columns["rooms"] / columns["homes"], columns["age"], columns["homes"]], 1)
    wanted = ((wanted - [1.0, 0.5, 0.0]) / 2).astype(np.float32)
    wanted[3, 0] = np.nan  # the table says so when it is opened
    np.testing.assert_allclose(x, wanted, rtol=1e-6)
    assert loaded.input_names == ("rooms/home", "age", "homes")
    with pytest.raises(
        NotFound, match=r"no number column 'age', which the network takes.*the label is not fed"
    ):
        loaded.prepare(open_data(tmp_path / "rows.csv", label="age").items(0, 2))
    for other in (np.zeros(3), "a text"):
        with pytest.raises(InputError, match="by their names"):
            loaded.prepare([other])


def test_images_are_brought_to_size_and_range(tmp_path):
    from PIL import Image

    net, layers = mlp(sizes=(16, 5, 2))
    layers = [layer("flat", "Flatten"), *({**one, "name": f"l{one['name']}"} for one in layers)]
    state = {f"l{k}": v.double() for k, v in net.state_dict().items()}
    given = {"size": 4, "channels": 1, "resample": "nearest", "range": "min-max", "mean": 0.5, "std": 0.25}
    loaded = open_checkpoint(write(tmp_path, description(layers, "image", given), state)).load()
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8)).astype(np.uint8)
    small = pixels[1::2, 1::2].astype(float)
    small = (small - small.min()) / np.ptp(small)
    for item in (Image.fromarray(pixels), Image.fromarray(pixels).convert("RGB"), pixels):
        x = loaded.prepare([item])
        assert x.dtype == torch.float64
        np.testing.assert_allclose(x[0, 0].numpy(), (small - 0.5) / 0.25, atol=1e-12)
    with pytest.raises(LoupeError, match=r"8 x 8 x 2|shape"):
        loaded.prepare([np.zeros((8, 8, 2), np.uint8)])


def test_classes_without_names(tmp_path):
    net, layers = mlp()
    path = write(tmp_path, description(layers, "array", {"shape": 3}, classes=2), net.state_dict())
    loaded = open_checkpoint(path).load()
    out = loaded.forward(loaded.prepare([np.ones(3)]), [1])
    assert out.predicted.shape == out.loss.shape == (1,)
    assert loaded.class_names == ()


def test_clips_are_cut_or_padded(tmp_path):
    layers = [layer("c", "Conv1d", in_channels=1, out_channels=2, kernel_size=3), layer("m", "GlobalMean")]
    state = {f"c.{k}": v for k, v in nn.Conv1d(1, 2, 3).state_dict().items()}
    said = description(layers, "audio", {"sampling_rate": 8000, "samples": 10})
    loaded = open_checkpoint(write(tmp_path, said, state)).load()
    x = loaded.prepare([np.ones(7, np.float32), np.ones(30, np.float32)])
    assert x.shape == (2, 1, 10)
    assert x.sum(dim=(1, 2)).tolist() == [7, 10]


# ---------------------------------------------------------------------------- refusals
def altered(change) -> dict:
    said = description(mlp()[1], "array", {"shape": 3})
    change(said)
    return said


def deep(levels: int):
    def change(said):
        for _ in range(levels):
            said["layers"] = [{"name": "a", "type": "Sequential", "layers": said["layers"]}]

    return change


def at(*path, value):
    def change(said):
        for key in path[:-1]:
            said = said[key]
        said[path[-1]] = value

    return change


REFUSED = {
    "layer 'a' of .* is of the type 'LSTM'. Expected one of Linear, Conv1d": at(
        "layers", 1, value=layer("a", "LSTM")
    ),
    "has the argument 'inplace'": at("layers", 1, value=layer("1", "ReLU", inplace=True)),
    "lacks out_features": at("layers", 0, "args", value={"in_features": 3}),
    "in_features = True.*whole number": at("layers", 0, "args", "in_features", value=True),
    "out_features = 10{40}": at("layers", 0, "args", "out_features", value=10**400),
    "two layers named '0'": at("layers", 2, "name", value="0"),
    "named 'a.b'": at("layers", 0, "name", value="a.b"),
    "named 'forward', which torch uses itself": at("layers", 0, "name", value="forward"),
    "nested 9 deep": deep(9),
    "outside its folder": at("weights", value="../net.pt"),
    r"outside its folder \(/": at("weights", value="/etc/passwd"),
    "are not there": at("weights", value="other.pt"),
    "names the weights None": at("weights", value=None),
    "entry 'code'": at("code", value="import os"),
    "version 2": at("version", value=2),
    "format 'onnx'": at("format", value="onnx"),
    "modality 'text'": at("modality", value="text"),
    "lacks shape": at("input", value={}),
    "has 'size'": at("input", value={"shape": 3, "size": 3}),
    "2 numbers as mean": at("input", value={"shape": 3, "mean": [0, 1]}),
    "divides by zero": at("input", value={"shape": 3, "std": 0}),
    "at most": at("input", value={"shape": [1 << 20, 1 << 20]}),
    "not JSON of finite numbers.*NaN": at("input", value={"shape": 3, "mean": float("nan")}),
    "both classes and an output": lambda said: said.update(classes=["a"], output={"name": "b"}),
    "has 3 classes and the network 2 outputs": at("classes", value=["a", "b", "c"]),
    r"1 of another shape \(0.weight \(5, 3\) instead of \(5, 4\)": at(
        "layers", 0, "args", "in_features", value=4
    ),
    "4 missing|2 missing": at("layers", 2, "name", value="last"),
    r"layer '0' \(Linear\) cannot take an item of shape \(4,\)": at("input", value={"shape": 4}),
    r"layer '1' \(BatchNorm2d\)|missing": at("layers", 1, value=layer("1", "BatchNorm2d", num_features=5)),
    r"the last layer gives \(2, 2\)": at("input", value={"shape": [2, 3]}),
    r"layer 'a' \(MaxPool2d\) cannot take .*channels and 2 axes": lambda said: said.update(
        layers=[layer("a", "MaxPool2d", kernel_size=1), *said["layers"]], input={"shape": [3, 3]}
    ),
    "cannot take an item of shape|beside it": lambda said: said.update(
        layers=[*said["layers"], layer("3", "LayerNorm", normalized_shape=[3, 2], elementwise_affine=False)]
    ),
    "more than 33,554,432": lambda said: said.update(
        layers=[layer("a", "AdaptiveAvgPool2d", output_size=1 << 16), *said["layers"]],
        input={"shape": [3, 3, 3]},
    ),
    "precision 'float16'": at("precision", value="float16"),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write(tmp_path_factory.mktemp("refused"), altered(lambda _: None), mlp()[0].state_dict())


@pytest.mark.parametrize("words", REFUSED)
def test_refused_in_words(weights, words):
    said = altered(REFUSED[words])
    weights.write_text(json.dumps(said))
    with pytest.raises(LoupeError, match=words) as refusal:
        open_checkpoint(weights).load()
    assert len(str(refusal.value)) < 900
    kind = {"version 2": NewerSchema, "outside its folder": UnsafeFile, "are not there": NotFound}.get(words)
    assert kind is None or isinstance(refusal.value, kind)


def test_huge_sizes_take_no_memory(weights):
    most = 1 << 20
    said = altered(at("layers", value=[linear("0", 3, most), linear("1", most, most), linear("2", most, 2)]))
    weights.write_text(json.dumps(said))
    with pytest.raises(InputError, match="does not fit the layers"):  # a terabyte of weights, never made
        open_checkpoint(weights).load()


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    net, layers = mlp()
    (tmp_path / "elsewhere").mkdir()
    path = write(tmp_path / "net", description(layers, "array", {"shape": 3}))
    torch.save(net.state_dict(), tmp_path / "elsewhere" / "net.pt")
    (tmp_path / "net" / "net.pt").symlink_to(tmp_path / "elsewhere" / "net.pt")
    with pytest.raises(UnsafeFile, match="outside its folder"):
        open_checkpoint(path)


def test_weights_that_are_not_numbers(tmp_path):
    net, layers = mlp()
    state = net.state_dict()
    state["2.bias"][1] = torch.nan
    path = write(tmp_path, description(layers, "array", {"shape": 3}), state)
    with pytest.raises(InputError, match=r"1 of 2 numbers of '2.bias' are NaN"):
        open_checkpoint(path).load()
    write(
        tmp_path,
        description(layers, "array", {"shape": 3}),
        {k: v.int() for k, v in mlp()[0].state_dict().items()},
    )
    with pytest.raises(InputError, match="int32 weights"):
        open_checkpoint(path).load()


def test_json_nested_without_end(tmp_path):
    path = write(tmp_path, description([], "array", {"shape": 3}), mlp()[0].state_dict())
    path.write_text("[" * 200_000)
    with pytest.raises(InputError, match=r"nested too deep|not JSON"):
        open_checkpoint(path)


def test_the_weights_alone_point_to_the_description(tmp_path):
    net, layers = mlp()
    path = write(tmp_path, description(layers, "array", {"shape": 3}), net.state_dict())
    with pytest.raises(InputError, match=rf"Give the description instead: {path}"):
        open_checkpoint(tmp_path / "net.pt").load()
    with pytest.raises(InputError, match="describes a network, and model was given"):
        open_checkpoint(path, model="a:b")


def test_info_tells_the_layers(tmp_path, capsys):
    from dashboard.cli import main

    net, layers = mlp()
    path = write(tmp_path, description(layers, "array", {"shape": 3}), net.state_dict())
    for given in (path, tmp_path):
        assert main(["info", str(given), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["format"], told["n_parameters"]) == ("declared", 32)
        assert [m["type"] for m in told["modules"]] == ["Linear", "ReLU", "Linear"]


def test_a_first_layer_that_passes_columns_on_has_their_names(tmp_path):
    """And none further on, though as wide."""
    module, layers = mlp(sizes=(3, 3, 2))
    state = {k: v for k, v in module.state_dict().items()}
    said = description([layer("given", "Identity"), *layers[:2], layer("again", "Identity"), layers[2]], "table",
                       {"columns": ["age", "rooms", "homes"]}, classes=["a", "b"])  # fmt: skip
    columns = table(tmp_path / "rows.csv")
    path, rows = write(tmp_path / "net", said, state), open_data(tmp_path / "rows.csv", label="kind")
    store = record(open_checkpoint(path), rows,
                   tmp_path / "store", name="s", taps=("given", "again"), dtype="float32")  # fmt: skip
    assert store.activations("given").unit_names == ("age", "rooms", "homes")
    assert store.activations("again").unit_names == ("0", "1", "2")
    np.testing.assert_allclose(store.activations("given").unit(2), columns["homes"])
