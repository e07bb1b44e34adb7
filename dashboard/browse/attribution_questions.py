"""What the Attribution page asks, view by view, and which method answers each question."""

from __future__ import annotations

from analysis.spec import Method, params_of
from dashboard.browse.question_views import View

NAMED = ("sample", "first", "second", "query", "item")
WHAT_IF = "what if"  # the view that a person moves things in: no method answers it
QUESTIONS = {  # by name in the URL
    "answer": View(
        "One answer",
        "Who is responsible for what the network says about one sample, and how much of it nobody explains?",
        {
            "Which parts add up to this answer?": "sample_attribution",
            "Where in the sample is it decided?": "saliency_map",
            "What do all ways of saliency show?": "saliency_ways",
            "Where, layer by layer?": "saliency_by_layer",
            "What does hiding each place do, at any layer?": "augmentation_occlusion",
            "What of it should be looked at next?": "reveal_one",
            "By which angles does a hidden place turn it?": "occlusion_angles",
            "How does it change over a feature's range?": "response_curve",
            "What would it look like, moved along a direction?": "edit_strip",
            "What would have to change for another answer?": "counterfactual_dialogue",
        },
    ),
    "data": View(
        "All samples",
        "What the answers hang on over the data: with intervals, and beside what chance gives.",
        {
            "What do answers owe to each feature?": "feature_attribution",
            "Which units or columns carry the answer?": "global_attribution",
            "What does each unit add, sample by sample?": "attribution_beeswarm",
            "How does one unit act on the answer?": "attribution_dependence",
            "Which units act together?": "interaction_matrix",
            "Is attention an interaction?": "attention_interaction",
            "Which three parts act together?": "triple_interactions",
            "How many parts act together, layer by layer?": "interaction_by_depth",
            "Which concepts is each answer sensitive to?": "concept_sensitivity",
            "Which of two cues decides when they disagree?": "cue_reliance",
            "At which layer does the cue take over?": "cue_reliance_by_layer",
            "When does a reader prefer the shortcut?": "cue_bias_map",
            "Do two answers make a score?": "readout_score",
            "How should modalities be weighed?": "fusion_simplex",
            "What should be looked at next?": "next_reveal",
            "Where does each group of channels look?": "channel_group_maps",
            "Do groups of channels look at the same?": "channel_group_agreement",
            "How fine is what each group draws?": "channel_group_frequencies",
        },
    ),
    "pair": View(
        "Two samples",
        "Why are these two alike? Evidence that adds up to their likeness, also where the network has no classes.",
        {
            "Why are these two alike?": "why_similar",
            "Which patches or words are alike?": "similar_patches",
            "Which parts of one has the other, too?": "late_interaction_votes",
            "What looks like a part of this picture?": "masked_retrieval",
            "Where are they alike, through the network?": "similar_heat",
            "Where was something added (two recordings)?": "edit_energy",
        },
    ),
    "cause": View(
        "Causes",
        "What happens to the answer when parts are taken away, held, steered or swapped: run in the network, not read "
        "off a slope.",
        {
            "What is lost without each part?": "ablation_effect",
            "Which part carries the difference of two runs?": "activation_patching",
            "Is a patched direction real or an illusion?": "patching_illusion",
            "What do parts write straight to the answer?": "direct_logit_attribution",
            "Which parts and paths carry the answer?": "circuit",
            "How few paths keep it?": "circuit_curve",
            "Do other parts make up for a lost one?": "self_repair",
            "What do layers, heads and MLPs add together?": "component_shapley",
            "Which heads can be cut?": "head_cuts",
            "What if a head or layer is turned up, down or held?": "part_dial",
            "What does steering along a direction do?": "steering",
            "What does it say while it is steered?": "steering_transcripts",
            "How few directions of a part does it need?": "subspace_size",
            "Does it need all of attention?": "attention_thinning",
            "Could attention be computed fast?": "entry_bounds",
            "What does a clamped neuron do?": "neuron_clamp",
            "What do neurons read and write, in tokens?": "neuron_passport",
            "Do two checkpoints have the same neurons?": "passport_agreement",
        },
    ),
    "doubt": View(
        "Trust in maps",
        "A map is a claim about the network. Would it be drawn as well by chance, by edges, or by a network that has "
        "learned nothing?",
        {
            "Does the answer follow the map?": "insertion_deletion",
            "Which way is better than chance, by how much?": "insertion_deletion_areas",
            "Do ways agree with each other?": "way_agreement",
            "Do maps differ between answers?": "class_sensitivity",
            "Do they change when weights are destroyed?": "cascade_randomisation",
            "Do they find a shortcut that I know of?": "shortcut_patch",
            "Do they stay when the input hardly changes?": "attribution_noise",
        },
    ),
}
ABOUT_WHAT_IF = (
    "Move a feature of one sample and see what the network would say. Beside it stands what the straight line through "
    "the answer predicts, and whether any sample of the store is like that."
)


def samples_of(method: Method) -> tuple[str, ...]:
    """The settings of a method that name a sample, which the page shows above the others."""
    return tuple(p.name for p in params_of(method.params) if p.name in NAMED and p.kind == "int")
