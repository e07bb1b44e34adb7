"""A network added to a comparison costs its own passes and its own pairs; what was known changes no bit."""

import numpy as np
import pytest

from analysis import pipeline
from analysis.activations import ArrayActivations, Layout
from analysis.compute import kept
from analysis.compute.similarity import cka_grid, hsic
from analysis.compute.similarity.similarity_grid import ALL, NETWORKS
from analysis.methods.similarity.cka import CkaParams, cka
from analysis.store.cache import ResultCache

LAYERS, N = 4, 60


def network(name: str, seed: int, *, n: int = N, d: int = 9) -> list[ArrayActivations]:
    rng = np.random.default_rng(seed)
    return [
        ArrayActivations(
            rng.standard_normal((n, d)),
            name=f"{name}:{i}",
            samples={"id": np.array([f"s{i}" for i in range(n)])},
        )
        for i in range(LAYERS)
    ]


@pytest.fixture
def work(monkeypatch):
    """Counts what a comparison does: products of a tap with itself, and of two taps."""
    kept.forget()
    done = {"own": 0, "pairs": 0, "read": 0}

    def counting(name, real):
        def counted(*args):
            done[name] += 1
            return real(*args)

        return counted

    monkeypatch.setattr(hsic, "_with_itself", counting("own", hsic._with_itself))
    monkeypatch.setattr(cka_grid, "inner", counting("pairs", cka_grid.inner))
    monkeypatch.setattr(cka_grid, "side_of", counting("read", cka_grid.side_of))
    yield done
    kept.forget()


def run(taps, cache=None, **params):
    return pipeline.run("cka", taps, params, cache=cache)


def test_a_network_added_costs_one_pass_for_each_of_its_layers(work, tmp_path):
    one, two, three = (network(name, seed) for seed, name in enumerate("abc"))
    cache = ResultCache(tmp_path)
    run([*one, *two], cache, arrangement=NETWORKS)
    assert work == {"own": 2 * LAYERS, "pairs": LAYERS**2, "read": 2 * LAYERS}
    kept.forget()  # as in another process
    run([*one, *three], cache, arrangement=NETWORKS)
    assert work["own"] == 3 * LAYERS, "the first network's layers were done again"
    assert work["pairs"] == 2 * LAYERS**2
    run([*one, *two, *three], cache, arrangement=NETWORKS)
    assert work == {"own": 3 * LAYERS, "pairs": 2 * LAYERS**2, "read": 4 * LAYERS}, "all was known"


def test_of_all_pairs_only_the_new_ones_are_made(work, tmp_path):
    one, two = network("a", 1), network("b", 2)
    cache = ResultCache(tmp_path)
    run(one, cache)
    assert work["pairs"] == LAYERS * (LAYERS - 1) // 2
    run([*one, *two], cache)
    assert work["own"] == 2 * LAYERS
    assert work["pairs"] == 2 * LAYERS * (2 * LAYERS - 1) // 2


@pytest.mark.parametrize("estimator", ["unbiased", "biased"])
@pytest.mark.parametrize("d", [9, 2 * N])
def test_what_was_known_changes_no_bit(work, tmp_path, estimator, d):
    one, two = network("a", 1, d=d), network("b", 2, d=d)
    fresh = run([*one, *two], estimator=estimator, arrangement=ALL)
    kept.forget()
    cache = ResultCache(tmp_path)
    run([*one[:2], *two[1:]], cache, estimator="unbiased")
    before = work["pairs"]
    again = run([*one, *two], cache, estimator=estimator, arrangement=ALL)
    assert work["pairs"] < before + LAYERS * (2 * LAYERS - 1), "nothing was known"
    for name in ("values", "null", "low", "high"):
        np.testing.assert_array_equal(getattr(again, name), getattr(fresh, name))


def part(of: ArrayActivations, chosen: slice) -> ArrayActivations:
    """Some samples of a tap."""
    return ArrayActivations(of.values[chosen], name="p:0", samples={"id": of.samples["id"][chosen]})


@pytest.mark.parametrize("other", ["samples", "scaling", "seed", "values", "pooling"])
def test_nothing_is_taken_for_what_it_is_not(work, tmp_path, other):
    taps, cache = network("a", 1), ResultCache(tmp_path)
    partner = network("b", 2)[0]
    first, again, params, seed = [*taps, part(partner, slice(0, 50))], None, {}, 0
    if other == "samples":  # as many of them
        again = [*taps, part(partner, slice(10, 60))]
    elif other == "scaling":
        params = {"scaling": "standardised"}
    elif other == "seed":
        seed = 1
    elif other == "pooling":
        tokens = Layout(np.arange(31) * 2)
        first = again = [ArrayActivations(t.values, name=t.name, layout=tokens) for t in taps]
        params = {"pooling": "max"}
    else:
        turned = (2 * t.values + np.arange(9) ** 2 * t.values[:, :1] for t in taps)
        again = [
            ArrayActivations(x, name=t.name, samples=t.samples) for x, t in zip(turned, taps, strict=True)
        ]
        again.append(first[-1])
    run(first, cache)
    pairs = work["pairs"]
    again = again or first
    found = pipeline.run("cka", again, params, seed=seed, cache=cache)
    assert work["pairs"] == 2 * pairs
    expected = cka(*again, params=CkaParams(**params), rng=np.random.default_rng(seed))
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.low, expected.low)


def test_a_comparison_that_was_cancelled_goes_on_where_it_was(work, tmp_path):
    taps, cache = network("a", 1), ResultCache(tmp_path)

    class Cancelled(Exception):
        pass

    def until_third(_share, what):
        if what == "comparing taps" and work["pairs"] == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        pipeline.run("cka", taps, cache=cache, progress=until_third)
    assert work["pairs"] == 3
    run(taps, cache)
    assert work["pairs"] == LAYERS * (LAYERS - 1) // 2


def test_a_damaged_shelf_is_no_reason_to_fail(work, tmp_path):
    taps, cache = network("a", 1), ResultCache(tmp_path)
    first = run(taps[:3], cache)
    kept.forget()
    for path in tmp_path.glob("shared-*.npz"):
        path.write_bytes(path.read_bytes()[:40])
    again = run(taps, cache)
    np.testing.assert_array_equal(again.values[:3, :3], first.values)
