"""The feature index as a reader sees it, against NumPy on the whole array."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.activations import Activations, row_column
from analysis.errors import NotFound, ParameterError
from analysis.store import correlation, index_files, manifest, sampling, stored_activations
from analysis.store.bands import make_bands
from analysis.store.from_arrays import write_store
from analysis.store.reader import Store
from analysis.store.rebuilding import rebuild_index, summarise_tap


@pytest.fixture(scope="module")
def planted():
    """9,000 samples: signed units, a rectified one, one far from zero, a dead one, planted pairs, classes."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(9000, 24)).astype(np.float32)
    labels = rng.integers(0, 4, 9000)
    x[:, 1] = np.maximum(x[:, 1] - 1.5, 0)
    x[:, 2] = 1000 + x[:, 2]
    x[:, 3] = 0
    x[:, 4] = 0.8 * x[:, 5] + 0.6 * x[:, 4]  # r = 0.8
    x[:, 6] += 3 * (labels == 2)
    x[:3, 7] = [np.nan, np.inf, -np.inf]
    x[10, 8] = 1e4  # one outlier
    other = rng.normal(size=(9000, 6)).astype(np.float32)
    other[:, 0] = -0.6 * x[:, 9] + 0.8 * other[:, 0]  # r = -0.6 in another tap
    counts = rng.integers(1, 6, 9000)
    tokens = [rng.normal(size=(c, 3)) + (x[i, 10] if c else 0) for i, c in enumerate(counts)]
    return x, labels, other, tokens


def _write(planted, path, short_rows: int) -> Store:
    x, labels, other, tokens = planted
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_files, "SHORT_ROWS", short_rows)
        return write_store(
            path, name="s", taps={"m": x, "other": other, "tok": tokens},
            labels=labels, classes=("a", "b", "c", "d"), settings={"seed": 1},
        )  # fmt: skip


@pytest.fixture(scope="module", params=["files", "columns"])
def store(request, planted, tmp_path_factory):
    """The same data with a whole index, and as short taps, which keep their table only."""
    path = tmp_path_factory.mktemp("index") / "s"
    return _write(planted, path, 0 if request.param == "files" else 10**6)


def _is_short(store: Store, tap: str = "m") -> bool:
    return [f.name for f in (store.folder(tap) / "index").iterdir()] == ["table.npy"]


def test_both_kinds_of_index_say_the_same(planted, tmp_path):
    """What a card shows of a tap does not depend on whether it is worked out or was kept (but for rows that a
    slot gave up to the strongest)."""
    kept, short = _write(planted, tmp_path / "kept", 0), _write(planted, tmp_path / "short", 10**6)
    assert (_is_short(kept), _is_short(short)) == (False, True)
    for tap in ("m", "tok"):
        a, b = kept.index(tap), short.index(tap)
        assert a.table()["median"].tobytes() == b.table()["median"].tobytes()
        for j in range(a.n_units):
            for one, two in zip(a.top(j), b.top(j), strict=True):
                assert (one.dtype, one.tobytes()) == (two.dtype, two.tobytes())
            np.testing.assert_array_equal(a.quantile(j, [0.01, 0.3, 0.99]), b.quantile(j, [0.01, 0.3, 0.99]))
            np.testing.assert_array_equal(a._units.counts(j), b._units.counts(j))
            np.testing.assert_array_equal(a._units.sample(j), b._units.sample(j))
            for one, two in zip(a.classes(j)[1:], b.classes(j)[1:], strict=True):
                np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-12)
            for k, (one, two) in enumerate(zip(a.bands(j), b.bands(j), strict=True)):
                assert (one.low, one.high) == (two.low, two.high)
                if j != 2:  # that unit is far from zero: its bands are finer than the slots
                    assert one.n == two.n
                    shown = set(one.rows.tolist()), set(two.rows.tolist())
                    assert shown[0] == shown[1] or (
                        k == 0 and shown[0] < shown[1]
                    )  # its slots hold strongest rows


