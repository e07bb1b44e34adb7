"""Before and after a projection head: spectra with their ranks and intervals, known factors and their probes, by closed
forms, scikit-learn's ridge, exact nulls, planted heads and bad input."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.activations import ArrayActivations, Layout
from analysis.compute.linear import ridge_probe, sample_spectrum, spectrum_lines
from analysis.compute.linear.cross_fitting import folds_of
from analysis.compute.linear.ridge_probe import held_out_predictions
from analysis.compute.linear.sample_spectrum import log_interval, spectrum_of
from analysis.compute.linear.spectra import ranks
from analysis.compute.rows.known_factors import factor_of, factors_of
from analysis.compute.similarity import factor_weights
from analysis.compute.similarity.factor_weights import probes, share_of_variance
from analysis.errors import InputError, NotEnoughData, NotFound, ParameterError
from analysis.methods.similarity import head_factors as factors_module
from analysis.methods.similarity import head_spectra as spectra_module
from analysis.methods.similarity.head_factors import HeadFactorParams, head_factors
from analysis.methods.similarity.head_spectra import HeadSpectraParams, head_spectra

FEW = settings(max_examples=15, deadline=None)
ROOT = "entropy rank of √λ (centred singular values)"


def tap(x, name="t", samples=None, layout=None):
    return ArrayActivations(x, name=name, samples=samples or {}, layout=layout)


def estimate(found, start):
    return next(e for e in found.estimates if e.name.startswith(start))


# ---------------------------------------------------------------------------- spectra
@pytest.mark.parametrize("d", [1, 4, 30])
def test_isotropic_data_have_rank_d_by_every_formula(d, rng):
    basis = np.linalg.qr(rng.standard_normal((200, d + 1)))[0]
    x = np.linalg.qr(basis - basis.mean(axis=0))[0][:, :d]  # centred, orthonormal: d equal singular values
    found = head_spectra(tap(x, "a"), tap(7 * x - 3, "b"))
    for e in found.estimates[:3]:
        assert e.value == pytest.approx(d, abs=1e-8)
    assert [e.value for e in found.estimates[-3:]] == pytest.approx([1, 1, 1], abs=1e-8)


@FEW
@given(st.integers(0, 10**6), st.sampled_from([(40, 12, 5), (15, 30, 8), (40, 12, 20)]))
def test_a_linear_head_turns_the_covariance_and_can_only_lower_the_rank(seed, shape):
    n, d, k = shape
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)) * rng.exponential(size=d)
    w = rng.standard_normal((k, d))
    found = head_spectra(tap(x, "a"), tap(x @ w.T + 2, "b"))
    before, after = (estimate(found, f"{name}: directions").value for name in "ab")
    assert after <= before == min(n - 1, d)
    assert after == min(before, k)
    lam = np.maximum(np.linalg.eigvalsh(w @ np.cov(x, rowvar=False) @ w.T)[::-1], 0)[: int(after)]
    np.testing.assert_allclose(found.series["b"][: int(after)], np.sqrt(lam / lam[0]), atol=1e-6)
    assert (found.series["b"][int(after) :] == 0).all()


def test_the_effective_rank_may_rise_where_the_rank_cannot(rng):
    x = rng.standard_normal((500, 10)) * np.geomspace(10, 0.1, 10)
    found = head_spectra(tap(x, "a"), tap(x / x.std(axis=0), "b"))
    assert found.estimates[-1].low > 1
    assert "rises" in found.reading
    assert estimate(found, "b: directions").value == estimate(found, "a: directions").value


def test_the_three_ranks_and_rankme_are_kept_apart(rng):
    x = rng.standard_normal((300, 20)) * np.geomspace(5, 0.05, 20) + 3.0
    found = head_spectra(tap(x, "a"), tap(x, "b"))
    lam = np.linalg.eigvalsh(np.cov(x, rowvar=False))
    p, s = lam / lam.sum(), np.sqrt(lam) / np.sqrt(lam).sum()
    raw = np.linalg.svd(x, compute_uv=False)
    raw = raw / raw.sum()
    expected = [lam.sum() ** 2 / (lam**2).sum(), *(np.exp(-(q * np.log(q)).sum()) for q in (p, s, raw))]
    assert [e.value for e in found.estimates[:4]] == pytest.approx(expected, rel=1e-7)
    assert len({round(e.value, 2) for e in found.estimates[:4]}) == 4


def test_intervals_of_ranks_and_of_their_ratio_cover():
    """At n = 400 samples of 6 Gaussian units; the bias is far below the width."""
    scale = np.array([2.0, 1.5, 1, 1, 0.7, 0.5])
    w = np.diag([1, 1, 1, 0.3, 0.3, 0.3])
    truth = list(ranks(scale**2).values())[2]
    ratio = list(ranks((scale * np.diag(w)) ** 2).values())[2] / truth
    hits = np.zeros(2)
    for seed in range(120):
        x = np.random.default_rng(seed).standard_normal((400, 6)) * scale
        a, b = spectrum_of(x), spectrum_of(x @ w)
        for i, (value, change, true) in enumerate(
            (
                (list(ranks(a.eigenvalues).values())[2], a.rank_changes()[:, 2], truth),
                (
                    list(ranks(b.eigenvalues).values())[2] / list(ranks(a.eigenvalues).values())[2],
                    (b.rank_changes() - a.rank_changes())[:, 2],
                    ratio,
                ),
            )
        ):
            low, high = log_interval(value, change)
            hits[i] += low <= true <= high
    assert (hits >= 106).all()


def test_contributions_of_samples_are_what_leaving_one_out_changes(rng):
    x = rng.standard_normal((60, 4)) * [3, 2, 1.3, 0.8]
    found = spectrum_of(x)
    value = list(ranks(found.eigenvalues).values())[2]
    left = [list(ranks(spectrum_of(np.delete(x, i, axis=0)).eigenvalues).values())[2] for i in range(60)]
    jackknife = -(np.log(left) - np.mean(np.log(left))) * 59
    assert np.corrcoef(found.rank_changes()[:, 2], jackknife)[0, 1] > 0.98
    assert found.rank_changes()[:, 2].std() == pytest.approx(jackknife.std(), rel=0.1)
    assert value > 0


@pytest.mark.parametrize("power", [0.0, 0.5, 1.5, 3.0])
def test_the_imitated_head_raises_singular_values_to_a_power(power, rng):
    x = rng.standard_normal((80, 7)) * np.geomspace(4, 0.3, 7) + 5
    found = head_spectra(tap(x, "a"), tap(x, "b"), params=HeadSpectraParams(power=power))
    u, s, vt = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    by_hand = np.linalg.svd(u * s**power @ vt, compute_uv=False)
    name = f"a with σ^{power:g}"
    np.testing.assert_allclose(found.series[name], by_hand / by_hand[0], atol=1e-9)
    scores = spectrum_of(x).powered(power).scores
    of_scores = np.linalg.svd(scores, compute_uv=False)
    np.testing.assert_allclose(of_scores / of_scores[0], by_hand / by_hand[0], atol=1e-9)
    assert (found.null[name] <= 1 + 1e-12).all()


def test_the_null_is_what_independent_units_give(rng):
    """On data without structure the curve lies on its null; correlated units lie below it."""
    x = rng.standard_normal((150, 40))
    found = head_spectra(tap(x, "free"), tap(x[:, :4] @ rng.standard_normal((4, 40)) + 0.3 * x, "bound"))
    assert np.abs(found.series["free"] - found.null["free"]).max() < 0.06
    assert found.series["bound"][10] < found.null["bound"][10] - 0.3
    free = estimate(found, f"free: {ROOT}")
    assert free.null_low - 0.5 <= free.value <= free.null_high + 0.5


@pytest.mark.parametrize("spoil", ["constant", "duplicated", "huge", "tiny", "wide", "float16"])
def test_odd_units_give_spectra(rng, spoil):
    x = rng.standard_normal((30, 5))
    y = {
        "constant": np.hstack([x, np.full((30, 2), 4.0)]), "duplicated": np.hstack([x, x]), "huge": x * 1e120,
        "tiny": x * 1e-120, "wide": np.hstack([x, np.zeros((30, 200))]), "float16": x.astype(np.float16),
    }[spoil]  # fmt: skip
    found = head_spectra(tap(x, "a"), tap(y, "b"))
    assert estimate(found, "b: directions").value == 5
    if spoil != "float16":
        np.testing.assert_allclose(found.series["b"], found.series["a"], atol=1e-9)
    assert any("constant unit" in c for c in found.caveats) == (spoil in ("constant", "wide"))


def test_layers_with_tokens_are_pooled_and_matched(rng):
    x = rng.standard_normal((40, 3, 6))
    ids = np.array([f"s{i}" for i in range(40)])
    order = rng.permutation(40)
    one = tap(x.reshape(120, 6), "a", {"id": ids}, Layout(np.arange(41) * 3))
    found = head_spectra(one, tap(x.mean(axis=1)[order], "b", {"id": ids[order]}))
    np.testing.assert_allclose(found.series["a"], found.series["b"], atol=1e-9)


# ---------------------------------------------------------------------------- known factors
def test_columns_become_classes_or_numbers():
    n = 60
    columns = {
        "text": np.array(["a", "b", "c"] * 20), "flag": np.arange(n) % 2 == 0, "whole": np.arange(n) % 4,
        "count": np.arange(n), "real": np.linspace(-1, 1, n), "signed": np.arange(n) - 30,
        "rare": np.array(["x"] * 57 + ["y"] * 3), "names": np.array([f"n{i}" for i in range(n)]),
        "same": np.ones(n), "gaps": np.where(np.arange(n) < 10, np.nan, np.linspace(0, 1, n)),
        "missing": np.array(["", "a", "b"] * 20), "unlabelled": np.arange(n) % 3 - 1,
    }  # fmt: skip
    kind = {k: (f.kind if (f := factor_of(k, v)) else None) for k, v in columns.items()}
    assert kind == {
        "text": "3 classes", "flag": "2 classes", "whole": "4 classes", "count": "number", "real": "number",
        "signed": "number", "rare": None, "names": None, "same": None, "gaps": "number", "missing": "2 classes",
        "unlabelled": "2 classes",
    }  # fmt: skip
    assert factor_of("gaps", columns["gaps"]).known.sum() == 50
    assert factor_of("missing", columns["missing"]).known.sum() == 40
    assert factor_of("signed", columns["signed"]).known.all()
    found, notes = factors_of(
        [tap(np.zeros((n, 1)), samples=columns)], np.arange(n).astype(str), "text, real"
    )
    assert [f.name for f in found] == ["text", "real"]
    assert not notes
    with pytest.raises(NotFound, match="no sample column 'nothing'"):
        factors_of([tap(np.zeros((n, 1)), samples=columns)], np.arange(n).astype(str), "nothing")
    with pytest.raises(NotFound, match="names are not"):
        factors_of([tap(np.zeros((n, 1)), samples={"names": columns["names"]})], np.arange(n).astype(str))


def test_factors_are_matched_by_id(rng):
    ids = np.array([f"s{i}" for i in range(30)])
    order = rng.permutation(30)
    kind = np.arange(30) % 2
    (found,), _ = factors_of([tap(np.zeros((30, 1)), samples={"id": ids, "kind": kind})], ids[order])
    np.testing.assert_array_equal(found.of, kind[order])


# ---------------------------------------------------------------------------- probes
@FEW
@given(st.integers(0, 10**6), st.sampled_from([(40, 6), (25, 60)]))
def test_the_probe_is_ridge_regression(seed, shape):
    """scikit-learn's ridge as a second implementation, at the penalty with the least generalised cross-validation."""
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(seed)
    n, d = shape
    x = rng.standard_normal((n, d)) + 4
    y = x[:, :2] @ rng.standard_normal((2, 3)) + rng.standard_normal((n, 3))
    fold, group = folds_of(np.zeros(n), 4, rng), np.array([0, 0, 1])
    found = held_out_predictions(x, y, group, fold)
    for f in range(4):
        train = fold != f
        a, b = x[train], y[train]
        centred = a - a.mean(axis=0)
        scale = np.linalg.svd(centred, compute_uv=False)
        scale = scale[scale > 1e-8]
        for g in (0, 1):
            best = None
            for lam in ridge_probe.PENALTIES * (scale**2).mean():
                model = Ridge(alpha=lam, solver="svd").fit(a, b[:, group == g])
                free = len(a) - 1 - (scale**2 / (scale**2 + lam)).sum()
                left = b[:, group == g] - model.predict(a).reshape(len(a), -1)
                error = len(a) * (left**2).sum() / free**2
                if best is None or error < best[0]:
                    best = error, model
            np.testing.assert_allclose(
                found[:, group == g][fold == f], best[1].predict(x[fold == f]).reshape(-1, (group == g).sum()),
                rtol=1e-6, atol=1e-8,
            )  # fmt: skip


