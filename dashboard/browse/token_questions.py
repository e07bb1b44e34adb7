"""What the Tokens page asks, view by view, and which method answers each question."""

from __future__ import annotations

from analysis import registry
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
            "What do rules keep, at what work and time?": "token_ledger",
            "What became of this sample's tokens?": "token_film",
            "What is read once tokens are gone?": "reading_after_drops",
            "What does each criterion of merging pick?": "merge_criteria",
            "What does each sub-image of a page cost?": "crop_bill",
            "Does it take less time, too?": "latency",
            "Do rules keep the same tokens?": "rule_agreement",
            "Where on the picture do tokens survive?": "token_survival",
            "What do rules leave no token of?": "coverage_holes",
            "Are the same kept when the picture moves?": "shift_stability",
            "How much of the tokens is lost?": "reconstruction_error",
            "Does the token graph keep its spectrum?": "graph_spectrum",
            "What goes wrong with a rule?": "token_faults",
            "How few tokens does every layer need?": "token_search",
            "Do layers agree which tokens matter?": "token_rankings",
            "How many steps should a PageRank take?": "pagerank_steps",
        },
    ),
    "attention": View(
        "Attention",
        "What heads look at, beside what a head would look at that knows places only.",
        {
            "What does each head do?": "attention_atlas",
            "What does this head look at here?": "attention_pattern",
            "Which function does each head apply?": "head_functions",
            "Which way does each head look?": "head_offsets",
            "How local are heads over training?": "head_locality",
            "What does the question read in this text?": "retrieval_strip",
            "Which layers look up the answer?": "retrieval_layers",
            "What does the answer read through all layers?": "attention_rollout",
            "Which heads do the same or go by place?": "head_similarity",
            "Which heads can be cut?": "head_cuts",
            "What could heads compare, by their weights?": "head_weights",
            "Which tokens does a head keep apart?": "head_memory",
            "Would another kernel tell its queries apart?": "kernel_confusion",
            "Which bias of place does attention have?": "attention_bias",
            "What do prompts look at, and are all in use?": "prompt_attention",
            "Which words lie nearest to learned prompts?": "prompt_words",
            "How are two attention branches mixed?": "branch_mix",
            "How sure is it where it is right or wrong?": "confidence_histograms",
            "Which classes does it take for which?": "class_confusion",
            "Do a few tokens get all attention?": "token_overfocus",
            "Are the longest tokens read more?": "long_tokens_read",
            "Is attention sparse as the context grows?": "attention_slope",
            "How many keys hold what is read?": "key_coverage",
            "Could a head be held in fewer numbers?": "attention_compression",
            "How low-rank is a head, do landmarks do?": "attention_spectrum",
            "Where does a head need its entries one by one?": "attention_blocks",
            "Which heads could be computed cheaply?": "attention_hardness",
            "Are entries small enough for fast attention?": "entry_bounds",
        },
    ),
    "mixing": View(
        "Mixing",
        "Attention, scans, filters and linear attention as one thing: what each token takes of each other.",
        {
            "What does each token take of each other?": "mixing_matrix",
            "How far does each mixer reach?": "mixing_measures",
            "Does each mixer matter?": "mixer_ablation",
            "Where does the work go, and is this task long?": "attention_work",
            "What does a scan over the image see?": "scan_folded",
            "How are the routes of a scan weighted?": "route_weights",
            "What of the picture reaches a place?": "influence_map",
            "What hangs on the order of tokens?": "token_order",
            "Where does a token differ from its neighbours?": "local_pooling",
            "How long does a state space remember?": "ssm_memory",
            "Do base and novel classes scan differently?": "scan_groups",
            "Do they scan in different patterns?": "scan_group_matrices",
            "Where are its poles?": "ssm_poles",
            "What does it answer to an impulse?": "ssm_kernel",
            "How far has training moved its modes?": "ssm_drift",
            "What do tokens read where keys are fewer?": "reduced_attention",
            "What does a token read along two axes?": "axis_attention",
            "Which bands, frames or columns read which?": "axis_matrix",
            "What does each input band carry?": "band_dropout",
            "Which channels of another sensor are these?": "channel_mapping",
            "Do tokens become alike on bad images?": "feature_collapse",
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
            "How much of a layer's space is needed?": "random_projection_ablation",
            "What is rebuilt from a random projection?": "projected_tokens",
            "What did each checkpoint change?": "growth_timeline",
            "What is the loss along the path of training?": "loss_slices",
            "Where on the plane of its path is the loss low?": "loss_plane",
            "Whom does a model merged of experts follow?": "merged_answers",
            "Would learning a new task disturb an old one?": "task_gradients",
            "Would it disturb it, by recorded gradients?": "gradient_overlap",
            "How far has tuning moved each layer?": "adapted_features",
            "What does each session of new classes shift?": "session_shift",
            "Which layers predict those of another model?": "linear_predictivity",
            "Do layers match at the same relative depth?": "layer_correspondence",
            "What could trained exits tell from each layer?": "exit_divergence",
            "At which depth do two tasks or models part?": "alignment_by_depth",
            "What do neurons read and write, in words?": "neuron_passport",
        },
    ),
    "pooling": View(
        "Pooling",
        "Many tokens as one vector, or as fewer: what is kept, which tokens count, and how many a sample needs.",
        {
            "Which pooling keeps the labels best?": "pooling_curve",
            "Which tokens carry the pooled value?": "pooled_weights",
            "Which element does each channel take?": "set_weight_map",
            "Do first hits ranked again find more?": "refined_ranking",
            "How many tokens does a sample need?": "nested_budget",
            "How much hangs on single tokens?": "pooling_influence",
            "What do coarse tokens tell of fine ones?": "projector_coverage",
            "Which patches does a coarse token come from?": "coarse_sources",
            "Do groups of channels (heads) pool the same?": "channel_group_agreement",
            "Which places look alike, as colours?": "token_colours",
            "Which tokens are longer than the others?": "token_norms",
            "What does pooling to a shape T x h x w change?": "pooled_shapes",
            "Do tokens of one part lie together?": "part_map",
            "How many tokens of each frame for a query?": "query_budget",
            "Do smaller patches lower the loss?": "patch_law",
            "What appears only with small patches?": "patch_maps",
            "Which orders of steps tell classes apart?": "signature_words",
            "What did the path of this sample do?": "signature_path",
        },
    ),
    "points": View(
        "Points",
        "Key points, landmarks and moves: what is matched, what makes up a heat map, and what is still recognised.",
        {
            "Is a turned or scaled picture recognised?": "affine_stress",
            "Which points match, and does pooling drop them?": "point_matches",
            "Which channels make up each heat map?": "heatmap_channels",
            "Are heat maps the Gaussians they should be?": "heatmap_targets",
            "How far are landmarks from their targets?": "landmark_errors",
        },
    ),
    "sets": View(
        "Sets and video",
        "Tokens that belong together: frames, views, prompts, boxes, histories. A sample is a clip, or a column such "
        "as 'clip' says which samples are its frames.",
        {
            "Which earlier frames does a place read?": "memory_read",
            "How old is what is read of a memory?": "memory_age",
            "Which layer finds the moments of a query?": "frame_localisation",
            "Which tokens of a video does a prompt keep?": "prompt_volume",
            "How do the views of a set read each other?": "view_sets",
            "Where do its cameras stand, does nearness tell?": "view_sphere",
            "Does attention stay in an instance's box?": "box_attention",
            "Which of a history count for a candidate?": "interest_strip",
        },
    ),
    "cache": View(
        "Cache",
        "What keys and values take up, and how few dimensions, layers, tokens or bits of them will do.",
        {
            "How many dimensions does each head need?": "cache_rank",
            "What do fewer dimensions cost?": "cache_error",
            "Do layers hold the same keys?": "cross_layer_cache",
            "How fast do the spectra of keys fall?": "cache_spectra",
            "How many tokens should each layer keep?": "cache_budget",
            "Which tokens of this sample stay?": "cache_kept",
            "How many bits do keys, values and tokens need?": "cache_quantisation",
            "Which layers can be held at few bits?": "layer_bits",
            "Which taps can be held at few bits?": "tap_bits",
            "Which channels are far larger than others?": "channel_ranges",
            "How many bits does this tap take at an error?": "rate_distortion",
            "What does coding this tap cost the answer?": "coded_answer",
            "Which layer or model takes more bits?": "bd_rates",
        },
    ),
    "routers": View(
        "Routers and gates",
        "Which expert gets which token, how evenly, and whether it means anything. Of a mixture of experts its router "
        "is run again; of any other network choose a tap whose units are gates.",
        {
            "Is the load even, what would be dropped?": "router_load",
            "Which samples does each expert get?": "expert_samples",
            "Do experts stand for classes?": "expert_classes",
            "Which expert knows the rare classes?": "expert_accuracy",
            "Where does each expert work?": "expert_territory",
            "Which inputs does each expert have?": "expert_cells",
            "Which experts do the same?": "expert_redundancy",
            "How many experts does a token need?": "router_choices",
            "What does temperature do to the choice?": "router_temperature",
            "How much of a module does each token use?": "learners_used",
            "Where on the picture is compute spent?": "learners_map",
            "Is more spent on what is difficult?": "learners_difficulty",
            "What does each scale add to a count?": "scale_counts",
            "Do gates answer to the sample, or only scale?": "gate_maps",
            "Do gates act alike in parallel and in sequence?": "gate_order",
            "Fewest channels that would do for a sample?": "channel_mass",
        },
    ),
    "functions": View(
        "Functions and streams",
        "Layers of other parts: a learned function on each edge (Kolmogorov-Arnold), or two streams behind gates that "
        "are fused.",
        {
            "What function does each edge compute?": "kan_functions",
            "Which activations were chosen, which could go?": "kan_edges",
            "Which field does each stream let through?": "stream_gates",
            "How are two streams fused?": "stream_fusion",
            "Are rows of ids never seen as they began?": "unseen_ids",
        },
    ),
}


