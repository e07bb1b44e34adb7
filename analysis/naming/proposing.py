"""Ask the configured model for names of features, judge each on held-out examples, and keep both in the workspace.

Two requests for each feature: one for the name, one that shows held-out examples and asks which of them fit it. Without
enough held-out examples, or with an answer that cannot be read, the name is kept as not scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.errors import InputError, NotEnoughData, ParameterError
from analysis.naming import prompts
from analysis.naming.asking import FIT, NAME, ask
from analysis.naming.detection import Detection
from analysis.naming.evidence import Evidence, evidence
from analysis.naming.proposals import Proposal, Proposals
from analysis.naming.settings import Settings, needed
from analysis.spec import Progress, no_progress

MOST = 500  # features at a time


@dataclass(frozen=True)
class Proposed:
    """`found` names in the order that was asked for; `without`: features that got none, and why."""

    found: tuple[Proposal, ...]
    without: dict[int, str]


def propose(
    workspace,
    reference: str,
    features: Sequence[int],
    *,
    seed: int = 0,
    shown: str = "",
    progress: Progress = no_progress,
) -> Proposed:
    """Name `features` of the tap "store:tap". Each name is kept as soon as it is there.

    Parameters
    ----------
    workspace : analysis.workspace.Workspace
    shown : who was shown to be asked (`Settings.where`); nothing is sent where the configuration says another by now.

    Raises
    ------
    NotFound
        No model is configured; no such tap or feature.
    ParameterError
        A configuration that cannot be used or is not the one that was shown; too many features.
    InputError
        The model could not be asked or answers with nothing that can be used; what was named before is kept.
    Cancelled
        By `progress`; what was named before is kept.
    """
    settings = needed()
    features = _asked(settings, shown, features)
    name, _, tap = reference.partition(":")
    digest, store = workspace.activations(reference).digest, workspace.store(name)
    found, without = [], {}
    for i, feature in enumerate(features):

        def step(part: float, i=i, feature=feature) -> None:
            progress((i + part) / len(features), f"feature {feature}, {i + 1} of {len(features)}")

        try:
            proposal = _one(settings, feature, evidence(store, tap, feature, seed), step)
        except (NotEnoughData, Unusable) as refusal:
            if len(features) == 1:
                raise
            without[feature] = str(refusal)
            continue
        Proposals(workspace.path).keep(name, tap, digest, proposal)
        found.append(proposal)
    progress(1.0, "done")
    return Proposed(tuple(found), without)


def _asked(settings: Settings, shown: str, features: Sequence[int]) -> list[int]:
    """The features, each once. Raises ParameterError where somebody else would be asked, or too much."""
    if shown and shown != settings.where:
        raise ParameterError(
            f"{settings.where} would be asked, and {shown} was shown: nothing was sent", "the same",
            "Restart the dashboard with the environment that you want",
        )  # fmt: skip
    chosen = list(dict.fromkeys(int(f) for f in features))
    if not 1 <= len(chosen) <= MOST:
        raise ParameterError(f"{len(chosen)} features to name", f"1 to {MOST} at a time")
    return chosen


class Unusable(InputError):
    """The model answered, and its answer is no name."""


def _one(settings: Settings, feature: int, told: Evidence, step) -> Proposal:
    step(0.0)
    answer = ask(settings, prompts.name_messages(told), NAME, lambda: step(0.1))
    try:
        name = prompts.read_name(settings.without_key(answer))
    except InputError as refusal:
        raise Unusable(refusal.found, refusal.expected, refusal.remedy) from None
    step(0.5)
    score, why = None, told.few
    if told.held_out:
        answer = ask(settings, prompts.fit_messages(told, name), FIT, lambda: step(0.6))
        try:
            score = judged(told, prompts.read_numbers(answer, len(told.held_out)))
        except InputError as refusal:
            why = refusal.found
    return Proposal(feature, name, settings.model, settings.where, score, why)


def judged(told: Evidence, chosen: Sequence[int]) -> Detection:
    """Of the held-out examples with the numbers (from 1) that were said to fit."""
    fits = [i in set(chosen) for i in range(1, len(told.held_out) + 1)]
    active = [e.active for e in told.held_out]
    hits = sum(f and a for f, a in zip(fits, active, strict=True))
    return Detection(sum(active), len(active) - sum(active), hits, sum(fits) - hits)
