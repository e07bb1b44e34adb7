"""Planted results of every kind, kind and hostile, shared by the figure tests; and that there is one of each."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from analysis.results import (
    KINDS,
    Curve,
    Distribution,
    Estimate,
    Gallery,
    Heatmap,
    Ledger,
    Matrix,
    Origin,
    Partition,
    Scatter,
    Spectrum,
    Table,
    TokenFilm,
    TokenMap,
)

NASTY = "<b>bold</b> & $x_1^2$ %{y} a_b\\{c} =SUM(1) ünïcode 漢字 \x00\x07‮"
LONG = "transformer.encoder.layers.11.output.dense.activation_post_process/" * 4
ESTIMATES = (
    Estimate(
        "trustworthiness",
        0.934,
        0.921,
        0.947,
        interval="bootstrap, 200 resamples",
        null=0.502,
        null_low=0.49,
        null_high=0.515,
        null_method="permutation, 100 draws",
        p_value=0.01,
        n=1797,
        d=64,
        estimator="k = 15",
    ),
    Estimate(
        "participation ratio",
        11.3,
        9.8,
        13.1,
        null=58.2,
        null_low=57.0,
        null_high=59.4,
        null_method="matched Gaussian",
        n=1797,
        d=64,
        estimator="unbiased, from traces",
        interval="jackknife",
    ),
    Estimate(
        "mean squared canonical correlation",
        0.31,
        null=0.28,
        null_method="analytic max(p, q)/(n - 1)",
        n=1797,
    ),
    Estimate("KL divergence", 1.94, n=1797, unit="nat", estimator="exact"),
)
ORIGIN = Origin(
    method="pca",
    version=2,
    params={"components": 2, "whiten": False, "column": None, "scale_by": "sd"},
    inputs=({"name": "digits:blocks.3", "digest": "9f2c1e77aa01bb02cc03"},),
    seed=7,
    versions={"numpy": "2.4.6"},
    seconds=0.4,
    made="2026-01-01T00:00:00Z",
)


def scatter(n=1797, *, groups=10, seed=0, **changes) -> Scatter:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, groups, n)
    centres = rng.normal(size=(groups, 2)) * 4
    positions = (centres[label] + rng.normal(size=(n, 2))).astype(np.float32)
    loss = rng.gamma(1.0, 0.3, n).astype(np.float32)
    columns = {"label": np.array([f"digit {v}" for v in label]), "loss": loss}
    given = {
        "title": "PCA of digits:blocks.3",
        "positions": positions,
        "rows": np.arange(n),
        "columns": columns,
        "colour": "label",
        "axes": ("PC 1 (31.2 %)", "PC 2 (12.9 %)"),
        "estimates": ESTIMATES,
        "origin": ORIGIN,
        "reading": "Digits form ten groups.",
        "caveats": ("Distances between far groups mean little.",),
    }
    return Scatter(**{**given, **changes})


def matrix(p=24, q=24, *, seed=0, **changes) -> Matrix:
    rng = np.random.default_rng(seed)
    values = np.corrcoef(rng.normal(size=(p, 40)) + rng.normal(size=(3, 40))[rng.integers(0, 3, p)])
    values = values if p == q else rng.normal(size=(p, q)) * 0.4
    from scipy.cluster.hierarchy import leaves_list, linkage

    tree = linkage(values, "average") if p < 500 else None
    order = leaves_list(tree) if tree is not None else None
    names = tuple(f"unit {i}" for i in range(p))
    given = {
        "title": "Correlation of units",
        "values": values,
        "row_names": names,
        "column_names": names if p == q else tuple(f"class {i}" for i in range(q)),
        "value_name": "Pearson r",
        "row_order": order,
        "column_order": order if p == q else None,
        "linkage": tree,
        "null_band": (-0.31, 0.31),
        "significant": np.abs(values) > 0.4,
        "limits": (-1.0, 1.0),
        "diverging": True,
        "estimates": ESTIMATES[:2],
        "origin": ORIGIN,
    }
    return Matrix(**{**given, **changes})


def spectrum(k=40, **changes) -> Spectrum:
    values = 30 * np.exp(-0.25 * np.arange(k)) + 0.02
    blocks = np.arange(k)
    if k > 14:
        blocks[4:7], blocks[9:14] = 4, 9
    given = {
        "title": "Eigenvalues of the covariance",
        "values": values,
        "low": values * 0.8,
        "high": values * 1.25,
        "null": np.linspace(1.4, 0.6, k),
        "blocks": blocks,
        "estimates": ESTIMATES[1:2],
        "origin": ORIGIN,
    }
    return Spectrum(**{**given, **changes})


def curve(m=30, lines=4, **changes) -> Curve:
    x = np.arange(m, dtype=float)
    names = [f"block {i}" for i in range(lines)]
    series = {name: 1 - np.exp(-x / (3 + 2 * i)) - 0.03 * i for i, name in enumerate(names)}
    given = {
        "title": "Accuracy of a linear probe",
        "x": x,
        "x_name": "training step",
        "y_name": "accuracy",
        "series": series,
        "low": {n: v - 0.04 for n, v in series.items()},
        "high": {n: v + 0.04 for n, v in series.items()},
        "null": {names[0]: np.full(m, 0.1)} if names else {},
        "estimates": ESTIMATES[:1],
        "origin": ORIGIN,
    }
    return Curve(**{**given, **changes})


def filmed(m=12) -> Curve:
    """Bars over a film strip, with a ghost."""
    rng = np.random.default_rng(0)
    tokens, pictures = rng.integers(0, 9, m) * 1.0, rng.integers(0, 255, (m, 8, 8, 3)).astype(np.uint8)
    return curve(m, 0, series={"tokens": tokens, "before rounding": tokens + 0.2, "even": np.full(m, 4.0)},
                 low={"tokens": tokens * 0.8}, high={"tokens": tokens * 1.2}, null={}, controls=("even",),
                 bars=("tokens",), pictures=pictures)  # fmt: skip


def distribution(groups=3, **changes) -> Distribution:
    rng = np.random.default_rng(0)
    edges = np.linspace(-4, 6, 61)
    counts = {f"class {g}": np.histogram(rng.normal(g * 0.8, 1, 2000), edges)[0] for g in range(groups)}
    given = {
        "title": "Activation of unit 17",
        "edges": edges,
        "counts": counts,
        "value_name": "activation",
        "markers": {"threshold": 1.5, "99 % quantile": 3.1},
        "null": np.histogram(rng.normal(0, 1, 2000), edges)[0],
        "estimates": ESTIMATES[:1],
        "origin": ORIGIN,
    }
    return Distribution(**{**given, **changes})


def table(n=300, **changes) -> Table:
    rng = np.random.default_rng(0)
    columns = {
        "unit": np.arange(n),
        "mean": rng.normal(size=n).astype(np.float32),
        "sd": rng.gamma(2, size=n),
        "dead": rng.random(n) < 0.1,
        "top class": np.array([f"class_{i % 7}" for i in range(n)]),
    }
    given = {
        "title": "Units of blocks.3",
        "columns": columns,
        "sort": "sd",
        "estimates": ESTIMATES[:1],
        "origin": ORIGIN,
    }
    return Table(**{**given, **changes})


def gallery(count=4, each=12, **changes) -> Gallery:
    rng = np.random.default_rng(0)
    rows = {f"band {g}": rng.integers(0, 1797, each) for g in range(count)}
    values = {name: np.sort(rng.gamma(2, 1 + g, each))[::-1] for g, name in enumerate(rows)}
    given = {
        "title": "What unit 17 responds to",
        "groups": rows,
        "values": values,
        "estimates": ESTIMATES[:1],
        "origin": ORIGIN,
    }
    return Gallery(**{**given, **changes})


def partition(k=6, each=40, **changes) -> Partition:
    rng = np.random.default_rng(0)
    codes = np.r_[np.repeat(np.arange(k), each), np.full(25, -1)].astype(np.int32)
    stability = np.linspace(0.98, 0.42, k)
    names = np.array([f"cluster {i}" for i in range(k)], dtype=str)
    given = {
        "title": "Density clusters of digits",
        "codes": codes,
        "rows": np.arange(len(codes)),
        "strength": rng.random(len(codes)).astype(np.float32),
        "columns": {
            "name": names,
            "size": np.full(k, each),
            "stability": stability,
            "stability low": stability - 0.1,
            "stability high": np.minimum(stability + 0.1, 1),
            "chance": np.full(k, 0.17),
        },
        "levels": np.vstack([np.arange(k) // 2, np.arange(k)]).astype(np.int32),
        "level_names": np.vstack([names, names]),
        "estimates": ESTIMATES[:1],
        "origin": ORIGIN,
    }
    return Partition(**{**given, **changes})


def token_map(n=6, *, grid=(8, 8), leading=1, **changes) -> TokenMap:
    rng = np.random.default_rng(0)
    width = leading + (grid[0] * grid[1] if grid else 18)
    values = rng.normal(size=(n, width)).cumsum(axis=1).astype(np.float32) / 4
    given = {
        "title": "Attribution over patches",
        "samples": np.arange(n) * 10,
        "values": values,
        "grid": grid,
        "leading": leading,
        "value_name": "attribution",
        "estimates": ESTIMATES[:1],
        "origin": ORIGIN,
    }
    return TokenMap(**{**given, **changes})


def token_film(rows=4, steps=5, *, on_grid=True, **changes) -> TokenFilm:
    t = rows * rows + 1
    owner = np.tile(np.arange(t), (steps, 1))
    for k in range(1, steps):
        owner[k:, 2 * k] = 2 * k - 1
        owner[k:, -k] = -1
    score = np.random.default_rng(0).random((steps, t))
    judged = np.ones((steps, t), bool)
    judged[0] = False
    given = {
        "title": "What became of the tokens",
        "names": ("input", *(f"layer {k}" for k in range(1, steps))),
        "owner": owner,
        "score": score,
        "judged": judged,
        "score_name": "class attention",
        "estimates": ESTIMATES[:1],
        "origin": ORIGIN,
    }
    if on_grid:
        picture = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 8
        given |= {"grid": (rows, rows), "cell": np.arange(t) - 1, "picture": picture}
    else:
        given |= {"words": tuple(f"word{i}" for i in range(t))}
    return TokenFilm(**{**given, **changes})


def ledger(m=20, **changes) -> Ledger:
    rng = np.random.default_rng(0)
    values = rng.normal(size=m) * np.exp(-0.15 * np.arange(m))
    given = {
        "title": "What the answer owes to tokens",
        "names": tuple(f"token {i}" for i in range(m)),
        "values": values,
        "start": 1.2,
        "end": 1.2 + float(np.nan_to_num(values).sum()) + 0.05,
        "residual": 0.05,
        "low": values - 0.2,
        "high": values + 0.2,
        "null_low": np.full(m, -0.15),
        "null_high": np.full(m, 0.15),
        "value_name": "logit difference",
        "start_name": "mean of 20 samples",
        "end_name": "this sample",
        "estimates": ESTIMATES[:1],
        "origin": ORIGIN,
    }
    return Ledger(**{**given, **changes})


def heatmap(p=24, **changes) -> Heatmap:
    whole = matrix(p)
    order = np.asarray(whole.row_order)
    given = {
        "title": whole.title,
        "overview": whole.values[np.ix_(order, order)].astype(np.float32),
        "shape": (p, p),
        **{f"{side}_names": np.array(whole.row_names) for side in ("row", "column")},
        **{f"{side}_units": np.arange(p) for side in ("row", "column")},
        **{f"{side}_order": order for side in ("row", "column")},
        "null_band": whole.null_band,
        "limits": whole.limits,
        "value_name": whole.value_name,
        "diverging": True,
        "threshold": 0.4,
        "share_significant": 0.2,
        "estimates": ESTIMATES[:2],
        "origin": ORIGIN,
    }
    return Heatmap(**{**given, **changes})


@cache
def ordinary() -> dict:
    """One or more of each kind that a person would meet."""
    return {
        "scatter": scatter(),
        "scatter_value": scatter(colour="loss"),
        "scatter_map": scatter(meaningful_axes=False),
        "scatter_3d": scatter(
            400, positions=np.random.default_rng(1).normal(size=(400, 3)), axes=("a", "b", "c")
        ),
        "scatter_pictures": scatter(
            12, pictures=np.arange(12 * 64, dtype=np.uint8).reshape(12, 8, 8), colour="loss", names="label"
        ),
        "matrix": matrix(),
        "matrix_wide": matrix(12, 60),
        "matrix_plain": matrix(significant=None, linkage=None),
        "heatmap": heatmap(),
        "spectrum": spectrum(),
        "curve": curve(),
        "curve_film": filmed(),
        "curve_many": curve(lines=26),
        "distribution": distribution(),
        "distribution_many": distribution(24),
        "table": table(),
        "partition": partition(),
        "partition_many": partition(70, 3),
        "gallery": gallery(),
        "token_map": token_map(),
        "token_row": token_map(8, grid=None),
        "token_pictures": token_map(
            5, pictures=np.arange(256, dtype=np.uint8).reshape(1, 16, 16), names=tuple("abcde")
        ),
        "token_asked": token_map(
            2,
            leading=1,
            grid=(2, 2),
            tokens=np.arange(5),
            token_names=("class token", "a", "b", NASTY, LONG),
            asked=3,
        ),
        "token_words": token_map(2, grid=None, leading=0, words=(("some", " words") * 9,)),
        "token_film": token_film(),
        "token_film_words": token_film(on_grid=False),
        "ledger": ledger(),
        "ledger_plain": ledger(4, low=None, high=None, null_low=None, null_high=None, residual=0.0),
    }


@cache
def hostile() -> dict:
    """What breaks a drawing: nothing, one, NaN, markup, very many, very long."""
    nan = np.full((5, 2), np.nan)
    many = 10_000
    names = tuple(f"{NASTY} {i}" for i in range(6))
    dup = np.arange(12.0).reshape(3, 4)
    return {
        "scatter_none": scatter(0),
        "scatter_one": scatter(1),
        "scatter_nan": scatter(5, positions=nan),
        "scatter_flat": scatter(50, positions=np.ones((50, 2))),
        "scatter_narrow": scatter(5, positions=np.ones((5, 1))),
        "scatter_lost": scatter(300, columns={"label": np.full(300, np.nan)}),
        "scatter_labels": scatter(many, columns={"label": np.array([f"{NASTY} {i}" for i in range(many)])}),
        "scatter_missing": scatter(200, columns={"label": np.array(["", "a", "nan", NASTY] * 50)}),
        "scatter_nasty": scatter(
            200,
            title=NASTY * 3,
            axes=(NASTY, LONG),
            colour=NASTY,
            columns={NASTY: np.array([NASTY, LONG] * 100)},
        ),
        "scatter_big": scatter(100_000),
        "matrix_none": matrix(
            2,
            2,
            values=np.zeros((0, 3)),
            row_names=(),
            column_names=("a", "b", "c"),
            significant=None,
            linkage=None,
            row_order=None,
            column_order=None,
        ),
        "matrix_one": matrix(
            2,
            2,
            values=np.ones((1, 1)),
            row_names=("a",),
            column_names=("a",),
            significant=None,
            linkage=None,
            row_order=None,
            column_order=None,
        ),
        "matrix_nan": matrix(6, 6, values=np.full((6, 6), np.nan)),
        "matrix_nasty": matrix(6, 6, row_names=names, column_names=names[::-1], value_name=NASTY, title=LONG),
        "matrix_twins": matrix(
            3,
            4,
            values=dup,
            row_names=("a",) * 3,
            column_names=("a",) * 4,
            significant=None,
            linkage=None,
            row_order=None,
            diverging=False,
            limits=None,
        ),
        "matrix_big": matrix(1200, 2100, linkage=None, row_order=None),
        "spectrum_none": spectrum(0),
        "spectrum_one": spectrum(1),
        "spectrum_zero": spectrum(5, values=np.zeros(5)),
        "spectrum_nan": spectrum(5, values=np.array([3, np.nan, 1, 0, -1.0])),
        "spectrum_long": spectrum(10_000, value_name=NASTY),
        "curve_none": curve(0),
        "curve_empty": curve(5, 0),
        "curve_one": curve(1),
        "curve_nan": curve(
            5, 2, series={"a": np.full(5, np.nan), NASTY: np.arange(5.0)}, low={}, high={}, null={}
        ),
        "curve_log": curve(20, 3, log_x=True, x_name=NASTY, y_name=LONG),
        "distribution_none": distribution(0),
        "distribution_empty": distribution(1, counts={"a": np.zeros(60)}),
        "distribution_nasty": distribution(
            1, counts={NASTY: np.arange(60)}, markers={LONG: 0.1, NASTY: np.nan}
        ),
        "distribution_log": distribution(8, log_y=True),
        "table_none": table(0),
        "table_bare": table(1, columns={}),
        "table_one": table(1),
        "table_nasty": table(
            3, columns={NASTY: np.array([NASTY, LONG, ""]), "x": np.full(3, np.nan)}, sort="x"
        ),
        "partition_none": partition(0),
        "partition_bare": partition(1, columns={}),
        "partition_nasty": partition(
            2,
            columns={"name": np.array([NASTY, LONG]), "size": np.array([3, 10**9]), "x": np.full(2, np.nan)},
        ),
        "gallery_none": gallery(0),
        "gallery_empty": gallery(2, 0),
        "gallery_nasty": gallery(1, 3, groups={NASTY: np.arange(3), LONG: np.arange(200)}, values={}),
        "token_none": token_map(0),
        "token_one": token_map(1, grid=None, leading=0),
        "heatmap_nan": heatmap(overview=np.full((24, 24), np.nan, np.float32)),
        "heatmap_names": heatmap(row_names=np.array([NASTY] * 24), value_name=NASTY),
        "token_nan": token_map(2, values=np.full((2, 65), np.nan)),
        "token_misfit": token_map(3, leading=0, grid=(9, 9), values=np.ones((3, 7))),
        "token_words_nasty": token_map(
            2, grid=None, leading=0, words=((NASTY, "") * 9,), names=(NASTY, LONG)
        ),
        "token_long": token_map(100, grid=None, value_name=NASTY),
        "token_film_none": token_film(owner=np.empty((0, 0), int), names=(), score=None),
        "token_film_gone": token_film(owner=np.full((2, 17), -1), names=("a", "b"), score=None),
        "token_film_one": token_film(names=("input",), owner=np.arange(17)[None], score=None, picture=None),
        "token_film_long": token_film(
            steps=3,
            on_grid=False,
            owner=np.tile(np.arange(400), (60, 1)),
            names=tuple(f"layer {k}" for k in range(60)),
            score=None,
            words=("<b>nasty</b>",) * 400,
        ),
        "token_film_unjudged": token_film(judged=np.zeros((5, 17), bool)),
        "ledger_none": ledger(0),
        "ledger_one": ledger(1),
        "ledger_nan": ledger(4, values=np.full(4, np.nan)),
        "ledger_some_nan": ledger(6, values=np.array([1, np.nan, -2, np.inf, 0.5, 0.0])),
        "ledger_flat": ledger(5, values=np.zeros(5), start=0.0, end=0.0, residual=0.0),
        "ledger_nasty": ledger(
            6, names=names, title=NASTY * 3, value_name=NASTY, start_name=LONG, end_name=NASTY
        ),
        "ledger_huge": ledger(many, values=np.geomspace(1e-300, 1e300, many), end=1e300),
    }


def test_every_kind_is_planted():
    assert {result.kind for result in ordinary().values()} == set(KINDS)
    assert {result.kind for result in hostile().values()} == set(KINDS)


@pytest.mark.parametrize("name", sorted(ordinary()))
def test_planted_results_survive_the_disk(name, tmp_path):
    from analysis.results import load, save

    save(ordinary()[name], tmp_path / "r.npz")
    assert load(tmp_path / "r.npz").title == ordinary()[name].title
