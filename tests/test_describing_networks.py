"""`loupe describe`: layers read off a run of the user's own network, tried to the bit before they are kept."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from declared_subjects import table
from torch import nn
from torch.nn import functional as F

from analysis.errors import InputError, ParameterError
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.declared.describing import describe


class OneActivation(nn.Module):
    """A ReLU that is called twice, one called as a function, and a nested head behind an index."""

    modality = "array"

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.BatchNorm1d(4), nn.ReLU(inplace=True))
        self.conv, self.relu, self.pool = nn.Conv1d(4, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1)
        self.head = nn.Sequential(nn.Linear(6, 5), nn.Dropout(0.3), nn.Linear(5, 3))
        self.unused = nn.Tanh()

    def forward(self, x):
        x = self.pool(self.relu(self.conv(self.features(x))))
        return self.relu(self.head(F.relu(x[:, :, 0])))


class Housing(nn.Module):
    modality = "table"

    def __init__(self) -> None:
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(2, 4), nn.Linear(4, 1)

    def forward(self, x):
        return self.lin2(torch.relu(self.lin1(x)))

    def prepare(self, items):
        rows = np.stack([np.asarray(i, np.float32) for i in items])  # rooms, age, homes, price
        return torch.from_numpy(np.stack([rows[:, 0] / rows[:, 2], rows[:, 1]], 1))


def saved(module, path, prefix: str = ""):
    torch.manual_seed(0)
    for p in module.parameters():
        nn.init.normal_(p)
    torch.save({f"{prefix}{k}": v for k, v in module.state_dict().items()}, path)
    return module.eval()


def test_functions_indices_and_a_shared_activation_are_found(tmp_path):
    net = OneActivation()
    net(torch.randn(20, 2, 9) * 3 + 1)  # the batch norm has seen data
    saved(net, tmp_path / "w.pt", "encoder.")
    made = describe(
        net, tmp_path / "w.pt", "array", {"shape": [2, 9]}, prefixes={"": "encoder."}, classes="abc"
    )
    assert made.path == tmp_path / "network.json"
    loaded = open_checkpoint(tmp_path).load()
    x = torch.randn(7, 2, 9)
    with torch.no_grad():
        assert torch.equal(loaded.module(x), net(x))
    names = [n for n, _ in loaded.module.named_modules() if n]
    assert names[:4] == ["features", "features.0", "features.1", "features.2"]
    # what the function does there nothing needs: means of a ReLU are not negative
    assert [n for n in names if "." not in n][1:] == ["conv", "relu", "pool", "flatten", "head", "relu_2"]
    assert any("same bits" in n for n in made.notes)
    assert any("Other numbers under the same name" in n and n.endswith(": relu") for n in made.notes)


class BasicBlock(nn.Module):
    """As torchvision's: a ReLU that is used twice, the second time behind the sum."""

    def __init__(self, inputs: int, units: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, units, 3, stride, 1, bias=False), nn.BatchNorm2d(units)
        self.conv2, self.bn2 = nn.Conv2d(units, units, 3, 1, 1, bias=False), nn.BatchNorm2d(units)
        self.relu, self.downsample = nn.ReLU(inplace=True), None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, units, 1, stride), nn.BatchNorm2d(units))

    def forward(self, x):
        made = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(made + (x if self.downsample is None else self.downsample(x)))


class Resnet(nn.Module):
    """Identity and projected sums, the projection running last or first, and a sum of sums."""

    modality = "image"

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3)
        self.layer1 = nn.Sequential(BasicBlock(4, 4, 1), BasicBlock(4, 6, 2))
        self.inner, self.outer, self.shortcut = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.first, self.fc = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = self.layer1(self.conv1(x)).mean((2, 3))
        x = x + self.outer(F.gelu(x + self.inner(x)))
        side = self.shortcut(x)
        return self.fc(F.relu(side + self.first(torch.tanh(x))))


def test_residual_sums_are_found(tmp_path):
    net = Resnet()
    net(torch.randn(20, 1, 12, 12))
    saved(net, tmp_path / "w.pt")
    made = describe(net, tmp_path / "w.pt", "image", {"size": 12, "channels": 1}, classes="abc")
    loaded = open_checkpoint(made.path).load()
    x = torch.rand(5, 1, 12, 12)
    with torch.no_grad():
        assert torch.equal(loaded.module(x), net(x))
    kinds = {n: type(m).__name__ for n, m in loaded.module.named_modules()}
    sums = [n for n, kind in kinds.items() if kind == "Residual"]
    assert sums == ["layer1.0.sum", "layer1.1.sum", "sum_2", "sum_2.sum", "sum_3"]
    assert kinds["layer1.1.sum.shortcut.0"] == "Conv2d"
    assert kinds["sum_3.shortcut.shortcut"] == "Linear"
    notes = " ".join(made.notes)
    assert "the same bits" in notes
    assert "another name here, or none: layer1.0.conv1, layer1.0.bn1" in notes


def test_a_block_that_is_only_its_sum_keeps_its_names(tmp_path):
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.lin = nn.LayerNorm(4), nn.Linear(4, 4)

        def forward(self, x):
            return x + self.lin(self.norm(x))

    net = saved(nn.Sequential(Block(), Block(), nn.Linear(4, 2)), tmp_path / "w.pt")
    made = describe(net, tmp_path / "w.pt", "array", {"shape": 4})
    assert "prefixes" not in json.loads(made.text)
    names = [n for n, _ in open_checkpoint(made.path).load().module.named_modules()]
    assert names == [n for n, _ in net.named_modules()]
    assert made.notes == ["Tried on 256 random inputs: the same bits, also of 7 modules by name"]


