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
        },
    ),
    "depth": View(
        "Depth",
        "What each layer does to the residual stream: how much it adds, who needs it, and from where on the answer is "
        "there.",
        {
            "From which layer on is the answer there?": "logit_lens",
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
}


def samples_of(method: Method) -> tuple[str, ...]:
    """Which settings of a method name a sample."""
    return tuple(p.name for p in params_of(method.params) if p.name == "sample")
