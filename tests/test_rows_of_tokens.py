"""Every paper whose question is one of tokens has a method, a rule or a kind of feature set that says it serves it, and
methods from different papers agree where their questions meet, on planted data."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import registry
from analysis.activations import ArrayActivations, Layout
from analysis.features.architectures import ARCHITECTURES
from analysis.features.classical import CLASSICAL
from analysis.methods.populations.output_disagreement import OutputDisagreementParams, output_disagreement
from analysis.methods.tokens.expert_accuracy import TOP, ExpertAccuracyParams, expert_accuracy
from analysis.methods.tokens.signature_path import SignaturePathParams, signature_path
from analysis.methods.tokens.signature_words import MEAN, SignatureWordsParams, signature_words
from analysis.tokens.rule import rules

TITLES = (
    "Kolmogorov-Arnold Attention: Is Learnable Attention Better For Vision Transformers?",
    "Bridging the Gap Between Vision Transformers and Convolutional Neural Networks on Small Datasets",
    "MatryoshkaKV: Adaptive KV Compression via Trainable Orthogonal Projection",
    "MambaOut: Do We Really Need Mamba for Vision?",
    "ColorMNet: A Memory-based Deep Spatial-Temporal Feature Propagation Network for Video Colorization",
    "Feature Coding in the Era of Large Models: Dataset, Test Conditions, and Benchmark",
    "DVPT: Dynamic Visual Prompt Tuning of Large Pre-trained Models for Medical Image Analysis",
    "On the Parameterization and Initialization of Diagonal State Space Models",
    "PrefixKV: Adaptive Prefix KV Cache is What Vision Instruction-Following Models Need for Efficient "
    "Generation",
    "Dynamic Perceiver for Efficient Visual Recognition",
    "Activation Space Selectable Kolmogorov-Arnold Networks",
    "Polarized Self-Attention: Towards High-quality Pixel-wise Regression",
    "VCMamba: Bridging Convolutions with Multi-Directional Mamba for Efficient Visual Representation",
    "Medical Image Classification with KAN-Integrated Transformers and Dilated Neighborhood Attention",
    "Mamba-FSCIL: Dynamic Adaptation with Selective State Space Model for Few-Shot Class-Incremental Learning",
    "Does Circuit Analysis Interpretability Scale? (Chinchilla multiple choice)",
    "MHS-VM: multi-head scanning for Vision Mamba",
    "ULSAM: ultra-lightweight subspace attention",
    "MatryoshkaKV: trainable orthogonal projection of the KV cache",
    "ResQ: mixed-precision quantisation with low-rank residuals",
    "KeyPoint Relative Position Encoding (KP-RPE)",
    "Kernel-PCA interpretation of self-attention fails (reproduction)",
    "Kernel matrix-vector multiplication under sparsity assumptions",
    "Franca: nested Matryoshka clustering, positional disentangling",
    "LESS ViT: multi-modal & hyperspectral geospatial foundation model",
    "Learning the Dynamics of Sparsely Observed Interacting Systems",
    "Mamba2D: A Natively Multi-Dimensional State-Space Model for Vision Tasks",
    "Pre-training with Random Orthogonal Projection Image Modeling",
    "Cascaded Dual Vision Transformer for Accurate Facial Landmark Detection",
    "Balanced Multi-Task Attention for Satellite Image Classification: A Systematic Approach to Achieving "
    "97.23% Accuracy on EuroSAT Without Pre-Training",
    "Multi Resolution Analysis (MRA) for Approximate Self-Attention",
    "ParaFormer: Parallel Attention Transformer for Efficient Feature Matching",
    "Mamba3D: Enhancing Local Features for 3D Point Cloud Analysis via State Space Model",
    "S2AFormer: Strip Self-Attention for Efficient Vision Transformer",
    "On Computational Limits and Provably Efficient Criteria of Visual Autoregressive Models: A Fine-Grained "
    "Complexity Analysis",
    "Growing Transformers: Modular Composition and Layer-wise Expansion on a Frozen Substrate",
    "Infinite Retrieval: Attention Enhanced LLMs in Long-Context Processing",
    "$R^2$-Tuning: Efficient Image-to-Video Transfer Learning for Video Temporal Grounding",
    "Beyond Not-Forgetting: Continual Learning with Backward Knowledge Transfer",
    "QuoTA: Query-oriented Token Assignment via CoT Query Decouple for Long Video Comprehension",
    "Layer-Wise Quantization: A Pragmatic and Effective Method for Quantizing LLMs Beyond Integer Bit-Levels",
    "What can a Single Attention Layer Learn? A Study Through the Random Features Lens",
    "Hopfield Networks is All You Need",
    "How to Capture Higher-order Correlations? Generalizing Matrix Softmax Attention to Kronecker Computation",
    "Fire Together Wire Together: A Dynamic Pruning Approach with Self-Supervised Mask Prediction",
    "Do Language Models Use Their Depth Efficiently?",
    "xKV: Cross-Layer SVD for KV-Cache Compression",
    "ConViT: Improving Vision Transformers with Soft Convolutional Inductive Biases",
    "VSFormer: Mining Correlations in Flexible View Set for Multi-view 3D Shape Understanding",
    "Axial Attention in Multidimensional Transformers",
    "Layer Normalization",
    "The Information Pathways Hypothesis: Transformers are Dynamic Self-Ensembles",
    "FinalMLP: An Enhanced Two-Stream MLP Model for CTR Prediction",
    "MixtureGrowth: Growing Neural Networks by Recombining Learned Parameters",
    "UniFork: Exploring Modality Alignment for Unified Multimodal Understanding and Generation",
    "Adaptive Computation Modules: Granular Conditional Computation For Efficient Inference",
    "ROICtrl: Boosting Instance Control for Visual Generation",
    "Robust Attentional Aggregation of Deep Feature Sets for Multi-view 3D Reconstruction",
    "Group Generalized Mean Pooling for Vision Transformer",
    "Backward-Compatible Aligned Representations via an Orthogonal Transformation Layer",
    "Softmax-free Linear Transformers",
    "Robustifying Token Attention for Vision Transformers",
    "PLLaVA : Parameter-free LLaVA Extension from Images to Videos for Video Dense Captioning",
    "PPLLaVA: Varied Video Sequence Understanding With Prompt Guidance",
    "Mixture of Prompt Learning for Vision Language Models",
    "TokenPacker: Efficient Visual Projector for Multimodal LLM",
    "Statistical Perspective of Top-K Sparse Softmax Gating Mixture of Experts",
    "Global Features are All You Need for Image Retrieval and Reranking",
    "Redesigning Multi-Scale Neural Network for Crowd Counting",
    "MDCS: More Diverse Experts with Consistency Self-distillation for Long-tailed Recognition",
    "Bridging the Divide: Reconsidering Softmax and Linear Attention",
    "Is Temperature Sample Efficient for Softmax Gaussian Mixture of Experts?",
    "Accelerating Multimodal Large Language Models by Searching Optimal Vision Token Reduction",
    "Multi-criteria Token Fusion with One-step-ahead Attention for Efficient Vision Transformers",
    "Token-level Correlation-guided Compression for Efficient Multimodal Document Understanding",
    "Expediting Large-Scale Vision Transformer for Dense Prediction without Fine-tuning",
    "Deep Interest Network for Click-Through Rate Prediction",
    "Matryoshka Multimodal Models",
    "AIM: Adaptive Inference of Multi-Modal LLMs via Token Merging and Pruning",
    "PyramidDrop: Accelerating Your Large Vision-Language Models via Pyramid Visual Redundancy Reduction",
    "Feather the Throttle: Revisiting Visual Token Pruning for Vision-Language Model Acceleration",
    "Accelerating Transformers with Spectrum-Preserving Token Merging",
    "Scaling Laws in Patchification: An Image Is Worth 50,176 Tokens And More",
)


def named(title: str) -> list:
    made = (*registry.methods().values(), *rules().values(), *CLASSICAL, *ARCHITECTURES.values())
    return [one for one in made if title in one.papers]


@pytest.mark.parametrize("title", TITLES)
def test_a_method_a_rule_or_a_kind_of_set_serves(title):
    assert named(title)


def test_each_part_is_asked_for_on_a_page():
    """The page of tokens, or the one that a method's family has."""
    from dashboard.browse.token_questions import QUESTIONS

    asked = {id for view in QUESTIONS.values() for id in view.asks.values()}
    elsewhere = {
        "correlation_map",
        "upgrade_regressions",
        "neural_collapse",
        "principal_angle_spectrum",
        "subspace_distances",
        "pitome",
    }  # Compare, Analyses, Subspaces, a rule of the film
    assert {id for ids in PROMISED.values() for id in ids} <= asked | elsewhere


