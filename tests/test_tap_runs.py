"""Networks of the sample workspace run from their input to a tap: what the store kept is found again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.attribution.one_sample.tap_vector import TapVector
from analysis.attribution.tap_runs import tap_runs
from analysis.methods.attribution.sample_attribution import SampleAttributionParams, sample_attribution
from analysis.methods.attribution.similar_heat import SimilarHeatParams, similar_heat
from analysis.store.reader import Store

pytest.importorskip("transformers")
STORES = Path(__file__).parent.parent / "sample_data" / "workspace" / "stores"


def tap(store: str, name: str):
    return Store.open(STORES / store).activations(name)


@pytest.mark.parametrize(
    ("store", "name", "skip", "site"),
    [
        ("digits-vit", "vit.layers.2", 1, "input"),  # its mean leaves the class token out
        ("digits-resnet", "resnet.encoder.stages.1", 0, "input"),
        ("python-gpt", "transformer.h.1", 0, "transformer.wte"),
    ],
)
def test_what_a_store_kept_follows_from_the_input(store, name, skip, site):
    runs = tap_runs(tap(store, name))
    run = runs.run(3)
    vector = runs.vector(run, 3)
    assert runs.is_network
    assert (run.site, vector.skip, vector.position) == (site, skip, None)
    found = run.values(run.clean[None], vector)[0].double().numpy()
    kept = runs.rows(3).mean(axis=0)
    np.testing.assert_allclose(found, kept, atol=5e-3 * np.abs(kept).max())


def test_a_tap_that_is_no_module_is_read_as_it_is_and_why_is_said():
    found = tap_runs(tap("digits-vit", "outputs.logits"))
    assert not found.is_network
    assert any("no module 'outputs.logits'" in said for said in found.notes)
    assert isinstance(found.vector(found.run(3), 3), TapVector)


def test_two_samples_and_one_are_explained_from_their_pictures():
    vit = tap("digits-vit", "vit.layers.2")
    heat = similar_heat(vit, SimilarHeatParams(first=3, second=5, size=2, null_samples=19, fill_samples=3))
    assert (heat.values.shape, heat.grid) == ((2, 16), (4, 4))
    assert any("34 passes" in said for said in heat.caveats)
    asked = {
        "number": "distance to a class mean",
        "site": "the network's input",
        "players": "patches",
        "size": 4,
    }
    found = sample_attribution(
        vit,
        SampleAttributionParams(
            sample=3, way="Shapley values", null_samples=2, background_samples=3, **asked
        ),
    )
    assert found.names == ("row 1, column 1", "row 1, column 2", "row 2, column 1", "row 2, column 2")
    assert found.residual == pytest.approx(0, abs=1e-6)
    means = np.asarray(vit.take(np.arange(vit.shape[0])), np.float64)
    label = np.asarray(vit.samples["label"])
    own = means[(label == label[3]) & (np.arange(len(label)) != 3)].mean(axis=0)
    assert found.end == pytest.approx(np.linalg.norm(means[3] - own), rel=1e-2)
