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
