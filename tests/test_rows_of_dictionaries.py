"""Every paper whose question is one of dictionaries has a method, a kind of feature set or an architecture that says it
serves it, and those from different papers agree where their questions meet, on planted data."""

from __future__ import annotations

import dictionary_subjects as subjects
import numpy as np
import pytest

from analysis import registry
from analysis.activations import ArrayActivations
from analysis.compute.dictionaries.swivel import counts_of
from analysis.features import rules
from analysis.features.architectures import ARCHITECTURES
from analysis.features.classical import CLASSICAL
from analysis.features.encoding import encode_tap
from analysis.features.feature_set import FeatureSet
from analysis.methods.dictionaries.co_activation import CoActivationParams, co_activation
from analysis.methods.dictionaries.co_activation_heat import CoActivationHeatParams, co_activation_heat
from analysis.methods.dictionaries.concept_bottleneck import ConceptBottleneckParams, concept_bottleneck
from analysis.methods.dictionaries.concept_f1 import ConceptF1Params, concept_f1
from analysis.methods.dictionaries.matched_dictionaries import matched_dictionaries
from analysis.methods.dictionaries.presence_elsewhere import presence_elsewhere
from analysis.store.from_arrays import write_store

TITLES = (
    "Improving Prototypical Parts Abstraction for Case-Based Reasoning Explanations Designed for the Kidney Stone Type "
    "Recognition",
    "UMERegRobust - Universal Manifold Embedding Compatible Features for Robust Point Cloud Registration",
    "Going Beyond Neural Network Feature Similarity: The Network Feature Complexity and Its Interpretation Using "
    "Category Theory",
    "Understanding Visual Feature Reliance through the Lens of Complexity",
    "Understanding Visual Feature Reliance through Complexity",
    "Supervised Dictionary Learning with Auxiliary Covariates",
    "Online Unsupervised Feature Learning for Visual Tracking",
    "Towards Principled Evaluations of Sparse Autoencoders for Interpretability and Control",
    "Attention Layers Add Into Low-Dimensional Residual Subspaces",
    "Towards Principled Evaluations of Sparse Autoencoders",
    "SAEs Reveal Universal Feature Spaces Across LLMs",
    "End-to-end sparse dictionary learning (e2e SAE)",
    "From Flat to Hierarchical: MP-SAE",
    "Mutual Choice & Feature Choice SAEs",
    "SAEs are good for steering \u2014 with the right features",
    "Swivel: embeddings from co-occurrence, including zeros",
    "Analysis of Variational Sparse Autoencoders",
    "Features that Make a Difference: Leveraging Gradients for Improved Dictionary Learning",
    "Towards scientific discovery with dictionary learning: Extracting biological concepts from microscopy foundation "
    "models",
    "Disentangling Dense Embeddings with Sparse Autoencoders",
    "Position: Mechanistic Interpretability Should Prioritize Feature Consistency in SAEs",
    "OrtSAE: Orthogonal Sparse Autoencoders Uncover Atomic Features",
    "Explaining How Visual, Textual and Multimodal Encoders Share Concepts",
    "Checking the Sufficiently Scattered Condition using a Global Non-Convex Optimization Software",
    "Performance Gaps in Multi-view Clustering under the Nested Matrix-Tensor Model",
    "Subspace power method for symmetric tensor decomposition",
    "Compressing Latent Space via Least Volume",
    "A geometric framework for asymptotic inference of principal subspaces in PCA",
    "Determination of Latent Dimensionality in International Trade Flow",
    "Separating common from salient patterns with Contrastive Representation Learning",
    "Sparse Concept Bottleneck Models: Gumbel Tricks in Contrastive Learning",
    "Compressing Features for Learning with Noisy Labels",
    "Likelihood Adjusted Semidefinite Programs for Clustering Heterogeneous Data",
    "Learning Low-Rank Representations for Model Compression",
    "Conditional Latent Coding with Learnable Synthesized Reference for Deep Image Compression",
    "CoSpaDi: sparse-dictionary weight compression",
    "Functional Bayesian Tucker Decomposition for Continuous-indexed Tensor Data",
    "Strivec: Sparse Tri-Vector Radiance Fields",
    "Distributional Autoencoders Know the Score",
    "Network Memory Footprint Compression Through Jointly Learnable Codebooks and Mappings",
    "MixtureGrowth: Growing Neural Networks by Recombining Learned Parameters",
    "Differentiable Neural Input Search for Recommender Systems",
)


@pytest.mark.parametrize("title", TITLES)
def test_a_method_or_a_kind_of_set_serves(title):
    made = (*registry.methods().values(), *CLASSICAL, *ARCHITECTURES.values())
    assert [one for one in made if title in one.papers]


def test_every_method_names_a_paper():
    assert not [m.id for m in registry.methods().values() if m.family == "dictionaries" and not m.papers]


# ---------------------------------------------------------------------------- where their questions meet
def test_pairs_that_fire_together_have_the_same_information_in_the_table_and_in_the_heat_map(rng):
    on = (rng.random((500, 6)) < 0.3).astype(float)
    on[:, 1] = np.maximum(on[:, 1], on[:, 0])
    tap = ArrayActivations(on, "s:x", {})
    heat = co_activation_heat(tap, CoActivationHeatParams(draws=2)).values
    listed = co_activation(tap, CoActivationParams(partners=5)).columns
    for a, b, value in zip(listed["feature"], listed["partner"], listed["PMI"], strict=True):
        assert heat[int(a), int(b)] == pytest.approx(value, abs=1e-12)
    np.testing.assert_array_equal(counts_of(on).alone, on.sum(axis=0))


def test_a_class_with_a_feature_of_its_own_has_f1_of_1_and_is_the_weight_of_a_bottleneck(rng):
    of = np.arange(160) % 4
    x = np.hstack([np.eye(4)[of] * (1 + rng.random((160, 4))), 0.3 * rng.random((160, 4))])
    tap = ArrayActivations(x, "s:x", {"label": of})
    single = concept_f1(tap, ConceptF1Params(draws=4)).columns
    head = concept_bottleneck(tap, ConceptBottleneckParams(draws=2, penalty=0.2))
    np.testing.assert_allclose(single["F1"], 1)
    assert head.estimates[0].value == 1
    best = [head.column_names[j] for j in head.values.argmax(axis=1)]
    assert best == [str(f) for f in single["feature"]]


def test_what_is_present_elsewhere_is_what_is_matched(tmp_path, rng):
    """Half of the features are the other network's, the rest are its own; presence and matching name the same."""
    codes = subjects.planted_codes(400, 14)[:, :12]
    other = np.hstack([codes[:, :6], subjects.planted_codes(400, 14, seed=5)[:, 6:12]])
    store, zero = write_store(tmp_path / "s", name="s", taps={"a": codes, "b": other}), np.zeros(12)
    wide = np.hstack([subjects.atoms(12, 5), np.zeros((12, 7))])
    for name in ("a", "b"):
        store = encode_tap(store, name, FeatureSet(name, rules.LINEAR, np.eye(12), wide, zero, zero, zero))
    taps = [store.activations(f"{n}@{n}") for n in ("a", "b")]
    there = presence_elsewhere(*taps).columns["verdict"] == "present"
    np.testing.assert_array_equal(there, np.arange(12) < 6)
    assert matched_dictionaries(*taps).columns["pairs"][0] == 6
