"""The verdict on holding a unit: the step through nearly all of its values, as it moves one answer."""

from __future__ import annotations

import numpy as np

from analysis.attribution import targets
from analysis.attribution.clamping import EVERY
from analysis.interventions.batch_run import BatchRun
from analysis.interventions.bench import parts_of
from analysis.interventions.bench_verdict import Verdict, verdict_on_runs
from analysis.interventions.components import Site
from analysis.interventions.interventions import Units, clamped
from analysis.interventions.many_samples import batches
from analysis.interventions.many_targets import many_targets
from analysis.spec import no_progress


def clamp_verdict(samples, unit: int, answer: int, where: str, rng: np.random.Generator) -> Verdict:
    """Of `samples` at their site; `where` as in `clamping`. From the 1st to the 99th percentile of the unit: its
    very ends are off the range of most samples."""
    found, site = list(batches(samples)), Site(samples.site)
    runs = [b.run for b in found]
    at = [None if where == EVERY else _last(run, site) for run in runs]
    rows = [run.caught([site])[site].double().numpy() for run in runs]
    own = np.concatenate([x[run.real(x.shape[1])][:, unit] for run, x in zip(runs, rows, strict=True)])
    low, high = (
        [clamped(site, Units(unit, unit + 1), v, t) for t in at] for v in np.percentile(own, [1, 99])
    )
    asked = [many_targets(run, targets.LOG_PROBABILITY, answer) for run in runs]
    name = f"raising unit {unit} through 98 % of its values"
    return verdict_on_runs(runs, asked, parts_of(samples, found), [(name, high)], rng, no_progress, (0.0, 1.0),
                           first=low)  # fmt: skip


def _last(run: BatchRun, site: Site) -> np.ndarray:
    """(n, tokens) bool: the last token of each sample that is no padding."""
    real = run.real(run.caught([site])[site].shape[1])
    last = real.shape[1] - 1 - real[:, ::-1].argmax(axis=1)
    return np.arange(real.shape[1]) == last[:, None]
