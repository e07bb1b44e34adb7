"""Every paper whose question is one of rank, subspaces or concepts has a method that says it serves it, and methods
from different papers agree where their questions meet, on planted data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import ndtr

from analysis import registry
from analysis.activations import ArrayActivations
from analysis.compute.groups.concept import Concept
from analysis.compute.linear.fisher import basis_of, discriminants
from analysis.compute.subspaces.concept_moments import concept_moments
from analysis.compute.subspaces.erasure import leace
from analysis.methods.clusters.coding_rate import CodingRateParams, coding_rate
from analysis.methods.concepts.rankability import RankabilityParams, rankability
from analysis.methods.rank.koopman_health import koopman_health
from analysis.methods.rank.rank_dossier import rank_dossier
from analysis.methods.similarity.sub_embeddings import SubEmbeddingParams, sub_embeddings
from analysis.methods.subspaces.class_heads import ClassHeadsParams, class_heads
from analysis.methods.subspaces.class_subspaces import ClassSubspacesParams, class_subspaces
from analysis.methods.subspaces.flag_distances import FlagDistancesParams, flag_distances
from analysis.methods.subspaces.principal_angle_spectrum import (
    PrincipalAngleSpectrumParams,
    principal_angle_spectrum,
)
from analysis.methods.subspaces.sinkhorn_membership import sinkhorn_membership

TITLES = (
    "Attention-based Dynamic Subspace Learners for Medical Image Analysis",
    "History-Aware Transformation of ReID Features for Multiple Object Tracking",
    "Rethinking Positive Pairs in Contrastive Learning",
    "Facial Landmark Points Detection Using Knowledge Distillation-Based Neural Networks",
    "Generalizing to Unseen Domains in Diabetic Retinopathy with Disentangled Representations",
    "Music FaderNets: Controllable Music Generation Based On High-Level Features via Low-Level Feature Modelling",
    "Singular Value Decomposition on Kronecker Adaptation for Large Language Model",
    "Grassmann Class Representation (GCR)",
    "Attention-based Dynamic Subspace Learners (medical)",
    "Attention Layers Add Into Low-Dimensional Residual Subspaces",
    "Unsupervised Manifold Linearizing and Clustering (MLC)",
    "Matrix Subspace Projection (latent factorisation)",
    "Learning by Reconstruction Produces Uninformative Features",
    "Second-order difference subspace",
    "Information Shapes Koopman Representation",
    "Flagfolds",
    "Feature Expansion for Graph Neural Networks",
    "Mechanistic interpretability for adversarial inputs (subspace rerouting)",
    "DC-Former: diverse and compact transformer for re-ID",
    "Barycentric Subspace Analysis",
    "Chordal averaging on flag manifolds",
    "Rewrite the Stars (StarNet)",
    "Rethinking Positive Pairs in Contrastive Learning (Hydra)",
    "Robust AI-generated text detection by restricted embeddings",
    "T-REGS: minimum-spanning-tree regularisation",
    "No Task Left Behind: isotropic model merging",
    "Geometric Properties of Neural Multivariate Regression",
    "LiDAR: linear-discriminant-analysis rank",
    "Linear Adversarial Concept Erasure (R-LACE)",
    "Linear Adversarial Concept Erasure",
    "Learning to Compress: Local Rank and Information Compression in Deep Neural Networks",
    "Multi-Directional Subspace Editing in Style-Space",
    "On the Stepwise Nature of Self-Supervised Learning",
    "Revealing the Utilized Rank of Subspaces of Learning in Neural Networks",
    "Assessing Neural Network Representations During Training Using Noise-Resilient Diffusion Spectral Entropy",
    "Performance Gaps in Multi-view Clustering under the Nested Matrix-Tensor Model",
    "Low Rank Optimization for Efficient Deep Learning: Making A Balance between Compact Architecture and "
    "Fast Training",
    "RankMe: Assessing the downstream performance of pretrained self-supervised representations by their rank",
    "Compressing Latent Space via Least Volume",
    "A geometric framework for asymptotic inference of principal subspaces in PCA",
    "Householder Projector for Unsupervised Latent Semantics Discovery",
    "On the rankability of visual embeddings",
    "Residual Connections Harm Generative Representation Learning",
    "Expandable Subspace Ensemble (EASE)",
    "Measuring the Intrinsic Dimension of Objective Landscapes",
    "SeA: semantic adversarial augmentation of last-layer features",
    "Franca: nested Matryoshka clustering, positional disentangling",
    "Supervised Dictionary Learning with Auxiliary Covariates",
    "Diffusion Models Learn Low-Dimensional Distributions via Subspace Clustering",
    "Generalized Zero- and Few-Shot Learning via Aligned Variational Autoencoders",
)


@pytest.mark.parametrize("title", TITLES)
def test_a_method_serves(title):
    assert [m.id for m in registry.methods().values() if title in m.papers]


@pytest.mark.parametrize("family", ["rank", "subspaces", "concepts"])
def test_every_method_names_a_paper(family):
    assert not [m.id for m in registry.methods().values() if m.family == family and not m.papers]


# ---------------------------------------------------------------------------- where their questions meet
def estimate(result, start: str):
    return next(e for e in result.estimates if e.name.startswith(start))


def test_classes_in_orthogonal_planes_are_that_to_overlap_heads_clusters_and_coding_rate(rng):
    """Four classes, each spread evenly over a plane of its own: no overlap, a subspace for each names every sample, the
    planes are found without labels, and the coding rate has its closed form."""
    of = np.arange(240) % 4
    angle = 2 * np.pi * (np.arange(240) // 4) / 60
    x = np.zeros((240, 8))
    x[np.arange(240), 2 * of], x[np.arange(240), 2 * of + 1] = np.cos(angle), np.sin(angle)
    tap = ArrayActivations(x @ np.linalg.qr(rng.standard_normal((8, 8)))[0], samples={"label": of})
    found = class_subspaces(tap, ClassSubspacesParams(dimension=2, draws=5))
    np.testing.assert_allclose(found.values, np.eye(4), atol=1e-9)
    assert class_heads(tap, ClassHeadsParams(dimension=2)).estimates[0].value == pytest.approx(1.0)
    assert "100% of samples are in the cluster matched to their class" in sinkhorn_membership(tap).reading
    rates = coding_rate(tap, CodingRateParams(epsilon=0.5, permutations=19))
    at = int(np.argmin(np.abs(rates.x - 0.5)))
    np.testing.assert_allclose(rates.series["R"][at], 8 / 2 * np.log(1 + 1 / 0.25), rtol=1e-9)
    np.testing.assert_allclose(rates.series["R_c"][at], 2 / 2 * np.log(1 + 4 / 0.25), rtol=1e-9)


def test_flags_of_two_planes_are_as_far_apart_as_their_principal_angles_say(rng):
    """Covariances that are projections of trace 1: Bures and Wasserstein's distance is √(2 - 2 mean cos θ)."""
    turns = np.radians([10, 40, 80])
    q = np.linalg.qr(rng.standard_normal((9, 9)))[0].T
    one, other = q[:3], np.cos(turns)[:, None] * q[:3] + np.sin(turns)[:, None] * q[3:6]
    taps = [
        ArrayActivations(np.tile(np.vstack([b, -b]), (6, 1)), name=n) for n, b in (("a", one), ("b", other))
    ]
    angles = principal_angle_spectrum(*taps, params=PrincipalAngleSpectrumParams(dimension=3))
    np.testing.assert_allclose(angles.series["principal angles"], [10, 40, 80], atol=1e-9)
    apart = flag_distances(*taps, params=FlagDistancesParams()).values[0, 1]
    np.testing.assert_allclose(apart, np.sqrt(2 - 2 * np.cos(turns).mean()), rtol=1e-7)


