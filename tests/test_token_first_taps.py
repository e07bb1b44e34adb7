"""What questions of several taps begin with: networks beside each other, layers before the answer, no network alone."""

from types import SimpleNamespace

import numpy as np
import pytest

from analysis import registry
from analysis.activations import ArrayActivations
from analysis.errors import InputError
from analysis.methods.similarity.exit_divergence import exit_divergence
from analysis.methods.tokens.adapted_features import adapted_features
from dashboard.browse.first_taps import OUTPUTS, SAME, TWO, first_taps
from dashboard.browse.token_questions import QUESTIONS


def workspace(**stores):
    """Stores by name: (digest of the weights or None, recorded taps)."""
    known = {
        name: SimpleNamespace(recorded=dict.fromkeys(taps), manifest={"checkpoint": {"digest": weights}})
        for name, (weights, taps) in stores.items()
    }
    fitting = [f"{name}:{tap}" for name, (_, taps) in stores.items() for tap in taps]
    return SimpleNamespace(store=known.__getitem__), fitting


LAYERS = ("h.0", "h.1", "outputs.logits")


def test_layers_come_before_the_answer():
    found = first_taps(*_asked(OUTPUTS, "a:h.1", a=("1", LAYERS), b=("2", LAYERS)))
    assert found == ["a:h.0", "a:h.1", "a:outputs.logits"]
    assert first_taps(*_asked(OUTPUTS, "a:h.1", a=("1", LAYERS[:2]))) == []


def test_two_networks_are_of_different_weights_and_the_most_alike():
    stores = {"a": ("1", LAYERS), "again": ("1", LAYERS), "far": ("2", ("x", "y")), "b": ("3", LAYERS)}
    assert first_taps(*_asked(TWO, "a:h.1", **stores)) == ["a:h.0", "a:h.1", "b:h.0", "b:h.1"]
    del stores["b"]
    assert first_taps(*_asked(TWO, "a:h.1", **stores)) == ["a:h.0", "a:h.1", "far:x", "far:y"]
    assert first_taps(*_asked(SAME, "a:h.1", **stores)) == []
    part = {"a": ("1", LAYERS), "b": ("3", ("h.1", "h.2"))}
    assert first_taps(*_asked(SAME, "a:h.1", **part)) == ["a:h.1", "b:h.1"]
    assert first_taps(*_asked("", "a:h.1", **part)) == []


def _asked(begins, reference, **stores):
    found, fitting = workspace(**stores)
    return found, begins, reference, fitting


def test_what_methods_begin_with_is_known():
    begins = {m.begins for m in registry.methods().values()}
    assert begins == {"", OUTPUTS, TWO, SAME}
    asked = {id for view in QUESTIONS.values() for id in view.asks.values()}
    assert {i for i in asked if registry.method(i).begins} == {
        "exit_divergence", "layer_correspondence", "alignment_by_depth", "linear_predictivity", "adapted_features",
    }  # fmt: skip


def test_two_layers_of_one_network_are_not_taken_for_tuning(rng):
    taps = [ArrayActivations(rng.standard_normal((20, 4)), name=f"net:{k}") for k in range(2)]
    adapted_features(*taps)  # arrays of which nothing is known
    for tap, digest in zip(taps, "ab", strict=True):
        object.__setattr__(tap, "store", SimpleNamespace(manifest={"checkpoint": {"digest": digest}}))
    adapted_features(*taps)
    taps[1].store.manifest["checkpoint"]["digest"] = "a"
    with pytest.raises(InputError, match="2 taps of the same weights"):
        adapted_features(*taps)


def test_a_layer_is_not_taken_for_the_answer(rng):
    x, out = rng.standard_normal((60, 5)), rng.standard_normal((60, 3))
    samples = {"predicted": out.argmax(axis=1).astype(str)}
    layer, said = (ArrayActivations(v, name=n, samples=samples) for v, n in ((x, "layer"), (out, "outputs")))
    exit_divergence(layer, said)
    with pytest.raises(InputError, match="largest unit of layer is what the network predicted in"):
        exit_divergence(said, layer)
    words = ArrayActivations(x, name="layer", samples={"predicted": np.array(["a", "word"] * 30)})
    with pytest.raises(InputError, match="predicted in 0% of the samples"):
        exit_divergence(said, words)
