"""A result of several taps of which some cannot be used: it is made of the others, and says which were left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from analysis.errors import LoupeError, NotEnoughData, ParameterError, TooLarge
from analysis.results import Result
from dashboard import errors, jobs, state
from dashboard.parts import on_demand

NOT_OF_ONE_TAP = (NotEnoughData, ParameterError, TooLarge)  # what these say is true of all taps together


def result(
    method: str,
    references: Sequence[str],
    params: Mapping,
    *,
    enough: Callable[[list[str]], bool],
    seed: int = 0,
    **how: object,
) -> tuple[Result | None, list[str]]:
    """`on_demand.result` of the references that can be used, and these; a notice for each of the others. A refusal that
    names no tap, or after which the rest would not be `enough`, is raised as it is."""
    usable = list(references)
    while True:
        found = on_demand.kept(method, usable, params, seed=seed)
        if found is not None:
            return found, usable
        try:
            _raise_damaged(usable)
            _raise_failed(method, usable, params, seed)
            return on_demand.result(method, usable, params, seed=seed, **how), usable
        except NOT_OF_ONE_TAP:
            raise
        except LoupeError as refusal:
            named = [r for r in usable if _names(refusal.found + refusal.remedy, r)]
            rest = [r for r in usable if r not in named]
            if not named or not enough(rest):
                raise
            errors.left_out(named, refusal)
            usable = rest


def _raise_damaged(references: Sequence[str]) -> None:
    """Raises StoreDamaged at the first tap whose files are not whole. Cost: a look at the end of each file."""
    for reference in references:
        store, _, tap = reference.partition(":")
        state.workspace().store(store).look_at(tap)


def _raise_failed(method: str, references: Sequence[str], params: Mapping, seed: int) -> None:
    """The refusal with which a job of the same work has ended, where it names a tap that has not changed since."""
    work = {"method": method, "inputs": list(references), "params": dict(params), "seed": seed}
    job = jobs.find("method", work)
    if job is None or job.state != "failed" or not job.error:
        return
    refusal = LoupeError(*(str(job.error.get(part) or "") for part in ("found", "expected", "remedy")))
    for reference in references:
        if _names(refusal.found + refusal.remedy, reference) and _changed(reference) < job.created:
            raise refusal


def _changed(reference: str) -> float:
    """When a file of the tap was last written or put in its place, in seconds as `time.time` gives them."""
    store, _, tap = reference.partition(":")
    return max(file.stat().st_ctime for file in state.workspace().store(store).folder(tap).iterdir())


def _names(text: str, reference: str) -> bool:
    """Whether the text speaks of this tap, by its name or by a file of it."""
    store, _, tap = reference.partition(":")
    folder = str(state.workspace().store(store).folder(tap))
    return (
        f"{folder}/" in text
        or re.search(rf"(?<![\w.:]){re.escape(reference)}(?![\w:]|\.\w)", text) is not None
    )
