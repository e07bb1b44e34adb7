"""State dicts as people save them, the factory that gives them a network, and networks in memory."""

import textwrap

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from analysis.errors import InputError, NotFound, ParameterError
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.factory import build

FACTORY = """
    import torch
    from torch import nn

    def small():
        torch.manual_seed(1)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 3))

    def normed():
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))

    def broken():
        raise RuntimeError("no weights today")

    def number():
        return 3

    class Talker(nn.Module):
        class_names = ["no", "yes"]
        causal = False
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(300, 4)
            self.head = nn.Linear(4, 2)
        def prepare(self, items):
            n = max(map(len, items))
            ids = [[ord(c) for c in t] + [0] * (n - len(t)) for t in items]
            mask = [[1] * len(t) + [0] * (n - len(t)) for t in items]
            return {"ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}
        def tokens(self, items):
            return [list(t) for t in items]
        def forward(self, ids, attention_mask):
            return {"logits": self.head(self.table(ids).mean(1))}
        def loss(self, outputs, labels):
            return nn.functional.cross_entropy(outputs["logits"], labels, reduction="none") + 1
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """The name of an importable module of factories in the current folder."""
    name = "nets_" + "".join(c if c.isalnum() else "_" for c in tmp_path.name)
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(FACTORY))
    monkeypatch.chdir(tmp_path)
    return name


def state(seed: int = 0) -> dict:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 3))
    return net.state_dict()


def saved(path, value, **options):
    torch.save(value, path, **options)
    return path


WRAPPED = {
    "plain": lambda s: s,
    "state_dict": lambda s: {"state_dict": s, "config": {"n": 3}, "epoch": 4},
    "model+optimizer": lambda s: {
        "model": s,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": []},
    },
    "list of one": lambda s: {"state_dict": [s], "epoch": 1},
    "module prefix": lambda s: {f"module.{k}": v for k, v in s.items()},
    "encoder prefix": lambda s: {f"encoder.{k}": v for k, v in s.items()},
    "float64": lambda s: {k: v.double() for k, v in s.items()},
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("how", WRAPPED)
def test_every_wrapping_gives_the_same_network(tmp_path, nets, how, zipped):
    weights = state()
    path = saved(tmp_path / "w.pth", WRAPPED[how](weights), _use_new_zipfile_serialization=zipped)
    checkpoint = open_checkpoint(path, model=f"{nets}:small")
    loaded = checkpoint.load()
    assert checkpoint.n_parameters == sum(v.numel() for v in weights.values())
    for key, value in loaded.module.state_dict().items():
        assert torch.equal(value, weights[key])
    assert not loaded.module.training
    said = " ".join(loaded.notes)
    if how != "plain":
        assert any(w in said for w in ("State dict taken", "Prefix", "float64")), said


def test_safetensors_and_torch_are_read_by_content(tmp_path, nets):
    save_file(state(), tmp_path / "w.safetensors")
    (tmp_path / "w.pt").write_bytes((tmp_path / "w.safetensors").read_bytes())
    for name in ("w.safetensors", "w.pt"):
        checkpoint = open_checkpoint(tmp_path / name, model=f"{nets}:small")
        assert checkpoint.load().forward(torch.zeros(2, 1, 8, 8)).logits.shape == (2, 3)
    assert open_checkpoint(tmp_path / "w.pt").digest == open_checkpoint(tmp_path / "w.safetensors").digest


def test_several_state_dicts_are_asked_for(tmp_path, nets):
    path = saved(tmp_path / "gan.pt", {"generator": state(), "discriminator": state(1), "step": 3})
    with pytest.raises(InputError, match=r"2 state dicts: 'generator'.*state_key"):
        open_checkpoint(path)
    with pytest.raises(NotFound, match="'generator'"):
        open_checkpoint(path, state_key="critic")
    loaded = open_checkpoint(path, state_key="discriminator", model=f"{nets}:small").load()
    assert torch.equal(loaded.module.state_dict()["0.weight"], state(1)["0.weight"])
    listed = saved(tmp_path / "list.pt", {"state_dict": [state(), state(1)]})
    with pytest.raises(InputError, match=r"'state_dict\.0'"):
        open_checkpoint(listed)


def test_a_user_prefix_is_stripped(tmp_path, nets):
    path = saved(tmp_path / "w.pt", {f"student.deep.{k}": v for k, v in state().items()})
    with pytest.raises(InputError, match="4 missing"):
        open_checkpoint(path, model=f"{nets}:small").load()
    loaded = open_checkpoint(path, model=f"{nets}:small", strip="student.deep.").load()
    assert torch.equal(loaded.module.state_dict()["3.bias"], state()["3.bias"])


def test_mismatches_are_counted_and_named(tmp_path, nets):
    wrong = state()
    wrong["3.weight"] = torch.ones(5, 7)
    wrong["extra.weight"] = torch.ones(2)
    del wrong["0.bias"]
    path = saved(tmp_path / "w.pt", wrong)
    with pytest.raises(InputError) as refusal:
        open_checkpoint(path, model=f"{nets}:small").load()
    text = str(refusal.value)
    assert "1 missing (0.bias)" in text
    assert "1 not known to the module (extra.weight)" in text
    assert "3.weight (5, 7) instead of (3, 144)" in text


def test_the_tree_without_code(tmp_path):
    torch.manual_seed(0)
    blocks = nn.Sequential(*[nn.Sequential(nn.Conv1d(2, 2, 3), nn.BatchNorm1d(2)) for _ in range(11)])
    save_file(blocks.state_dict(), tmp_path / "w.safetensors")
    lines = open_checkpoint(tmp_path / "w.safetensors").tree()
    assert [line.name for line in lines][:4] == ["0", "0.0", "0.1", "1"]
    assert lines[-1].name == "10.1"  # natural order
    by_name = {line.name: line for line in lines}
    assert by_name["0.0"].type == "Conv1d"
    assert by_name["0.0"].inferred
    assert by_name["0.1"].type == "BatchNorm"
    assert by_name["0.1"].n_parameters == 4  # running statistics are no parameters
    assert by_name["0.1"].depth == 1


def test_weights_alone_cannot_be_run(tmp_path):
    with pytest.raises(InputError, match="--model"):
        open_checkpoint(saved(tmp_path / "w.pt", state())).load()


@pytest.mark.parametrize(
    ("spec", "error", "match"),
    [
        ("nocolon", ParameterError, "package.module:factory"),
        ("not_there_at_all:f", NotFound, "not_there_at_all"),
        ("{nets}:smal", NotFound, "small"),
        ("{nets}:broken", InputError, "no weights today"),
        ("{nets}:number", InputError, "returned a int"),
    ],
)
def test_bad_factories(tmp_path, nets, spec, error, match):
    path = saved(tmp_path / "w.pt", state())
    with pytest.raises(error, match=match):
        open_checkpoint(path, model=spec.format(nets=nets)).load()


def test_the_modules_own_methods_are_used(tmp_path, nets):
    talker = build(f"{nets}:Talker")
    path = saved(tmp_path / "w.pt", talker.state_dict())
    loaded = open_checkpoint(path, model=f"{nets}:Talker").load()
    inputs = loaded.prepare(["abc", "d"])
    assert loaded.token_mask(inputs).sum().item() == 4
    assert loaded.tokens(["abc"]) == [["a", "b", "c"]]
    assert loaded.class_names == ("no", "yes")
    outputs = loaded.forward(inputs, [0, 1])
    assert (outputs.loss > 1).all()  # its own loss adds one
    assert outputs.predicted.shape == (2,)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "empty"),
        (b"hello world, this is no checkpoint at all", "cannot be read as torch weights"),
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_broken_files(tmp_path, data, match, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(data)
    with pytest.raises(InputError, match=match):
        open_checkpoint(path)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_torch_files(tmp_path, zipped, share):
    path = saved(tmp_path / "w.pt", {"a": torch.ones(5000)}, _use_new_zipfile_serialization=zipped)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(InputError):
        open_checkpoint(path)


@pytest.mark.parametrize("keep", [0, 4, 8, 60, -1])
def test_truncated_safetensors(tmp_path, keep):
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.ones(5000)}, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError):
        open_checkpoint(path)


def test_nothing_there(tmp_path):
    with pytest.raises(NotFound, match="there is no checkpoint"):
        open_checkpoint(tmp_path / "nowhere.pt")
    with pytest.raises(NotFound, match=r"config\.json"):
        open_checkpoint(tmp_path)
