"""Recorded runs in random subspaces: d_int in closed form, its interval's coverage, bad tables, drawing, mutants."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import results
from analysis.activations import ArrayActivations
from analysis.compute.subspaces import recorded_runs
from analysis.compute.subspaces.landscape import OF_WAY, reached
from analysis.compute.subspaces.recorded_runs import d_int, dimensions_in, runs_of
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.rank import dimension_runs as module
from analysis.methods.rank.dimension_runs import LOWER, DimensionRunsParams, dimension_runs, planted_runs
from dashboard.figures import curve
from dashboard.figures.style import THEMES


def table(d, y, **more):
    samples = {"d": np.asarray(d), **{k: np.asarray(v) for k, v in more.items()}}
    return ArrayActivations(np.asarray(y, float)[:, None], "runs", samples, unit_names=("accuracy",))


def run(tap, **more):
    return dimension_runs(tap, DimensionRunsParams(dimension="d", **more))


def named(result):
    return {e.name: e for e in result.estimates}


# ---------------------------------------------------------------------------- what is read off
def test_two_networks_on_one_plot_with_their_dimensions_marked():
    found = run(planted_runs(np.random.default_rng(0)), architecture="network", parameters="D")
    assert list(found.series) == ["narrow", "wide"]
    assert {k: v.tolist() for k, v in found.marks.items()} == {"narrow": [116], "wide": [461]}
    assert found.log_x
    assert found.joined
    at = np.flatnonzero(np.isfinite(found.series["narrow"]))
    np.testing.assert_allclose(found.series["narrow"][at][:-1], 0.98 * (1 - np.exp(-found.x[at][:-1] / 50)))
    assert (
        "117 numbers (d and a seed) describe it, 171 times fewer than its 20,000 parameters" in found.reading
    )


def test_as_the_live_experiment_reads_it_off(rng):
    """The same table through the reader of `landscape_dimension`, a second implementation."""
    dims = np.array([0, 2, 5, 10, 40])
    for _ in range(50):
        y, full = np.sort(rng.random(5)), 1.0 + rng.random()
        for share in (0.3, 0.6, 0.9):
            expected = reached(dims, y[None], np.array([full]), share, OF_WAY)[0]
            runs = runs_of("a", np.append(dims, np.nan).astype(float), np.append(y, full), 0)
            np.testing.assert_equal(d_int(runs, share, True, rng).value, expected)


def test_full_training_by_its_mark_by_its_size_and_by_nothing():
    y = [0.1, 0.5, 0.8, 1.0]
    for d, more in (
        (["5", "10", "20", "full"], {}),
        ([5, 10, 20, np.nan], {}),
        ([5, 10, 20, 99], {"parameters": "D"}),
    ):
        found = run(table(d, y, D=np.full(4, 99)), share=0.8, **more)
        assert named(found)["d_int80"].value == 20
        assert named(found)["full performance"].value == 1.0
        assert not any("No full training" in c for c in found.caveats)
    missing = run(table([5, 10, 20], y[:3]), share=0.6)
    assert any("No full training recorded for runs" in c for c in missing.caveats)
    assert named(missing)["d_int60"].value == 10  # of 0.8, the best there is
    assert "full performance" not in named(missing)


def test_a_loss_is_read_by_what_it_falls():
    found = run(table([0, 10, 20, 30, np.nan], [4.0, 3.0, 1.3, 1.1, 1.0]), better=LOWER)
    assert named(found)["d_int90"].value == 20  # 4 - 0.9 * 3 = 1.3
    assert named(found)["full performance"].value == 1.0
    np.testing.assert_array_equal(found.series["runs"], [4.0, 3.0, 1.3, 1.1])
    assert (found.null["runs"] == 4.0).all()
    assert named(found)["correlation of d and performance"].value == -1.0


def test_a_share_does_not_depend_on_the_unit_of_performance(rng):
    tap = planted_runs(rng, 0.02, 3)
    scaled = ArrayActivations(tap.values * 100, tap.name, tap.samples, unit_names=tap.unit_names)
    one, other = (run(t, architecture="network") for t in (tap, scaled))
    for a, b in zip(one.estimates, other.estimates, strict=True):
        if "d_int" in a.name:
            assert (a.value, a.low, a.high) == (b.value, b.low, b.high)


# ---------------------------------------------------------------------------- intervals
def test_the_interval_holds_the_dimension_and_is_not_everything():
    """Three runs at each of 12 dimensions, deviation 0.03: over 150 tables the interval holds the recorded dimension at
    which the true curve reaches 90 %."""
    rng = np.random.default_rng(11)
    dims = np.array([1, 2, 5, 10, 20, 50, 70, 100, 150, 200, 300, 500])
    true = 1 - np.exp(-dims / 50)
    right = dims[(true >= 0.9).argmax()]
    d, y = np.repeat(np.append(dims, np.nan), 3), np.repeat(np.append(true, 1.0), 3)
    held, width = 0, []
    for _ in range(150):
        found = d_int(runs_of("a", d, y + 0.03 * rng.standard_normal(len(y)), 0), 0.9, False, rng)
        held += found.low <= right <= found.high
        width.append(np.searchsorted(dims, found.high) - np.searchsorted(dims, found.low))
    assert held >= 0.92 * 150
    assert np.mean(width) < 4  # of 12 places


def test_without_repeats_the_interval_is_the_gap_between_dimensions():
    e = named(run(table([10, 50, 90, np.nan], [0.2, 0.95, 0.99, 1.0])))["d_int90"]
    assert (e.low, e.value, e.high) == (11, 50, 50)
    assert "nothing repeats" in e.interval


def test_bands_are_students_t_of_pooled_deviations(rng):
    from scipy.stats import t

    y = rng.random((2, 4)) + np.array([[0.0], [1.0]])
    found = run(table(np.repeat([3, 9], 4), y.ravel()))
    pooled = np.sqrt(y.var(axis=1, ddof=1).mean())
    half = t.ppf(0.975, 6) * pooled / 2
    np.testing.assert_allclose(found.high["runs"] - found.series["runs"], half)
    np.testing.assert_allclose(found.series["runs"], y.mean(axis=1))


# ---------------------------------------------------------------------------- bad tables
def test_a_curve_that_falls_again_is_said_and_widens_the_interval():
    found = run(table([10, 20, 30, 40, np.nan], [0.1, 0.92, 0.5, 0.95, 1.0]))
    e = named(found)["d_int90"]
    assert (e.low, e.value, e.high) == (11, 20, 40)
    assert any("falls below 90% again above 20 dimensions; from 40 on" in c for c in found.caveats)


def test_never_reached_is_said_and_no_dimension_is_given():
    found = run(table([10, 20, 40, np.nan], [0.1, 0.3, 0.6, 1.0]))
    assert "no recorded dimension up to 40 reaches 90%" in found.reading
    assert "d_int90" not in named(found)
    assert not found.marks


def test_full_training_worse_than_the_smallest_dimension():
    found = run(table([0, 10, np.nan], [0.5, 0.4, 0.3]))
    assert "nothing can be reached" in found.reading
    assert not found.marks


def test_repeats_are_averaged_and_counted():
    found = run(table([5, 5, 9, np.nan], [0.2, 0.4, 0.95, 1.0]))
    np.testing.assert_allclose(found.series["runs"], [0.3, 0.95])
    assert any("1 dimension(s) were run more than once" in c for c in found.caveats)


@pytest.mark.parametrize(
    ("d", "y", "more", "error", "said"),
    [
        ([5, 9, -3], [1, 2, 3], {}, InputError, "-3"),
        ([5, 9.5, 10], [1, 2, 3], {}, InputError, "9.5"),
        (["5", "cat", "9"], [1, 2, 3], {}, ParameterError, "cat"),
        ([5, 5, 5], [1, 2, 3], {}, NotEnoughData, "two dimensions"),
        ([5, 9, 10], [np.nan] * 3, {}, NotEnoughData, "no finite performance"),
        ([5, 9, 10], [-3, -2, -1], {}, InputError, "not negative"),
        ([5, 9, 10], [1, 2, 3], {"parameters": "D"}, InputError, "at most its 7 parameters"),
        ([5, 9, 10], [1, 2, 3], {"performance": "loss"}, NotFound, "no unit or sample column 'loss'"),
        ([5, 9, 10], [1, 2, 3], {"performance": "kind"}, NotFound, "holds text"),
        ([5, 9, 10], [1, 2, 3], {"architecture": "net"}, NotFound, "net"),
    ],
)  # fmt: skip
def test_refusals(d, y, more, error, said):
    with pytest.raises(error, match=said):
        run(table(d, y, D=[7] * 3, kind=["a"] * 3), **more)


def test_one_network_without_enough_is_left_out():
    tap = table([5, 9, 5, np.nan], [0.1, 1.0, 0.2, 0.3], net=["a", "a", "b", "b"])
    found = run(tap, architecture="net")
    assert list(found.series) == ["a"]
    assert any("fewer than two dimensions left out: b" in c for c in found.caveats)


def test_the_performance_may_be_a_column():
    tap = ArrayActivations(np.zeros((3, 2)), samples={"d": [1, 2, 3], "score": [0.1, 0.5, 0.99]})
    np.testing.assert_allclose(run(tap, performance="score").series["array"], [0.1, 0.5, 0.99])


def test_marks_of_full_training_in_words():
    found = dimensions_in(np.array(["1,000", " Full ", "", "7"]), "d")
    np.testing.assert_array_equal(found, [1000, np.nan, np.nan, 7])


# ---------------------------------------------------------------------------- a file, and pictures
def test_a_table_of_runs_from_a_parquet_file(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    from analysis.sources.dump_tables import parquet_streams

    made = planted_runs(np.random.default_rng(0))
    columns = {"accuracy": made.values[:, 0], **{k: made.samples[k] for k in ("d", "network", "D")}}
    parquet.write_table(pa.table(columns), tmp_path / "runs.parquet")
    streams, others, _ = parquet_streams(tmp_path / "runs.parquet", None)
    assert list(streams) == ["runs"]
    assert others == ["d", "network", "D"]  # whole numbers and texts are about the runs


def test_drawn_with_diamonds_on_screen_and_on_paper(tmp_path):
    found = run(planted_runs(np.random.default_rng(0), 0.01, 2), architecture="network", parameters="D")
    results.save(found, tmp_path / "r.npz")
    found = results.load(tmp_path / "r.npz")
    figure = curve.screen(found, next(iter(THEMES.values())))
    diamonds = [t for t in figure.data if t.mode == "markers"]
    assert [float(t.x[0]) for t in diamonds] == [found.marks["narrow"][0], found.marks["wide"][0]]
    lines = [t for t in figure.data if t.mode == "lines+markers"]
    assert all(np.isfinite(t.y).all() for t in lines)
    assert "d_int90 of narrow: " in curve.words(found)
    assert any("diamonds: d_int90" in n for n in curve.notes(found))


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("d_int", lambda runs, *a: d_int(runs, 0.5, *a[1:])),
        ("runs_of", lambda name, d, y, size: runs_of(name, d, y, 0)),
        ("d_int", lambda *a: recorded_runs.Reached(116, 1, 1000, 116, False, "x")),
        ("dimensions_in", lambda column, name: 2 * dimensions_in(column, name)),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(module, name, broken)
    assert not all(line.passed for line in check())
