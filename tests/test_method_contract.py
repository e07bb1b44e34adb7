"""Every method of the registry keeps the contract of `analysis.spec.Method`, whatever it computes."""

from __future__ import annotations

import dataclasses
import functools
import json
import tracemalloc

import numpy as np
import pytest

from analysis import pipeline, registry, results
from analysis.activations import ArrayActivations, Layout
from analysis.compute import kept
from analysis.errors import Cancelled, LoupeError, NotEnoughData, NotFound, ShapeError
from analysis.results import Estimate
from analysis.spec import make_params, params_of

METHODS = list(registry.methods().values())
IDS = [m.id for m in METHODS]
SEED = 5
REPEATED = ("draws", "null_draws", "permutations", "exchanges", "swaps", "shuffles", "halves", "seeds", "runs",
            "restarts", "refits", "iterations", "rounds", "epochs", "steps", "folds", "resamples", "copies",
            "most_clusters")  # fmt: skip
OPEN = ("patching_illusion",)  # estimates without an interval or a null do not say why
GONE = {
    "reading_after_drops": "values",
    "crop_bill": "values",
}  # not a number says that a token is gone, whatever the data
every_method = pytest.mark.parametrize("method", METHODS, ids=IDS)


def data(method, n=150, d=12, seed=0, dtype=np.float32, tokens=1, nonfinite=0):
    """As many taps as the method takes: three classes that move the units, `tokens` rows per sample."""
    taps = []
    for i in range(method.inputs):
        rng = np.random.default_rng(seed + i)
        label = np.arange(n) % 3
        x = rng.standard_normal((n, d)) + np.linspace(0, 2, d) * label[:, None] + 1.0
        x = np.repeat(x, tokens, axis=0) + 0.3 * rng.standard_normal((n * tokens, d))
        x = x.astype(dtype)
        x[n // 10 : n // 10 + nonfinite, 1] = np.nan
        if nonfinite >= n:
            x[:, 1] = np.nan
        layout = Layout(np.arange(n + 1, dtype=np.int64) * tokens)
        taps.append(ArrayActivations(x, name=f"tap{i}", samples={"label": label}, layout=layout))
    return taps


def run(method, taps, params=None, seed=0, progress=None):
    more = {} if progress is None else {"progress": progress}
    values = make_params(method.params, params or {})
    return method.function(*taps, params=values, rng=np.random.default_rng(seed), **more)


def least(method) -> dict:
    """As few repetitions as may be: each is like the others, so that what a test asks shows in the first of them."""
    return {p.name: p.low for p in params_of(method.params) if p.name in REPEATED and p.low is not None}


@functools.cache
def first(method_id: str) -> tuple:
    """One run of a method through the pipeline, for every test that asks for no other: what it gave, and the fractions
    that it told on the way."""
    seen, method = [], registry.method(method_id)
    kept.forget()  # what another method left for the same data would not be told
    result = pipeline.run(
        method_id,
        data(method),
        least(method),
        seed=SEED,
        progress=lambda fraction, doing="": seen.append(fraction),
    )
    return result, tuple(seen)


def same(a, b) -> bool:
    """Equal headers and bit-equal arrays."""
    (ha, xa), (hb, xb) = results.to_parts(a), results.to_parts(b)
    plain = [json.dumps(h, default=results._plain, sort_keys=True) for h in (ha, hb)]
    if plain[0] != plain[1] or xa.keys() != xb.keys():
        return False
    return all(xa[k].dtype == xb[k].dtype and xa[k].tobytes() == xb[k].tobytes() for k in xa)


# ---------------------------------------------------------------------------- what a result looks like
def check_scatter(r):
    n = len(r.positions)
    assert r.positions.shape == (n, len(r.axes))
    assert len(r.axes) in (2, 3)
    assert len(r.rows) == n == len(np.unique(r.rows))
    assert all(len(c) == n for c in r.columns.values())
    assert np.isfinite(r.positions).all()
    if r.frames is not None:
        assert r.frames.shape == (len(r.frame_names), *r.positions.shape)
        np.testing.assert_array_equal(r.frames[-1], r.positions)
    if r.edges is not None:
        assert r.edges.shape == (len(r.edge_values), 2)
        assert r.edges.min() >= 0
        assert r.edges.max() < n
    if r.ellipses is not None:
        assert r.ellipses.shape[1] == 5
        assert (r.ellipses[:, 2] >= r.ellipses[:, 3]).all()
    for guide in r.guides.values():
        assert guide.ndim == 2
        assert guide.shape[1] == 2
        assert np.isfinite(guide).all()


def check_matrix(r):
    p, q = r.values.shape
    assert (len(r.row_names), len(r.column_names)) == (p, q)
    assert np.isfinite(r.values).all()
    for order, length in ((r.row_order, p), (r.column_order, q)):
        assert order is None or sorted(order) == list(range(length))
    assert r.linkage is None or r.linkage.shape == (p - 1, 4)
    assert r.significant is None or (r.significant.shape == (p, q) and r.significant.dtype == bool)


def check_spectrum(r):
    k = len(r.values)
    assert (np.diff(r.values) <= 0).all()
    assert all(x is None or len(x) == k for x in (r.low, r.high, r.null, r.blocks))
    assert r.low is None or ((r.low <= r.values) & (r.values <= r.high)).all()


def check_curve(r):
    for group in (r.series, r.low, r.high, r.null):
        assert all(len(y) == len(r.x) for y in group.values())
        assert set(group) <= set(r.series)
    assert len(r.x_labels) in (0, len(r.x))


def check_table(r):
    lengths = {len(c) for c in r.columns.values()}
    assert len(lengths) == 1
    assert not r.sort or r.sort in r.columns
    assert set(r.help) <= set(r.columns)
    assert all(c.dtype.kind in "biufUS" for c in r.columns.values())


def check_partition(r):
    n, k = len(r.codes), r.n_clusters
    assert len(r.rows) == len(r.strength) == n == len(np.unique(r.rows))
    assert r.codes.dtype == np.int32
    assert r.codes.min() >= -1
    assert r.codes.max() < k
    assert ((r.strength >= 0) & (r.strength <= 1)).all()
    assert r.levels.shape == r.level_names.shape
    assert list(r.levels[-1]) == list(range(k))
    assert {len(c) for c in r.columns.values()} == {k}
    assert set(r.help) <= set(r.columns)
    assert len(set(r.columns["name"])) == k
    assert (r.columns["size"] == np.bincount(r.codes[r.codes >= 0], minlength=k)).all()


def check_token_film(r):
    f, t = r.owner.shape
    assert len(r.names) == f
    assert ((r.owner >= -1) & (r.owner < t)).all()
    assert np.isfinite(r.score).all()
    assert r.judged.shape == r.score.shape == (f, t)
    assert r.cell is None or r.cell.shape == (t,)


CHECKS = {"scatter": check_scatter, "matrix": check_matrix, "spectrum": check_spectrum, "curve": check_curve,
          "table": check_table, "partition": check_partition, "token_film": check_token_film}  # fmt: skip


def check_result(method, r):
    assert isinstance(r, method.result)
    assert r.title
    assert r.reading.endswith(".")
    assert all(c.endswith(".") for c in r.caveats)
    CHECKS.get(r.kind, lambda r: None)(r)
    for e in r.estimates:
        check_estimate(e)


def check_estimate(e: Estimate):
    assert e.name
    assert np.isfinite(e.value)
    assert e.n > 0
    if e.low is not None:
        assert e.interval, f"{e.name}: an interval that does not say how it was made"
        assert e.low <= e.value + 1e-9 * abs(e.value)
        assert e.value <= e.high + 1e-9 * abs(e.value)
    if e.null is not None:
        assert e.null_method, f"{e.name}: a null that does not say how it was made"
    assert e.p_value is None or 0 <= e.p_value <= 1


def check_why_not(e: Estimate):
    """What has no interval or no null says why."""
    assert e.low is not None or e.interval.startswith("none: "), f"{e.name}: neither an interval nor why not"
    assert e.null is not None or e.null_method.startswith("none: "), f"{e.name}: neither a null nor why not"


@every_method
def test_result_of_the_defaults(method):
    result = run(method, data(method), seed=SEED)
    check_result(method, result)
    estimates = result.estimates
    assert any(e.null is not None for e in estimates)
    if method.family in ("attribution", "tokens") and method.id not in OPEN:
        for e in estimates:
            check_why_not(e)
    assert any(e.low is not None for e in estimates) or method.result is results.Curve


@every_method
def test_three_tokens_a_sample_in_half_precision(method):
    check_result(method, run(method, data(method, n=90, tokens=3, dtype=np.float16), least(method)))


@every_method
def test_each_choice_of_each_parameter_runs(method):
    """One at a time, the others at their defaults."""
    for p in params_of(method.params):
        for choice in p.choices:
            if choice != p.default:
                check_result(method, run(method, data(method, d=40), least(method) | {p.name: choice}))


# ---------------------------------------------------------------------------- refusals
@every_method
def test_one_row_is_refused(method):
    with pytest.raises(LoupeError):
        run(method, data(method, n=1))


@every_method
def test_pipeline_refuses_below_the_floor(method):
    """Before the method is asked; at the floor it is asked."""
    with pytest.raises(NotEnoughData, match=f"at least {method.minimum_rows} for"):
        pipeline.validate(method, data(method, n=method.minimum_rows - 1))
    pipeline.validate(method, data(method, n=method.minimum_rows))


@every_method
def test_constant_units_give_a_refusal_or_numbers(method):
    taps = [dataclasses.replace(t, values=np.ones_like(t.values), digest="") for t in data(method)]
    with np.errstate(all="raise", under="ignore"):
        try:
            result = run(method, taps, least(method))
        except LoupeError:
            return
    for name, array in results.to_parts(result)[1].items():
        if name != GONE.get(method.id):
            assert array.dtype.kind != "f" or np.isfinite(array).all(), name


@every_method
@pytest.mark.parametrize("d", [1, 2])
def test_one_or_two_units_give_a_refusal_or_a_result(method, d):
    taps = data(method, d=12)
    taps = [dataclasses.replace(t, values=t.values[:, :d].round(1), unit_names=(), digest="") for t in taps]
    wanted = {
        p.name: 3 for p in params_of(method.params) if d == 2 and p.name == "components" and 3 in p.choices
    }
    try:
        result = run(method, taps, least(method) | wanted)
    except LoupeError:
        return
    check_result(method, result)


@every_method
def test_a_constant_unit_is_taken_and_nonfinite_rows_are_left_out_and_counted(method):
    """In double precision."""
    taps = data(method, dtype=np.float64, nonfinite=4)
    for t in taps:
        t.values[:, 2] = 0.0
    result = run(method, taps, least(method))
    check_result(method, result)
    assert any("NaN" in c or "finite" in c for c in result.caveats), result.caveats


@every_method
def test_all_rows_nonfinite_is_refused(method):
    with pytest.raises(LoupeError):
        run(method, data(method, n=60, nonfinite=60))


@every_method
@pytest.mark.parametrize("shape", [(40,), (10, 4, 3), (20, 0)])
def test_wrong_axes_are_refused(method, shape):
    with pytest.raises(ShapeError):
        run(method, [np.zeros(shape)] * method.inputs)


@every_method
def test_a_missing_label_is_refused(method):
    if not any(p.column and p.default for p in params_of(method.params)) and not method.needs:
        pytest.skip("needs no column")
    with pytest.raises(NotFound):
        run(method, [np.random.default_rng(0).standard_normal((60, 5))] * method.inputs)


# ---------------------------------------------------------------------------- parameters
@every_method
def test_defaults_lie_inside_their_ranges_and_round_trip(method):
    for p in params_of(method.params):
        assert len(p.help) > 10, p.name
        if p.choices:
            assert p.default in p.choices
        if p.kind in ("int", "float") and p.default is not None:
            assert p.low is None or p.default >= p.low
            assert p.high is None or p.default <= p.high
    values = dataclasses.asdict(method.params())
    assert make_params(method.params, values) == method.params()
    text = {k: ("" if v is None else str(v)) for k, v in values.items()}
    assert make_params(method.params, text) == method.params()


@every_method
def test_declaration_in_words(method):
    assert method.invariance
    assert "When it lies" in __import__(method.function.__module__, fromlist=["x"]).__doc__


# ---------------------------------------------------------------------------- progress, recipe, cost, check
@every_method
def test_progress_rises_and_stops_the_work(method):
    _, seen = first(method.id)
    assert len(seen) >= 2
    assert all(0 <= f <= 1 for f in seen)
    assert list(seen) == sorted(seen)
    for stop_at in {0, len(seen) // 2, 9 * len(seen) // 10}:  # the last call comes after the work
        kept.forget()
        calls = iter(range(10**6))

        def stop(fraction, doing="", calls=calls, stop_at=stop_at):
            if next(calls) == stop_at:
                raise Cancelled

        try:
            run(method, data(method), least(method), seed=SEED, progress=stop)
        except Cancelled:
            continue
        if not method.worker:  # a layout reports by the clock, so that the last call may not come again
            pytest.fail(f"call {stop_at} of {len(seen)} did not stop the work")


@every_method
def test_round_trip_and_the_same_bits_again_from_its_recipe(method, tmp_path):
    result, _ = first(method.id)
    results.save(result, tmp_path / "r.npz")
    loaded = results.load(tmp_path / "r.npz")
    assert same(result, loaded)
    recipe = json.loads(json.dumps(result.origin.recipe()))
    kept.forget()
    again = pipeline.run(recipe["method"], data(method), recipe["params"], seed=recipe["seed"])
    assert same(dataclasses.replace(again, origin=None), dataclasses.replace(loaded, origin=None))


SIZES = {"tall": (700, 48), "wide": (300, 150)}
LARGER_SIZES = {"tall": (2500, 64), "wide": (600, 200)}
LARGER = {
    "augmentation_occlusion",
    "cca",
    "coding_rate",
    "collateral_damage",
    "concept_erasure",
    "correlation_map",
    "edit_success",
    "erasure_by_rank",
    "feature_names",
    "head_removal",
    "interaction_by_depth",
    "kind_features",
    "latent_volume",
    "over_smoothing",
    "part_subspaces",
    "pwcca",
    "saliency_ways",
    "scan_group_matrices",
    "shift_stability",
    "task_similarity",
}  # below these sizes their fixed parts weigh more
ROWS = {"maximum_rows": 500, "maximum_samples": 500}


@every_method
@pytest.mark.parametrize("shape", SIZES)
def test_memory_estimate_within_a_factor_of_three(method, shape):
    """Of some rows, and with as few repetitions as may be: what is repeated takes time, not memory."""
    n, d = (LARGER_SIZES if method.id in LARGER else SIZES)[shape]
    few = least(method) | {p.name: ROWS[p.name] for p in params_of(method.params) if p.name in ROWS}
    params = make_params(method.params, few)
    taps = data(method, n=n, d=d)
    first(method.id)  # imports and compiled code are not the method's memory
    kept.forget()  # what another method left for the same data would not be counted
    tracemalloc.start()
    try:
        run(method, taps, few)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    estimated = method.cost(((n, d),) * method.inputs, params).bytes
    assert peak / 3 <= estimated <= 3 * peak, f"estimated {estimated / 1e6:.1f} MB, used {peak / 1e6:.1f} MB"


@every_method
def test_seconds_are_positive_and_grow(method):
    params = method.params()
    small, large = (method.cost(((n, 256),) * method.inputs, params).seconds for n in (500, 4000))
    assert 0 < small < large


@every_method
def test_the_check_passes(method):
    lines = method.check()
    assert lines
    assert all(line.passed for line in lines), [line for line in lines if not line.passed]
