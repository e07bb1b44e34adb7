"""A subspace spanned by leading principal axes, cut only where the data tell two eigenvalues apart.

The span of the first k axes is defined by the data only if λ_k and λ_{k+1} differ: where they are equal any rotation
between axis k and axis k + 1 explains as much, and another sample gives another subspace (Davis & Kahan 1970). So a cut
is made where Anderson's test, scaled for heavy tails and dependent tokens, tells the two apart, and refused elsewhere.

References: T. W. Anderson (1963), "Asymptotic theory for principal component analysis"; C. Davis & W. Kahan (1970).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.activations import Activations
from analysis.compute.linear.axis_error import AxisErrorSum, scored_blocks, separation_p
from analysis.compute.linear.linalg import PrincipalAxes, principal_axes
from analysis.compute.linear.spectra import axes_for
from analysis.compute.streaming import Pass
from analysis.errors import NotEnoughData
from analysis.spec import Progress, no_progress

LEVEL = 0.05


@dataclass(frozen=True)
class Subspace:
    """`basis` (d, k) orthonormal columns, falling variance; `variances` (k,) along them and `following`, the next
    eigenvalue (0: nothing follows); `total` variance; `p` that the two at the cut are equal; of `n` rows, of which
    `samples` are independent."""

    name: str
    basis: np.ndarray
    variances: np.ndarray
    following: float
    total: float
    p: float
    n: int
    samples: int

    @property
    def k(self) -> int:
        return self.basis.shape[1]

    @property
    def d(self) -> int:
        return self.basis.shape[0]

    @property
    def share(self) -> float:
        """Of the variance that lies inside."""
        return float(self.variances.sum() / self.total)

    @property
    def gap(self) -> float:
        """λ_k / λ_{k+1}; infinite where nothing follows."""
        return float(self.variances[-1] / self.following) if self.following > 0 else np.inf


@dataclass(frozen=True)
class Cuts:
    """All `axes` of the tap `name` and where they may be cut: `p` (r - 1,) that eigenvalue i equals i + 1; `samples`
    count as independent."""

    name: str
    axes: PrincipalAxes
    p: np.ndarray
    samples: int
    notes: tuple[str, ...]

    @property
    def values(self) -> np.ndarray:
        return self.axes.eigenvalues[: len(self.axes.directions)]

    @property
    def held(self) -> np.ndarray:
        """The dimensions k at which a cut is defined, rising. The whole span of the data is one, unless it is no wider
        than the number of rows allows."""
        r, held = len(self.values), np.flatnonzero(self.p < LEVEL) + 1
        return np.append(held, r) if r == self.axes.d or r < self.axes.n - 1 else held

    def at(self, k: int) -> Subspace:
        """The first `k` axes. Raises NotEnoughData where there are fewer, or where the data do not define the cut."""
        name, r = self.name, len(self.values)
        if k > r:
            raise NotEnoughData(
                f"{name} has {r} direction(s) of {self.axes.n:,} rows and {self.axes.d:,} units; {k} were asked for",
                f"at most {r}",
                "Lower the dimension, or record more samples",
            )
        if k not in self.held:
            below, above = self.held[self.held < k][-1:], self.held[self.held > k][:1]
            near = " or ".join(str(int(i)) for i in (*below, *above))
            found = (
                f"eigenvalues {k} and {k + 1} of {name} are not told apart (p = {self.p[k - 1]:.2g})"
                if k < r
                else f"{name} has no more rows ({self.axes.n:,}) than it spans directions"
            )
            raise NotEnoughData(
                found,
                f"a cut between eigenvalues that differ{f': at {near}' if near else ', of which there is none'}",
                "Choose such a dimension, leave it automatic, or record more samples",
            )
        following = float(self.values[k]) if k < r else 0.0
        return Subspace(
            name, self.axes.directions[:k].T, self.values[:k], following, float(self.axes.total),
            float(self.p[k - 1]) if k < r else 0.0, self.axes.n, self.samples,
        )  # fmt: skip

    def automatic(self, most: int) -> Subspace:
        """At the largest ratio of two eigenvalues among the cuts that hold, up to `most` dimensions. Raises
        NotEnoughData where none holds."""
        held = self.held[(self.held <= most) & (self.held < len(self.values))]
        if not len(held):
            raise NotEnoughData(
                f"no two neighbouring eigenvalues of {self.name} among the first {most} are told apart",
                "a gap in the spectrum",
                "Record more samples, or raise the most dimensions",
            )
        ratio = self.values[held - 1] / self.values[held]
        return self.at(int(held[np.argmax(ratio)]))

    def holding(self, share: float) -> Subspace:
        """The smallest cut that holds and has this share of the variance. Raises NotEnoughData where none has."""
        k = axes_for(self.values, share)
        wide = self.held[self.held >= k]
        return self.at(int(wide[0]) if len(wide) else k)


def cuts_of(
    activations: Activations, progress: Progress = no_progress, span: tuple[float, float] = (0.0, 1.0)
) -> Cuts:
    """Axes and cuts of a tap: two passes, O(n d min(n, d)).

    Raises
    ------
    NotEnoughData, InputError, TooLarge
        Fewer than three finite rows; nothing varies; rows and units both above 8,192.
    """
    seen, half = Pass(), (span[0] + span[1]) / 2
    axes = principal_axes(activations, min(activations.shape), seen, progress, (span[0], half))
    total = AxisErrorSum(axes)
    for rows, scores, norms in scored_blocks(activations, axes, progress, (half, span[1])):
        total.add(seen.owners(activations.layout, rows), scores, norms)
    errors = total.finish()
    p = separation_p(axes.eigenvalues[: len(axes.directions)], axes.n, errors.inflation)
    return Cuts(activations.name, axes, p, errors.n_samples, seen.notes)
