"""Integrated and expected gradients: slopes along the straight way from the background to the sample.

    φ_k = mean over b of ∫₀¹ <∇ target(b + α (x - b)), part_k> dα

by Gauss-Legendre nodes in float64 (exact for polynomials of degree 2 steps - 1 along the way). Σ φ_k is target(x) less
the mean target of the background but for the error of the integral, which is returned. With one background row these
are integrated gradients, with many expected gradients without the noise of drawing one α for each row.

Reference: M. Sundararajan, A. Taly & Q. Yan (2017), "Axiomatic attribution for deep networks"; G. Erion et al. (2021),
"Improving performance of deep learning models with axiomatic attribution priors and expected gradients".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.attribution.backgrounds import Background
from analysis.attribution.players import Players
from analysis.attribution.sample_run import SampleRun
from analysis.attribution.targets import Target
from analysis.errors import InputError, ParameterError
from analysis.spec import Progress, no_progress

ROWS = 64


@dataclass(frozen=True)
class PathValues:
    """`values` (players,) and `each` (background, players); `slopes` (tokens, units) tensor, their mean along the way
    and over the background; `residual` their sum less target(x) - mean target of the
    background; `full`, `empty` the two; `rows` that went through the network, forward and backward."""

    values: np.ndarray
    each: np.ndarray
    slopes: object
    residual: float
    full: float
    empty: float
    rows: int


def path_values(
    run: SampleRun, players: Players, background: Background, target: Target, *, steps: int = 32, rows: int = ROWS,
    progress: Progress = no_progress,
) -> PathValues:  # fmt: skip
    """Raises InputError where the target does not depend on the site by any slope, or slopes are not finite."""
    import torch

    if steps < 1:
        raise ParameterError(f"{steps} steps", "at least 1")
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    nodes, weights = (nodes + 1) / 2, weights / 2
    x, each, mean = run.clean, [], torch.zeros(run.shape, dtype=torch.float64)
    together = max(1, rows // steps)
    for first in range(0, background.size, together):
        progress(first / background.size, f"slopes for {first:,} of {background.size:,} background rows")
        bases = background.rows[first : first + together]
        for base, slopes in zip(bases, _mean_slopes(run, bases, target, nodes, weights, rows), strict=True):
            each.append(players.inner(slopes, x, base).numpy())
            mean += slopes / background.size
    ends = torch.cat([x[None], background.rows])
    ends = torch.cat([run.values(part, target).double() for part in ends.split(rows)]).numpy()
    full, empty = float(ends[0]), float(ends[1:].mean())
    values = np.mean(each, axis=0)
    used = background.size * (steps + 1) + 1
    return PathValues(values, np.array(each), mean, float(values.sum() - (full - empty)), full, empty, used)


def _mean_slopes(run: SampleRun, bases, target: Target, nodes, weights, rows: int):
    """(b, tokens, units) float64: slopes on the way from each of `bases`, weighed; at most so many at once."""
    import torch

    x, (b, steps) = run.clean, (len(bases), len(nodes))
    which = torch.arange(b).repeat_interleave(steps)
    at = torch.as_tensor(np.tile(nodes, b)).to(x.dtype)[:, None, None]
    share = torch.as_tensor(np.tile(weights, b))[:, None, None]
    found = torch.zeros((b, *run.shape), dtype=torch.float64)
    for part in torch.arange(b * steps).split(rows):
        base = bases[which[part]]
        slopes = slopes_at(run, base + at[part] * (x - base), target)
        found.index_add_(0, which[part], slopes.double() * share[part])
    return found


def slopes_at(run: SampleRun, x, target: Target):
    """(m, tokens, units): of the target in each of x."""
    import torch

    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        value = run.values(x, target, gradients=True)
        (found,) = torch.autograd.grad(value.sum(), x, allow_unused=True) if value.requires_grad else (None,)
        if found is None:
            raise InputError(
                f"{target.words or 'what is explained'} has no slope in {run.site}", "a network that can be derived",
                "Choose a later site, or a method without slopes",
            )  # fmt: skip
    if not torch.isfinite(found).all():
        raise InputError(f"slopes in {run.site} that are NaN or infinite", "finite slopes")
    return found