def test_arguments_survive(tmp_path):
    net = nn.Sequential(
        nn.Conv2d(3, 6, (3, 2), stride=(2, 1), padding=(1, 0), groups=3, bias=False, padding_mode="reflect"),
        nn.GroupNorm(2, 6, eps=1e-3), nn.LeakyReLU(0.2), nn.AvgPool2d(2, count_include_pad=False, padding=1),
        nn.Sequential(nn.LayerNorm((6, 4, 4)), nn.ELU(0.5)), nn.Flatten(), nn.Linear(96, 2, bias=False),
    )  # fmt: skip
    saved(net, tmp_path / "w.pt")
    x = torch.randn(3, 3, 12, 7)
    assert net(x).shape == (3, 2)
    made = describe(net, tmp_path / "w.pt", "image", {"size": [12, 7], "channels": 3})
    assert torch.equal(open_checkpoint(made.path).load().module(x), net(x))
    said = json.loads(made.text)["layers"]
    assert said[1]["args"] == {"num_groups": 2, "num_channels": 6, "eps": 1e-3}
    assert said[4]["layers"][0]["args"] == {"normalized_shape": [6, 4, 4]}


class Skips(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.b(self.a(x)) * self.a.weight.sum()


class OnlySometimes(nn.Module):
    """A sum that happens on large inputs only: the layers look like a stack until another batch comes."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 2)

    def forward(self, x):
        return self.a(x) + (x.shape[0] > 100)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 3)

    def forward(self, x):
        return self.a(self.a(x))


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (Skips(), "between 'b' and 'the output' is not one of the layers"),
        (OnlySometimes(), "other numbers than yours, up to 1 apart"),
        (Twice(), "'a' runs twice with the same weights"),
        (nn.Sequential(nn.Linear(3, 4), nn.Bilinear(1, 1, 1)), "failed|takes|Bilinear"),
        (nn.Sequential(nn.Linear(3, 4), nn.Softmax(1)), "in '1' is not one"),
        (
            nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, track_running_stats=False)),
            "track_running_stats = False",
        ),
    ],
)
def test_what_is_no_stack_is_refused_and_nothing_is_written(tmp_path, net, words):
    saved(net, tmp_path / "w.pt")
    with pytest.raises(InputError, match=words):
        describe(net, tmp_path / "w.pt", "array", {"shape": 3})
    assert [p.name for p in tmp_path.iterdir()] == ["w.pt"]


def test_another_description_is_not_written_over(tmp_path):
    net = saved(nn.Sequential(nn.Linear(3, 2)), tmp_path / "w.pt")
    first = describe(net, tmp_path / "w.pt", "array", {"shape": 3})
    assert describe(net, tmp_path / "w.pt", "array", {"shape": 3}).text == first.text
    with pytest.raises(InputError, match="is there already"):
        describe(net, tmp_path / "w.pt", "array", {"shape": 3}, classes=("a", "b"))
    describe(net, tmp_path / "w.pt", "array", {"shape": 3}, classes=("a", "b"), replace=True)
    assert open_checkpoint(tmp_path).load().class_names == ("a", "b")
    with pytest.raises(ParameterError, match="beside the weights"):
        describe(net, tmp_path / "w.pt", "array", {"shape": 3}, out=tmp_path / "other" / "n.json")


def test_the_command_compares_how_items_are_prepared(tmp_path, capsys, monkeypatch):
    from dashboard.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(
        __import__("sys").modules, "own_nets", __import__("types").SimpleNamespace(make=Housing)
    )
    saved(Housing(), tmp_path / "w.pt")
    table(tmp_path / "rows.csv", holes=(2,))
    given = [
        "describe",
        "--model",
        "own_nets:make",
        "--weights",
        "w.pt",
        "--data",
        "rows.csv",
        "--output",
        "price",
    ]
    assert main([*given, "--columns", "rooms", "age"]) == 1
    assert "prepared otherwise than by your code" in capsys.readouterr().err
    assert not (tmp_path / "network.json").exists()
    assert main([*given, "--columns", "rooms/homes", "age", "--unit", "euro"]) == 0
    assert "32 items of rows are prepared" in capsys.readouterr().err
    loaded = open_checkpoint(tmp_path / "network.json", allow_code=False).load()
    assert (loaded.input_names, loaded.output_unit) == (("rooms/homes", "age"), "euro")


def test_recording_with_a_factory_says_that_it_can_be_described(tmp_path, capsys, monkeypatch):
    from dashboard.cli import main

    make = lambda: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))  # noqa: E731
    monkeypatch.setitem(__import__("sys").modules, "own_nets", __import__("types").SimpleNamespace(make=make))
    saved(make(), tmp_path / "w.pt")
    np.save(tmp_path / "x.npy", np.zeros((5, 3), np.float32))
    where = [
        str(tmp_path / "w.pt"),
        str(tmp_path / "x.npy"),
        "--workspace",
        str(tmp_path / "work"),
        "--name",
        "n",
    ]
    assert main(["record", *where, "--model", "own_nets:make"]) == 0
    assert "loupe describe --model own_nets:make --weights" in capsys.readouterr().err