def test_titles_are_told_once():
    assert len(set(TITLES)) == len(TITLES)


PROMISED = {  # what a row asks for beyond one view, and the method of each
    "VSFormer: Mining": ("view_sets", "view_sphere"),
    "Mamba3D: Enhancing": ("token_order", "local_pooling", "part_map"),
    "FinalMLP: An Enhanced": ("stream_gates", "stream_fusion", "unseen_ids"),
    "LESS ViT: multi-modal": (
        "axis_matrix",
        "axis_attention",
        "band_dropout",
        "token_colours",
        "channel_mapping",
    ),
    "DVPT: Dynamic": ("prompt_attention", "adapted_features"),
    "Balanced Multi-Task": ("branch_mix", "confidence_histograms", "class_confusion"),
    "Softmax-free Linear": ("attention_spectrum", "mixing_matrix", "mixing_measures"),
    "Kolmogorov-Arnold Attention": (
        "attention_spectrum",
        "mixing_measures",
        "head_functions",
        "loss_slices",
        "loss_plane",
    ),
    "On the Parameterization": ("ssm_poles", "ssm_kernel", "ssm_memory", "ssm_drift"),
    "ResQ: mixed-precision": ("channel_ranges", "tap_bits", "cache_quantisation"),
    "Feature Coding in the Era": ("rate_distortion", "coded_answer", "channel_ranges", "bd_rates"),
    "Mixture of Prompt Learning": ("router_load", "expert_samples", "prompt_words"),
    "Mamba-FSCIL": (
        "scan_groups",
        "ssm_memory",
        "adapted_features",
        "session_shift",
        "upgrade_regressions",
        "neural_collapse",
    ),
    "Global Features are All": ("pooling_curve", "refined_ranking"),
    "PLLaVA": ("token_norms", "long_tokens_read"),
    "What can a Single Attention": ("attention_atlas", "head_weights"),
    "xKV": ("cross_layer_cache", "cache_spectra"),
    "Mamba2D": ("scan_folded", "influence_map"),
    "VCMamba": ("mixing_matrix", "scan_folded", "influence_map"),
    "Bridging the Gap": ("correlation_map", "feature_collapse", "attention_atlas"),
    "Accelerating Transformers with Spectrum": ("pitome", "graph_spectrum"),
    "Beyond Not-Forgetting": ("gradient_overlap", "principal_angle_spectrum", "subspace_distances"),
    "ConViT": ("attention_atlas", "head_offsets", "head_locality"),
    "Growing Transformers": ("growth_timeline", "merged_answers"),
    "Redesigning Multi-Scale": ("expert_territory", "scale_counts"),
    "Polarized Self-Attention": ("gate_maps", "gate_order", "heatmap_targets"),
    "Dynamic Perceiver": ("early_exits", "exit_samples", "prompt_attention", "exit_divergence"),
}


