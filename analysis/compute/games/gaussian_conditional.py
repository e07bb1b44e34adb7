"""What absent columns are likely to be, given those present, if columns were Gaussian.

    x̃_A = b_A + Σ_AS Σ_SS⁻¹ (x_S - b_S)

moves the absent columns A of a background row b by what the present columns S of x tell of them. If b is a draw of a
Gaussian with covariance Σ, x̃_A is a draw of its conditional given x_S (Matheron's rule); if b is the mean, x̃_A is the
conditional mean. So every background row is kept, and nothing else is drawn.

Reference: K. Aas, M. Jullum & A. Løland (2021), "Explaining individual predictions when features are dependent".
"""

from __future__ import annotations

import numpy as np

from analysis.errors import ShapeError, TooLarge

RIDGE = 1e-9  # share of the mean variance that is added to each, so that copies of a column do no harm
MOST_COLUMNS = 128
MOST_BYTES = 256 << 20  # of weights that are remembered


class GaussianConditional:
    """Of columns with `covariance` (d, d). Remembers the weights of each set of present columns, while they fit."""

    def __init__(self, covariance: np.ndarray) -> None:
        covariance = np.asarray(covariance, np.float64)
        d = len(covariance)
        if covariance.shape != (d, d):
            raise ShapeError(f"a covariance of shape {covariance.shape}", "(columns, columns)")
        if d > MOST_COLUMNS:
            raise TooLarge(
                f"conditional values of {d} units, whose weights are solved for anew for every coalition",
                f"at most {MOST_COLUMNS} units", "Choose a narrower tap, or interventional values",
            )  # fmt: skip
        self._covariance = covariance + RIDGE * max(np.trace(covariance) / max(d, 1), 1e-300) * np.eye(d)
        self._known: dict[bytes, np.ndarray] = {}
        self._bytes = 0

    def weights(self, present: np.ndarray) -> np.ndarray:
        """Σ_AS Σ_SS⁻¹ (absent, present) for `present` (d,) bool."""
        key = present.tobytes()
        if key in self._known:
            return self._known[key]
        own = self._covariance[np.ix_(present, present)]
        across = self._covariance[np.ix_(present, ~present)]
        found = np.linalg.solve(own, across).T if len(own) else across.T
        if self._bytes + found.nbytes <= MOST_BYTES:
            self._known[key], self._bytes = found, self._bytes + found.nbytes
        return found

    def filled(self, present: np.ndarray, x: np.ndarray, base: np.ndarray) -> np.ndarray:
        """x on the `present` (d,) columns and x̃ on the others; `x` and `base` (…, d) broadcast."""
        x, base = np.asarray(x, np.float64), np.asarray(base, np.float64)
        mixed = np.where(present, x, base)
        if present.any() and not present.all():
            moved = (x - base)[..., present] @ self.weights(present).T
            mixed[..., ~present] += moved
        return mixed
