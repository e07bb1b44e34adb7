"""What is said of columns that lose when a concept is erased: a line for each, and its damage."""

from __future__ import annotations

import numpy as np

from analysis.compute.subspaces.collateral import Loss
from analysis.results import Estimate

HELP = {
    "column": "sample column that the probe reads; the erased concept comes first",
    "kind": "what it is: classes, or a number",
    "samples": "held-out samples that have a value of it",
    "before": "held-out accuracy, or R² of a number, with nothing erased",
    "before low": "lower end of its 95 % interval",
    "before high": "upper end of its 95 % interval",
    "after": "the same with the concept erased",
    "after low": "lower end of its 95 % interval",
    "after high": "upper end of its 95 % interval",
    "chance": "what naming the most frequent class scores; 0 for a number",
    "damage": "before minus after",
    "damage low": "lower end of its 95 % interval over samples",
    "damage high": "upper end of its 95 % interval over samples",
    "random": "mean damage by as many random directions",
    "random most": "most damage by one draw of them",
    "exchanged": "mean damage from erasing exchanged values of the concept by the same method",
    "p": "chance of so much damage from exchanged values",
    "damaged": "read before, interval above 0, more than random directions ever did, and p at most 0.05",
    "association": "share of the concept's variance that the column explains over these samples (R²)",
}


def loss_columns(lines: list[Loss]) -> dict[str, np.ndarray]:
    """Columns as in `HELP`, the erased concept first."""
    return {
        "column": np.array([f"{n.concept.name}{' (erased)' if not i else ''}" for i, n in enumerate(lines)]),
        "kind": np.array(["number" if n.concept.is_number else f"{len(n.concept.classes)} classes" for n in lines]),
        "samples": np.array([len(n.at) for n in lines]),
        **{f"{when}{end}": np.array([getattr(getattr(n, when), end.strip() or "value") for n in lines])
           for when in ("before", "after") for end in ("", " low", " high")},
        "chance": np.array([n.before.chance for n in lines]),
        **{f"damage{end}": np.array([n.damage[i] for n in lines]) for i, end in enumerate(("", " low", " high"))},
        "random": np.array([np.mean(n.random) for n in lines]), "random most": np.array([max(n.random) for n in lines]),
        "exchanged": np.array([n.exchanged.mean() for n in lines]), "p": np.array([n.p for n in lines]),
        "damaged": np.array([n.damaged for n in lines]), "association": np.array([n.association for n in lines]),
    }  # fmt: skip


def loss_estimates(lines: list[Loss], d: int, probe: str) -> tuple[Estimate, ...]:
    """The damage to each, of `d` units read by this `probe`."""
    return tuple(
        Estimate(
            f"damage to {n.concept.name}", n.damage[0], low=n.damage[1], high=n.damage[2],
            interval="bootstrap over samples" if n.concept.is_number else "paired over samples (Newcombe)",
            null=float(n.exchanged.mean()), null_low=float(n.exchanged.min()), null_high=float(n.exchanged.max()),
            null_method=f"{len(n.exchanged)} exchanges of the concept's values, erased the same way; their range",
            p_value=n.p, n=len(n.at), d=d,
            estimator=f"{'R²' if n.concept.is_number else 'accuracy'} of a {probe} probe, before - after",
        )
        for n in lines
    )  # fmt: skip