def test_classes_are_read_by_the_nearest_class_mean_of_the_fit(rng):
    of = np.repeat([0, 1, 2], [40, 15, 5])
    x = rng.standard_normal((60, 4)) + np.eye(4)[of] * 2
    y = np.eye(3)[of]
    fold = folds_of(of, 5, rng)
    plain = held_out_predictions(x, y, np.zeros(3, int), fold)
    scores = held_out_predictions(x, y, np.zeros(3, int), fold, np.array([True]))
    for f in range(5):
        train = fold != f
        # by hand: the fitted values of the training samples come from a fold of their own
        again = held_out_predictions(
            np.vstack([x[train], x[train]]), np.vstack([y[train], y[train]]), np.zeros(3, int),
            np.repeat([0, 1], train.sum()),
        )[: train.sum()]  # fmt: skip
        means = np.array([again[of[train] == c].mean(axis=0) for c in range(3)])
        away = ((plain[fold == f][:, None] - means) ** 2).sum(axis=2)
        np.testing.assert_array_equal(scores[fold == f].argmax(axis=1), away.argmin(axis=1))


def test_nothing_to_tell_is_told_at_chance_whatever_the_sizes(rng):
    """Unbalanced classes of noise: each is right as often as it is named, 1/3 on average."""
    of = np.repeat(["a", "b", "c"], [120, 50, 30])
    factor = factor_of("kind", of)
    fold = folds_of(np.zeros(200), 5, rng)
    moves = np.array([rng.permutation(200) for _ in range(200)])
    (found,) = probes(rng.standard_normal((200, 10)), [factor], fold, moves)
    assert found.null.mean() == pytest.approx(1 / 3, abs=0.01)
    assert found.p > 0.001
    assert found.low <= found.value <= found.high