def test_a_store_of_the_first_schema_reads_as_it_is(planted, tmp_path):
    """It has the whole index for every tap, in wide types; made anew it is of this schema."""
    now, then = (_write(planted, tmp_path / name, 0) for name in ("now", "then"))
    wide = {
        "top_rows": np.int64,
        "top_values": np.float32,
        "slot_values": np.float32,
        "bucket_count": np.uint32,
    }
    for name, dtype in wide.items():
        values = now.index("m").file(name).whole()
        values = (
            np.where(values == sampling.EMPTY, -1, values.astype(dtype)) if name == "top_rows" else values
        )
        index_files.write_npy(then.folder("m") / "index" / f"{name}.npy", values.astype(dtype))
    about = manifest.read(then.path)
    manifest.write(then.path, {**about, "schema": 1})
    old = Store.open(then.path)
    for j in (0, 3, 7):
        for one, two in zip(now.index("m").top(j), old.index("m").top(j), strict=True):
            np.testing.assert_array_equal(one, two)
        for one, two in zip(now.index("m").bands(j), old.index("m").bands(j), strict=True):
            assert (one.n, one.rows.tolist()) == (two.n, two.rows.tolist())
    rebuild_index(old)
    assert manifest.read(then.path)["schema"] == manifest.SCHEMA
    assert _is_short(Store.open(then.path)) == (len(planted[0]) <= index_files.SHORT_ROWS)
    assert Store.open(then.path).verify() == []


def test_table(store, planted):
    x = planted[0].astype(np.float64)
    t = store.index("m").table()
    good = [j for j in range(24) if j != 7]
    np.testing.assert_allclose(t["mean"][good], x[:, good].mean(0), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(t["sd"][good], x[:, good].std(0, ddof=1), rtol=1e-12)
    assert (t["count"][7], t["nonfinite"][7]) == (8997, 3)
    assert np.flatnonzero(t["dead"]).tolist() == [3]
    assert (t["top_class"][6], t["top_class"][3]) == (2, -1)
    assert t["top_class_share"][6] == pytest.approx((planted[1][np.argsort(-x[:, 6])[:64]] == 2).mean())
    assert store.index("m").row(6)["mean"] == t["mean"][6]


def test_top_bands_and_histogram(store, planted):
    x = planted[0]
    index = store.index("m")
    for j in range(24):
        rows, values = index.top(j)
        finite = np.isfinite(x[:, j])
        order = np.lexsort([np.arange(9000), np.where(finite, -x[:, j], np.inf)])[:64]
        np.testing.assert_array_equal(rows, order)
        np.testing.assert_array_equal(values, x[order, j])
        _, counts = index.histogram(j, bins=32)
        assert counts.sum() == finite.sum()
        exact = j != 2 or _is_short(store)
        _assert_bands(index.bands(j), x[:, j], set(order.tolist()), exact=exact, seed=1)


def _assert_bands(bands, v, top, exact: bool, seed: int):
    shown = np.concatenate([b.rows for b in bands]) if bands else np.array([])
    assert len(set(shown.tolist())) == len(shown)
    assert not top & set(shown.tolist())
    rest = np.array([i for i in range(len(v)) if i not in top and np.isfinite(v[i])])
    assert abs(sum(b.n for b in bands) - len(rest)) <= (0 if exact else 8)
    for k, b in enumerate(bands):
        silent = b.low == b.high == 0
        w, lowest = v[rest], k == len(bands) - 1
        above = (
            w > b.low if b.low < 0 and not lowest else w >= b.low
        )  # a border belongs to the band far from zero
        below = w <= b.high if b.high < 0 or k == 0 else w < b.high
        inside = w == 0 if silent else above & below
        if not silent and any(o.low == o.high == 0 for o in bands):
            inside &= v[rest] != 0
        np.testing.assert_array_equal(v[b.rows], b.values.astype(v.dtype))
        assert np.isin(b.rows, rest[inside]).all()
        assert (np.diff(b.values) <= 0).all()
        if exact:
            assert b.n == inside.sum()
            own = rest[inside]
            drawn = own[np.argsort(sampling.keys_of(own, seed))[:8]]
            assert set(b.rows.tolist()) == set(drawn.tolist()) or k == 0  # the strongest share slots with it
        else:
            assert abs(b.n - inside.sum()) <= 5 * np.sqrt(9000**2 / 512 * 0.1)


def test_bands_of_coarse_values_are_exact_at_their_borders(tmp_path):
    x = np.round(np.random.default_rng(5).normal(size=(5000, 6)) * 8) / 8  # many values lie on borders
    x[:, 1] = np.maximum(x[:, 1], 0)
    store = write_store(tmp_path / "s", name="s", taps={"m": x}, dtype="float16")
    for j in range(6):
        rows, _ = store.index("m").top(j)
        bands = store.index("m").bands(j)
        assert len(bands) == 8
        _assert_bands(bands, x[:, j], set(rows.tolist()), exact=True, seed=0)


def test_top_class_leaves_silent_rows_out(tmp_path):
    x = np.zeros((500, 2))
    x[[7, 90, 300], 0] = [1, 2, 3]
    x[:, 1] = np.where(np.arange(500) == 7, 1, -1.0)  # never zero: all 64 count
    labels = np.where(np.isin(np.arange(500), [90, 300]), 1, np.where(np.arange(500) == 7, 2, 0))
    t = write_store(tmp_path / "s", name="s", taps={"m": x}, labels=labels).index("m").table()
    assert (t["top_class"][0], t["top_class_share"][0]) == (1, pytest.approx(2 / 3))
    assert (t["top_class"][1], t["top_class_share"][1]) == (0, pytest.approx(63 / 64))


def test_bands_are_informative(store):
    index = store.index("m")
    signed, sparse, outlier, far = (index.bands(j) for j in (0, 1, 8, 2))
    assert [len(b) for b in (signed, sparse, outlier, far)] == [8, 8, 8, 8]
    assert sparse[-1].low == sparse[-1].high == 0
    assert signed[0].low > 1 > -1 > signed[-1].high
    assert outlier[0].high < 4  # the outlier stretches nothing
    assert 998 < far[3].low < 1002
    assert store.index("m").bands(3)[0].n == 9000 - 64  # dead: one silent band


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6))
def test_band_rows_are_uniform_among_their_band(tmp_path_factory, seed):
    """Another seed shows other rows, and they do not favour early rows."""
    rng = np.random.default_rng(seed)
    n = 3000
    store = write_store(
        tmp_path_factory.mktemp("u") / "s",
        name="s",
        taps={"m": rng.normal(size=(n, 8))},
        settings={"seed": seed},
    )
    rows = np.concatenate([b.rows for j in range(8) for b in store.index("m").bands(j)])
    # rows are shared by units (one key per row), so only about 100 of them are independent
    assert abs(rows.mean() / n - 0.5) < 5 / np.sqrt(12 * 100)


