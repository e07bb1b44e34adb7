"""Is there a valley between two groups, or is one cloud cut in two?

The direction is made from one half of the samples. The other half is asked: of all its points that lie in a tube
around the line through both groups (or, for named groups, of theirs only), how dense are they along that direction?
A log-concave cloud, such as a Gaussian of any shape, cut by a convex tube and projected on a line has one hump
(Prékopa 1973), however the groups were chosen; so a valley there speaks against one cloud. One row counts for each
sample.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.activations import Activations
from analysis.compute.groups.group_tests import rules
from analysis.compute.groups.mean_difference import FEWEST, halves
from analysis.compute.groups.two_groups import TwoGroups
from analysis.compute.groups.valley import Valley, power, valley
from analysis.compute.linear.fisher import basis_of
from analysis.compute.streaming import finite_blocks
from analysis.spec import Progress, no_progress

AXES = 32  # leading axes of the groups in which the tube is drawn, at most
INSIDE = 95  # % of the groups' points that the tube holds


@dataclass(frozen=True)
class Between:
    """`along` (m,) places of the asked points, `side` (m,) 1, -1 or 0 for neither; `ends` of the first and the second
    group's centre; the `valley`, and `power`, how often a clear one would be found among as many; None where a group
    has fewer than four of the asked points."""

    along: np.ndarray
    side: np.ndarray
    ends: tuple[float, float]
    valley: Valley | None
    power: float


@dataclass(frozen=True)
class _Line:
    """`frame` (d, a) and `outside` bound the tube: distance to the line through both groups in coordinates where the
    groups' own spread is round, and distance from the span of the frame's axes. Both are convex."""

    centre: np.ndarray
    axes: np.ndarray  # (d, a) orthonormal
    frame: np.ndarray  # (d, a) the same, scaled so that a group is round
    through: np.ndarray  # (a,) unit vector from group to group
    start: np.ndarray  # (a,) a point on that line
    direction: np.ndarray
    ends: tuple[float, float]
    radius: tuple[float, float] = (np.inf, np.inf)

    def off(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Squared distances (m,) from the line and from the axes' span."""
        x = x - self.centre
        off = x @ self.frame - self.start
        off -= (off @ self.through)[:, None] * self.through
        whole = np.einsum("ij,ij->i", x, x)
        return np.einsum("ij,ij->i", off, off), np.maximum(whole - ((x @ self.axes) ** 2).sum(axis=1), 0.0)

    def place(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where points `x` (m, d) lie along the direction, and whether they are in the tube."""
        near, above = self.off(x)
        return (x - self.centre) @ self.direction, (near <= self.radius[0]) & (above <= self.radius[1])


def between(
    activations: Activations,
    side: np.ndarray,
    groups: TwoGroups,
    everybody: bool,
    draws: int,
    rng: np.random.Generator,
    progress: Progress = no_progress,
    span: tuple[float, float] = (0.0, 1.0),
) -> Between:
    """Ask for a valley. `side` (rows,) 1, -1 or 0; `everybody`: all rows of the tap take part, not the groups' only.

    Time O(rows (d + AXES)) for everybody; memory O(m d) and O(rows).
    """
    n_samples = activations.layout.n_samples
    n_owners = n_samples if n_samples > 1 else activations.shape[0]
    key = np.zeros(n_owners, np.int64)
    np.bitwise_or.at(key, groups.owner, np.where(groups.first, 1, 2))
    fit = halves(key, rng)
    line = _line(groups, fit[groups.owner], rng)
    along, tube = line.place(groups.x)
    use = ~fit[groups.owner] & (tube | (not everybody))
    found = [(along[use], np.where(groups.first, 1, -1)[use], groups.owner[use])]
    if everybody:
        keep = (side == 0) & (rng.random(len(side)) < groups.share)
        for rows, block in finite_blocks(activations, None, progress, "looking between the groups", span):
            owner = activations.layout.sample_of(rows) if n_samples > 1 else rows
            mine = keep[rows] & ~fit[owner]
            if mine.any():
                along, tube = line.place(block[mine])
                found.append((along[tube], np.zeros(int(tube.sum()), int), owner[mine][tube]))
    along, of, owner = (np.concatenate(part) for part in zip(*found, strict=True))
    order = rng.permutation(len(owner))  # one row for each sample, at random
    one = order[np.unique(owner[order], return_index=True)[1]]
    return _asked(along[one], of[one], line.ends, draws, rng)


def _asked(along, of, ends, draws: int, rng: np.random.Generator) -> Between:
    if min((of > 0).sum(), (of < 0).sum()) < FEWEST or ends[0] == ends[1]:
        return Between(along, of, ends, None, 0.0)
    nearer = np.abs(along - ends[0]) < np.abs(along - ends[1])
    sizes = int(nearer.sum()), int((~nearer).sum())
    return Between(along, of, ends, valley(along, ends, draws, rng), power(sizes, rng))


def _line(groups: TwoGroups, fit: np.ndarray, rng: np.random.Generator) -> _Line:
    """Direction from the fitting half of the rows; axes of the tube from half of them, its radii from the other."""
    x, first, owner = groups.x[fit], groups.first[fit], groups.owner[fit]
    size = float(np.abs(x - x.mean(axis=0)).max()) or 1.0
    basis = basis_of(x / size)
    if not len(basis.values):
        d = x.shape[1]
        nowhere = np.zeros((d, 1))
        return _Line(x.mean(axis=0), nowhere, nowhere, np.zeros(1), np.zeros(1), np.zeros(d), (0.0, 0.0))
    direction = basis.vectors @ rules(basis, first[None])[0][0]
    direction = direction / (np.linalg.norm(direction) or 1.0)
    key = np.zeros(owner.max() + 1, np.int64)
    np.bitwise_or.at(key, owner, np.where(first, 1, 2))
    made = halves(key, rng)[owner]
    inner = basis_of(x[made] / size) if made.any() else basis
    if not len(inner.values):  # that half lies at one place
        inner = basis
    centre = inner.mean * size
    axes = inner.vectors[:, -int(np.clip(made.sum() // 5, 1, AXES)) :]
    inside, mine = (x[made] - centre) @ axes, first[made]
    means = np.stack([inside[mine].mean(axis=0), inside[~mine].mean(axis=0)])
    spread = inside - np.where(mine[:, None], means[0], means[1])
    values, turn = np.linalg.eigh(spread.T @ spread / len(spread))
    values = 0.95 * values + 0.05 * values.mean()
    round_ = turn / np.sqrt(np.maximum(values, 1e-12 * max(float(values.max()), 1e-300)))
    way = (means[0] - means[1]) @ round_
    length = float(np.linalg.norm(way))
    along = (x - centre) @ direction
    line = _Line(
        centre, axes, axes @ round_, way / length if length else way, means[1] @ round_, direction,
        (float(along[first].mean()), float(along[~first].mean())),
    )  # fmt: skip
    radius = [float(np.percentile(off, INSIDE)) for off in line.off(x[~made])]
    return replace(line, radius=(radius[0], radius[1] + 1e-12 * size**2))
