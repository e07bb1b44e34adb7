"""How far heads of several checkpoints read, and what is told of it: at both ends, in between, and of their gates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.linear.ranking_axes import spearman, spearman_estimate
from analysis.compute.statistics.sample_groups import mean_interval, share_interval
from analysis.results import Estimate

FEWEST_GATES, NULL = 4, "all that may be read, alike"


@dataclass(frozen=True)
class Series:
    """`far` by checkpoint (L, H, n) distances, `even` (n,) those of even reading, `gates` (S, L, H) or None; `samples`
    (n,) of each; `notes`."""

    far: list[np.ndarray]
    even: list[np.ndarray]
    gates: np.ndarray | None
    samples: list[np.ndarray]
    notes: tuple[str, ...]

    @property
    def mean(self) -> np.ndarray:
        """(S, L, H)"""
        return np.stack([f.mean(axis=2) for f in self.far])

    @property
    def paired(self) -> bool:
        alike = all(np.array_equal(s, self.samples[0]) for s in self.samples)
        return alike and len({f.shape for f in self.far}) == 1  # a sample without places is left out of one


def locality_estimates(found: Series, names) -> tuple[Estimate, ...]:
    value, out = found.mean, []
    layers, heads = value.shape[1:]
    for i in (0, -1):
        each = found.far[i].mean(axis=(0, 1))
        out.append(Estimate(f"distance at {names[i]}", float(each.mean()), **mean_interval(each, 0.0),
                            null=float(found.even[i].mean()), null_method=NULL, n=len(each), d=layers * heads,
                            unit="cells", estimator="mean over queries, heads and samples"))  # fmt: skip
    change = value[-1] - value[0]
    moved = found.far[-1].mean(axis=(0, 1)) - found.far[0].mean(axis=(0, 1)) if found.paired else np.zeros(0)
    ends = mean_interval(moved) or {"interval": "none: checkpoints of different samples"}
    out.append(Estimate(f"change of distance, {names[0]} to {names[-1]}", float(change.mean()), **ends, null=0.0,
                        null_method="heads that training leaves as they are", n=found.far[-1].shape[2],
                        d=layers * heads, unit="cells", estimator="paired by sample"))  # fmt: skip
    nearer = np.where(change == 0, 0.5, change < 0).reshape(-1)
    out.append(Estimate("heads that became more local", float(nearer.mean()),
                        **share_interval(nearer) | {"interval": "Wilson, heads as draws"}, null=0.5,
                        null_method="either way alike", n=nearer.size, d=layers, unit="share",
                        estimator="heads whose mean distance fell; half of one that stayed"))  # fmt: skip
    for i in (0, -1) if found.gates is not None else ():
        good = np.isfinite(found.gates[i])
        if good.sum() >= FEWEST_GATES:
            rho = spearman(found.gates[i][good], value[i][good])
            out.append(spearman_estimate(f"rank correlation of gate and distance at {names[i]}", rho, int(good.sum()),
                                         layers, "Spearman's ρ over heads"))  # fmt: skip
    return tuple(out)


def locality_reading(told, names) -> str:
    first, last, _, nearer, *gates = told
    text = (
        f"Heads read at a distance of {first.value:.2f} cells at {names[0]} and {last.value:.2f} at {names[-1]} (all "
        f"alike: {last.null:.2f}); {nearer.value:.0%} of them became more local."
    )
    if not gates:
        return text
    rho = gates[-1]
    if rho.p_value > 0.05:
        return (
            f"{text} Gates do not tell how far heads read: rank correlation {rho.value:+.2f} at {names[-1]}."
        )
    how = "farther" if rho.value > 0 else "less far"
    return f"{text} Heads with a larger gate read {how}: rank correlation {rho.value:+.2f} at {names[-1]}."
