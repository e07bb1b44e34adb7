"""What a method says that it will hold, beside what it holds: of taps with many tokens a sample, and with few."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from analysis import registry
from analysis.activations import ArrayActivations, Layout
from analysis.attribution.network_cost import cost_of
from analysis.spec import make_params


@pytest.mark.parametrize(
    ("samples", "side", "units"), [(60, 4, 64), (60, 14, 64), (30, 20, 8), (60, 14, 200)]
)
@pytest.mark.parametrize(("name", "more"), [("coarse_sources", ()), ("heatmap_channels", (5,))])
def test_memory_is_estimated_by_the_tokens_of_the_tap(rng, name, more, samples, side, units):
    layout = Layout(np.arange(samples + 1) * side**2, (side, side))
    taps = [
        ArrayActivations(rng.standard_normal((samples * side**2, d)).astype(np.float32), layout=layout)
        for d in (units, *more)
    ]
    method = registry.method(name)
    params = make_params(method.params, {})
    method.function(*taps, params=params, rng=rng)  # what is loaded the first time is no memory of the method
    tracemalloc.start()
    try:
        method.function(*taps, params=params, rng=rng)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    told = cost_of(method, taps, params).bytes
    assert 0.95 * peak < told < 2.5 * peak, (told / peak, peak)
    untold = method.cost(tuple(t.shape for t in taps), params).bytes  # as if samples had 16 tokens
    assert (untold < 0.6 * peak) == (side > 4)
