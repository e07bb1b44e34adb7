"""Every paper whose question is a comparison has a method that says it serves it, and the methods that comparing layers
by level, column or counterpart rests on answer the questions of those papers on planted networks."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import registry
from analysis.activations import ArrayActivations, Layout
from analysis.methods.similarity.cka import CkaParams, cka
from analysis.methods.similarity.grid_similarity import grid_similarity
from analysis.methods.similarity.layer_correspondence import layer_correspondence

TITLES = (
    "ACAM-KD: Adaptive and Cooperative Attention Masking for Knowledge Distillation",
    "Going Beyond Neural Network Feature Similarity: The Network Feature Complexity and Its Interpretation Using "
    "Category Theory",
    "Attention-based Dynamic Subspace Learners for Medical Image Analysis",
    "Stationary Representations: Optimally Approximating Compatibility and Implications for Improved Model "
    "Replacements",
    "A Good Student is Cooperative and Reliable: CNN-Transformer Collaborative Learning for Semantic Segmentation",
    "Multi-aspect Knowledge Distillation with Large Language Model",
    "One-for-All: Bridge the Gap Between Heterogeneous Architectures in Knowledge Distillation",
    "HARD: Hard Augmentations for Robust Distillation",
    "Convergent Learning: Do different neural networks learn the same representations?",
    "Facial Landmark Points Detection Using Knowledge Distillation-Based Neural Networks",
    "ScaleKD: Strong Vision Transformers Could Be Excellent Teachers",
    "Escaping Plato's Cave: aligning 3D and text latent spaces",
    "Convergent Learning",
    "SAEs Reveal Universal Feature Spaces Across LLMs",
    "SVCCA",
    "Kernel-PCA interpretation of self-attention fails (reproduction)",
    "CoReS: compatible representations via stationarity",
    "Network feature complexity / Iterative Feature Merging",
    "Sparse Canonical Correlation Analysis",
    "On the Joint Interaction of Models, Data, and Features",
    "Revealing the Utilized Rank of Subspaces of Learning in Neural Networks",
    "Explaining How Visual, Textual and Multimodal Encoders Share Concepts",
    "Traversing Between Modes in Function Space for Fast Ensembling",
    "Backward-Compatible Aligned Representations via an Orthogonal Transformation Layer",
    "Efficient Crowd Counting via Structured Knowledge Transfer",
    "A Multi-Level Framework for Accelerating Training Transformer Models",
    "RCNet: Reverse Feature Pyramid and Cross-scale Shift Network for Object Detection",
    "Investigating the Benefits of Projection Head for Representation Learning",
    "Counter-Current Learning: A Biologically Plausible Dual Network Approach for Deep Learning",
    "UniFork: Exploring Modality Alignment for Unified Multimodal Understanding and Generation",
    "Reversible Column Networks",
    "Balanced Mixture of SuperNets for Learning the CNN Pooling Architecture",
    "MetaFormer Is Actually What You Need for Vision",
    "Distilling from Similar Tasks for Transfer Learning on a Budget",
    "MEAL V2: Boosting Vanilla ResNet-50 to 80%+ Top-1 Accuracy on ImageNet without Tricks",
    "Transformer Fusion with Optimal Transport",
    "FerKD: Surgical Label Adaptation for Efficient Distillation",
)


@pytest.mark.parametrize("title", TITLES)
def test_a_method_serves(title):
    assert [m.id for m in registry.methods().values() if title in m.papers]


# ---------------------------------------------------------------------------- what those views must show
def grid(maps, name):
    n, h, w, d = maps.shape
    layout = Layout(np.arange(n + 1) * h * w, grid=(h, w))
    return ArrayActivations(maps.reshape(-1, d), name=name, layout=layout)


def test_levels_of_a_pyramid_are_compared_after_resizing_before_and_behind_the_neck():
    """A neck that only mixes channels leaves a level what it was; levels of other content stay apart."""
    rng = np.random.default_rng(0)
    p3, p4 = rng.standard_normal((200, 4, 4, 6)), rng.standard_normal((200, 2, 2, 6))
    up = p4.repeat(2, axis=1).repeat(2, axis=2)
    neck = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    taps = [grid(m, name) for m, name in ((p3, "p3"), (p4, "p4"), (p3 @ neck, "n3"), (up @ neck, "n4"))]
    found = grid_similarity(*taps).values
    assert found[0, 2] == pytest.approx(1.0, abs=1e-9)
    assert found[1, 3] == pytest.approx(1.0, abs=1e-9)
    assert abs(found[0, 1]) < 0.1
    assert abs(found[0, 3]) < 0.1


def test_a_feedback_layer_that_learns_to_face_a_forward_layer_is_seen_to_over_epochs():
    rng = np.random.default_rng(1)
    forward, other = rng.standard_normal((2, 400, 10))
    turn = np.linalg.qr(rng.standard_normal((10, 10)))[0]
    epochs = [np.sqrt(s) * forward @ turn + np.sqrt(1 - s) * other for s in (0.0, 0.3, 0.6, 1.0)]
    values = cka(forward, *epochs).values[0, 1:]
    assert (np.diff(values) > 0.05).all()
    assert abs(values[0]) < 0.05
    assert values[-1] == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_allclose(values[1:3], [0.3, 0.6], atol=0.05)  # the shared part of the variance


def test_columns_and_levels_are_compared_with_the_input_and_with_labels_in_one_matrix():
    """Columns that keep less of the input and more of the label."""
    rng = np.random.default_rng(2)
    label = np.arange(300) % 5
    classes = np.eye(5)[label]
    pixels = rng.standard_normal((300, 8)) + 0.5 * classes @ rng.standard_normal((5, 8))
    columns = [(1 - s) * pixels @ rng.standard_normal((8, 8)) + 6 * s * classes @ rng.standard_normal((5, 8))
               for s in (0.0, 0.4, 0.9)]  # fmt: skip
    taps = [ArrayActivations(x, name=f"net:column {i}") for i, x in enumerate([pixels, *columns, classes])]
    found = cka(*taps, params=CkaParams()).values
    assert (np.diff(found[0, 1:4]) < 0).all()
    assert (np.diff(found[4, 1:4]) > 0).all()


def test_stages_of_two_token_mixers_correspond_at_equal_depth():
    """Twins that mix differently, stage by stage, from a shared residual stream."""
    rng = np.random.default_rng(3)
    stream, twins = rng.standard_normal((400, 30)), {"attention": [], "pooling": []}
    for _ in range(4):
        stream = stream + np.maximum(stream @ rng.standard_normal((30, 30)) / np.sqrt(15), 0)
        for stages in twins.values():
            stages.append(stream + 0.3 * stream.std() * rng.standard_normal(stream.shape))
    taps = [ArrayActivations(x, name=f"{k}:stage {i}") for k, v in twins.items() for i, x in enumerate(v)]
    found = layer_correspondence(*taps)
    np.testing.assert_allclose(found.series["pooling"], found.x)