SAMPLE = "sample"
IN_THE_OPEN = (
    "measure",
    "layer",
    "head",
    "mixer",
    "sharpness",
    "times",
    "rows",
    "columns",
    "budget",
    "elements",
)  # what a question is about
ASKERS = {  # by method the setting that says which token asks: it is chosen on the answer
    "attention_pattern": "query",
    "attention_bias": "query",
    "scan_folded": "token",
    "reduced_attention": "token",
}
CARRIED = ("layer", "head", SAMPLE)  # what a person looks at, whatever she asks of it


def samples_of(method: Method) -> tuple[str, ...]:
    """Which settings of a method name a sample."""
    return tuple(p.name for p in params_of(method.params) if p.name == SAMPLE)


def open_settings(method: Method) -> tuple[str, ...]:
    """Which settings of a method a page asks for beside the question, and not among all others."""
    return tuple(p.name for p in params_of(method.params) if p.name in IN_THE_OPEN and p.kind != "str")


def carried(method: Method | None) -> tuple[str, ...]:
    """Parameters of the URL that outlast a change of view or question, by the method that answers next (None: it takes
    none of them, but the one after it may). Layers that have names and no numbers are other ones."""
    named = {p.name for p in params_of(method.params) if p.kind == "str"} if method else set()
    return tuple(f"p.{name}" for name in CARRIED if name not in named)


def carried_to(view: str) -> tuple[str, ...]:
    """The same where another view is chosen, which opens with its first question."""
    first = next(iter(QUESTIONS[view].asks.values())) if view in QUESTIONS else ""
    return carried(registry.methods().get(first))