def test_a_number_is_told_as_well_as_its_noise_allows(rng):
    """R² of z from x = z + e with variances 1 and 1 is one half."""
    z = rng.standard_normal(3000)
    x = np.stack([z + rng.standard_normal(3000), rng.standard_normal(3000)], axis=1)
    moves = np.array([rng.permutation(3000) for _ in range(20)])
    (found,) = probes(x, [factor_of("z", z)], folds_of(np.zeros(3000), 5, rng), moves)
    assert found.value == pytest.approx(0.5, abs=0.04)
    assert found.low < 0.5 < found.high
    assert found.high - found.low < 0.1
    assert found.each.mean() == pytest.approx(found.value, abs=1e-12)
    assert abs(found.null.mean()) < 0.01
    assert found.p < 1e-6


def test_probes_of_factors_known_of_different_samples_are_those_of_each_alone(rng):
    x = rng.standard_normal((80, 5))
    whole, part = np.arange(80) % 2, np.where(np.arange(80) < 20, -1, np.arange(80) % 3)
    x[:, 0] += 2 * whole
    factors = [factor_of("whole", whole), factor_of("part", part)]
    fold = folds_of(np.zeros(80), 5, rng)
    moves = np.array([rng.permutation(80) for _ in range(25)])
    both = probes(x, factors, fold, moves)
    for factor, found in zip(factors, both, strict=True):
        (alone,) = probes(x, [factor], fold, moves)
        assert (found.value, found.low, found.high) == (alone.value, alone.low, alone.high)
        np.testing.assert_array_equal(found.null, alone.null)
    assert len(both[1].each) == 60