def test_quantiles(store, planted):
    index = store.index("m")
    v = np.sort(planted[0][:, 0].astype(np.float64))
    for q in (0.01, 0.3, 0.5, 0.77, 0.999):
        exact = v[int(np.ceil(q * 9000)) - 1]
        assert abs(index.quantile(0, q) - exact) <= abs(exact) / 16
    assert index.quantile(0, [0, 1]).tolist() == [v[0], v[-1]]
    assert index.quantile(0, 0.95) == index.table()["q95"][0]
    with pytest.raises(ParameterError):
        index.quantile(0, 1.5)


def test_class_means(store, planted):
    from scipy import stats

    means = store.index("m").classes(6)
    assert means.names == ("a", "b", "c", "d")
    for c in range(4):
        v = planted[0][planted[1] == c, 6].astype(np.float64)
        assert means.count[c] == len(v)
        assert means.mean[c] == pytest.approx(v.mean(), rel=1e-12)
        low, high = stats.t.interval(0.95, len(v) - 1, v.mean(), stats.sem(v))
        assert (means.low[c], means.high[c]) == (pytest.approx(low, rel=1e-5), pytest.approx(high, rel=1e-5))
    assert store.samples["label"][:3].tolist() == [("a", "b", "c", "d")[i] for i in planted[1][:3]]


@pytest.mark.parametrize("sketched", [False, True])
def test_planted_pairs_are_found(planted, tmp_path, monkeypatch, sketched):
    if sketched:  # pretend that the store is a large one
        for module in (index_files, correlation, __import__("analysis.store.closing", fromlist=["x"])):
            monkeypatch.setattr(module, "EXACT_VALUES", 0)
    x, _, other, tokens = planted
    store = write_store(tmp_path / "s", name="s", taps={"m": x, "other": other, "tok": tokens})
    assert (store.folder("m") / "index" / "sketch.npy").exists() == sketched
    tap, unit, r, low, high, n = store.index("m").correlated(5, k=4)[0]
    assert (tap, unit, n) == ("m", 4, 9000)
    assert r == pytest.approx(np.corrcoef(x[:, 4], x[:, 5])[0, 1], abs=1e-10)
    assert low < r < high
    z = np.arctanh(r)
    assert (low, high) == (
        pytest.approx(np.tanh(z - 1.96 / np.sqrt(8997)), abs=1e-5),
        pytest.approx(np.tanh(z + 1.96 / np.sqrt(8997)), abs=1e-5),
    )
    tap, unit, r, *_ = store.index("m").correlated(9)[0]
    assert (tap, unit) == ("other", 0)
    assert r == pytest.approx(-0.6, abs=0.03)
    means = np.array([t.mean(0) for t in tokens])
    found = store.index("tok").correlated(1)
    assert {(t, j) for t, j, *_ in found[:3]} == {("tok", 0), ("tok", 2), ("m", 10)}
    for t, j, r, *_ in found[:3]:
        against = x[:, 10] if t == "m" else means.astype(np.float32)[:, j]
        assert r == pytest.approx(np.corrcoef(means[:, 1], against)[0, 1], abs=1e-5)
    assert store.index("m").correlated(3) == []  # a dead unit
    n = store.index("m").correlated(7)[0][-1]
    assert n == 8997  # NaN and infinity left out


