"""The subspace film: every frame against the same step asked for alone, and the slider that shows one of them."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from app_pages import is_whole, open_page, texts, url
from scipy.linalg import subspace_angles

from analysis import registry
from analysis.compute.subspaces.series import SeriesParams
from analysis.errors import NotEnoughData
from analysis.methods.subspaces.moved_samples import MovedSamplesParams, moved_samples
from analysis.methods.subspaces.moved_units import MovedUnitsParams, moved_units
from analysis.methods.subspaces.subspace_film import SubspaceFilmParams, subspace_film
from analysis.methods.subspaces.subspace_movie import SubspaceMovieParams, subspace_movie
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace
from dashboard import colouring, figures
from dashboard.browse import films

N = 120


def turned(x, angle, i=0, j=2):
    turn = np.eye(x.shape[1])
    turn[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
    return x @ turn.T


@pytest.fixture(scope="module")
def taps():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((N, 6)) * np.sqrt([40, 25, 0.2, 0.2, 0.2, 0.2])
    x[:8] = 0.0
    x[:8, 2] = np.where(np.arange(8) % 2, 4.0, -4.0)  # eight samples that lie along the turn
    noise = [0.2 * rng.standard_normal((N, 6)) for _ in range(4)]
    return [turned(x, a) + e for a, e in zip((0.0, 0.1, 0.5, 0.6), noise, strict=True)]


@pytest.mark.parametrize("order", ["velocity", "acceleration"])
@pytest.mark.parametrize("space", ["units", "samples"])
def test_every_frame_is_that_step_asked_for_alone(taps, order, space):
    asked = {"dimension": 2, "order": order, "space": space}
    film = subspace_film(*taps, params=SubspaceFilmParams(**asked, draws=10))
    movie = subspace_movie(*taps, params=SubspaceMovieParams(**asked, draws=10))
    speeds = [e.value for e in film.estimates if e.name.startswith(order)]
    np.testing.assert_allclose(speeds, movie.series[order], rtol=1e-12)
    for at, name in zip(movie.x, film.frame_names, strict=True):
        one = moved_samples(*taps, params=MovedSamplesParams(**asked, step=int(at)))
        by_id = np.argsort(one.columns["sample"].astype(int))
        of = "share" if space == "units" else "part"
        np.testing.assert_allclose(film.columns[name], one.columns[of][by_id], rtol=1e-9, atol=1e-12)
        said = film.columns[f"moved {name}"] == "moved"
        np.testing.assert_array_equal(said, one.columns["moved"][by_id])
        count = next(e for e in film.estimates if e.name == f"samples that moved {name}")
        assert count.value == said.sum()
        if space == "units":
            units = moved_units(*taps, params=MovedUnitsParams(**{**asked, "space": "units"}, step=int(at)))
            top = next(
                e for e in film.estimates if e.name.startswith("largest part, unit") and e.name.endswith(name)
            )
            assert top.value == pytest.approx(units.columns["part"][0], rel=1e-9)
            assert f"unit {units.columns['unit'][0]}," in top.name


def test_a_frame_is_the_plane_of_the_widest_angle_by_hand(taps):
    """Second implementation: SciPy's widest angle, and the two most turned vectors by a dense eigenproblem."""
    film = subspace_film(*taps, params=SubspaceFilmParams(dimension=2, draws=10))
    a, b = (np.linalg.svd(x - x.mean(axis=0))[2][:2].T for x in taps[1:3])
    values, vectors = np.linalg.eigh(a @ a.T + b @ b.T)
    angle = subspace_angles(a, b).max()
    mean = vectors[:, np.argmin(np.abs(values - 1 - np.cos(angle)))]
    apart = vectors[:, np.argmin(np.abs(values - 1 + np.cos(angle)))]
    expected = (taps[2] - taps[2].mean(axis=0)) @ np.column_stack([mean, apart])
    np.testing.assert_allclose(np.abs(film.frames[1]), np.abs(expected), atol=1e-5)
    signs = (film.frames[:-1] * film.frames[1:]).sum(axis=1)
    assert (signs >= 0).all()  # no frame mirrors the one before it


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("turning_plane", lambda series, step: np.zeros((series.n, 2))),
        ("energy_parts", lambda series, step: SimpleNamespace(
            values=np.ones(series.n), q=np.ones(series.n), low=np.ones(series.n), high=np.ones(series.n), null=0.5,
            against_largest=dict)),
    ],
)  # fmt: skip
def test_its_check_fails_on_broken_code(monkeypatch, name, broken):
    method = registry.method("subspace_film")
    assert all(line.passed for line in method.check())
    monkeypatch.setattr(f"analysis.methods.subspaces.subspace_film.{name}", broken)
    assert not all(line.passed for line in method.check())


