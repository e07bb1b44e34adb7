"""What the Subspaces page asks, view by view, and which method answers each question."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class View:
    """`asks`: method by question, the most asked for first; the page shows those that are installed."""

    title: str
    about: str
    asks: dict[str, str]


QUESTIONS = {  # by name in the URL
    "rank": View(
        "Rank",
        "How many directions does a layer really use? Every formula under its own name: three of them are published as "
        '"effective rank".',
        {
            "How many directions, by every formula?": "rank_dossier",
            "Which axes are told apart, which are noise?": "pca_spectrum",
            "Which directions could be detected at all?": "spectrum_edges",
            "Are there samples enough for this number?": "rank_by_size",
            "What would change this number?": "rank_changes",
            "How does it change over the layers?": "rank_series",
            "In how few directions lies each layer?": "variance_share_by_layer",
            "Does it say which run is better?": "rank_against_accuracy",
            "How many tell items apart (LiDAR)?": "lidar",
            "Which samples differ along these directions?": "lidar_directions",
            "How many groups does diffusion see (DSE)?": "diffusion_spectral_entropy",
            "The same from layer to layer?": "diffusion_entropy_by_layer",
            "How many input directions count (local)?": "local_rank",
            "How much of a linear layer do its data use?": "layer_utilisation",
            "When did each direction appear in training?": "training_film",
            "How many latents does a decoder need?": "latent_volume",
            "Do later latents still tell anything?": "ordered_latents",
            "How many components over samples × positions?": "tensor_number",
            "What does each component do over positions?": "tensor_profiles",
            "Which units and samples is each component?": "tensor_components",
            "Which units' and positions' profiles pair up?": "tucker_core",
            "Do sequences stay alive in it (Koopman)?": "koopman_health",
            "Which modes turn, decay or stay?": "koopman_modes",
            "Where do modes lie on the unit disc?": "koopman_disc",
            "How many directions does denoising keep?": "denoiser_rank",
            "Does a graph smooth everything away?": "over_smoothing",
        },
    ),
    "dimension": View(
        "Dimension",
        "How many numbers does it take to say where a point lies, however bent the set of points is?",
        {
            "How many dimensions, at every scale?": "intrinsic_dimension",
            "How does that change from layer to layer?": "intrinsic_dimension_by_layer",
            "How many dimensions has each class?": "dimension_of_classes",
            "More dimensions than the targets need?": "features_against_targets",
            "Is it a union of flat pieces?": "subspace_mixture",
            "Do they fill the sphere or collapse?": "uniformity",
            "In how few directions can a probe learn?": "probe_landscape",
            "And a network, by the runs that you recorded?": "dimension_runs",
        },
    ),
    "geometry": View(
        "Geometry",
        "Where does each layer live, beside what two random subspaces of these dimensions would share?",
        {
            "How far apart are the layers' subspaces?": "subspace_distances",
            "Of classes, lassoed groups, heads, weights?": "part_subspaces",
            "Which angles lie between two of them?": "principal_angle_spectrum",
            "How far apart, with no dimension to choose?": "flag_distances",
            "Can I see all these distances on a map?": "flag_map",
            "What lies between two layers' spectra?": "spectrum_path",
            "What is their average, and which is odd?": "average_subspace",
            "How sure is a principal subspace?": "subspace_confidence",
            "Do activations vary where the weights write?": "weight_subspaces",
            "Do a dictionary's atoms lie where data vary?": "atom_energy",
            "Can I take the active subspace with me?": "active_basis",
            "How wide is the gap between two sides?": "modality_gap",
            "Which real samples span the space?": "exemplar_axes",
        },
    ),
    "movement": View(
        "Movement",
        "How does the space turn along depth or training, and what moved? A steady turn has no acceleration.",
        {
            "How fast does it turn, and where bend?": "subspace_movie",
            "Can I scrub through it, step by step?": "subspace_film",
            "Which samples moved?": "moved_samples",
            "Which units moved?": "moved_units",
            "What is left of the first layer's state?": "shortcut_echo",
            "Does a product of branches use more?": "star_product",
            "What does training change in the weights?": "weight_update",
            "How many numbers store that change?": "update_energy",
            "Do several updates agree with their merger?": "subspace_alignment_of_updates",
            "What rank has every weight matrix?": "weight_spectra",
            "Which singular values of one are not noise?": "weight_spectrum",
            "Which forms does a star block compute?": "star_forms",
        },
    ),
    "classes": View(
        "Classes",
        "Does each class have a space of its own, and have classes become points?",
        {
            "Have the classes collapsed to points?": "neural_collapse",
            "From which layer on?": "neural_collapse_by_layer",
            "Which classes vary in the same space?": "class_subspaces",
            "Which angles lie between two classes?": "class_angles",
            "How wide does each class spread?": "within_class_spread",
            "Does a subspace for each class name samples?": "class_heads",
            "Which classes share a head's space?": "class_head_overlap",
            "Would clustering find them as subspaces?": "sinkhorn_membership",
            "How many bits does knowing the class save?": "coding_rate",
            "Do finer clusters nest inside coarser ones?": "nested_clusters",
            "Which direction separates two groups?": "pair_direction",
            "Which few units separate two groups?": "pair_gate",
            "Are a few groups told apart later on, too?": "context_discriminant",
            "Which classes have units in common?": "gate_overlap",
            "Do class tokens see different things?": "class_tokens",
            "Does each adapter own its own task?": "adapter_tasks",
            "Are made-up prototypes of old classes right?": "prototype_matrix",
        },
    ),
    "concepts": View(
        "Concepts",
        "Which direction carries a concept? Define it by a column of the samples, rank by it, erase it, edit along it.",
        {
            "Rank: how well is an attribute ranked?": "rankability",
            "Rank: all samples along the axis": "rank_along_axis",
            "Rank: how many labels does the axis need?": "rank_label_curve",
            "Rank: do concepts share a direction?": "axis_cosines",
            "Erase: six ways side by side": "concept_erasure",
            "Erase: how many dimensions must go?": "erasure_by_rank",
            "Erase: what else is lost?": "collateral_damage",
            "Edit: one axis for each attribute": "attribute_projection",
            "Edit: separate subspaces of attributes": "attribute_subspaces",
            "Edit: where it leads, how far off the data": "edit_neighbours",
            "Edit: one sample, step by step": "edit_path",
            "Edit: units that follow an attribute": "faders",
            "Test: at which layer do two sets separate?": "layer_trajectory",
            "Test: in which part of the spectrum is it?": "band_probe",
            "Test: how many of the first units suffice?": "accuracy_by_prefix",
            "Test: does a probe carry over?": "transfer_matrix",
            "Test: which heads carry the domain?": "head_removal",
            "Test: does a part know what it should not?": "leak_test",
            "Test: do tokens know where they are?": "position_leakage",
            "Test: does adversarial training help a probe?": "adversarial_augmentation",
            "Test: the same for several taps and columns": "probe_lab",
            "Test: which samples does it hold by a thread?": "fragile_samples",
            "Test: which samples lead one to failure?": "failure_direction",
            "Test: do classes lie alike in two taps?": "gaussian_classes",
            "Test: where do two taps put each class?": "gaussian_map",
            "Atoms: which rebuild, which tell the labels?": "supervised_atoms",
            "Atoms: what does telling cost in rebuilding?": "supervised_dictionary",
            "Weights: directions that a layer can edit": "householder_directions",
        },
    ),
}
