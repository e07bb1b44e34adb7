"""What the Tokens page asks, view by view, and which method answers each question."""

from __future__ import annotations

from analysis.spec import Method, params_of
from dashboard.browse.question_views import View

FILM = "film"  # the view that a person moves things in
ABOUT_FILM = (
    "Which tokens survive, where did each patch go, and what did it cost? Move the slider: the rule is run at once on "
    "what the network had for this sample, and the network answers with the tokens really removed."
)
QUESTIONS = {  # by name in the URL
    "rules": View(
        "Rules",
        "Rules against each other and against chance, over many samples: what they keep, cost and break.",
        {
            "Which rule keeps the answer at equal cost?": "token_ledger",
            "What became of this sample's tokens?": "token_film",
            "Does it take less time, too?": "latency",
            "Do rules keep the same tokens?": "rule_agreement",
            "Where on the picture do tokens survive?": "token_survival",
            "What do rules leave no token of?": "coverage_holes",
            "Are the same tokens kept when the picture moves?": "shift_stability",
            "How much of the tokens is lost?": "reconstruction_error",
            "What goes wrong with a rule?": "token_faults",
            "How few tokens does every layer need?": "token_search",
            "Do layers agree which tokens matter?": "token_rankings",
        },
    ),
    "attention": View(
        "Attention",
        "What heads look at, beside what a head would look at that knows places only.",
        {
            "What does each head do?": "attention_atlas",
            "What does this head look at here?": "attention_pattern",
            "What does the answer read through all layers?": "attention_rollout",
            "Which heads do the same, and which are fixed patterns?": "head_similarity",
            "Which tokens does a head keep apart?": "head_memory",
            "Would another kernel tell its queries apart?": "kernel_confusion",
        },
    ),
    "mixing": View(
        "Mixing",
        "Attention, scans, filters and linear attention as one thing: what each token takes of each other.",
        {
            "What does each token take of each other?": "mixing_matrix",
            "How far does each mixer reach?": "mixing_measures",
            "What does a scan over the image see?": "scan_folded",
            "How long does a state space remember?": "ssm_memory",
            "Where are its poles?": "ssm_poles",
            "What does it answer to an impulse?": "ssm_kernel",
        },
    ),
    "depth": View(
        "Depth",
        "What each layer does to the residual stream: how much it adds, who needs it, and from where on the answer is "
        "there.",
        {
            "From which layer on is the answer there?": "logit_lens",
            "What would each layer say at each place?": "lens_words",
            "How much does each layer add to the stream?": "layer_contribution",
            "Which layers need which before them?": "layer_skipping",
            "When could samples leave the network early?": "early_exits",
            "Which samples leave early, which late?": "exit_samples",
            "What do the norms see, and do tokens explode?": "norm_audit",
            "How much of a layer's space does the answer need?": "random_projection_ablation",
            "What did each checkpoint of a growing model change?": "growth_timeline",
            "Which layer of one model predicts which of another?": "linear_predictivity",
            "Do layers match at the same relative depth?": "layer_correspondence",
            "What could trained exits tell from each layer?": "exit_divergence",
            "At which depth do two tasks or models part?": "alignment_by_depth",
            "What does each neuron read and write, in words?": "neuron_passport",
        },
    ),
    "pooling": View(
        "Pooling",
        "Many tokens as one vector, or as fewer: what is kept, which tokens count, and how many a sample needs.",
        {
            "Which pooling keeps the labels best?": "pooling_curve",
            "Which tokens carry the pooled value?": "pooled_weights",
            "How many tokens does a sample need?": "nested_budget",
            "How much does the pooled value hang on single tokens?": "pooling_influence",
            "What do coarse tokens still say about fine ones?": "projector_coverage",
            "Which tokens are longer than the others?": "token_norms",
            "How many tokens should each frame get for a query?": "query_budget",
        },
    ),
    "cache": View(
        "Cache",
        "What keys and values take up, and how few dimensions, layers, tokens or bits of them will do.",
        {
            "How many dimensions does each head need?": "cache_rank",
            "What do fewer dimensions cost?": "cache_error",
            "Do layers hold the same keys?": "cross_layer_cache",
            "How many tokens should each layer keep?": "cache_budget",
            "Which tokens of this sample stay?": "cache_kept",
            "How many bits do keys, values and tokens need?": "cache_quantisation",
            "Which layers can be held at few bits?": "layer_bits",
            "How many bits does this tap take at an error?": "rate_distortion",
        },
    ),
    "routers": View(
        "Routers and gates",
        "Which expert gets which token, how evenly, and whether it means anything. Of a mixture of experts its router "
        "is run again; of any other network choose a tap whose units are gates.",
        {
            "Is the load of experts even, and what would be dropped?": "router_load",
            "Do experts stand for classes?": "expert_classes",
            "Where on the picture or text does each expert work?": "expert_territory",
            "Which part of its input space does each expert have?": "expert_cells",
            "Which experts do the same?": "expert_redundancy",
            "How many experts does a token need?": "router_choices",
            "What does temperature do to the choice?": "router_temperature",
            "How much of a module does each token use?": "learners_used",
            "Do attention gates answer to the image, or only scale channels?": "gate_maps",
            "Fewest channels that would do for a sample?": "channel_mass",
        },
    ),
}


def samples_of(method: Method) -> tuple[str, ...]:
    """Which settings of a method name a sample."""
    return tuple(p.name for p in params_of(method.params) if p.name == "sample")
