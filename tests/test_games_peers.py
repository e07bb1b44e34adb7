"""Two other libraries on the same games. Most of the time here is their imports."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.compute.games.exact import all_values, exact_values
from analysis.compute.games.game import Game
from analysis.compute.games.interactions import banzhaf_values, shapley_interactions, shapley_taylor
from analysis.compute.games.masked_game import masked_game

PLAYERS = 7


def value(c: np.ndarray) -> np.ndarray:
    towards = np.random.default_rng(0).normal(size=(4, PLAYERS))
    return np.tanh(c @ towards.T) @ [1.0, -2.0, 0.5, 1.5] + c[:, 0] * c[:, 3] * c[:, 5]


def test_shapiq_lists_the_same_values_and_interactions():
    shapiq = pytest.importorskip("shapiq")
    peer = shapiq.ExactComputer(lambda c: value(np.asarray(c, dtype=float)), n_players=PLAYERS)
    game = Game(value, PLAYERS)
    v = all_values(game)
    known = peer("SV", 1).get_n_order_values(1)
    np.testing.assert_allclose(exact_values(game).values[:, 0], known, atol=1e-10)
    for index, ours in (("SII", shapley_interactions(v)), ("STII", shapley_taylor(v))):
        theirs = peer(index, 2).get_n_order_values(2)
        upper = np.triu_indices(PLAYERS, 1)
        np.testing.assert_allclose(ours[..., 0][upper], theirs[upper], atol=1e-10)
    theirs = peer("BV", 1).get_n_order_values(1)
    np.testing.assert_allclose(banzhaf_values(v)[:, 0], theirs, atol=1e-10)


def test_shap_lists_the_same_values_of_a_model_with_its_whole_background():
    shap = pytest.importorskip("shap")
    rng = np.random.default_rng(1)
    background, x = rng.normal(size=(150, PLAYERS)), rng.normal(size=PLAYERS)
    peer = shap.KernelExplainer(value, background)  # this one of theirs keeps every row of the background
    theirs = peer.shap_values(x[None], nsamples=2**PLAYERS, l1_reg=False, silent=True)[0]
    ours = exact_values(masked_game(value, x, background))
    np.testing.assert_allclose(ours.values[:, 0], np.ravel(theirs), atol=1e-8)
    np.testing.assert_allclose(ours.empty[0], peer.expected_value, atol=1e-10)
