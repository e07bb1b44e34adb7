"""A network on California housing, opened from a description: what its price owes to the eight columns it is given."""

import json
import shutil
from math import comb

import numpy as np
import pytest
import torch

from analysis.attribution import targets
from analysis.attribution.tap_runs import tap_runs
from analysis.attribution.units.explained_units import CONDITIONAL, INPUT_COLUMNS
from analysis.methods.attribution.attribution_beeswarm import AttributionBeeswarmParams, attribution_beeswarm
from analysis.methods.attribution.attribution_dependence import (
    AttributionDependenceParams,
    attribution_dependence,
)
from analysis.methods.attribution.global_attribution import GlobalAttributionParams, global_attribution
from analysis.methods.attribution.interaction_matrix import InteractionMatrixParams, interaction_matrix
from analysis.methods.attribution.sample_attribution import SampleAttributionParams, sample_attribution
from analysis.recording.recorder import record
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data

NAMES = ("median_income", "housing_median_age", "total_rooms/household", "total_bedrooms/household", "population",
         "population/household", "latitude", "longitude")  # fmt: skip
SIZES = (8, 100, 50, 10, 1)
COLUMNS = ["median_income", "housing_median_age", "total_rooms", "total_bedrooms", "population", "households",
           "latitude", "longitude"]  # fmt: skip
FEW = {"players": INPUT_COLUMNS, "maximum_samples": 100, "background_samples": 30}


def described(folder, weights):
    """The network and its description in one folder."""
    shutil.copy(weights, folder / "net.pt")
    columns = [{"name": n, "ratio": [n.split("/")[0], "households"]} if "/" in n else n for n in NAMES]
    layers = []
    for i in range(4):
        sizes = {"in_features": SIZES[i], "out_features": SIZES[i + 1]}
        layers.append({"name": f"lin{i + 1}", "type": "Linear", "args": sizes})
        layers += [{"name": f"relu{i + 1}", "type": "ReLU"}] if i < 3 else []
    said = {
        "format": "feature-loupe-network", "version": 1, "weights": "net.pt", "layers": layers, "modality": "table",
        "input": {"columns": columns}, "output": {"name": "price", "unit": "100,000 dollars"},
    }  # fmt: skip
    (folder / "network.json").write_text(json.dumps(said))
    return open_checkpoint(folder)


@pytest.fixture(scope="module")
def tap(real, tmp_path_factory):
    folder = tmp_path_factory.mktemp("housing-described")
    lines = (real / "tabular" / "california_housing.csv").read_text().splitlines()
    (folder / "some.csv").write_text("\n".join(lines[:1] + lines[1::40]) + "\n")
    data = open_data(folder / "some.csv", columns=COLUMNS, label="none", missing="drop")
    return record(described(folder, real / "tabular" / "california_model.pt"), data, folder / "s", name="s",
                  taps=["relu1"]).activations("relu1")  # fmt: skip


def test_all_columns_are_ranked_exactly_and_add_up(tap):
    table = global_attribution(tap, GlobalAttributionParams(**FEW))
    found = table.columns
    assert set(found["unit"]) == set(NAMES)
    told = {e.name: e for e in table.estimates}
    assert told["residual of the sum"].value < 1e-5
    assert told["sampling error"].value == 0  # all 256 coalitions
    assert "price" in table.title
    assert found["unit"][found["rank"].argmin()] == "median_income"
    assert table.reading.count("median_income") >= 1
    assert (found["rank, low"] <= found["rank"]).all()
    assert (found["rank"] <= found["rank, high"]).all()
    other = global_attribution(tap, GlobalAttributionParams(**FEW, absent=CONDITIONAL))
    line = {name: i for i, name in enumerate(found["unit"])}
    moved = np.abs(other.columns["size"] - found["size"]) / found["size"].sum()
    assert moved[[line["latitude"], line["longitude"]]].max() > 0.02  # these two tell of each other


def test_the_ledger_of_one_district_is_the_sum_of_its_columns_over_every_order(tap):
    """Against all 256 coalitions, asked one by one of the network and weighed by Shapley's formula."""
    few = SampleAttributionParams(
        sample=3, players="columns", site="the network's input", way="Shapley values", number="logit",
        background_samples=12, background="samples", null_samples=3,
    )  # fmt: skip
    found = sample_attribution(tap, few)
    assert found.names == NAMES
    assert abs(found.residual) < 1e-5 * abs(found.end - found.start)
    assert found.value_name.startswith("price")
    runs = tap_runs(tap)
    x, target = runs.run(3).clean.numpy(), targets.logit_target(runs.run(3).logits)
    rng, n = np.random.default_rng(0), tap.layout.n_samples
    others = rng.permutation(np.delete(np.arange(n), 3))[:12]
    behind = np.stack([runs.run(int(i)).clean.numpy() for i in np.sort(others)])
    masks = (np.arange(256)[:, None] >> np.arange(8)) & 1 == 1
    mixed = np.where(masks[:, None, None, :], x, behind[None])
    asked = torch.as_tensor(mixed.reshape(-1, *x.shape))
    v = runs.run(3).values(asked, target).double().numpy().reshape(256, 12).mean(axis=1)
    for j in range(8):
        without = np.flatnonzero(~masks[:, j])
        weights = 1 / (8 * np.array([comb(7, int(masks[s].sum())) for s in without]))
        known = (weights * (v[without | (1 << j)] - v[without])).sum()
        assert found.values[j] == pytest.approx(known, abs=1e-4)


def test_pictures_of_the_same_parts(tap):
    swarm = attribution_beeswarm(tap, AttributionBeeswarmParams(**FEW, shown=8))
    assert len(swarm.positions) == 800
    one = attribution_dependence(tap, AttributionDependenceParams(**FEW, unit=0))
    assert one.axes[0] == "median_income"
    income = swarm.columns["unit"] == "median_income"
    np.testing.assert_allclose(swarm.positions[income, 0], one.positions[:, 1])
    assert one.estimates[0].value > 0.7  # the richer, the dearer
    pairs = interaction_matrix(tap, InteractionMatrixParams(**FEW, samples_asked=30))
    assert pairs.row_names == NAMES
    assert 0 < pairs.estimates[0].value < 1
    assert pairs.null.max() < 1e-3
