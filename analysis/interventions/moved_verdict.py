"""The verdict on moving one sample: the same change made in it and in others beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.attribution import targets
from analysis.interventions.bench import FEWEST, parts_of
from analysis.interventions.bench_verdict import Verdict, verdict_on_runs
from analysis.interventions.components import Site
from analysis.interventions.interventions import Intervention
from analysis.interventions.many_samples import batches
from analysis.interventions.many_targets import many_targets
from analysis.spec import no_progress


def moved_verdict(
    samples, places: Sequence[int], name: str, change: np.ndarray, answer: int, against: int,
    rng: np.random.Generator,
) -> Verdict:  # fmt: skip
    """Of `change` (tokens, units) added at the site of `samples` at these places, on the logit difference of two
    answers; where a sample has another number of tokens its mean is added to all. Nothing for fewer than eight."""
    if len(places) < FEWEST:
        return Verdict((), f"No verdict: {len(places)} samples are too few for one.", ())
    found, site = list(batches(samples, places)), Site(samples.site)
    runs, cells = [b.run for b in found], []
    for run in runs:
        tokens = run.caught([site])[site].shape[1]
        own = change if len(change) == tokens else change.mean(axis=0, keepdims=True)
        cells.append((Intervention(site, own[None], way="add"),))
    asked = [many_targets(run, targets.DIFFERENCE, answer, against) for run in runs]
    return verdict_on_runs(
        runs, asked, parts_of(samples, found), [(name, cells)], rng, no_progress, (0.0, 1.0)
    )