@pytest.mark.parametrize("start", PROMISED)
def test_each_part_of_a_row_has_its_method(start):
    (title,) = (t for t in TITLES if t.startswith(start))
    assert set(PROMISED[start]) <= {one.id for one in named(title)}


# ---------------------------------------------------------------------------- where their questions meet
def test_two_experts_differ_as_often_as_two_models_do(rng):
    of = np.arange(60) % 3
    taps = [
        ArrayActivations(2.0 * np.eye(3)[of] + rng.standard_normal((60, 3)), n, {"label": of}) for n in "ab"
    ]
    experts = expert_accuracy(*taps, params=ExpertAccuracyParams(show=TOP))
    models = output_disagreement(*taps, params=OutputDisagreementParams(measure="different top class"))
    assert experts.values[0, 0] == models.values[0, 1]


def test_the_area_of_paths_is_half_the_difference_of_their_two_words(rng):
    x, of = rng.standard_normal((20, 6, 2)).cumsum(axis=1), np.arange(20) % 2
    tap = ArrayActivations(x.reshape(-1, 2), "walks", {"label": of}, Layout(np.arange(21) * 6))
    words = signature_words(tap, SignatureWordsParams(show=MEAN, time=False, levels=2, draws=9)).values
    area = signature_path(tap, SignaturePathParams(draws=20)).estimates[1].value
    assert area == pytest.approx((words[1, 1] - words[2, 0]) / 2, abs=1e-12)
