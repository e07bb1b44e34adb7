"""What the Attribution page asks, view by view, and which method answers each question."""

from __future__ import annotations

from analysis.spec import Method, params_of
from dashboard.browse.question_views import View

WHAT_IF = "what if"  # the view that a person moves things in: no method answers it
QUESTIONS = {  # by name in the URL
    "answer": View(
        "One answer",
        "Who is responsible for what the network says about one sample, and how much of it nobody explains?",
        {
            "Which parts add up to this answer?": "sample_attribution",
            "How does it change over a feature's range?": "response_curve",
        },
    ),
    "data": View(
        "All samples",
        "What the answers hang on over the data: with intervals, and beside what chance gives.",
        {
            "What do answers owe to each feature?": "feature_attribution",
        },
    ),
}
ABOUT_WHAT_IF = (
    "Move a feature of one sample and see what the network would say. Beside it stands what the straight line through "
    "the answer predicts, and whether any sample of the store is like that."
)


def takes_sample(method: Method) -> bool:
    """Whether it is about one sample that the page shows above its settings."""
    return any(p.name == "sample" and p.kind == "int" for p in params_of(method.params))