def test_what_was_erased_can_no_longer_be_ranked(rng):
    y = rng.standard_normal(600)
    x = rng.standard_normal((600, 10)) + 2 * y[:, None] * rng.standard_normal(10)
    erased = leace(concept_moments(x, Concept("y", None, (), y)), 1)(x)
    before, after = (
        rankability(ArrayActivations(v, samples={"y": y}), RankabilityParams(column="y")) for v in (x, erased)
    )
    ridge = "held-out ρ, ridge"
    assert estimate(before, ridge).value > 0.9
    assert abs(estimate(after, ridge).value) < 0.15


def test_the_health_of_a_latent_space_is_told_by_the_ranks_of_the_dossier(rng):
    """Participation ratio <= exp of the von Neumann entropy <= entropy rank of √λ <= d, the same in both methods."""
    x = ArrayActivations(rng.standard_normal((120, 6)) * np.arange(1, 7))
    health, dossier = koopman_health(x), rank_dossier(x)
    ours = [e.value for e in health.estimates[4:7]]
    np.testing.assert_allclose(ours, [e.value for e in dossier.estimates[:3]], rtol=1e-12)
    assert (np.diff([*ours, 6.0]) > 0).all()


def test_a_learner_that_repeats_the_first_finds_what_it_finds_and_adds_nothing(rng):
    of = np.arange(90) % 3
    x = rng.standard_normal((90, 8)) + 1.5 * np.eye(3, 8)[of]
    taps = ArrayActivations(np.hstack([x, x]), samples={"label": of})
    found = sub_embeddings(taps, SubEmbeddingParams(blocks=2)).columns
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    near = (unit @ unit.T - 2 * np.eye(90)).argmax(axis=1)
    plain = (of[near] == of).mean()
    for column in ("recall@1", "joined recall@1"):
        np.testing.assert_allclose(found[column], [plain, plain], rtol=1e-12)
    assert found["gain"][1] == 0


