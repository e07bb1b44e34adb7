"""Classical dictionaries as feature sets: each against another implementation or a closed form, on rows that it has not
seen, and what goes wrong is said."""

from __future__ import annotations

import json

import numpy as np
import pytest
from classical_subjects import D, lines, parts, rows, seen, stored

from analysis.errors import (
    Cancelled,
    InputError,
    LoupeError,
    NotEnoughData,
    NotFound,
)
from analysis.features.classical import CLASSICAL, cumulants
from analysis.features.classical.cumulants import beyond_gaussian, paired, powers
from analysis.features.classical.making import make
from analysis.features.classical.non_gaussian import (
    GAUSSIAN_LOG_COSH,
    KURTOSIS,
    LOG_COSH,
    departures,
    log_cosh,
)
from analysis.features.row_stream import held_out_rows
from analysis.jobs.handlers import HANDLERS
from analysis.spec import no_progress, params_of
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard.cli import main


# ---------------------------------------------------------------------- ICA and fourth cumulants
def sources(n=2500, seed=0):
    """(mixing, rows): three independent sources, skewed, heavy-tailed and flat, and two Gaussian ones, in D units."""
    rng = np.random.default_rng(seed)
    s = np.stack([rng.exponential(size=n) - 1, rng.laplace(size=n), rng.uniform(-1, 1, n),
                  *rng.standard_normal((2, n))], axis=1)  # fmt: skip
    s /= s.std(axis=0)
    mixing = rng.standard_normal((5, D))
    return mixing, s @ mixing + 5


def test_ica_finds_planted_sources_and_names_components_that_are_gaussian(tmp_path):
    from sklearn.decomposition import FastICA

    mixing, x = sources()
    store = stored(tmp_path, x)
    found, (own, _) = make(store, "x", "ica", {"components": 5}), seen(store)
    unit = mixing / np.linalg.norm(mixing, axis=1, keepdims=True)
    assert np.abs(lines(found.decoder) @ unit[:3].T).max(axis=0).min() > 0.995
    skewed = np.abs(lines(found.decoder) @ unit[0]).argmax()
    assert lines(found.decoder)[skewed] @ unit[0] > 0  # the sign of its long tail
    assert any("arbitrary direction: 3, 4." in line for line in found.about["caveats"])
    other = FastICA(5, fun="logcosh", whiten="unit-variance", random_state=0, tol=1e-7, max_iter=1000).fit(
        own
    )
    cosines = np.abs(lines(found.decoder) @ lines(other.mixing_.T).T)
    assert np.sort(cosines.max(axis=1))[-3:].min() > 0.999
    codes = found.encode(own.astype(np.float32))
    np.testing.assert_allclose(np.cov(codes.T, bias=True), np.eye(5), atol=5e-3)
    departure = np.abs(log_cosh(codes).mean(axis=0) - GAUSSIAN_LOG_COSH)
    assert (np.diff(departure) < 1e-6).all()


@pytest.mark.parametrize("kind", ["ica", "cumulants"])
def test_gaussian_rows_have_no_non_gaussian_directions(tmp_path, kind):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2000, D)) @ rng.standard_normal((D, D))
    with pytest.raises(InputError, match=r"none"):
        make(stored(tmp_path, x), "x", kind, {"components": 4})


def test_a_departure_from_gaussian_has_the_error_that_it_says():
    """Over many draws z has the spread of 1, also where the rows of a sample are alike."""
    rng, samples = np.random.default_rng(0), np.repeat(np.arange(400), 5)
    for by in (LOG_COSH, KURTOSIS):
        y = rng.standard_normal((400, 300)).repeat(5, axis=0)
        y = 0.8 * y + 0.6 * rng.standard_normal(y.shape)
        found = departures(y, samples, by)
        assert 0.8 < (found.value / found.error).std() < 1.25
        assert found.beyond.mean() < 0.05
    few = departures(rng.standard_normal((8, 2)), np.arange(8), LOG_COSH)
    assert not few.known
    assert not few.beyond.any()


