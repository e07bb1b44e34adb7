"""The dry run on modules that do not do what modules usually do."""

import numpy as np
import pytest

from analysis.errors import InputError

torch = pytest.importorskip("torch")
from recording_subject import rows, values_of  # noqa: E402
from torch import nn  # noqa: E402

from analysis.recording.recorder import record  # noqa: E402
from analysis.recording.taps import dry_run  # noqa: E402
from analysis.sources.checkpoint import open_checkpoint  # noqa: E402


class Odd(nn.Module):
    """One module of every kind that a dry run must have a word for."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.twice = nn.ReLU()
        self.never = nn.Linear(6, 6)
        self.pair = Pair()
        self.indices = Indices()
        self.folds = Folds()
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.twice(self.twice(self.first(x)) - 0.1)
        self.indices(x), self.folds(x)
        return self.head(self.pair(x)[1])


class Pair(nn.Module):
    def forward(self, x):
        return None, x


class Indices(nn.Module):
    def forward(self, x):
        return x.argsort(1)


class Folds(nn.Module):
    def forward(self, x):
        return x.reshape(-1, 3, 1)


def test_the_dry_run_has_a_word_for_odd_modules(tmp_path):
    checkpoint, data = open_checkpoint(Odd()), rows(np.ones((5, 6)))
    infos = {i.name: i for i in dry_run(checkpoint.load(), data)}
    assert "called 2 times" in infos["twice"].note
    assert "did not run" in infos["never"].problem
    assert "entry 1" in infos["pair"].note
    assert "int64" in infos["indices"].problem
    assert "batch" in infos["folds"].problem
    with pytest.raises(InputError, match="'never' cannot be recorded: it did not run"):
        record(checkpoint, data, tmp_path / "s", name="s", taps="never")
    store = record(checkpoint, data, tmp_path / "s", name="s", taps="*")
    assert set(store.taps) == {"first", "twice", "pair", "head", "outputs.logits"}
    assert any("twice" in note for note in store.manifest["settings"]["notes"])


def test_sequence_first_networks(tmp_path):
    """nn.TransformerEncoder without batch_first: (token, batch, unit); its fused path must not skip the hooks."""
    torch.manual_seed(0)

    class Encoder(nn.Module):
        modality = "array"

        def __init__(self):
            super().__init__()
            layer = nn.TransformerEncoderLayer(8, 2, 16)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, x):
            return self.encoder(x.transpose(0, 1)).transpose(0, 1)

    model = Encoder().eval()
    values = np.random.default_rng(0).normal(size=(6, 5, 8))
    checkpoint = open_checkpoint(model)
    infos = {i.name: i for i in dry_run(checkpoint.load(), rows(values))}
    assert infos["encoder.layers.1"].axes == ("token", "batch", "unit")
    assert {n for n, i in infos.items() if i.is_block} == {"encoder.layers.0", "encoder.layers.1"}
    assert infos["encoder.layers.0.linear1"].problem == ""
    store = record(checkpoint, rows(values), tmp_path / "s", name="s", tokens="all", dtype="float32", batch=4)
    expected = model(torch.from_numpy(values).float()).detach().numpy()
    got = values_of(store, "encoder.layers.1").reshape(6, 5, 8)
    np.testing.assert_allclose(got, expected, atol=1e-5)