def test_targets_in_blocks_are_targets_together(rng, monkeypatch):
    x, of = rng.standard_normal((60, 4)), np.arange(60) % 3
    x[:, 0] += of
    fold = folds_of(np.zeros(60), 5, rng)
    moves = np.array([rng.permutation(60) for _ in range(20)])
    (whole,) = probes(x, [factor_of("of", of)], fold, moves)
    monkeypatch.setattr(factor_weights, "BLOCK_BYTES", 1)
    (cut,) = probes(x, [factor_of("of", of)], fold, moves)
    np.testing.assert_allclose(cut.null, whole.null)
    assert cut.value == whole.value


# ---------------------------------------------------------------------------- share of the variance
def test_the_share_and_its_null_are_exact():
    """All 5040 exchanges of seven samples: mean r / (n - 1), deviation, and the analysis of variance."""
    rng = np.random.default_rng(4)
    x, of = rng.exponential(size=(7, 3)) ** 2, np.array([0, 0, 0, 1, 1, 2, 2])
    factor = factor_of("of", of.repeat(5))  # large enough to be one, then cut back
    factor = type(factor)("of", np.ones(7, bool), factor.classes, of, np.zeros(7))
    found = share_of_variance(x, factor)
    centred = x - x.mean(axis=0)

    def between(codes):
        means = np.array([x[codes == c].mean(axis=0) for c in range(3)])
        return ((means[codes] - x.mean(axis=0)) ** 2).sum() / (centred**2).sum()

    every = [between(of[list(p)]) for p in permutations(range(7))]
    assert found.value == pytest.approx(between(of), abs=1e-12)
    assert found.null == pytest.approx(np.mean(every), abs=1e-12)
    assert found.null == pytest.approx(2 / 6, abs=1e-12)
    assert found.deviation == pytest.approx(np.std(every), abs=1e-12)