@pytest.mark.parametrize(("r", "rank"), [(5, 3), (5, 8)])
def test_planted_powers_come_back_up_to_sign_and_order(r, rank):
    """Exactly, also where there are more than dimensions; the rank is that of the flattening."""
    rng = np.random.default_rng(rank)
    a = rng.standard_normal((rank, r))
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    w = np.where(rng.random(rank) < 0.5, -1, 1) * rng.uniform(1, 3, rank)
    tensor = np.einsum("i,ij,ik->jk", w, paired(a), paired(a))
    found, weights, inside = powers(tensor, rank, rng)
    cosines = np.abs(found @ a.T)
    np.testing.assert_allclose(cosines.max(axis=1), 1, atol=1e-6)
    assert sorted(cosines.argmax(axis=1)) == list(range(rank))
    np.testing.assert_allclose(weights, w[cosines.argmax(axis=1)], rtol=1e-4)
    np.testing.assert_allclose(inside, 1, atol=1e-8)


def test_the_flattening_has_the_rank_of_the_sum_up_to_its_size():
    rng = np.random.default_rng(0)
    for terms, rank in ((10, 10), (16, 15), (20, 15)):
        squares = paired(rng.standard_normal((terms, 5)))
        assert np.linalg.matrix_rank(squares.T @ squares) == rank


def test_cumulants_over_pairs_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    y = rng.exponential(size=(50, 3))
    y = np.linalg.qr(y - y.mean(axis=0))[0] * np.sqrt(50)
    eye = np.eye(3)
    full = np.einsum("ni,nj,nk,nl->ijkl", y, y, y, y) / 50
    full -= sum(np.einsum(f"{a},{b}->ijkl", eye, eye) for a, b in (("ij", "kl"), ("ik", "jl"), ("il", "jk")))
    squares = paired(y)
    found = beyond_gaussian(squares.T @ squares / 50)
    a, b = rng.standard_normal((2, 3))
    both = paired(a[None])[0] @ found @ paired(b[None])[0]
    assert both == pytest.approx(np.einsum("ijkl,i,j,k,l", full, a, a, b, b), rel=1e-9)


@pytest.mark.parametrize(("most", "least"), [(10_000, 0.025), (200, 0.01)])  # drawn as it is; from fewer rows
def test_one_in_twenty_gaussian_data_sets_is_given_a_rank(monkeypatch, most, least):
    """Over edges of many seeds, against cumulants of data whitened and multiplied here."""
    monkeypatch.setattr(cumulants, "NULL_ROWS", most)
    rng, own = np.random.default_rng(0), []
    for _ in range(400):
        y = rng.standard_normal((600, 3)) @ rng.standard_normal((3, 3))
        y -= y.mean(axis=0)
        y = y @ np.linalg.inv(np.linalg.cholesky(y.T @ y / 600)).T
        own.append(np.abs(np.linalg.eigvalsh(beyond_gaussian(paired(y).T @ paired(y) / 600))).max())
    edges = np.array([cumulants.gaussian_edge(600, 3, rng) for _ in range(15)])
    assert least < (np.array(own)[:, None] > edges).mean() < 0.08


def test_fourth_order_directions_of_rows_are_the_sources(tmp_path):
    mixing, x = sources(6000)
    found = make(stored(tmp_path, x), "x", "cumulants", {"dimensions": 5, "components": 3})
    unit = mixing / np.linalg.norm(mixing, axis=1, keepdims=True)
    cosines = np.abs(lines(found.decoder) @ unit.T)
    assert cosines.max(axis=1).min() > 0.95
    assert sorted(cosines.argmax(axis=1)) == [0, 1, 2]
    assert found.about["components"]["weight"][0] == pytest.approx(6, abs=2)  # an exponential's


# ---------------------------------------------------------------------- of every kind
ROWS = [
    kind for kind in CLASSICAL if kind.name not in ("cp", "tucker")
]  # those need whole samples with tokens
GIVEN = {"contrastive": {"background": "label=b"}, "control": {"control": "label=b"}}
SMALL = {"maximum_rows": 100, "starts": 1}


