"""A weak regression network on California housing: root mean squared error from the recorded predictions."""

import csv

import numpy as np
import pytest
from recorded import recorded

from analysis.sources.data import open_data

COLUMNS = ("income", "age", "rooms", "bedrooms", "population", "people", "latitude", "longitude")


@pytest.fixture(scope="module")
def table(real, tmp_path_factory):
    """The network's eight inputs from the published columns; rows with missing values left out, their number kept."""
    path = tmp_path_factory.mktemp("housing") / "inputs.csv"
    with open(real / "tabular" / "california_housing.csv") as f, open(path, "w") as out:
        out.write(",".join((*COLUMNS, "target", "row")) + "\n")
        for number, r in enumerate(csv.DictReader(f)):
            if not r["total_bedrooms"]:
                continue
            v = {k: float(x) for k, x in r.items() if k != "ocean_proximity"}
            homes = v["households"]
            inputs = (
                v["median_income"], v["housing_median_age"], v["total_rooms"] / homes, v["total_bedrooms"] / homes,
                v["population"], v["population"] / homes, v["latitude"], v["longitude"],
            )  # fmt: skip
            out.write(",".join(map(repr, (*inputs, v["median_house_value"] / 1e5, number))) + "\n")
    return open_data(path, columns=COLUMNS, label="target", id="row")


@pytest.fixture(scope="module")
def store(real, table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("housing-store")
    return recorded(real / "tabular" / "california_model.pt", "HousingMlp", table, folder / "s", batch=1000)


def test_error_and_correlation(store):
    predicted, target = store.samples["predicted"], store.samples["target"]
    rows = store.samples["id"].astype(float).astype(int)
    assert len(rows) == 20_433
    for chosen, error, r in ((rows < 600, 0.939, 0.526), (rows >= 0, 0.990, 0.520)):
        assert np.sqrt(np.mean((predicted - target)[chosen] ** 2)) == pytest.approx(error, abs=0.0006)
        assert np.corrcoef(predicted[chosen], target[chosen])[0, 1] == pytest.approx(r, abs=0.0006)
    assert (rows < 600).sum() == 594


def test_a_shared_activation_says_which_call_was_taken(store):
    assert any("relu: called 3 times" in note for note in store.manifest["settings"]["notes"])
    assert store.activations("relu").shape == (20_433, 10)  # the third call