def test_the_share_of_a_number_is_the_regression_on_it(rng):
    z = rng.standard_normal(50)
    x = rng.standard_normal((50, 4)) + z[:, None]
    r = [np.corrcoef(z, u)[0, 1] ** 2 * u.var() for u in x.T]
    found = share_of_variance(x, factor_of("z", z))
    assert found.value == pytest.approx(sum(r) / x.var(axis=0).sum(), abs=1e-12)
    assert found.null == pytest.approx(1 / 49)


# ---------------------------------------------------------------------------- the table
def planted(rng, n=500):
    kept, lost, never = (rng.integers(3, size=n) for _ in range(3))
    number = rng.standard_normal(n)
    x = 0.5 * rng.standard_normal((n, 10))
    x[:, :3] += np.eye(3)[kept]
    x[:, 3:6] += np.eye(3)[lost]
    x[:, 6] += 2 * number
    return x, {"kept": kept, "lost": lost, "never": never, "number": number}


def test_a_head_that_drops_units_loses_what_they_knew(rng):
    x, samples = planted(rng)
    found = head_factors(tap(x, "a", samples), tap(x[:, :3] @ rng.standard_normal((3, 3)), "b", samples))
    verdict = dict(zip(found.columns["factor"], found.columns["verdict"], strict=True))
    assert verdict == {"kept": "kept", "lost": "lost", "never": "not there", "number": "lost"}
    assert (np.diff(found.columns["change"]) >= 0).all()
    assert "2 lost" in found.reading
    back = head_factors(tap(x[:, :3], "a", samples), tap(x, "b", samples)).columns
    assert dict(zip(back["factor"], back["verdict"], strict=True))["lost"] == "gained"


def test_a_rotation_keeps_everything_and_its_shares(rng):
    x, samples = planted(rng, 200)
    q = np.linalg.qr(rng.standard_normal((10, 10)))[0]
    found = head_factors(tap(x, "a", samples), tap(40 * x @ q + 9, "b", samples)).columns
    np.testing.assert_allclose(found["change"], 0, atol=1e-9)
    np.testing.assert_allclose(found["variance: a"], found["variance: b"], atol=1e-10)
    assert set(found["verdict"]) <= {"kept", "not there"}
    rank = np.where(found["kind"] == "number", 1, 2)
    np.testing.assert_allclose(found["variance by chance"], rank / 199, atol=1e-12)