@pytest.fixture(scope="module")
def holes(tmp_path_factory):
    """A store with two rows of NaN, one with infinity, and a unit that does not vary."""
    x = np.abs(parts(300)[1].astype(np.float32))
    x[:, 3] = 7
    x[[5, 90]] = np.nan
    x[200, 1] = np.inf
    return stored(tmp_path_factory.mktemp("holes"), x, labels=["a", "b", "b"] * 100)


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.name)
def test_gaps_and_constant_units_are_taken_and_said(holes, kind):
    store = holes
    known = {p.name for p in params_of(kind.params)}
    asked = {**GIVEN.get(kind.name, {}), **{k: v for k, v in SMALL.items() if k in known}}
    if "components" in known:
        asked["components"] = 3
    found, again = (make(store, "x", kind.name, asked, seed=1) for _ in range(2))
    assert found.digest == again.digest
    about = found.about
    assert json.loads(json.dumps(about)) == about
    assert (about["architecture"], about["seed"], about["tap"]) == (kind.name, 1, "x")
    lost = about["rows"]["not_finite"]
    assert any(f"{lost} rows hold NaN" in line for line in about["caveats"]) == bool(lost)
    if "maximum_rows" not in known:
        held = held_out_rows(store.activations("x"), 0.1, 1)[0]
        assert lost == 3 - held[[5, 90, 200]].sum()
        assert about["rows"]["trained_on"] == 270 - lost
    elif kind.name != "control":
        assert about["rows"]["trained_on"] + lost == 100
        assert any("random 100 of 270" in line for line in about["caveats"])
    assert set(map(len, about["components"].values())) <= {found.n_features}
    assert 0 < about["held_out"]["explained_variance"] <= 1 or kind.name in ("random", "supervised")
    assert np.isfinite(found.encode(store.activations("x").take([0]))).all()


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.name)
def test_the_bar_rises_to_the_end_and_stops_the_work(tmp_path, kind):
    store, seen = stored(tmp_path, parts(300)[1], labels=["a", "b", "b"] * 100), []
    asked = {"components": 3} if "components" in {p.name for p in params_of(kind.params)} else {}
    asked |= GIVEN.get(kind.name, {})
    make(store, "x", kind.name, asked, progress=lambda share, doing: seen.append(share))
    assert seen == sorted(seen)
    assert seen[-1] == 1

    def stop(share, doing):
        if share >= seen[len(seen) // 2]:
            raise Cancelled

    with pytest.raises(Cancelled):
        make(store, "x", kind.name, asked, progress=stop)


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.name)
def test_too_little_is_refused_in_words(tmp_path, kind):
    few = write_store(tmp_path / "f", name="f", taps={"x": rows(5)}, labels=["a", "b", "b", "a", "a"])
    with pytest.raises((NotEnoughData, NotFound)):
        make(few, "x", kind.name, GIVEN.get(kind.name))
    flat = stored(tmp_path, np.zeros((60, D), np.float32), labels=["a", "b", "b"] * 20)
    if kind.name in ("kmeans", "random"):
        assert make(flat, "x", kind.name).about["held_out"]["explained_variance"] is None
    else:
        with pytest.raises(LoupeError):
            make(flat, "x", kind.name, {**GIVEN.get(kind.name, {})})
    if kind.name in ("nmf", "semi_nmf", "ica", "kmeans", "convex", "sparse_coding"):
        small = write_store(tmp_path / "g", name="g", taps={"x": np.abs(rows(30))})
        with pytest.raises(NotEnoughData, match="500 components from 27 rows"):
            make(small, "x", kind.name, {"components": 500})


def test_a_job_makes_one_and_the_command_line_too(tmp_path, capsys):
    workspace = Workspace.create(tmp_path / "w")
    write_store(workspace.path / "stores" / "net", name="net", taps={"x": rows()})
    asked = {"input": "net:x", "kind": "pca", "name": "axes", "params": {"components": 2}}
    assert HANDLERS["make_features"](workspace.path, asked, no_progress) == {"features": "axes"}
    assert workspace.encode("net:x", "axes") == "net:x@axes"
    with pytest.raises(InputError, match="encoded by a feature set"):
        make(workspace.store("net"), "x@axes", "pca")
    with pytest.raises(InputError, match="already"):
        HANDLERS["make_features"](workspace.path, asked, no_progress)
    at = ["--workspace", str(workspace.path)]
    given = ["features", "make", "net:x", "pca", "--name", "two", "--set", "components=3", "--json", *at]
    assert main(given) == 0
    assert json.loads(capsys.readouterr().out)["n_features"] == 3
    assert workspace.features.open("two").about["parameters"] == {"components": 3}
    assert main(["features", "make", "net:x", "magic", *at]) == 1
    assert "one of pca" in capsys.readouterr().err
    assert main(["features", "make", "net:x", "pca", "--set", "components=0", *at]) == 2
