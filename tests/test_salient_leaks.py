"""The leak test of contrastive sets: the parts and groups that the set remembers, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.compute.dictionaries.parts import _uniformity
from analysis.errors import InputError
from analysis.features.classical.making import make
from analysis.features.encoding import encode_tap
from analysis.methods.dictionaries.salient_leaks import SalientLeaksParams, salient_leaks
from analysis.store.from_arrays import write_store

N = 600


def planted(moved: float):
    """A pattern of the target alone, and a factor that both groups have; `moved` shifts the target's mean along the
    factor's direction, where variances see nothing."""
    rng = np.random.default_rng(0)
    target, shape = np.arange(N) % 2, np.arange(N) // 2 % 2
    x = 0.5 * rng.standard_normal((N, 8))
    x[:, 0] += 2 * target * rng.standard_normal(N)
    x[:, 1] += 2 * shape + moved * target
    return x, np.array(["b", "t"])[target], {"shape": shape}


@pytest.mark.parametrize("moved", [0.0, 6.0])
def test_a_set_knows_its_parts_and_groups_and_a_shifted_mean_is_a_leak(tmp_path, moved):
    x, labels, samples = planted(moved)
    store = write_store(tmp_path / "s", name="s", taps={"x": x}, labels=list(labels), samples=samples)
    asked = {"background": "label=b", "components": 1, "common": 2}
    store = encode_tap(store, "x", make(store, "x", "contrastive", asked, name="c"))
    found = salient_leaks(store.activations("x@c"), SalientLeaksParams(factors="shape"))
    assert found.row_names == ("salient", "common")
    assert found.column_names == ("target or background", "shape")
    assert "label b against all other values" in found.reading
    assert found.significant[1, 0] == (moved > 0)
    assert found.significant[1, 1]
    assert not found.significant[0, 1]


def test_a_selection_and_one_part_alone_are_refused_in_words(tmp_path):
    x, labels, samples = planted(0)
    store = write_store(tmp_path / "s", name="s", taps={"x": x}, labels=list(labels), samples=samples)
    mine = lambda name: np.flatnonzero(labels == "b")  # noqa: E731
    chosen = make(
        store, "x", "contrastive", {"background": "mine", "components": 1}, selections=mine, name="chosen"
    )
    single = make(store, "x", "contrastive", {"background": "label=b", "common": 0}, name="single")
    store = encode_tap(encode_tap(store, "x", chosen), "x", single)
    with pytest.raises(InputError, match="'mine' is a selection"):
        salient_leaks(store.activations("x@chosen"))
    found = salient_leaks(store.activations("x@chosen"), SalientLeaksParams(first="b"))
    assert "label b" in found.reading
    with pytest.raises(InputError, match="no common features"):
        salient_leaks(store.activations("x@single"))


def test_uniformity_of_even_directions_is_its_closed_form():
    """d = 2: log of the mean of exp(-4 + 4 cos) over the circle, exp(-4) I0(4); collapsed: 0."""
    from scipy.special import i0e

    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    on_circle = np.column_stack([np.cos(angle), np.sin(angle)])
    assert _uniformity(on_circle) == pytest.approx(np.log(i0e(4)), abs=0.02)
    assert _uniformity(np.ones((20, 2))) == pytest.approx(0, abs=1e-12)


def test_spread_is_that_of_the_target_about_its_own_mean(rng):
    """Even directions, far from 0, in the target; two directions in the background, which is not looked at."""
    target, line = rng.standard_normal((200, 2)) + 50, np.outer(rng.standard_normal(200), [1, 0])
    x = np.hstack([np.vstack([target, line]), rng.standard_normal((400, 2))])
    tap = ArrayActivations(x, "s:x", {"label": np.repeat(["t", "b"], 200)})
    found = salient_leaks(tap, SalientLeaksParams(first="b", units=2))
    spread = next(e for e in found.estimates if e.name == "uniformity of the salient part")
    assert spread.n == 200
    assert spread.value == pytest.approx(spread.null, abs=0.15)
    assert spread.low < spread.value < spread.high


def test_a_background_without_factors_is_half_a_test():
    x, labels, _ = planted(0)
    found = salient_leaks(ArrayActivations(x, "s:x", {"label": labels}))
    assert found.values.shape == (2, 1)
    assert any("half of the test is missing" in c for c in found.caveats)
