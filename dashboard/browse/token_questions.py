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
}


def samples_of(method: Method) -> tuple[str, ...]:
    """Which settings of a method name a sample."""
    return tuple(p.name for p in params_of(method.params) if p.name == "sample")