def test_small_stores_are_compared_exactly(store, planted):
    """Among all units of all taps the strongest |r| come back, in order."""
    x, _, other, tokens = planted
    means = np.array([t.mean(0) for t in tokens])
    joined = np.concatenate([x, other, means], axis=1)
    joined = np.where(np.isfinite(joined), joined, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.nan_to_num(np.corrcoef(joined.T)[0])
    r[0] = 0
    names = [("m", j) for j in range(24)] + [("other", j) for j in range(6)] + [("tok", j) for j in range(3)]
    expected = [names[j] for j in np.argsort(-np.abs(r))[:5]]
    found = [line[:2] for line in store.index("m").correlated(0, k=5)]
    assert [e for e in expected if e != ("m", 7)] == [f for f in found if f != ("m", 7)]


def test_samples_that_go_on_in_the_next_shard(tmp_path):
    """Five samples of 3,000 tokens: shards end inside samples; means and exact r are still those of whole samples."""
    x = (
        np.random.default_rng(4).normal(size=(5, 3000, 4)).astype(np.float32)
        + np.arange(4) * np.arange(5)[:, None, None]
    )
    x[:, 1500:] += np.random.default_rng(5).normal(size=(5, 1, 4)).astype(np.float32)
    store = write_store(tmp_path / "s", name="s", taps={"m": x})
    assert len(store.shards("m")) == 2
    means = x.astype(np.float64).mean(axis=1)
    kept = correlation._standardised(store, "m")
    np.testing.assert_allclose(kept @ kept.T, np.corrcoef(means.T), atol=1e-5)
    for unit in (2, 0):
        np.testing.assert_allclose(correlation.sample_means(store, "m", unit), means[:, unit], rtol=1e-6)
    tap, unit, r, *_, n = store.index("m").correlated(3, k=1)[0]
    assert (tap, n) == ("m", 5)
    assert r == pytest.approx(np.corrcoef(means.T)[3, unit], abs=1e-6)


@pytest.mark.parametrize("ragged", [False, True])
def test_sketch_estimates_r(tmp_path, monkeypatch, ragged):
    """Its error has the stated size, 1 / sqrt(1024), on independent and correlated units, pooled or tokens."""
    monkeypatch.setattr(__import__("analysis.store.closing", fromlist=["x"]), "EXACT_VALUES", 0)
    rng = np.random.default_rng(3)
    n = 5000 if ragged else 20_000
    common = rng.normal(size=(n, 1))
    loads = np.linspace(0, 0.9, 40)
    x = 50 + loads * common + np.sqrt(1 - loads**2) * rng.normal(size=(n, 40))
    if ragged:  # tokens scatter about their sample's value; a sample with many tokens must not weigh more
        counts = rng.integers(1, 9, n)
        tokens = [x[i] + rng.normal(size=(c, 40)) for i, c in enumerate(counts)]
        x = np.array([t.mean(axis=0) for t in tokens])
    store = write_store(tmp_path / "s", name="s", taps={"m": tokens if ragged else x})
    sketch = store.index("m").file("sketch").whole().astype(np.float64)
    size = np.linalg.norm(sketch, axis=1)
    error = (sketch @ sketch.T / size[:, None] / size - np.corrcoef(x.T))[np.triu_indices(40, 1)]
    assert np.sqrt((error**2).mean()) < 1.2 / np.sqrt(1024)
    assert abs(error.mean()) < 0.015


def test_rebuilt_index_equals_the_one_made_while_writing(store, tmp_path):
    for tap, spec in store.taps.items():
        n_rows = 0 if _is_short(store, tap) else 10**9
        made = index_files.write_index(
            tmp_path / tap, summarise_tap(store, tap).finish(),
            dtype=spec.numpy_dtype, n_rows=n_rows, with_sketch=False,
        )  # fmt: skip
        kept = store.folder(tap) / "index"
        assert sorted(f.name for f in made) == sorted(f.name for f in kept.iterdir())
        for file in made:
            assert file.read_bytes() == (kept / file.name).read_bytes(), file.name
    damaged = write_store(tmp_path / "s", name="s", taps={"m": np.random.default_rng(0).normal(size=(50, 3))})
    before = damaged.index("m").table()["mean"].copy()
    (damaged.folder("m") / "index" / "table.npy").write_bytes(b"gone")
    with pytest.raises(Exception, match="table"):
        Store.open(damaged.path).index("m").table()
    rebuild_index(Store.open(damaged.path))
    np.testing.assert_array_equal(Store.open(damaged.path).index("m").table()["mean"], before)
    assert Store.open(damaged.path).verify() == []


def test_activations_protocol_and_digest(store, planted, tmp_path):
    a = store.activations("tok")
    assert isinstance(a, Activations)
    assert a.name == "s:tok"
    assert len(row_column(a, "label")) == a.shape[0]
    x = planted[0]
    one = write_store(tmp_path / "1", name="x", taps={"m": x}).activations("m").digest
    two = write_store(tmp_path / "2", name="y", taps={"m": x}).activations("m").digest
    y = x.copy()
    y[4000, 3] = 1e-3
    three = write_store(tmp_path / "3", name="x", taps={"m": y}).activations("m").digest
    assert one == two != three


def test_one_unit_reads_only_its_own_bytes(store, monkeypatch):
    """No whole shard is read for a card, a column or the table."""
    monkeypatch.setattr(
        stored_activations, "read_shard", lambda *a, **k: pytest.fail("a whole shard was read")
    )
    fresh = Store.open(store.path)
    index = fresh.index("m")
    fresh.activations("m").unit(5)
    index.table(), index.top(1), index.bands(1), index.histogram(1), index.classes(1), index.quantile(1, 0.5)


def test_opening_and_reading_import_nothing_heavy(store):
    code = f"""
import sys
from analysis.store.reader import Store
s = Store.open({str(store.path)!r})
i = s.index("m"); i.table(); i.top(1); i.bands(1); i.histogram(1); s.activations("m").unit(2); i.correlated(4)
next(iter(s.activations("m").chunks()))
print([m for m in ("numba", "torch", "pandas", "pyarrow", "sklearn") if m in sys.modules])
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_unknown_names_are_refused(store):
    with pytest.raises(NotFound, match="other"):
        store.index("nope")
    with pytest.raises(NotFound, match="0 … 23"):
        store.index("m").top(24)
    with pytest.raises(NotFound):
        store.activations("m").unit(-1)
    with pytest.raises(NotFound):
        store.activations("m").take([9000])
    with pytest.raises(NotFound):
        store.thumbnail(9000)
    assert store.thumbnail(0) is None
    assert store.tokens(0) is None


def test_few_rows_have_no_bands():
    empty = np.empty(0)
    counts = np.zeros(1281, np.int64)
    counts[640] = 3
    assert (
        make_bands(counts, 0.0, 3, np.arange(3), np.zeros(3), np.arange(3), np.zeros(3), True, empty, 0) == []
    )


def test_bucket_histogram_counts_are_exact(planted, tmp_path, monkeypatch):
    from analysis.store import index as module

    monkeypatch.setattr(module, "EXACT_HISTOGRAM_ROWS", 0)
    store = write_store(tmp_path / "s", name="s", taps={"m": planted[0]})
    for j in (0, 1, 2, 8):
        edges, counts = store.index("m").histogram(j, bins=64)
        v = planted[0][:, j]
        negative_side = np.array([((v > a) & (v <= b)).sum() for a, b in itertools.pairwise(edges)])
        positive_side = np.array([((v >= a) & (v < b)).sum() for a, b in itertools.pairwise(edges)])
        expected = np.where(edges[1:] <= 0, negative_side, positive_side)
        assert counts.sum() == 9000
        assert (np.abs(counts - expected) <= 1).all()  # the two ends are closed, the sides of zero half-open
