"""No method that patches, clamps, steers or takes out goes without the verdict on what it names."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.activations import ArrayActivations
from analysis.features.readers import PROBE
from analysis.methods.attribution.ablation_effect import AblationParams, ablation_effect
from analysis.methods.attribution.activation_patching import BREAK, PatchingParams, activation_patching
from analysis.methods.attribution.circuit import CircuitParams, circuit
from analysis.methods.attribution.circuit_curve import CircuitCurveParams, circuit_curve
from analysis.methods.attribution.component_shapley import ComponentShapleyParams, component_shapley
from analysis.methods.attribution.counterfactual_dialogue import (
    CounterfactualDialogueParams,
    counterfactual_dialogue,
)
from analysis.methods.attribution.neuron_clamp import NeuronClampParams, neuron_clamp
from analysis.methods.attribution.self_repair import SelfRepairParams, self_repair
from analysis.methods.attribution.steering import ANSWERS, SteeringParams, steering
from analysis.methods.attribution.steering_transcripts import (
    SteeringTranscriptsParams,
    steering_transcripts,
)
from analysis.methods.attribution.subspace_size import SubspaceSizeParams, subspace_size

pytest.importorskip("torch")
METHODS = (
    (activation_patching, PatchingParams, {}),
    (activation_patching, PatchingParams, {"direction": BREAK}),
    (steering, SteeringParams, {"direction": ANSWERS, "points": 3, "draws": 2}),
    (neuron_clamp, NeuronClampParams, {"unit": 0, "values": 3, "others": 2}),
    (subspace_size, SubspaceSizeParams, {"points": 3, "draws": 2}),
    (ablation_effect, AblationParams, {"draws": 2}),
    (self_repair, SelfRepairParams, {}),
    (component_shapley, ComponentShapleyParams, {"null_draws": 3}),
    (circuit, CircuitParams, {"random": 2}),
    (circuit_curve, CircuitCurveParams, {"sizes": 2, "random": 1}),
    (counterfactual_dialogue, CounterfactualDialogueParams, {}),
    (steering_transcripts, SteeringTranscriptsParams, {"direction": ANSWERS, "points": 3, "draws": 2}),
)


@pytest.mark.parametrize(("method", "params", "asked"), METHODS, ids=lambda m: getattr(m, "__name__", ""))
def test_what_is_named_carries_its_verdict(method, params, asked):
    """Labels along unit 0, a mean of their own in all others: the telling unit varies, and is heard."""
    rng = np.random.default_rng(0)
    label = np.arange(48) % 3 % 2
    x = rng.standard_normal((48, 4)) + np.outer(label, [3.0, 0, 0, 0])
    tap = ArrayActivations(x, name="planted", samples={"label": label})
    found = method(tap, params(reader=PROBE, maximum_samples=24, **asked))
    assert "Verdict on " in found.reading
    named = found.reading.split("Verdict on ")[1]
    assert named.split(": ", 1)[1].startswith(("faithful", "suspicious", "illusory", "no effect"))
    told = {kind: [e for e in found.estimates if e.name.startswith(kind)] for kind in
            ("connected share", "natural variance moved", "off the natural range")}  # fmt: skip
    assert told["natural variance moved"]
    assert told["off the natural range"]
    assert told["connected share"] or ": no effect" in found.reading
    for e in (e for some in told.values() for e in some):
        assert e.null is not None, e.name
    for e in (*told["connected share"], *told["off the natural range"]):
        assert e.low <= e.value <= e.high, e.name
    assert any("split into the part that the slopes" in c for c in found.caveats)
