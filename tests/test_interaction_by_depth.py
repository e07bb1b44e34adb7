"""Mixed differences through a network, against networks whose interactions are written down."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.attribution import targets
from analysis.interventions.batch_run import BatchRun
from analysis.interventions.components import NetworkParts, Site
from analysis.interventions.many_targets import many_targets
from analysis.methods.attribution.interaction_by_depth import (
    InteractionByDepthParams,
    _groups,
    _places,
    _share,
    _shares,
)
from analysis.sources.loaded_model import LoadedModel

torch = pytest.importorskip("torch")


class Deep(torch.nn.Module):
    """Adds up tokens, then squares: nothing acts together before the square."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Linear(3, 4, bias=False), torch.nn.Linear(4, 4, bias=False)
        self.head = torch.nn.Linear(4, 2, bias=False)

    def forward(self, x):
        return self.head(self.second(self.first(x).sum(dim=1, keepdim=True) ** 2))[:, 0]


def shares_of(module, x, layers, mean, draws=2, seed=0):
    run = BatchRun(LoadedModel(module.double().eval(), "array", None), torch.as_tensor(x))
    params = InteractionByDepthParams(draws=draws)
    return run, _shares(run, many_targets(run, targets.LOGIT, 1), Site("input"), [Site(n) for n in layers], mean,
                        params, np.random.default_rng(seed), lambda *_: None)  # fmt: skip


def test_a_sum_has_none_and_a_square_has_what_it_mixes(rng):
    x, mean = rng.standard_normal((9, 6, 3)), np.zeros(3)
    module = Deep()
    run, found = shares_of(module, x, ("first", "second"), mean)
    assert found.shape == (4, 2, 9)
    np.testing.assert_allclose(
        found[:2, 0] / found[:2, 1], 0, atol=1e-25
    )  # the input, and a linear map of it
    # (a + b + c)² - (b + c)² - (a + c)² + c² = 2 a b with a, b, c the sums of both groups and of the rest
    w, v, u = (p.weight.detach().numpy() for p in (module.first, module.second, module.head))
    again, mixed, number = np.random.default_rng(0), np.zeros(9), np.zeros(9)
    for _ in range(2):
        a, b = _groups(run.real(6), x.shape, 0.3, again)
        parts = [(x * m).sum(axis=1) @ w.T for m in (a, b)]
        both = 2 * parts[0] * parts[1] @ v.T
        mixed += (both**2).sum(axis=1)
        number += (both @ u[1]) ** 2
    np.testing.assert_allclose(found[2, 0], mixed, rtol=1e-9)
    np.testing.assert_allclose(found[3, 0], number, rtol=1e-9)
    value, low, high = _share(found[2], rng)
    assert low <= value <= high
    assert value == pytest.approx(mixed.sum() / found[2, 1].sum())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


def test_groups_are_apart_and_of_real_tokens(rng):
    real = np.arange(10) < np.array([10, 7, 4, 2])[:, None]
    a, b = (g[..., 0] for g in _groups(real, (4, 10, 3), 0.3, rng))
    assert not (a & b).any()
    assert not ((a | b) & ~real).any()
    np.testing.assert_array_equal(a.sum(axis=1), [3, 2, 1, 1])
    np.testing.assert_array_equal(b.sum(axis=1), [3, 2, 1, 1])
    a, b = _groups(np.ones((4, 1), bool), (4, 1, 8), 0.5, rng)  # one token: units
    assert a.shape == b.shape == (4, 1, 8)
    assert (a ^ b).all()


def test_it_begins_where_blocks_begin_and_reads_behind_each(rng):
    blocks = SimpleNamespace(parts=NetworkParts(("h.0", "h.1"), (None,) * 2, (None,) * 2), site=Site("h.1"))
    assert _places(blocks) == (Site("h.0", "input"), [Site("h.0"), Site("h.1")])
    rows = SimpleNamespace(parts=NetworkParts(layers=("a", "b")), site=Site("b"))
    assert _places(rows) == (Site("input"), [Site("a"), Site("b")])
    assert _places(SimpleNamespace(parts=None, site=Site("input"))) == (Site("input"), [])
