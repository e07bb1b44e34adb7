"""Networks of other people from descriptions, without any code: the published numbers, and attribution in them."""

import numpy as np
import pytest
from declared import beside, california, characters, fashion, signals
from networks import OmniglotEncoder
from recorded import rows
from test_omniglot import one_shot

from analysis.attribution.targets import LOGIT
from analysis.methods.attribution.sample_attribution import SampleAttributionParams, sample_attribution
from analysis.recording.recorder import record
from analysis.sources.checkpoint import open_checkpoint
from analysis.sources.data import open_data

ENCODERS = (
    ("proto_nets_omniglot_nt=1_kt=60_qt=5_nv=1_kv=20_qv=1.pth", ""),
    ("matching_nets_omniglot_n=1_k=5_q=15_nv=1_kv=20_qv=1_dist=cosine_fce=False.pth", "encoder."),
)


def stored(path, data, directory, **options):
    return record(open_checkpoint(path, allow_code=False), data, directory, name=directory.name,
                  **{"dtype": "float32", **options})  # fmt: skip


def explained(tap, **more):
    """The ledger of one sample's answer, from the network itself."""
    asked = SampleAttributionParams(null_samples=3, background_samples=4, **more)
    found = sample_attribution(tap, asked)
    assert any("Explained is the network (DeclaredNetwork)" in c for c in found.caveats)
    return found


@pytest.fixture(scope="module")
def clothes(real):
    return open_data(real / "fashion" / "fashion_mnist_test.npz")


@pytest.mark.parametrize(("name", "share"), [("fashion_mnist", 0.7827), ("mnist", 0.1261)])
def test_fashion(real, clothes, tmp_path, name, share):
    path = beside(tmp_path / name, real / "fashion" / f"{name}.pth", fashion(clothes.classes))
    store = stored(path, clothes, tmp_path / "s", taps=["6"], batch=500)
    assert store.samples["correct"].mean() == pytest.approx(share, abs=1e-9)
    assert store.index("6").table()["dead"].sum() == 90
    found = explained(store.activations("6"))
    assert abs(found.residual) < 0.02 * abs(found.end - found.start)
    alive = ~store.index("6").table()["dead"]
    assert np.abs(found.values[:100][~alive]).max() < 1e-6
    assert np.abs(found.values[:100][alive]).max() > 0.1


def test_california(real, tmp_path):
    path = beside(tmp_path / "net", real / "tabular" / "california_model.pt", california())
    data = open_data(real / "tabular" / "california_housing.csv", label="median_house_value", missing="drop")
    assert len(data) == 20_433
    store = stored(path, data, tmp_path / "s", batch=1000)
    predicted, target = store.samples["predicted"], store.samples["target"] / 1e5
    for chosen, n, error, r in ((slice(0, 594), 594, 0.939, 0.526), (slice(None), 20_433, 0.990, 0.520)):
        p, t = predicted[chosen], target[chosen]
        assert len(p) == n
        assert np.sqrt(np.mean((p - t) ** 2)) == pytest.approx(error, abs=0.0006)
        assert np.corrcoef(p, t)[0, 1] == pytest.approx(r, abs=0.0006)
    found = explained(store.activations("relu3"), number=LOGIT)
    assert found.end == pytest.approx(float(predicted[0]), abs=1e-5)
    assert abs(found.residual) < 1e-5  # what follows the last ReLU is linear


def test_signals(real, tmp_path):
    data = open_data(real / "rf_sae" / "rf_test_iq.npz")
    path = beside(tmp_path / "net", real / "rf_sae" / "seed_0" / "classifier.pt", signals(data.classes))
    store = stored(path, data, tmp_path / "s", taps=["features.12"], batch=66)
    assert store.samples["correct"].mean() == pytest.approx(0.9773, abs=0.00005)
    assert store.index("features.12").table()["dead"].sum() == 40


@pytest.mark.parametrize(("name", "prefix"), ENCODERS)
def test_characters_give_the_bits_of_the_factory(real, tmp_path, name, prefix):
    """Float64, from pictures of another size, with the range of each picture."""
    import io
    import zipfile

    from PIL import Image

    with zipfile.ZipFile(real / "omniglot" / "images_background_small1.zip") as archive:
        names = [n for n in archive.namelist() if n.endswith(".png")][::340]
        pictures = [Image.open(io.BytesIO(archive.read(n))) for n in names]
    source = real / "omniglot" / "encoders" / name
    loaded = open_checkpoint(beside(tmp_path, source, characters(prefix))).load()
    own = open_checkpoint(source, model="networks:OmniglotEncoder").load()
    assert isinstance(own.module, OmniglotEncoder)
    x = loaded.prepare(pictures)
    assert (x == own.prepare(pictures)).all()
    out = loaded.forward(x)
    assert (out.logits == own.forward(x).logits).all()
    assert out.logits.double().equal(out.logits)
    assert out.predicted is None  # an encoder has no classes
    assert len(pictures) == 8


def test_characters_of_one_kind_are_near(real, tmp_path):
    """Recorded through the store: 20-way one-shot recognition as published."""
    import zipfile

    with zipfile.ZipFile(real / "omniglot" / "images_background_small1.zip") as archive:
        archive.extractall(tmp_path)
    data = open_data(tmp_path / "images_background_small1", kind="image", label="parent")
    path = beside(tmp_path / "net", real / "omniglot" / "encoders" / ENCODERS[0][0], characters(""))
    store = stored(path, data, tmp_path / "s", taps=["16"], batch=100)
    kinds = np.array([i.rpartition("/")[0] for i in store.samples["id"]])
    assert 0.90 <= one_shot(rows(store, "16"), kinds) <= 0.96
    assert "predicted" not in store.samples
