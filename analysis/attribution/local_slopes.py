"""The slope of a sample's number in the rows where its site stands, and arrays for those who do not speak torch."""

from __future__ import annotations

import numpy as np

from analysis.attribution.sample_run import SampleRun
from analysis.attribution.targets import Target
from analysis.errors import InputError

ROWS = 64  # rows of a forward pass


def rows_at(run: SampleRun) -> np.ndarray:
    """(tokens, units) float64: what stands at the site."""
    return run.clean.double().numpy()


def local_slope(run: SampleRun, target: Target, rows: np.ndarray | None = None) -> np.ndarray:
    """(tokens, units) float64 slope of the target in the sample as it is, or in other `rows` (tokens, units). Raises
    InputError where it has none."""
    import torch

    x = run.clean if rows is None else torch.as_tensor(rows).to(run.clean.dtype)
    x = x[None].clone().requires_grad_(True)
    with torch.enable_grad():
        value = run.values(x, target, gradients=True)
        if not value.requires_grad:
            raise InputError(
                f"{target.words or 'what is explained'} has no slope in {run.site}", "a network that can be derived",
                "Choose another tap",
            )  # fmt: skip
        (found,) = torch.autograd.grad(value.sum(), x)
    if not torch.isfinite(found).all():
        raise InputError(f"slopes in {run.site} that are NaN or infinite", "finite slopes")
    return found[0].double().numpy()


def values_at(run: SampleRun, x: np.ndarray, target: Target) -> np.ndarray:
    """(m,) float64: the target for rows x (m, tokens, units) at the site, so many at a time."""
    import torch

    parts = torch.as_tensor(np.ascontiguousarray(x)).to(run.clean.dtype).split(ROWS)
    with torch.no_grad():
        return torch.cat([run.values(p, target).double() for p in parts]).numpy()


def logits_at(run: SampleRun, x: np.ndarray) -> np.ndarray:
    """(m, classes) float64: all logits of the last position for rows x (m, tokens, units) at the site."""
    return values_at(run, x, _All())


class _All:
    catch, words = (), "logits"

    def of(self, logits, caught):
        from analysis.attribution.targets import at_position

        return at_position(logits, -1)
