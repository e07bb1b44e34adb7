"""Few-shot encoders in float64 on handwritten characters: one-shot recognition from the recorded vectors.

All encoders that are there and the first of the two archives, 400 episodes of 20 characters with one drawing to know
and one to recognise each.
"""

import zipfile

import numpy as np
import pytest
from recorded import recorded, rows

from analysis.methods.rank.rank_dossier import rank_dossier
from analysis.methods.similarity.cka import CkaParams, cka
from analysis.methods.subspaces.average_subspace import AverageSubspaceParams, average_subspace
from analysis.methods.subspaces.subspace_distances import SubspaceDistancesParams, subspace_distances
from analysis.sources.data import open_data

MATCHING = "matching_nets_omniglot_n=1_k=5_q=15_nv={}_dist={}_fce=False.pth"
PROTO, L2, COSINE = (
    (0.90, 0.96),
    (0.88, 0.92),
    (0.71, 0.78),
)  # share recognised, widened by the noise of 400 x 20 guesses
ENCODERS = {
    "proto_nets_omniglot_nt=1_kt=60_qt=5_nv=1_kv=20_qv=1.pth": PROTO,
    MATCHING.format("1_kv=20_qv=1", "l2"): L2,
    MATCHING.format("1_kv=20_qv=1", "cosine"): COSINE,
    "proto_nets_omniglot_nt=1_kt=60_qt=5_nv=1_kv=5_qv=1.pth": PROTO,
    "proto_nets_omniglot_nt=1_kt=60_qt=5_nv=5_kv=5_qv=1.pth": PROTO,
    "proto_nets_omniglot_nt=5_kt=60_qt=5_nv=5_kv=20_qv=1.pth": PROTO,
    MATCHING.format("5_kv=5_qv=1", "l2"): L2,
    MATCHING.format("5_kv=5_qv=1", "cosine"): COSINE,
}
VECTOR = "16"  # flattened, 64 units


@pytest.fixture(scope="module")
def characters(real, tmp_path_factory):
    folder = tmp_path_factory.mktemp("omniglot")
    with zipfile.ZipFile(real / "omniglot" / "images_background_small1.zip") as archive:
        archive.extractall(folder)
    return open_data(folder / "images_background_small1", kind="image", label="parent")


@pytest.fixture(scope="module")
def stores(real, characters, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return [
        recorded(
            real / "omniglot" / "encoders" / name, "OmniglotEncoder", characters, folder / str(i), taps=VECTOR,
            dtype="float32",
        )
        for i, name in enumerate(ENCODERS)
    ]  # fmt: skip


def one_shot(vectors: np.ndarray, kinds: np.ndarray, episodes: int = 400) -> float:
    """Share of drawings whose nearest known drawing (Euclidean) is of the same character."""
    rng, right = np.random.default_rng(0), 0
    members = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds)]
    for _ in range(episodes):
        pairs = [
            rng.choice(members[i], 2, replace=False) for i in rng.choice(len(members), 20, replace=False)
        ]
        known, asked = (vectors[[p[k] for p in pairs]] for k in (0, 1))
        right += (((asked[:, None] - known[None]) ** 2).sum(-1).argmin(1) == np.arange(20)).sum()
    return right / (20 * episodes)


def test_2720_drawings_of_136_characters(characters):
    assert len(characters) == 2720


@pytest.mark.parametrize("which", range(len(ENCODERS)))
def test_one_shot_recognition(stores, which):
    low, high = list(ENCODERS.values())[which]
    folders = np.array([i.rpartition("/")[0] for i in stores[which].samples["id"]])
    assert len(set(folders)) == 136
    assert low <= one_shot(rows(stores[which], VECTOR), folders) <= high


def test_the_training_objective_and_not_the_seed_separates_the_encoders(stores):
    """CKA of all eight on the drawings, by the biased estimate as published."""
    found = cka(*(s.activations(VECTOR) for s in stores), params=CkaParams(estimator="biased")).values
    kinds = {PROTO: "p", L2: "l", COSINE: "c"}
    of = np.array([kinds[limits] for limits in ENCODERS.values()])
    i, j = np.triu_indices(8, 1)
    pair = np.array(["".join(sorted(of[a] + of[b])) for a, b in zip(i, j, strict=True)])
    for which, low, high in (
        ("pp", 0.905, 0.931),
        ("lp", 0.866, 0.907),
        ("ll", 0.901, 0.901),
        ("cc", 0.941, 0.941),
    ):
        values = found[i, j][pair == which]
        assert values.min() == pytest.approx(low, abs=0.0006)
        assert values.max() == pytest.approx(high, abs=0.0006)
    others = found[i, j][(pair == "cp") | (pair == "cl")]
    assert (others.min(), others.max()) == (
        pytest.approx(0.594, abs=0.0006),
        pytest.approx(0.671, abs=0.0006),
    )


def test_double_precision_weights_stay_double(stores):
    assert stores[0].manifest["settings"]["parameter_dtype"] == "float64"


def test_encoders_trained_with_cosines_use_half_of_the_units_and_are_the_odd_ones_out(stores):
    """As subspaces of samples, averaged: the two lie together, and far from the other six; the rest is of full rank."""
    taps = [s.activations(VECTOR) for s in stores]
    odd = np.array([limits == COSINE for limits in ENCODERS.values()])
    found = average_subspace(*taps, params=AverageSubspaceParams(space="samples", dimension=1))
    assert ((found.columns["outlier"] != "") == odd).all()
    overlaps = subspace_distances(*taps, params=SubspaceDistancesParams(space="samples", dimension=1)).values
    assert overlaps[np.ix_(~odd, ~odd)].min() == pytest.approx(0.856, abs=0.005)
    assert overlaps[np.ix_(odd, ~odd)].max() == pytest.approx(0.784, abs=0.005)
    assert overlaps[2, 7] == pytest.approx(0.964, abs=0.005)
    ranks = np.array(
        [dict(zip(*map(rank_dossier(t).columns.get, ("notion", "value")), strict=True)) for t in taps]
    )
    whole = np.array([r["numerical rank"] for r in ranks])
    assert (whole[~odd] == 64).all()
    assert whole[odd].tolist() == [30, 28]
    spread = np.array([r["participation ratio"] for r in ranks])
    assert spread[odd].max() < 5
    assert spread[~odd].min() > 10