def test_a_re_weighting_moves_the_share_of_the_variance(rng):
    """A factor on the largest direction takes more of the variance the higher the power, and all directions at 0 are
    alike."""
    x, samples = planted(rng, 300)
    x[:, :3] *= 6
    shares = []
    for power in (0.0, 0.5, 2.0):
        params = HeadFactorParams(power=power, columns="kept", draws=20)
        found = head_factors(tap(x, "a", samples), tap(x, "b", samples), params=params).columns
        shares.append(float(found[f"variance: a with σ^{power:g}"][0]))
        plain = float(found["variance: a"][0])
    assert shares[0] < shares[1] < plain < shares[2]
    u = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[0]
    assert shares[0] == pytest.approx(
        share_of_variance(u, factor_of("kept", samples["kept"])).value, abs=1e-9
    )


def test_false_losses_are_rare():
    """Two equally noisy views of nothing but noise: hardly any factor is called anything but not there."""
    said = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        samples = {f"f{i}": rng.integers(2 + i % 3, size=120) for i in range(6)}
        a, b = rng.standard_normal((2, 120, 8))
        said += list(head_factors(tap(a, "a", samples), tap(b, "b", samples)).columns["verdict"])
    assert said.count("not there") >= 68  # of 72


def test_p_values_of_probes_are_uniform_on_noise():
    p = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        factor = factor_of("f", rng.integers(3, size=90))
        moves = np.array([rng.permutation(90) for _ in range(30)])
        p.append(probes(rng.standard_normal((90, 6)), [factor], folds_of(np.zeros(90), 5, rng), moves)[0].p)
    p = np.array(p)
    assert 0.35 < p.mean() < 0.65
    assert (p < 0.05).mean() <= 0.13


def test_refusals(rng):
    x, samples = planted(rng, 40)
    with pytest.raises(NotFound, match="no sample column is a known factor"):
        head_factors(tap(x), tap(x))
    with pytest.raises(ParameterError, match="1 tap"):
        head_factors(tap(x, samples=samples))
    with pytest.raises(NotEnoughData, match="19 sample"):
        head_factors(tap(x[:19], samples={"k": np.arange(19) % 2}), tap(x[:19]))
    with pytest.raises(InputError, match="all samples"):
        head_spectra(tap(x), tap(np.ones((40, 3))))
    with pytest.raises(NotEnoughData, match="4 sample"):
        head_spectra(tap(x[:4]), tap(x[:4]))


# ---------------------------------------------------------------------------- the checks can fail
POWERED, GRADIENTS = sample_spectrum.SampleSpectrum.powered, sample_spectrum.rank_gradients


@pytest.mark.parametrize(
    ("module", "where", "name", "broken"),
    [
        (spectra_module, sample_spectrum.SampleSpectrum, "singular",
         property(lambda s: s.eigenvalues / s.eigenvalues[0])),
        (spectra_module, sample_spectrum.SampleSpectrum, "powered", lambda s, power: POWERED(s, power + 1)),
        (spectra_module, spectrum_lines, "ranks", lambda lam: {k: v * 1.0001 for k, v in ranks(lam).items()}),
        (spectra_module, sample_spectrum, "principal_components",
         lambda x, k: (np.zeros(x.shape[1]), np.eye(x.shape[1]), np.sort(x.var(axis=0))[::-1] + 1e-3)),
        (factors_module, factor_weights, "held_out_predictions",
         lambda x, y, *rest: np.random.default_rng(0).standard_normal(y.shape)),
        (factors_module, factor_weights, "held_out_predictions", lambda x, y, *rest: y),
        (factors_module, factors_module, "share_of_variance",
         lambda x, f: factor_weights.Share(0.5, 1 / len(x), 0.1, 0.5)),
        (factors_module, factor_weights, "centred_moments", lambda a, b: (a.trace * b.trace / a.n, 1.0)),
    ],
)  # fmt: skip
def test_the_checks_fail_on_broken_code(monkeypatch, module, where, name, broken):
    monkeypatch.setattr(where, name, broken)
    assert not all(line.passed for line in module.METHODS[0].check())
