"""Prototypes of a ProtoPNet: from its checkpoint to a tap, its ledger against the network's own forward pass, and the
prototypes that are broken."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analysis.activations import Layout
from analysis.errors import InputError, LoupeError, NotFound, ShapeError
from analysis.features import rules
from analysis.features.encoding import encode_tap
from analysis.features.importing import import_feature_set
from analysis.features.planted_prototypes import planted_prototypes
from analysis.features.tap_dictionary import TapDictionary
from analysis.methods.dictionaries.dictionary_report import dictionary_report
from analysis.methods.dictionaries.edit_success import edit_success
from analysis.methods.dictionaries.prototype_hygiene import (
    PrototypeHygieneParams,
    hygiene_of,
    prototype_hygiene,
)
from analysis.methods.dictionaries.prototype_ledger import (
    PrototypeLedgerParams,
    ledger_of,
    prototype_ledger,
)
from analysis.methods.dictionaries.prototype_pairs import PrototypePairsParams, prototype_pairs
from analysis.store.from_arrays import write_store
from analysis.store.manifest import TapSpec
from analysis.workspace import Workspace
from dashboard.cli import main

P, D, C, SIDE, N = 6, 5, 3, 4, 24
OWNER = np.repeat(np.arange(C), P // C)


class Head(torch.nn.Module):
    """The end of a ProtoPNet as it is published: a convolution of squares, a minimum over places, a linear layer."""

    def __init__(self):
        super().__init__()
        g = torch.Generator().manual_seed(0)
        self.prototype_vectors = torch.nn.Parameter(torch.rand(P, D, 1, 1, generator=g))
        self.last_layer = torch.nn.Linear(P, C)
        self.last_layer.weight.data = torch.where(torch.as_tensor(np.arange(C)[:, None] == OWNER), 1.0, -0.5)

    def forward(self, x):  # (n, D, side, side) in float64
        v = self.prototype_vectors.double()
        squares = torch.nn.functional.conv2d(x**2, torch.ones_like(v))
        cross = torch.nn.functional.conv2d(x, v)
        distance = squares - 2 * cross + (v**2).sum(dim=(1, 2, 3)).view(1, -1, 1, 1)
        least = distance.flatten(2).min(dim=2).values.clamp(min=0)
        similarity = torch.log((least + 1) / (least + 1e-4))
        return similarity @ self.last_layer.weight.double().T


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Checkpoint, the store of its last feature map encoded with its prototypes, and the logits (n, C), bias aside."""
    folder, head = tmp_path_factory.mktemp("protopnet"), Head()
    torch.save({f"module.{k}": v for k, v in head.state_dict().items()}, folder / "kidney.pt")
    maps = np.random.default_rng(1).random((N, SIDE, SIDE, D)).astype(np.float32)
    for i in range(P):  # the push: every prototype is a patch
        maps[i, i // 2, 1] = head.prototype_vectors.detach().numpy()[i, :, 0, 0]
    with torch.no_grad():
        logits = head(torch.as_tensor(maps).double().permute(0, 3, 1, 2)).numpy()
    spec = TapSpec("conv", D, "float32", tokens="all", grid=(SIDE, SIDE))
    store = write_store(folder / "s", name="s", taps={"conv": maps.reshape(N, -1, D)}, specs={"conv": spec},
                        labels=logits.argmax(axis=1), classes=("clear", "mixed", "white"),
                        samples={"id": [f"img_{i}" for i in range(N)]})  # fmt: skip
    features = import_feature_set(folder / "kidney.pt")
    return folder, encode_tap(store, "conv", features), features, logits, head


def test_the_ledger_sums_to_the_logits_of_the_network(network):
    """Patch by patch in another arithmetic (convolutions)."""
    _, store, _, logits, head = network
    tap, names = store.activations("conv@kidney"), ("clear", "mixed", "white")
    for sample in (0, 7, 23):
        c = prototype_ledger(tap, PrototypeLedgerParams(sample=f"img_{sample}", lines=2 + sample)).columns
        bias = head.last_layer.bias.detach().double().numpy()
        a, b = np.argsort(-(logits[sample] + bias))[:2]
        assert abs(c["adds for"].sum() - logits[sample, a]) < 1e-10
        assert abs(c["adds against"].sum() - logits[sample, b]) < 1e-10
        assert abs(c["running sum"][-1] - (logits[sample, a] - logits[sample, b])) < 1e-10
    asked = PrototypeLedgerParams(sample="img_3", for_class="white", against="clear")
    found = prototype_ledger(tap, asked)
    assert names[2] in found.title
    at = list(found.columns["prototype"]).index("3")
    assert found.columns["looks like"][at] == "img_3, patch (2, 2)"
    assert found.columns["sees"][at] == "patch (2, 2)"
    assert abs(found.columns["how alike"][at] - np.log(1e4)) < 1e-7  # float32 rows, d² = 0 to rounding
    with pytest.raises(NotFound, match="no class 'red'"):
        prototype_ledger(tap, PrototypeLedgerParams(for_class="red"))
    with pytest.raises(NotFound, match="no sample"):
        prototype_ledger(tap, PrototypeLedgerParams(sample="img_99"))


def test_pairs_are_what_was_seen_and_the_nearest_patches_of_different_samples(network):
    """Against every distance at once."""
    _, store, features, _, _ = network
    tap, source = store.activations("conv@kidney"), store.activations("conv")
    asked = PrototypePairsParams(sample="img_7", prototypes=P, patches=3)
    found = prototype_pairs(tap, asked)
    x = source.take(np.arange(N * SIDE**2)).astype(np.float64)
    d2 = ((x[:, None] - features.directions.astype(np.float64)) ** 2).sum(axis=2).reshape(N, SIDE**2, P)
    assert len(found.groups) == 4  # the other two add the same to both logits
    for name, rows in found.groups.items():
        own = d2[:, :, int(name.partition(",")[0])]
        nearest = np.argsort(own.min(axis=1))[:3]
        assert rows.tolist() == [SIDE**2 * i + own[i].argmin() for i in (7, *nearest)]
        want = np.log((own.min(axis=1) + 1) / (own.min(axis=1) + 1e-4))[[7, *nearest]]
        np.testing.assert_allclose(found.values[name], want, atol=1e-6)


def test_the_checkpoint_is_read_and_what_does_not_fit_is_refused(network, tmp_path):
    folder, _, features, _, head = network
    np.testing.assert_array_equal(features.directions, head.prototype_vectors.detach().numpy()[:, :, 0, 0])
    assert features.rule == rules.PROTOTYPE
    assert features.about["prototype_classes"] == OWNER.tolist()
    np.testing.assert_allclose(features.about["output_bias"], head.last_layer.bias.detach().numpy())
    features.save(tmp_path / "kept")
    again = type(features).open(tmp_path / "kept")
    np.testing.assert_array_equal(again.connections, features.connections)
    assert again.digest == features.digest
    state = head.state_dict()
    for change, kind, said in (
        ({"last_layer.weight": None}, InputError, "no last_layer.weight"),
        ({"last_layer.weight": torch.ones(C, P + 1)}, ShapeError, "6 prototypes"),
        ({"prototype_vectors": torch.ones(P, D, 2, 2)}, ShapeError, "2 × 2 places"),
        ({"other.prototype_vectors": torch.ones(P, D, 1, 1)}, InputError, "2 tensors of prototypes"),
        ({"prototype_class_identity": torch.ones(P, C + 2)}, ShapeError, "prototype_class_identity"),
    ):
        torch.save({k: v for k, v in {**state, **change}.items() if v is not None}, tmp_path / "bad.pt")
        with pytest.raises(kind, match=said):
            import_feature_set(tmp_path / "bad.pt")
    for asked in ({"architecture": "topk"}, {"k": 3}, {"epsilon": 2.0}):
        with pytest.raises(InputError):
            import_feature_set(folder / "kidney.pt", **asked)
    assert import_feature_set(folder / "kidney.pt", epsilon=1e-3).epsilon == 1e-3
    narrow = write_store(tmp_path / "n", name="n", taps={"conv": np.ones((9, D + 1), np.float32)})
    with pytest.raises(ShapeError, match=f"{D}, the width"):
        encode_tap(narrow, "conv", features)


def test_what_rebuilds_or_edits_refuses_them(network):
    tap = network[1].activations("conv@kidney")
    for method in (dictionary_report, edit_success):
        with pytest.raises(InputError, match="rebuild nothing"):
            method(tap)


def test_the_command_line_imports_them(network, tmp_path, capsys):
    given = ["features", "import", str(network[0] / "kidney.pt"), "--epsilon", "1e-3"]
    Workspace.create(tmp_path / "w")
    assert main([*given, "--workspace", str(tmp_path / "w")]) == 0
    assert Workspace.open(tmp_path / "w").features.open("kidney").epsilon == 1e-3
    assert "6 features of 5 units" in capsys.readouterr().out


def test_broken_prototypes_are_named(network):
    whole = prototype_hygiene(
        network[1].activations("conv@kidney"), PrototypeHygieneParams(strongest=5)
    ).columns
    whole = {name: column[np.argsort(whole["prototype"])] for name, column in whole.items()}
    assert list(whole["looks like"][:2]) == ["img_0, patch (1, 2)", "img_1, patch (1, 2)"]
    made, of, _ = planted_prototypes(np.random.default_rng(2), spoilt=True)
    c = hygiene_of(made, PrototypeHygieneParams(), np.random.default_rng(0)).columns
    assert dict(zip(c["prototype"], c["verdict"], strict=True)) == {
        "0": "duplicate of 1", "1": "duplicate of 0", "2": "never fires", "3": "fine", "4": "fine", "5": "fires on 2"
    }  # fmt: skip
    assert list(c["verdict"][-2:]) == ["fine", "fine"]
    said = np.array([0, 0, 1, 1, 2, 0])[c["prototype"].astype(int)]
    np.testing.assert_allclose(c["by chance"], [(of == o).mean() for o in said], atol=1e-12)
    assert (c["low"] <= c["purity"]).all()
    assert (c["purity"] <= c["high"]).all()


def test_two_prototypes_of_one_direction_and_two_lengths_are_no_duplicates():
    made, _, _ = planted_prototypes(np.random.default_rng(0))
    longer = made.features.directions.copy()
    longer[1] = 2 * longer[0]
    features = type(made.features)(**{**_parts(made.features), "decoder": longer, "encoder": longer.T})
    c = hygiene_of(TapDictionary(made.codes, made.source, features, False), PrototypeHygieneParams(),
                   np.random.default_rng(0)).columns  # fmt: skip
    assert c["verdict"][list(c["prototype"]).index("0")] == "direction of 1, other length"


def _parts(features):
    return {n: getattr(features, n) for n in features.__dataclass_fields__}


def test_labels_that_say_nothing_of_the_classes_leave_purity_open():
    made, _, _ = planted_prototypes(np.random.default_rng(0))
    other = type(made.codes)(made.codes.values, "c", {"label": np.repeat(["x", "y"], 30)},
                             Layout(made.codes.layout.offsets), made.codes.unit_names)  # fmt: skip
    made = TapDictionary(other, made.source, made.features, False)
    c = hygiene_of(made, PrototypeHygieneParams(), np.random.default_rng(0))
    assert np.isnan(c.columns["purity"]).all()
    assert any("which is which is not known" in note for note in c.caveats)
    assert ledger_of(made, PrototypeLedgerParams(), np.random.default_rng(0)).estimates
    with pytest.raises(LoupeError):
        ledger_of(made, PrototypeLedgerParams(for_class="1", against="1"), np.random.default_rng(0))
