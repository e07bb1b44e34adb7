"""What features are called: what a person called them first (or noted), then the name of a language model, then an
automatic one, of those that held-out samples bear out, then the tap's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from analysis.naming.proposals import Proposal, Proposals
from analysis.people.on_units import OnTap
from analysis.results import Table
from analysis.workspace import Workspace

LONGEST = 60  # characters of a note that stand in for a name


def kept(workspace: Workspace, reference: str) -> Table | None:
    """The names that `feature_names` gave a tap with its own settings; None where it was not run."""
    return workspace.cached("feature_names", [reference])


def proposed(workspace: Workspace, reference: str) -> dict[int, Proposal]:
    """What language models proposed for features of the tap as it is now."""
    proposals, (store, _, tap) = Proposals(workspace.path), reference.partition(":")
    if not proposals.path.exists():
        return {}
    return proposals.of(store, tap, workspace.activations(reference).digest)


def given(written: OnTap) -> dict[int, str]:
    """What people call the features of a tap: the name that somebody gave, else the first line of the note."""
    return {**written.notes, **written.names}


def names(
    found: Table | None,
    own: Sequence[str],
    notes: dict[int, str],
    proposals: Mapping[int, Proposal] | None = None,
) -> tuple[str, ...]:
    """One for each feature: the first line of what people say (`given`), else what a model proposed or the automatic
    name where it beats chance, else the tap's own. A proposal that is not scored stands where nothing else does, and
    says so."""
    called, proposals = list(own), proposals or {}
    for number, one in proposals.items():
        if one.score is None and number < len(called):
            called[number] = f"{one.name} (not scored)"
    if found is not None:
        c = found.columns
        for number, name, beyond in zip(c["feature"], c["name"], c["beyond chance"], strict=True):
            if beyond == "yes" and number < len(called):
                called[int(number)] = str(name)
    for number, one in proposals.items():
        if one.score is not None and one.score.beyond_chance and number < len(called):
            called[number] = one.name
    for number, text in notes.items():
        if text.strip() and 0 <= number < len(called):
            called[number] = text.strip().splitlines()[0][:LONGEST]
    return tuple(called)


def fits(found: Table | None, n: int) -> np.ndarray | None:
    """(n,) F1 of the names that held-out samples bear out, NaN where there is none; None where nothing was named."""
    if found is None:
        return None
    c, out = found.columns, np.full(n, np.nan)
    good = (c["beyond chance"] == "yes") & (c["feature"] < n)
    out[c["feature"][good].astype(int)] = c["F1"][good]
    return out


def sentence(found: Table | None, number: int) -> str:
    """What the kept names say of one feature, with its score and chance; empty where they say nothing."""
    if found is None:
        return ""
    c = found.columns
    at = np.flatnonzero(c["feature"] == number)
    if not len(at):
        return "It is not active on the samples that names are judged by."
    i = int(at[0])
    score = (
        f"detection AUROC {c['detection AUROC'][i]:.2f} ({c['low'][i]:.2f} to {c['high'][i]:.2f}; "
        f"{c['by chance'][i]:.2f} by chance), F1 {c['F1'][i]:.2f} where it is {c['level'][i]}, on held-out samples"
    )
    if c["beyond chance"][i] == "yes":
        return f"Automatic name: “{c['name'][i]}”; {score}."
    return f"No name beats chance; the nearest is “{c['name'][i].strip('()')}”: {score}."


def proposal_sentence(one: Proposal) -> str:
    """What a model proposed, with its score and chance, or that it has none."""
    if one.score is None:
        return f"{one.model} proposes “{one.name}”; not scored: {one.unscored or 'no reason is known'}."
    s, (low, high) = one.score, one.score.interval
    score = (
        f"detection AUROC {s.auroc:.2f} ({low:.2f} to {high:.2f}; 0.50 by chance, at most {s.chance_high:.2f} in 95 % "
        f"of answers without looking): it finds {s.hits} of {s.active} held-out examples where this is active, and "
        f"takes {s.alarms} of {s.silent} silent ones for such"
    )
    if s.beyond_chance:
        return f"{one.model} proposes “{one.name}”; {score}."
    return f"{one.model} proposes “{one.name}”, which does not beat chance: {score}."