def spectrum(*deviations):
    rng = np.random.default_rng(len(deviations))
    scores = np.linalg.qr(rng.standard_normal((400, len(deviations))))[0]
    scores = np.linalg.qr(scores - scores.mean(axis=0))[0] * np.sqrt(400)
    return scores * np.array(deviations)


def test_one_dimension_is_chosen_for_neighbours_not_for_the_most_taps():
    """The ends can be cut after two axes, with the wider gap, the middle after one only; so can the first."""
    ends, middle = spectrum(9, 6, 0.1, 0.1), spectrum(9, 2, 2, 2)
    found = subspace_movie(ends, middle, spectrum(4, 4, 0.1, 0.1), params=SubspaceMovieParams(draws=10))
    assert len(found.x) == 1
    assert found.estimates[0].estimator.endswith("k = 1, 1")


def test_without_such_a_dimension_it_says_which_setting_helps():
    first, second, third = spectrum(9, 6, 0.1, 0.1), spectrum(9, 2, 2, 2), spectrum(4, 4, 0.1, 0.1)
    with pytest.raises(NotEnoughData, match="set 'cut'"):
        subspace_movie(third, second, third, params=SubspaceMovieParams(draws=10))
    assert (
        subspace_movie(first, second, third, params=SubspaceMovieParams(draws=10, cut="of each tap")).x.size
        == 2
    )
    assert SeriesParams().cut == "one for all taps"


# ---------------------------------------------------------------------------- on the page
@pytest.fixture(scope="module")
def net(tmp_path_factory, taps):
    workspace = Workspace.create(tmp_path_factory.mktemp("film") / "ws")
    samples = {"id": [f"s{i}" for i in range(N)], "label": (np.arange(N) % 3).astype(str)}
    named = {f"layer{i}": x.astype(np.float32) for i, x in enumerate(taps)}
    write_store(workspace.path / "stores" / "net", name="net", taps=named, samples=samples)
    return workspace


def test_a_step_is_shown_out_of_the_one_result(net):
    result = net.run("subspace_film", [f"net:layer{i}" for i in range(4)], {"dimension": 2})
    name = result.frame_names[0]
    shown = films.frame(colouring.coloured(result, net, name), 0)
    np.testing.assert_array_equal(shown.positions, result.frames[0])
    assert shown.colour == name
    assert shown.title.endswith(name)
    assert shown.estimates[0].name == "velocity"
    assert colouring.coloured(result, net, f"map:{name}").colour == name  # as other pages name the column
    chosen = films.moved(net, shown)
    assert len(chosen) == shown.estimates[1].value > 0
    moved = np.asarray(net.store("net").samples["id"])[shown.columns[f"moved {name}"] == "moved"]
    assert set(chosen.ids) == set(moved)
    strongest = films.strongest(shown).groups[""]
    assert result.columns[name][strongest[0]] == result.columns[name].max()
    recipe = json.loads(figures.export(shown, "json", colour=shown.colour))
    again = colouring.coloured(net.run("subspace_film", [f"net:layer{i}" for i in range(4)], {"dimension": 2}), net,
                               recipe["figure"]["colour"])  # fmt: skip
    np.testing.assert_array_equal(again.positions, shown.positions)
    still = replace(result, columns={**result.columns, f"moved {name}": np.full(N, "within chance")})
    assert len(films.moved(net, replace(still, colour=name))) == 0


def test_the_slider_opens_at_the_largest_step_and_a_link_restores_another(net, monkeypatch):
    monkeypatch.setenv("LOUPE_WORKSPACE", str(net.path))
    asked = {"view": "movement", "ask": "subspace_film", "tap": "net:layer0", "p__dimension": "2"}
    at = open_page("subspaces", **asked)
    assert is_whole(at), texts(at)
    assert at.select_slider[0].value == 1  # the turn by 0.4
    assert at.get("plotly_chart")
    assert any(
        b.label.startswith("Show the ") and b.label.endswith("that moved on the map") for b in at.button
    )
    at.select_slider[0].set_value(2).run()
    assert url(at)["step"] == ["2"]
    again = open_page("subspaces", step="2", **asked)
    assert again.select_slider[0].value == 2
    assert any("from layer2 to layer3" in line.value for line in again.markdown)
    assert is_whole(open_page("subspaces", step="99", **asked))
