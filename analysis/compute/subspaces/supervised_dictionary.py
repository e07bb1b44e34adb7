"""Dictionaries that rebuild the data and tell the labels at once, by blocks of which none raises the objective.

    ξ ‖X - W H‖² / ‖X‖²  +  mean log loss of softmax(X Hᵀ B + Z Γ + b)  +  λ / 2 (‖Hᵀ B‖² + ‖Γ‖²)

X (n, d) samples, H (r, d) atoms, W (n, r) codes, Z (n, q) covariates: the filter form, in which a sample's scores on
the atoms tell its label (for orthonormal atoms these are its codes), so that samples that nobody has labelled are
scored as those that were. Unconstrained, or W and H not negative (NMF). Every term stays the same under the gauge
W → W D, H → D⁻¹ H, B → Dᵀ B, D diagonal, or any that can be inverted where nothing is constrained: the ridge is on
Hᵀ B, not on B. ξ → ∞: principal components, whose error is the least there is (Eckart & Young), or plain NMF. ξ → 0:
ridge logistic regression of rank r, all of it where r is at least the number of classes less one.

References: J. Lee, H. Lyu & W. Yao (2022), "Supervised dictionary learning with auxiliary covariates"; J. Mairal et
al. (2008), "Supervised dictionary learning"; A. Cichocki & A. Phan (2009) for the sweeps of NMF.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from analysis.compute.linear.softmax_regression import loss_and_slope, softmax_fit

SWEEPS, FEW_SWEEPS = 200, 4


@dataclass(frozen=True)
class Problem:
    """`x` (n, d), `of` (n,) classes, `z` (n, q) covariates, as above; `xi` may be 0 or infinite."""

    x: np.ndarray
    of: np.ndarray
    classes: int
    z: np.ndarray
    rank: int
    xi: float
    penalty: float
    nonnegative: bool

    @property
    def size(self) -> float:
        return float((self.x**2).sum())


@dataclass(frozen=True)
class Dictionary:
    """`atoms` (r, d), `loadings` (r, C), `effects` (q, C) of covariates, `intercept` (C,), and the `objective` after
    each block that led here."""

    atoms: np.ndarray
    loadings: np.ndarray
    effects: np.ndarray
    intercept: np.ndarray
    objective: tuple[float, ...] = ()

    def scores(self, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """(n, C) before the softmax."""
        return (x @ self.atoms.T) @ self.loadings + z @ self.effects + self.intercept

    def codes(self, x: np.ndarray, nonnegative: bool) -> np.ndarray:
        """(n, r): what rebuilds the rows of `x` best with these atoms, without a look at labels."""
        gram = self.atoms @ self.atoms.T
        if not nonnegative:
            return x @ self.atoms.T @ np.linalg.pinv(gram, hermitian=True)
        return nonnegative_codes(x @ self.atoms.T, gram)

    def rebuilt(self, x: np.ndarray, nonnegative: bool) -> np.ndarray:
        return self.codes(x, nonnegative) @ self.atoms


def nonnegative_codes(
    products: np.ndarray, gram: np.ndarray, start: np.ndarray | None = None, sweeps: int = SWEEPS
) -> np.ndarray:
    """W >= 0 (n, r) of least ‖X - W H‖² from X Hᵀ (n, r) and H Hᵀ (r, r), by coordinates; no sweep raises it."""
    w = np.zeros_like(products) if start is None else start.copy()
    tiny = 1e-12 * max(float(np.diag(gram).max()), 1e-300)
    for _ in range(sweeps):
        moved = 0.0
        for k in np.flatnonzero(np.diag(gram) > tiny):
            own = np.maximum(w[:, k] + (products[:, k] - w @ gram[:, k]) / gram[k, k], 0.0)
            moved = max(moved, float(np.abs(own - w[:, k]).max()))
            w[:, k] = own
        if moved <= 1e-7 * max(float(w.max()), 1e-300):
            break
    return w


def objective(problem: Problem, d: Dictionary, codes: np.ndarray) -> float:
    loss, _ = loss_and_slope(d.scores(problem.x, problem.z), problem.of)
    left = float(((problem.x - codes @ d.atoms) ** 2).sum()) / problem.size
    ridge = float(((d.atoms.T @ d.loadings) ** 2).sum() + (d.effects**2).sum())
    return problem.xi * left + loss + problem.penalty / 2 * ridge


def fit(
    problem: Problem, start: Dictionary, rounds: int = 30, steps: int = 20, settled: float = 1e-6
) -> Dictionary:
    """From `start` down: codes, and all else, in turn, until a round gains less than `settled` of the objective. What a
    block finds is kept only where the objective does not rise. Each round O(n d (r + C steps))."""
    now, codes = start, start.codes(problem.x, problem.nonnegative)
    trace = [objective(problem, now, codes)]
    for _ in range(rounds):
        before = trace[-1]
        new = _all_but_codes(problem, now, codes, steps)
        value = objective(problem, new, codes)
        if value <= trace[-1]:
            now = new
            trace.append(value)
        new_codes = _new_codes(problem, now, codes)
        value = objective(problem, now, new_codes)
        if value <= trace[-1]:
            codes = new_codes
            trace.append(value)
        if before - trace[-1] <= settled * abs(before):
            break
    return replace(now, objective=tuple(trace))


def _new_codes(problem: Problem, d: Dictionary, codes: np.ndarray) -> np.ndarray:
    if not problem.nonnegative:
        return d.codes(problem.x, False)
    return nonnegative_codes(problem.x @ d.atoms.T, d.atoms @ d.atoms.T, codes, FEW_SWEEPS)


def _loadings(problem: Problem, d: Dictionary, codes: np.ndarray) -> Dictionary:
    """Loadings, covariates and intercept: convex."""
    from scipy.optimize import minimize

    along, gram, (r, c), q = problem.x @ d.atoms.T, d.atoms @ d.atoms.T, d.loadings.shape, len(d.effects)

    def value(flat):
        beta, gamma, b = flat[: r * c].reshape(r, c), flat[r * c : (r + q) * c].reshape(q, c), flat[-c:]
        loss, slope = loss_and_slope(along @ beta + problem.z @ gamma + b, problem.of)
        ridge = problem.penalty * (gram @ beta)
        loss += float((beta * ridge).sum()) / 2 + problem.penalty / 2 * float((gamma**2).sum())
        parts = (along.T @ slope + ridge, problem.z.T @ slope + problem.penalty * gamma, slope.sum(axis=0))
        return loss, np.concatenate([part.ravel() for part in parts])

    flat = np.concatenate([d.loadings.ravel(), d.effects.ravel(), d.intercept])
    found = minimize(value, flat, jac=True, method="L-BFGS-B", options={"maxiter": 40, "gtol": 1e-7}).x
    return Dictionary(
        d.atoms, found[: r * c].reshape(r, c), found[r * c : (r + q) * c].reshape(q, c), found[-c:]
    )


def _all_but_codes(problem: Problem, d: Dictionary, codes: np.ndarray, steps: int) -> Dictionary:
    """Atoms (not below 0 where nothing may be negative), loadings, covariates and intercept."""
    from scipy.optimize import minimize

    (r, units), (q, c) = d.atoms.shape, d.effects.shape
    flat = np.concatenate([part.ravel() for part in (d.atoms, d.loadings, d.effects, d.intercept)])
    bounds = (
        [(0.0, None)] * (r * units) + [(None, None)] * (len(flat) - r * units)
        if problem.nonnegative
        else None
    )
    found = minimize(
        rest_objective(problem, d, codes), flat, jac=True, method="L-BFGS-B", bounds=bounds,
        options={"maxiter": steps, "gtol": 1e-8, "ftol": 1e-13},
    ).x  # fmt: skip
    return _parts(found, r, units, q, c)


def _parts(flat: np.ndarray, r: int, units: int, q: int, c: int) -> Dictionary:
    h, beta, gamma, b = np.split(flat, np.cumsum([r * units, r * c, q * c]))
    return Dictionary(h.reshape(r, units), beta.reshape(r, c), gamma.reshape(q, c), b)


def rest_objective(problem: Problem, d: Dictionary, codes: np.ndarray):
    """A function of atoms, loadings, effects and intercept, all flat, that gives the objective and its slope, but for
    ‖X‖², which depends on none of them."""
    weight, gram, product = problem.xi / problem.size, codes.T @ codes, codes.T @ problem.x
    (r, units), (q, c) = d.atoms.shape, d.effects.shape

    def value(flat):
        now = _parts(flat, r, units, q, c)
        h, direct = now.atoms, now.atoms.T @ now.loadings
        loss, slope = loss_and_slope(problem.x @ direct + problem.z @ now.effects + now.intercept, problem.of)
        mixed = gram @ h
        loss += weight * float((h * (mixed - 2 * product)).sum())
        loss += problem.penalty / 2 * float((direct**2).sum() + (now.effects**2).sum())
        along = problem.x.T @ slope + problem.penalty * direct
        parts = (
            2 * weight * (mixed - product) + now.loadings @ along.T, h @ along,
            problem.z.T @ slope + problem.penalty * now.effects, slope.sum(axis=0),
        )  # fmt: skip
        return loss, np.concatenate([part.ravel() for part in parts])

    return value


def reconstructive(problem: Problem, rng: np.random.Generator) -> Dictionary:
    """ξ → ∞: principal components, or NMF by sweeps from a seeded start; loadings are fitted to these atoms."""
    x, r = problem.x, problem.rank
    if not problem.nonnegative:
        atoms = np.linalg.svd(x, full_matrices=False)[2][:r]
    else:
        atoms = _factors(x, rng.random((r, x.shape[1])) * np.sqrt(x.mean() / r))
    c, q = problem.classes, problem.z.shape[1]
    blank = Dictionary(atoms, np.zeros((len(atoms), c)), np.zeros((q, c)), np.zeros(c))
    return _loadings(problem, blank, np.empty(0))


def _factors(x: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """NMF atoms (r, d) by alternating codes and atoms. O(SWEEPS n d r)."""
    codes, last = None, np.inf
    for _ in range(SWEEPS):
        codes = nonnegative_codes(x @ atoms.T, atoms @ atoms.T, codes, FEW_SWEEPS)
        atoms = nonnegative_codes(x.T @ codes, codes.T @ codes, atoms.T, FEW_SWEEPS).T
        left = float(((x - codes @ atoms) ** 2).sum())
        if last - left <= 1e-5 * left:
            break
        last = left
    return atoms


def discriminative(problem: Problem) -> Dictionary:
    """ξ → 0 without bounds: ridge logistic regression, cut to its leading directions, which is all of it for r at least
    the number of classes less one."""
    d, q = problem.x.shape[1], problem.z.shape[1]
    found = softmax_fit(
        np.hstack([problem.x, problem.z]), problem.of, problem.classes, problem.penalty, steps=500
    )
    left, s, right = np.linalg.svd(found.weights[:d], full_matrices=False)
    r = problem.rank
    atoms, loadings = np.zeros((r, d)), np.zeros((r, problem.classes))
    k = min(r, len(s))
    atoms[:k], loadings[:k] = left[:, :k].T, s[:k, None] * right[:k]
    effects = found.weights[d:].reshape(q, problem.classes)
    return Dictionary(atoms, loadings, effects - effects.mean(axis=1, keepdims=True), found.intercept)


def normalised(d: Dictionary, x: np.ndarray, nonnegative: bool) -> Dictionary:
    """The same in one gauge: atoms of length 1, the largest share of `x` (n, d) first; where nothing is constrained,
    the principal axes of what the atoms span, each with its largest unit positive."""
    length = np.linalg.norm(d.atoms, axis=1)
    used = length > 1e-9 * max(float(length.max()), 1e-300)
    atoms, loadings = d.atoms[used] / length[used, None], d.loadings[used] * length[used, None]
    if nonnegative:
        order = np.argsort(-(d.codes(x, True)[:, used] ** 2).sum(axis=0) * length[used] ** 2, kind="stable")
        return replace(d, atoms=atoms[order], loadings=loadings[order])
    _, s, right = np.linalg.svd(atoms, full_matrices=False)
    basis = right[s > 1e-9 * s[0]]
    basis = np.linalg.svd(x @ basis.T, full_matrices=False)[2] @ basis
    basis *= np.sign(basis[np.arange(len(basis)), np.abs(basis).argmax(axis=1)])[:, None]
    return replace(d, atoms=basis, loadings=basis @ (d.atoms.T @ d.loadings))
