"""Unit summaries against a brute-force NumPy account of the same values (written independently of the kernels)."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import InputError
from analysis.store import sampling, sketch
from analysis.store.summaries import SAMPLE_ROWS, TOP_ROWS, Rows, UnitSummary

QUANTILES = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "q99": 0.99}
EXACT = ["nonfinite", "positive", "nonzero", "minimum", "maximum", "histogram", "top_values", "top_rows"]
EXACT += ["top_classes", "slot_keys", "slot_values", "octaves", "class_count"]


def _values(rng, units: int, rows: int, dtype: str) -> np.ndarray:
    """Units of many characters: signed, sparse, far from zero, tiny, huge range, constant, dead, with NaN."""
    x = rng.normal(size=(units, rows))
    x[1::8] = np.maximum(x[1::8] - 1, 0)
    x[2::8] += 1000
    x[3::8] *= 1e-6
    x[4::8] = np.exp(4 * x[4::8]) * np.sign(rng.normal(size=x[4::8].shape))
    x[5::8] = 0
    x[6::8] = -3.25
    bad = rng.random(x[7::8].shape) < 0.1
    x[7::8] = np.where(bad, rng.choice([np.nan, np.inf, -np.inf], size=bad.shape), x[7::8])
    with np.errstate(over="ignore"):
        return x.astype(dtype)


def _rows(first: int, n: int, labels) -> Rows:
    return Rows.pooled(first, n, None if labels is None else labels[first : first + n])


def _summary(x, labels, n_classes, edges) -> UnitSummary:
    s = UnitSummary(len(x), n_classes, seed=3)
    for a, b in itertools.pairwise(edges):
        s.update(x[:, a:b], _rows(a, b - a, labels))
    return s


def _brute_top(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = np.flatnonzero(np.isfinite(v))
    order = np.lexsort([rows, -v[rows].astype(np.float64)])[:64]
    return rows[order], v[rows][order]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(1, 1500),
    st.sampled_from(["float16", "float32"]),
    st.integers(0, 4),
    st.data(),
)
def test_matches_brute_force(seed, rows, dtype, n_classes, data):
    rng = np.random.default_rng(seed)
    x = _values(rng, 16, rows, dtype)
    labels = rng.integers(-1, n_classes, rows) if n_classes else None
    cuts = sorted(set(data.draw(st.lists(st.integers(0, rows), max_size=3))) | {0, rows})
    index = _summary(x, labels, n_classes, cuts).finish()
    for u in range(16):
        wide = x[u].astype(np.float64)
        v = wide[np.isfinite(wide)]
        t = index.table[u]
        assert t["count"] == len(v)
        assert t["nonfinite"] == rows - len(v)
        brute_rows, brute_values = _brute_top(x[u])
        kept = index.top_rows[u] >= 0
        np.testing.assert_array_equal(index.top_rows[u][kept], brute_rows)
        np.testing.assert_array_equal(index.top_values[u][kept], brute_values)
        assert t["dead"] == (len(set(v.tolist())) < 2)
        if not len(v):
            assert np.isnan(t["mean"])
            continue
        scale = np.abs(v).max()
        assert t["mean"] == pytest.approx(v.mean(), rel=1e-12, abs=1e-12 * scale)
        if len(v) > 1:
            assert t["sd"] == pytest.approx(v.std(ddof=1), rel=1e-10, abs=1e-13 * scale)
        assert (t["minimum"], t["maximum"]) == (v.min(), v.max())
        assert t["fraction_positive"] == (v > 0).mean()
        assert t["fraction_nonzero"] == (v != 0).mean()
        if v.std() > 1e-9 * scale:
            z = (v - v.mean()) / v.std()
            assert t["skewness"] == pytest.approx((z**3).mean(), rel=1e-6, abs=1e-7)
            assert t["kurtosis"] == pytest.approx((z**4).mean() - 3, rel=1e-6, abs=1e-7)
        for c in range(n_classes):
            own = wide[(labels == c) & np.isfinite(wide)]
            assert index.class_count[u, c] == len(own)
            if len(own):
                assert index.class_mean[u, c] == pytest.approx(own.mean(), rel=1e-10, abs=1e-12 * scale)
            if len(own) > 1:
                assert index.class_sd[u, c] == pytest.approx(own.std(ddof=1), rel=1e-5, abs=1e-7 * scale)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3000), st.floats(-6, 3))
def test_quantiles_keep_the_stated_relative_error(seed, rows, exponent):
    rng = np.random.default_rng(seed)
    x = _values(rng, 8, rows, "float32")
    x[0] *= np.float32(10.0**exponent)
    t = _summary(x, None, 0, [0, rows]).finish().table
    for u in range(8):
        v = np.sort(x[u][np.isfinite(x[u])].astype(np.float64))
        if not len(v) or np.abs(v).max() >= 2.0**16:
            continue
        for name, q in QUANTILES.items():
            exact = v[max(int(np.ceil(q * len(v))), 1) - 1]
            assert abs(t[u][name] - exact) <= abs(exact) * sketch.RELATIVE_ERROR + 2.0**-24
            if rows <= SAMPLE_ROWS:  # the sample is everything: exact
                assert t[u][name] == pytest.approx(exact, rel=1e-6)


def test_quantiles_of_a_unit_far_from_zero_come_from_the_row_sample():
    x = (1000 + np.random.default_rng(0).normal(size=(1, 40_000))).astype(np.float32)
    t = _summary(x, None, 0, [0, 20_000, 40_000]).finish().table[0]
    assert abs(t["median"] - 1000) < 0.25  # 4 standard errors of the median of 512 rows; a bucket is 32 wide
    assert abs(t["q95"] - 1001.645) < 0.4


def test_bucket_of_agrees_with_its_edges():
    v = np.concatenate(
        [np.float32([0, -0.0, 2.0**-24, -(2.0**-24), 1, 1.0625, 65504, 1e30, -1e30]), sketch.LOW[700:710]]
    )
    b = sketch.bucket_of(v.astype(np.float32))
    assert b[0] == b[1] == sketch.ZERO
    assert b[2] == sketch.ZERO + 1
    assert b[3] == sketch.ZERO - 1
    assert b[-3 - 10] != b[5]
    assert (b[7], b[8]) == (sketch.N_BUCKETS - 1, 0)
    np.testing.assert_array_equal(b[9:], np.arange(700, 710))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["float16", "float32"]), st.permutations(range(4)))
def test_merge_in_any_order_equals_one_pass(seed, dtype, order):
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(4, 2500))
    x, labels = _values(rng, 16, rows, dtype), rng.integers(-1, 3, rows)
    whole = _summary(x, labels, 3, [0, rows])
    edges = np.linspace(0, rows, 5).astype(int)
    parts = [UnitSummary(16, 3, seed=3) for _ in range(4)]
    for k, part in enumerate(parts):
        part.update(x[:, edges[k] : edges[k + 1]], _rows(edges[k], edges[k + 1] - edges[k], labels))
    left = UnitSummary(16, 3, seed=3)  # ((a + b) + c) + d
    for k in order:
        left.merge(parts[k])
    a, b, c, d = (parts[k] for k in order)  # (a + b) + (c + d)
    a.merge(b)
    c.merge(d)
    a.merge(c)
    for merged in (left, a):
        for name in EXACT:
            np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name), err_msg=name)
        columns = np.argsort(merged.sample_keys), np.argsort(whole.sample_keys)
        np.testing.assert_array_equal(merged.sample_values[:, columns[0]], whole.sample_values[:, columns[1]])
        scale = np.abs(np.where(np.isfinite(x), x, 0).astype(np.float64)).max(axis=1)
        np.testing.assert_allclose(
            merged.moments[:, 1] / (scale + 1e-300), whole.moments[:, 1] / (scale + 1e-300), atol=1e-12
        )
        np.testing.assert_allclose(merged.moments[:, 2], whole.moments[:, 2], rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(merged.class_mean, whole.class_mean, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(
            merged.sketch, whole.sketch, rtol=1e-3, atol=1e-3 * np.abs(whole.sketch).max()
        )


def test_partials_survive_a_file(tmp_path):
    rng = np.random.default_rng(1)
    x = _values(rng, 16, 700, "float16")
    s = _summary(x[:, :300], None, 0, [0, 300])
    s.save(tmp_path / "part.npz")
    again = UnitSummary.load(tmp_path / "part.npz")
    again.update(x[:, 300:], Rows.pooled(300, 400))
    s.update(x[:, 300:], Rows.pooled(300, 400))
    a, b = again.finish().arrays(), s.finish().arrays()
    for name in a:
        assert a[name].tobytes() == b[name].tobytes(), name


def test_the_number_of_strongest_rows_is_one_number():
    from analysis.store import kernels

    assert kernels.TOP == TOP_ROWS


def test_row_sample_and_slots_are_the_smallest_keys():
    x = np.random.default_rng(2).normal(size=(3, 6000)).astype(np.float32)
    index = _summary(x, None, 0, [0, 700, 2900, 6000]).finish()
    keys = sampling.keys_of(np.arange(6000), seed=3)
    expected = np.argsort(keys)[:SAMPLE_ROWS]
    np.testing.assert_array_equal(index.sample_rows, expected)
    np.testing.assert_array_equal(index.sample_values, x[:, expected])
    for u in range(3):
        at = slice(index.slot_start[u], index.slot_start[u + 1])
        rows, values = sampling.rows_of(index.slot_keys[at], seed=3), index.slot_values[at]
        np.testing.assert_array_equal(values, x[u, rows])
        inside = np.flatnonzero((x[u] >= 1.25) & (x[u] < 1.5))  # one slot: an octave in quarters
        shown = rows[(values >= 1.25) & (values < 1.5)]
        np.testing.assert_array_equal(np.sort(shown), np.sort(inside[np.argsort(keys[inside])[:8]]))


def test_moments_with_a_large_mean_are_centred_first():
    x = (10_000 + np.random.default_rng(0).normal(size=(1, 50_000))).astype(np.float32)
    s = _summary(x, None, 0, list(range(0, 50_001, 5000)))
    assert s.finish().table[0]["sd"] == pytest.approx(x.astype(np.float64).std(ddof=1), rel=1e-11)


def test_partials_of_different_taps_are_refused():
    with pytest.raises(InputError):
        UnitSummary(3).merge(UnitSummary(4))
    with pytest.raises(InputError):
        UnitSummary(3, 2).update(np.zeros((3, 2), np.float32), Rows.pooled(0, 2, np.array([0, 2])))


def test_keys_are_a_bijection_and_uniform():
    rows = np.arange(200_000)
    keys = sampling.keys_of(rows, seed=7)
    np.testing.assert_array_equal(sampling.rows_of(keys, seed=7), rows)
    assert len(np.unique(keys)) == len(rows)
    assert abs(keys.astype(np.float64).mean() / 2**32 - 0.5) < 0.004  # 6 standard errors
    assert (sampling.keys_of(rows, seed=8) != keys).any()
    assert abs(sampling.signs_of(rows).mean()) < 0.012
