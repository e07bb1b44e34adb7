"""Heads taken out one by one: nothing, everything, partitions, choosing on another domain, many tests, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.compute.linear.bayes_probe import bayes_probe
from analysis.compute.subspaces import slice_removal as compute
from analysis.compute.subspaces.domain_samples import domain_samples
from analysis.compute.subspaces.slice_removal import (
    SliceRemovals,
    chosen_cell,
    corrected,
    held_domain,
    largest_by_chance,
    slice_removals,
    slices_of,
)
from analysis.errors import ParameterError
from analysis.methods.concepts import head_removal as module
from analysis.methods.concepts.head_removal import HeadRemovalParams, head_removal


def planted(rng, n=360, heads=4, width=3, carrier=2, strength=4.0, domains=3):
    """Head 0 holds the class; `carrier` holds it turned over in domain 1."""
    label, domain = (rng.random(n) < 0.6).astype(int), np.arange(n) % domains
    x = rng.standard_normal((n, heads * width))
    x[:, 0] += 1.5 * (2 * label - 1)
    x[:, carrier * width] += strength * (2 * label - 1) * np.where(domain == 1, -1, 1)
    return ArrayActivations(x, name="layer", samples={"label": label, "domain": domain})


def data_of(tap):
    return domain_samples(tap, "label", "domain", np.random.default_rng(0), pooling="mean", maximum=5000)


def test_heads_partition_the_units():
    units = np.ones(24, bool)
    units[[3, 4]] = False
    found = slices_of(units, 6)
    assert np.sum(found, axis=0).tolist() == [1] * 22
    assert [int(f.sum()) for f in found] == [3, 3, 4, 4, 4, 4]
    with pytest.raises(ParameterError, match="heads × width of a head = units"):
        slices_of(units, 5)


def test_a_cell_is_the_change_by_hand():
    """Probes fitted to the other units alone, here by deleting them; domain 2 is kept for choosing."""
    data = data_of(planted(np.random.default_rng(0)))
    fold = np.arange(len(data.x)) % 5
    found = slice_removals(data, 4, fold, 2, 3, np.random.default_rng(1))

    def across(x):
        scores = []
        for i, j in ((0, 1), (1, 0)):
            probe = bayes_probe(x[data.domain == i], data.of[data.domain == i], 2)
            scores.append((probe.named(x[data.domain == j]) == data.of[data.domain == j]).mean())
        return np.mean(scores)

    for h in range(4):
        left = np.delete(data.x, slice(3 * h, 3 * h + 3), axis=1)
        assert found.change[h] == pytest.approx(across(left) - across(data.x), abs=0.01)
    assert found.base == pytest.approx(across(data.x))


def test_taking_nothing_out_changes_nothing_and_everything_leaves_chance():
    rng = np.random.default_rng(2)
    tap = planted(rng)
    x = tap.values.copy()
    x[:, 3:6] = 7.0  # a head that never changes
    still = ArrayActivations(x, samples=tap.samples)
    found = head_removal(still, params=HeadRemovalParams(domain="domain"))
    assert found.values[0, 1] == 0.0
    assert not found.significant[0, 1]
    whole = head_removal(tap, params=HeadRemovalParams(domain="domain", heads=1, validation="2"))
    label, domain = tap.samples["label"], tap.samples["domain"]
    majority = np.mean([np.bincount(label[domain == j]).max() / (domain == j).sum() for j in (0, 1)])
    assert whole.values[0, 0] + whole.estimates[-1].value == pytest.approx(majority)


def test_the_best_head_is_chosen_on_a_domain_that_is_not_tested():
    rng = np.random.default_rng(3)
    found = head_removal(planted(rng), planted(rng, carrier=1), params=HeadRemovalParams(domain="domain"))
    assert found.values.shape == (2, 4)
    chosen, largest = found.estimates[:2]
    assert "8 tried" in chosen.name
    assert "chosen in" in chosen.name
    assert "random" in chosen.null_method
    assert "chosen where it is tested" in largest.name
    assert largest.value >= chosen.value
    layer = SliceRemovals(
        0.5, 0.0, 0.5, np.array([0.1, 0.9]), np.ones(2), np.zeros(2), np.array([0.3, 0.1]), 9, 2
    )
    assert chosen_cell([layer]) == (0, 0)  # not the one that is largest where it is tested


def test_with_two_domains_nothing_is_chosen():
    found = head_removal(
        planted(np.random.default_rng(4), domains=2), params=HeadRemovalParams(domain="domain")
    )
    assert "chosen where it is tested" in found.estimates[0].name
    assert any("two domains" in c for c in found.caveats)
    with pytest.raises(ParameterError, match="one of 0, 1"):
        head_removal(
            planted(np.random.default_rng(4)), params=HeadRemovalParams(domain="domain", validation="9")
        )


def test_many_heads_are_corrected_for_together():
    rng = np.random.default_rng(5)
    layers = [
        SliceRemovals(0.5, 0.0, 0.5, 0.01 * rng.standard_normal(50), np.full(50, 0.01), 1e-6 * rng.standard_normal(8),
                      np.zeros(50), 100, 50) for _ in range(10)
    ]  # fmt: skip
    p = np.array([layer.p for layer in layers])
    assert p.shape == (10, 50)
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.03)
    assert (corrected(layers) < 0.05).sum() <= 1
    drawn = largest_by_chance([SliceRemovals(0, 0, 0, np.zeros(50), np.ones(50), np.array([-1.0, 1.0]), np.zeros(50),
                                             9, 9)], rng)  # fmt: skip
    assert drawn.mean() == pytest.approx(2.25 * np.sqrt(2), abs=0.1)  # of 50 normal draws of deviation √2


def test_heads_that_do_nothing_are_seldom_marked():
    marked = []
    for seed in range(3):
        tap = planted(np.random.default_rng(seed), n=180, strength=0.0)
        marked.append(head_removal(tap, params=HeadRemovalParams(domain="domain")).significant[0, 1:].sum())
    assert sum(marked) <= 1


def test_the_smallest_domain_is_kept_by_default():
    data = data_of(planted(np.random.default_rng(6), n=361))
    assert held_domain(data, "") == int(np.bincount(data.domain).argmin())
    assert held_domain(data, "1") == 1


def test_broken_code_fails_the_check(monkeypatch):
    with monkeypatch.context() as at:
        at.setattr(
            compute,
            "transfer",
            lambda x, of, domain, fold, basis: TRANSFER(x, of, domain, fold, basis[:, :0]),
        )
        assert not all(line.passed for line in module._check())
    with monkeypatch.context() as at:
        at.setattr(module, "corrected", lambda layers: np.ones((1, len(layers[0].change))))
        assert not all(line.passed for line in module._check())


TRANSFER = compute.transfer