# ---------------------------------------------------------------------------- two cues in conflict
def cues(n: int, amplified: float, conflict: bool, rng):
    """Labels, and samples with a core cue (d' = 5) and a shortcut (d' = 2) of unit noise; in conflict the shortcut
    speaks for the other class."""
    y = rng.integers(0, 2, n)
    sign = 2.0 * y - 1
    core, shortcut = 2.5 * sign, (-1.0 if conflict else 1.0) * sign
    return y, np.column_stack([core, shortcut]) + rng.standard_normal((n, 2)), np.array([1.0, amplified])


@pytest.mark.parametrize("amplified", [1.0, 10.0])
def test_discriminants_follow_the_core_cue_however_loud_the_shortcut_is(amplified):
    """Bayes' rule for two Gaussian cues follows the core one in Φ((d'_c² - d'_s²) / 2√(d'_c² + d'_s²)) of the
    conflicts, 97.4 %, and knows no scales. Neighbours of the same samples follow what is loud."""
    rng = np.random.default_rng(0)
    y, x, loud = cues(4000, amplified, False, rng)
    truth, probe, _ = cues(4000, amplified, True, rng)
    x, probe = x * loud, probe * loud
    basis = basis_of(x)
    weights = discriminants(basis, y, 2).weights
    made, seen = basis.z @ weights, (probe - basis.mean) @ (basis.vectors @ weights)
    means = np.array([made[y == c].mean(axis=0) for c in (0, 1)])
    followed = (np.linalg.norm(seen[:, None] - means, axis=2).argmin(axis=1) == truth).mean()
    expected = ndtr((25 - 4) / (2 * np.sqrt(25 + 4)))
    assert followed == pytest.approx(expected, abs=3 * np.sqrt(expected * (1 - expected) / 4000) + 0.003)
    near = cdist(probe, x[:2000]).argpartition(15, axis=1)[:, :15]
    neighbours = ((y[:2000][near].mean(axis=1) > 0.5) == truth).mean()
    assert neighbours == pytest.approx(0.97 if amplified == 1 else 0.76, abs=0.04)
