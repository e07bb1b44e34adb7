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
}


def samples_of(method: Method) -> tuple[str, ...]:
    """Which settings of a method name a sample."""
    return tuple(p.name for p in params_of(method.params) if p.name == "sample")
