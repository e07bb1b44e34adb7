"""Two models' disagreement over a grid: brute force, all exchanges of small cases, planted corners, error rates of the
tests, empty cells, bad input."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import rel_entr, softmax

from analysis.activations import ArrayActivations, Layout
from analysis.compute.outputs.divergences import LN2
from analysis.compute.rows import column_grid
from analysis.compute.rows.column_grid import ColumnGrid, cell_means, grid_of, grid_test
from analysis.compute.rows.column_places import places_of
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError, TooLarge
from analysis.methods.populations import disagreement_surface as module
from analysis.methods.populations.disagreement_surface import DisagreementSurfaceParams, disagreement_surface
from analysis.spec import no_progress

FEW = settings(max_examples=15, deadline=None)


def tap(outputs, layout=None, **samples):
    return ArrayActivations(outputs, samples=samples, layout=layout)


def orbit(originals=20, side=4):
    """The shifts x, y and the original of every sample of a transform family."""
    x, y = (np.tile(v.ravel(), originals) for v in np.meshgrid(np.arange(side), np.arange(side)))
    return {
        "x": x.astype(float),
        "y": y.astype(float),
        "original": np.repeat(np.arange(originals), side * side),
    }


def run(one, other, **params):
    return disagreement_surface(
        one, other, DisagreementSurfaceParams(**{"across": "x", "down": "y", **params})
    )


def exchanged(values, cell, shape, within=None, seed=0):
    grid = ColumnGrid(np.arange(len(values)), np.asarray(cell), shape)
    return grid_test(
        np.asarray(values, float), grid, within, np.random.default_rng(seed), no_progress, (0, 1)
    )


# ---------------------------------------------------------------------------- cells
@FEW
@given(st.integers(0, 10**6), st.sampled_from(["KL", "JS", "different top class"]))
def test_cells_are_means_over_their_samples(seed, measure):
    rng = np.random.default_rng(seed)
    a, b = 2 * rng.standard_normal((2, 150, 4))
    x, y = rng.integers(3, size=150), rng.choice(["left", "mid", "right", "up"], size=150)
    found = run(tap(a, x=x, y=y), b, measure=measure)
    p, q = softmax(a, axis=1), softmax(b, axis=1)
    middle = (p + q) / 2
    each = {"KL": rel_entr(p, q).sum(axis=1), "different top class": p.argmax(axis=1) != q.argmax(axis=1),
            "JS": (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1) / 2}[measure].astype(float)  # fmt: skip
    assert found.column_names == ("0", "1", "2")
    assert found.row_names == ("left", "mid", "right", "up")
    for (i, name), j in product(enumerate(found.row_names), range(3)):
        part = each[(y == name) & (x == j)]
        assert found.values[i, j] == pytest.approx(part.mean(), abs=1e-9)
        assert found.low[i, j] <= found.values[i, j] <= found.high[i, j]
        if measure == "JS":
            half = stats.t.ppf(0.975, len(part) - 1) * part.std(ddof=1) / np.sqrt(len(part))
            assert found.low[i, j] == pytest.approx(max(part.mean() - half, 0))
    np.testing.assert_allclose(found.null, each.mean())
    table = [each[(y == n) & (x == j)] for n, j in product(found.row_names, range(3))]
    between = sum(len(v) * (v.mean() - each.mean()) ** 2 for v in table) / ((each - each.mean()) ** 2).sum()
    assert found.estimates[1].value == pytest.approx(between)
    assert found.estimates[1].null == pytest.approx(11 / 149)
    assert found.estimates[2].value == pytest.approx(max(v.mean() for v in table if len(v) >= 5))


def test_one_model_twice_is_0_everywhere_and_nothing_stands_out():
    where = orbit()
    a = tap(np.random.default_rng(1).standard_normal((320, 5)), **where)
    for measure in ("KL", "JS", "different top class"):
        found = run(a, a, measure=measure)
        assert not found.values.any()
        assert not found.significant.any()
        assert found.estimates[1].p_value == found.estimates[2].p_value == 1.0


def test_js_is_at_most_ln_2_and_kl_is_not_symmetric():
    where, rng = orbit(), np.random.default_rng(2)
    a, b = 40 * rng.standard_normal((2, 320, 3))
    js = run(tap(a, **where), b)
    assert (js.values <= LN2).all()
    assert (js.high <= LN2).all()
    assert js.values.max() > 0.3
    np.testing.assert_allclose(run(tap(b, **where), a).values, js.values, atol=1e-12)
    one, other = (run(tap(u / 20, **where), v / 20, measure="KL").values for u, v in ((a, b), (b, a)))
    assert np.abs(one - other).max() > 1e-3


def test_adding_numbers_to_logits_and_reordering_samples_or_classes_changes_nothing():
    where, rng = orbit(), np.random.default_rng(3)
    a, b = rng.standard_normal((2, 320, 4))
    plain = run(tap(a, **where), b)
    order, turn = rng.permutation(4), rng.permutation(320)
    moved = {k: v[turn] for k, v in where.items()}
    for other in (
        run(tap(a + 9 * rng.standard_normal((320, 1)), **where), b),
        run(tap(a[:, order], **where), b[:, order]),
        run(tap(a[turn], **moved), b[turn]),
    ):
        np.testing.assert_allclose(other.values, plain.values, atol=1e-12)
        assert other.estimates[1].value == pytest.approx(plain.estimates[1].value, abs=1e-12)


def test_samples_are_matched_by_id_and_columns_are_those_of_the_first_tap():
    where, rng = orbit(), np.random.default_rng(4)
    a, b = rng.standard_normal((2, 320, 3))
    ids, order = np.array([f"s{i}" for i in range(320)]), rng.permutation(320)
    found = run(tap(a, id=ids, **where), tap(b[order], id=ids[order]))
    np.testing.assert_allclose(found.values, run(tap(a, **where), b).values, atol=1e-12)


def test_tokens_count_once_a_sample():
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((2, 120, 3))
    layout, x = Layout(np.arange(61) * 2), np.resize([0.0, 1.0], 60)
    found = disagreement_surface(
        tap(a, layout, x=x), tap(b, layout), DisagreementSurfaceParams("x", measure="KL")
    )
    each = rel_entr(softmax(a, axis=1), softmax(b, axis=1)).sum(axis=1).reshape(60, 2).mean(axis=1)
    np.testing.assert_allclose(found.values, [[each[x == 0].mean(), each[x == 1].mean()]], atol=1e-9)
    assert found.row_names == ("all",)


# ---------------------------------------------------------------------------- exchange
def test_expected_cells_are_the_means_over_all_exchanges():
    """Free, and inside two originals of three samples each."""
    values, cell = np.array([1.0, 5, 2, 7, 3, 11]), np.array([0, 1, 2, 0, 1, 1])
    within = np.array(["a", "a", "a", "b", "b", "b"])
    free, inside = [], []
    for order in permutations(range(6)):
        free.append([values[list(order)][cell == c].mean() for c in range(3)])
    for a, b in product(permutations(range(3)), permutations(range(3, 6))):
        inside.append([values[[*a, *b]][cell == c].mean() for c in range(3)])
    np.testing.assert_allclose(exchanged(values, cell, (1, 3)).expected, np.mean(free, axis=0), atol=1e-12)
    np.testing.assert_allclose(
        exchanged(values, cell, (1, 3), within).expected, np.mean(inside, axis=0), atol=1e-12
    )


def test_p_values_are_those_of_all_exchanges():
    values, cell = np.array([1.0, 5, 2, 7, 3, 11, 4]), np.array([0, 1, 0, 0, 1, 1, 0])
    found = exchanged(values, cell, (1, 2))
    shares, tops = [], []
    for order in permutations(range(7)):
        means = np.array([values[list(order)][cell == c].mean() for c in (0, 1)])
        shares.append(
            (np.array([4, 3]) * (means - values.mean()) ** 2).sum() / ((values - values.mean()) ** 2).sum()
        )
        tops.append(means.max())
    top = max(values[cell == c].mean() for c in (0, 1))
    assert found.p_share == pytest.approx(np.mean(np.array(shares) >= found.share - 1e-9), abs=0.06)
    assert found.p_highest == pytest.approx(np.mean(np.array(tops) >= top - 1e-9), abs=0.06)


def test_error_rates_where_nothing_depends_on_the_grid():
    """Skewed values without a relation: p uniform, and any cell at all stands out in 5 % of the grids."""
    rng = np.random.default_rng(6)
    cell = np.arange(120) % 12
    found = [exchanged(rng.exponential(size=120), cell, (3, 4), seed=k) for k in range(80)]
    for p in (np.array([t.p_share for t in found]), np.array([t.p_highest for t in found])):
        assert stats.kstest(p, "uniform").pvalue > 0.001
    assert np.mean([t.stands_out.any() for t in found]) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 80)


def test_an_invariant_pair_of_hard_and_easy_originals_is_flat_only_inside_originals():
    """Originals differ in how much the models part on them, and are not spread evenly over the grid: freely exchanged
    the surface is not flat, inside each original it is."""
    rng = np.random.default_rng(7)
    original = np.repeat(np.arange(40), 6)
    hard = (original < 20).astype(float)
    x = np.where(rng.random(240) < 0.25 + 0.5 * hard, 1.0, 0.0)
    a, noise = rng.standard_normal((2, 240, 3))
    b = a + (0.2 + 2 * hard)[:, None] * noise
    samples = {"x": x, "original": original}
    free = disagreement_surface(tap(a, **samples), b, DisagreementSurfaceParams("x"))
    inside = disagreement_surface(tap(a, **samples), b, DisagreementSurfaceParams("x", within="original"))
    assert free.estimates[1].p_value < 0.01
    assert inside.estimates[1].p_value > 0.05
    assert not inside.significant.any()
    assert inside.null[0, 1] > inside.null[0, 0]
    assert any("choose its column as 'within'" in c for c in free.caveats)


# ---------------------------------------------------------------------------- what must be seen
@pytest.mark.parametrize("within", ["", "original"])
def test_a_planted_corner_is_found(within):
    where, rng = orbit(), np.random.default_rng(8)
    corner = (where["x"] == 0) & (where["y"] == 3)
    a, noise = rng.standard_normal((2, 320, 4))
    b = a + (0.2 + 3 * corner)[:, None] * noise
    found = run(tap(a, **where), b, within=within)
    assert np.unravel_index(found.values.argmax(), found.values.shape) == (3, 0)
    assert found.significant[3, 0]
    assert found.significant.sum() == 1
    assert found.estimates[1].p_value == pytest.approx(0.001)
    highest = found.estimates[2]
    assert highest.name == "highest cell, at x = 0 and y = 3"
    assert highest.p_value == pytest.approx(0.001)
    assert highest.low < found.low[3, 0] < found.high[3, 0] < highest.high  # it holds for all 16 cells
    assert "not flat" in found.reading
    np.testing.assert_allclose(found.null, found.null.mean(), rtol=1e-12)  # every original is everywhere once


def test_a_student_that_lacks_an_equivariance_parts_from_its_teacher_along_the_orbit():
    """The toy case: a teacher that pools over a circle (exactly invariant to circular shifts) and a student that reads
    fixed places and has learned the teacher's answers to the unshifted images by heart (more places than images): two
    teachers disagree equally at all shifts, teacher and student nowhere but where it is shifted."""
    rng = np.random.default_rng(9)
    base, filters = rng.standard_normal((40, 60)), rng.standard_normal((2, 3, 4))
    shifts = np.arange(6)

    def pooled(images, w):  # circular correlation, ReLU, mean over the circle
        windows = np.stack([np.roll(images, -k, axis=1) for k in range(3)], axis=2)
        return np.maximum(windows @ w, 0).mean(axis=1)

    images = np.concatenate([np.roll(base, s, axis=1) for s in shifts])
    where = {"x": np.repeat(shifts, 40).astype(float), "original": np.tile(np.arange(40), 6)}
    teachers = [9 * pooled(images, w) for w in filters]
    student = images @ np.linalg.pinv(base) @ teachers[0][:40]
    params = DisagreementSurfaceParams("x", within="original")
    flat = disagreement_surface(tap(teachers[0], **where), teachers[1], params)
    rises = disagreement_surface(tap(teachers[0], **where), student, params)
    assert np.ptp(flat.values) < 1e-12
    assert flat.estimates[1].p_value == flat.estimates[2].p_value == 1.0
    assert not flat.significant.any()
    assert rises.values[0, 0] == pytest.approx(0.0, abs=1e-12)
    assert rises.values[0, 1:].min() > 0.01
    assert rises.significant[0, 0]
    assert rises.estimates[1].p_value < 0.01


# ---------------------------------------------------------------------------- grids
def test_grid_keeps_samples_with_both_columns():
    x = np.array([0.0, 1, np.nan, 1, 0, 1, 0, 1])
    y = np.array(["a", "b", "a", "", "b", "a", "a", "b"])
    grid = grid_of(places_of(y, 5, "y"), places_of(x, 5, "x"), 8)
    assert grid.samples.tolist() == [0, 1, 4, 5, 6, 7]
    assert grid.cell.tolist() == [0, 3, 2, 1, 0, 3]
    assert grid.counts.tolist() == [2, 1, 1, 2]
    np.testing.assert_allclose(cell_means(np.arange(6.0), grid, -1.0), [2, 3, 2, 3])


def test_empty_and_small_cells_are_marked_and_never_the_highest():
    rng = np.random.default_rng(10)
    x, y = np.repeat([0.0, 0, 1, 1], [30, 30, 2, 40]), np.repeat([0.0, 1, 0, 1], [30, 30, 2, 40])
    x[-10:], y[-10:] = 2, 1  # the cell (0, 2) stays empty
    a, noise = rng.standard_normal((2, 102, 3))
    b = a + np.where((x == 1) & (y == 0), 20, 0.5)[:, None] * noise
    found = run(tap(a, x=x, y=y), b)
    np.testing.assert_array_equal(found.few, [[False, True, True], [False, False, False]])
    assert found.values.argmax() == 1  # two samples only
    assert "x = 1 and y = 0" not in found.estimates[2].name
    assert not found.significant[found.few].any()
    assert found.values[0, 2] == found.null[0, 2] == pytest.approx(found.estimates[0].value)
    assert (found.low[0, 2], found.high[0, 2]) == (0, LN2)
    assert np.isfinite([found.values, found.low, found.high, found.null]).all()
    assert "Cells hold 0 to 30 samples." in found.caveats
    assert any(c.startswith("1 cell(s) have no sample") for c in found.caveats)
    assert any(c.startswith("1 cell(s) with fewer than five") for c in found.caveats)
    assert found.estimates[1].null == pytest.approx(4 / 101)


def test_many_values_are_cut_into_bins_and_counts_are_told():
    rng = np.random.default_rng(11)
    a, b = rng.standard_normal((2, 400, 3))
    found = run(tap(a, x=rng.uniform(size=400), y=rng.uniform(size=400)), b, bins=4)
    assert found.values.shape == (4, 4)
    assert sum("equal counts" in c for c in found.caveats) == 2
    assert any(c.startswith("Cells hold ") for c in found.caveats)


# ---------------------------------------------------------------------------- refusals
def test_bad_input():
    rng = np.random.default_rng(12)
    a, b = rng.standard_normal((2, 40, 3))
    where = {"x": np.resize([0.0, 1.0], 40), "y": np.repeat([0.0, 1.0], 20)}
    for column in ({"across": "z"}, {"down": "z"}, {"within": "z"}):
        with pytest.raises(NotFound, match="no sample column 'z'"):
            run(tap(a, **where), b, **column)
    with pytest.raises(ParameterError, match="two columns"):
        run(tap(a, **where), b, down="x")
    with pytest.raises(InputError, match="3 classes and array has 2"):
        run(tap(a, **where), b[:, :2])
    with pytest.raises(NotEnoughData, match="1 value"):
        run(tap(a, x=np.zeros(40), y=where["y"]), b)
    with pytest.raises(NotEnoughData, match=r"in 40 cell\(s\)"):
        run(tap(a, x=np.arange(40) % 10, y=np.arange(40) // 10 + 10 * (np.arange(40) % 10 // 5)), b)
    apart = {
        "x": np.r_[where["x"][:20], np.full(20, np.nan)],
        "y": np.r_[np.full(20, np.nan), where["x"][:20]],
    }
    with pytest.raises(NotEnoughData, match=r"0 sample\(s\) with both"):
        run(tap(a, **apart), b)
    with pytest.raises(InputError, match="no two samples have the same 'original'"):
        run(tap(a, **where, original=np.arange(40)), b, within="original")
    texts = {k: np.array([f"t{i}" for i in rng.integers(80, size=4000)]) for k in "xy"}
    with pytest.raises(TooLarge, match="80 x 80 cells"):
        run(tap(rng.standard_normal((4000, 2)), **texts), rng.standard_normal((4000, 2)))
    with pytest.raises(NotEnoughData, match="3 row"):
        run(tap(a[:3], **{k: v[:3] for k, v in where.items()}), b[:3])
    with pytest.raises(NotEnoughData, match="same id"):
        run(tap(a, **where), tap(b, id=[f"o{i}" for i in range(40)]))


def test_samples_without_a_finite_answer_are_left_out_and_counted():
    where, rng = orbit(), np.random.default_rng(13)
    a, b = rng.standard_normal((2, 320, 3))
    b[[0, 5]] = np.nan
    found = run(tap(a, **where), b)
    assert any("2 row(s) with NaN" in c for c in found.caveats)
    assert found.estimates[0].n == 318


# ---------------------------------------------------------------------------- the check can fail
@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (module, "grid_of", lambda down, across, n: grid_of(across, down, n)),
        (module, "cell_means", lambda v, grid, mean: np.full(len(grid.counts), v.mean())),
        (column_grid, "_exchanged", lambda v, of, rng: (v for _ in range(999))),
        (column_grid, "add_one_p", lambda seen, drawn: 0.001),
        (column_grid, "explained", lambda v, of: 0.5),
    ],
)
def test_the_check_fails_on_broken_code(monkeypatch, where, name, broken):
    check = module.METHODS[0].check
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in check())
