"""Every paper whose question is one of attribution has a method, a kind of feature set or an architecture that says it
serves it, and those from different papers agree where their questions meet, on planted data."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import registry
from analysis.activations import ArrayActivations
from analysis.features.architectures import ARCHITECTURES
from analysis.features.classical import CLASSICAL
from analysis.features.readers import PROBE
from analysis.methods.attribution.feature_attribution import FeatureAttributionParams, feature_attribution
from analysis.methods.attribution.neuron_clamp import NeuronClampParams, neuron_clamp
from analysis.methods.attribution.readout_score import ReadoutScoreParams, readout_score
from analysis.methods.units.channel_mass import ChannelMassParams, channel_mass
from analysis.methods.units.channel_use import ChannelUseParams, channel_use

TITLES = (
    "Attention-based Dynamic Subspace Learners for Medical Image Analysis",
    "Enhancing Dataset Distillation via Non-Critical Region Refinement",
    "AutoInt: Automatic Feature Interaction Learning via Self-Attentive Neural Networks",
    "Improving Prototypical Parts Abstraction for Case-Based Reasoning Explanations Designed for the Kidney Stone Type "
    "Recognition",
    "Violence Detection in Videos",
    "Yes, we CANN: Constrained Approximate Nearest Neighbors for local feature-based visual localization",
    "CriSp: Leveraging Tread Depth Maps for Enhanced Crime-Scene Shoeprint Matching",
    "CLIP-ReIdent: Contrastive Training for Player Re-Identification",
    "Does Circuit Analysis Interpretability Scale? (Chinchilla multiple choice)",
    "Attention-based Dynamic Subspace Learners (medical)",
    "ULSAM: ultra-lightweight subspace attention",
    "Towards Principled Evaluations of Sparse Autoencoders",
    "Occlusion sensitivity with augmentation subspaces (OSA-DAS)",
    "AutoInt: self-attentive feature interaction",
    "Conditional mutual information for dynamic feature selection",
    "Mechanistic interpretability for adversarial inputs (subspace rerouting)",
    "End-to-end sparse dictionary learning (e2e SAE)",
    "SHAP: a unified approach",
    "SAEs are good for steering \u2014 with the right features",
    "Is This the Subspace You Are Looking For? (patching illusion)",
    "Linear Adversarial Concept Erasure (R-LACE)",
    "Linear Adversarial Concept Erasure",
    "Features that Make a Difference: Leveraging Gradients for Improved Dictionary Learning",
    "Disentangling Dense Embeddings with Sparse Autoencoders",
    "Multi-Directional Subspace Editing in Style-Space",
    "On the Foundations of Shortcut Learning",
    "Diffusion Models Learn Low-Dimensional Distributions via Subspace Clustering",
    "Employing Explainable Artificial Intelligence (XAI) Methodologies to Analyze the Correlation between Input "
    "Variables and Tensile Strength in Additively Manufactured Samples",
    "Decoding specialised feature neurons in LLMs with the final projection layer",
    "How to Capture Higher-order Correlations? Generalizing Matrix Softmax Attention to Kronecker Computation",
    "Causal Analysis for Robust Interpretability of Neural Networks",
    "Fire Together Wire Together: A Dynamic Pruning Approach with Self-Supervised Mask Prediction",
    "There and Back Again: Revisiting Backpropagation Saliency Methods (same text as 003 #40)",
    "There and Back Again: Revisiting Backpropagation Saliency Methods (same text as 002 #51)",
    "CX-ToM: Counterfactual Explanations with Theory-of-Mind for Enhancing Human Trust in Image Recognition Models",
    "The Information Pathways Hypothesis: Transformers are Dynamic Self-Ensembles",
    "Q-Bench: A Benchmark for General-Purpose Foundation Models on Low-level Vision",
)


@pytest.mark.parametrize("title", TITLES)
def test_a_method_or_a_kind_of_set_serves(title):
    made = (*registry.methods().values(), *CLASSICAL, *ARCHITECTURES.values())
    assert [one for one in made if title in one.papers]


# ---------------------------------------------------------------------------- where their questions meet
def planted(rng, n=60):
    of = np.arange(n) % 2
    x = np.column_stack([2.0 * of + rng.standard_normal(n), rng.standard_normal((n, 3))])
    return ArrayActivations(x, "s:x", {"label": of, "said": x[:, 0]})


def test_the_unit_that_a_score_is_owed_to_is_the_one_whose_clamp_moves_the_answer(rng):
    tap = planted(rng)
    owed = feature_attribution(
        tap, FeatureAttributionParams(number="readout score", answer=1, reader=PROBE, steps=40)
    )
    assert owed.columns["feature"][owed.columns["size"].argmax()] == "0"
    assert max(e.value for e in owed.estimates if e.name == "residual of the sum") < 1e-3
    moves = [
        neuron_clamp(tap, NeuronClampParams(unit=j, reader=PROBE, others=2)).estimates[0].value
        for j in range(4)
    ]
    assert int(np.argmax(moves)) == 0
    score = readout_score(tap, ReadoutScoreParams(good="1", poor="0", column="said", reader=PROBE))
    assert score.estimates[0].value > 0.9


def test_channels_that_samples_need_are_those_that_classes_use(rng):
    of = np.arange(40) % 2
    tap = ArrayActivations(rng.random((40, 7)) ** 3, "s:x", {"label": of})
    needed = channel_mass(tap, ChannelMassParams(share=0.8, draws=5)).estimates[0].value
    used = channel_use(tap, ChannelUseParams(share=0.8))
    assert float((used.values.mean(axis=1)).sum()) == pytest.approx(needed, abs=1e-12)
