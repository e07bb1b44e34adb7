"""The state spaces of a tap: those of its checkpoint, or the linear recurrence that its rows follow best.

From weights: every layer with log_dt, log_A_real, A_imag, C, D, and every layer with A_log and a bias of Δ (Mamba; its
B, C and most of Δ depend on the input). Without one, tokens x of k principal components are fitted by
x(t+1) = A x(t), A = Σ x(t+1) x(t)ᵀ (Σ x(t) x(t)ᵀ)⁻¹; its eigenvalues are poles and tr(Aˡ) / k its impulse response.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from analysis.compute.statistics.sample_groups import jackknife_half, sample_groups
from analysis.errors import InputError, NotFound
from analysis.results import Estimate
from analysis.spec import Progress, no_progress
from analysis.tokens.mixers import ssm
from analysis.tokens.mixers.reading import row_tokens

MODES, MOST_SAMPLES, LEAST = 8, 256, 1e-6  # of a fit; |eigenvalue| below which it counts as this
NEVER = 1e6  # steps of a half-life that stands for all longer ones
Number = Callable[[ssm.StateSpace], np.ndarray]


@dataclass
class Fitted:
    """`whole` the recurrence of all samples, `without` of all but each group, `chance` of tokens in random order."""

    whole: ssm.StateSpace
    without: list[ssm.StateSpace]
    chance: list[ssm.StateSpace]
    samples: int


@dataclass
class Spaces:
    """`spaces` by layer, `fitted` where they are not of weights."""

    spaces: list[ssm.StateSpace]
    notes: tuple[str, ...]
    units: int
    fitted: Fitted | None = None

    def layer(self, at: int) -> ssm.StateSpace:
        """Raises NotFound."""
        if at >= len(self.spaces):
            raise NotFound(f"layer {at + 1}", f"1 to {len(self.spaces)}")
        return self.spaces[at]

    @property
    def what(self) -> str:
        return (
            "of the recurrence that the rows follow" if self.fitted else "of the state spaces of the weights"
        )

    def estimate(self, name: str, number: Number, spaces=None, unit: str = "") -> Estimate:
        """The mean over channels of `number(space)` (H,), beside where it started (weights) or tokens in random order
        (a fit)."""
        facts = {"name": name, "unit": unit, "d": self.units}
        if self.fitted:
            f = self.fitted
            value = float(number(f.whole).mean())
            half = jackknife_half(np.array([number(s).mean() for s in f.without]))
            chance = np.array([number(s).mean() for s in f.chance])
            ends = {} if half is None else {
                "low": value - float(half), "high": value + float(half), "interval": "jackknife over groups of samples"
            }  # fmt: skip
            low, high = np.quantile(chance, [0.025, 0.975])
            return Estimate(value=value, **ends, null=float(chance.mean()), null_low=float(low), null_high=float(high),
                            null_method=f"tokens in random order, {len(chance)} draws", n=f.samples,
                            estimator="least squares of the next token", **facts)  # fmt: skip
        spaces = self.spaces if spaces is None else spaces
        each = np.concatenate([number(s) for s in spaces])
        begun = [start_of(s) for s in spaces]
        null = float(np.concatenate([number(s) for _, s in begun]).mean())
        return Estimate(value=float(each.mean()), interval="none: weights are no sample", null=null, n=len(each),
                        estimator="closed form, of weights",
                        null_method=f"modes as {begun[0][0]} starts, with the same Δ",
                        **facts)  # fmt: skip


def start_of(space: ssm.StateSpace) -> tuple[str, ssm.StateSpace]:
    """(family, the space with the modes that it probably started from). Where every channel has one real rate, as
    heads of Mamba2 have, these are 1 to H, one for each head."""
    if space.a.shape[1] == 1 and not space.halved and len(space.a) > 1 and not space.a.imag.any():
        return ssm.HEADS, replace(space, a=ssm.started_heads(len(space.a))[:, None])
    family, _ = ssm.nearest_start(space.a[:: max(len(space.a) // 16, 1)])
    return family, replace(space, a=np.broadcast_to(ssm.started(family, space.a.shape[1]), space.a.shape))


def slowest(space: ssm.StateSpace) -> np.ndarray:
    """(H,) longest half-life of a channel's modes, in steps."""
    return np.minimum(ssm.half_lives(space), NEVER).max(axis=1)


def largest(space: ssm.StateSpace) -> np.ndarray:
    """(H,) largest |Ā| of a channel's modes."""
    return np.abs(ssm.discrete(space)[0]).max(axis=1)


def state_spaces(tap, draws: int, rng: np.random.Generator, progress: Progress = no_progress) -> Spaces:
    """Raises InputError, NotEnoughData: rows that never change, or too few."""
    try:
        own = getattr(tap, "source", None)
        found, why = _of_weights(tap if own is None else own()), ()
    except (InputError, NotFound) as error:
        found, why = [], (f"{str(error).split('. ')[0]}.",)
    if found:
        return Spaces(found, _said(found), tap.shape[1])
    fitted, notes = fit(tap, draws, rng, progress)
    note = (
        f"No state space is known of {tap.name}: shown is the linear recurrence from each token to the next that fits "
        "its rows best, not a part of the network."
    )
    return Spaces([fitted.whole], (note, *why, *notes), tap.shape[1], fitted)


def _said(found: list[ssm.StateSpace]) -> tuple[str, ...]:
    said = []
    if any((s.a.imag == 0).all() and not s.halved for s in found):
        said.append(
            "Where Δ, B and C depend on the input, Δ is that of an input of 0, and each mode counts alike."
        )
    if any((s.a.real >= 0).any() for s in found):
        said.append("Some modes have Re A >= 0: they grow or never fade.")
    return tuple(said)


def _of_weights(tap) -> list[ssm.StateSpace]:
    from analysis.sources.weights import weights_of

    return spaces_of(weights_of(tap))


def spaces_of(weights) -> list[ssm.StateSpace]:
    """Of a checkpoint with `shapes` by name and `tensor(name)`."""
    keys, out = weights.shapes, []
    for key in keys:
        before, _, last = key.rpartition(".")
        at = f"{before}." if before else ""
        above = f"{before.rpartition('.')[0]}." if "." in before else ""
        skip = next((k for k in (f"{at}D", f"{above}D") if k in keys), None)
        if last == "log_dt" and f"{at}log_A_real" in keys:
            names = {k: f"{at}{k}" for k in ("log_dt", "log_A_real", "A_imag", "C") if f"{at}{k}" in keys}
        elif last == "A_log":
            bias = next((k for k in (f"{at}dt_proj.bias", f"{at}dt_bias") if k in keys), None)
            if bias is None or skip is None:
                continue
            names = {"A_log": key, "bias": bias}
        else:
            continue
        names |= {"D": skip} if skip else {}
        out.append(ssm.from_weights(before or "layer", {k: weights.tensor(v) for k, v in names.items()}))
    return out


def fit(tap, draws: int, rng: np.random.Generator, progress: Progress = no_progress):
    """(Fitted, notes). Raises InputError where rows do not change."""
    rows = row_tokens(tap, MOST_SAMPLES, rng, progress)
    basis = _components(rows.x)
    x = [one @ basis for one in rows.x]
    groups = sample_groups(len(x), rng)
    moments = [_moments(one) for one in x]
    whole = _recurrence(moments)
    without = []
    for group in groups:
        out = set(group.tolist())
        without.append(_recurrence([m for i, m in enumerate(moments) if i not in out]))
    chance = []
    for k in range(draws):
        progress(0.5 + 0.5 * k / draws, "tokens in random order")
        chance.append(_recurrence([_moments(one[rng.permutation(len(one))]) for one in x]))
    progress(1.0, "done")
    return Fitted(whole, without, chance, len(x)), rows.notes


def _components(x: list[np.ndarray]) -> np.ndarray:
    """(d, k) principal directions of all tokens."""
    second = sum(one.T @ one for one in x)
    values, vectors = np.linalg.eigh(second)
    kept = np.flatnonzero(values > 1e-9 * max(values[-1], 0))[::-1][:MODES] if values[-1] > 1e-12 else []
    if not len(kept):
        raise InputError("rows that never change", "tokens that differ, which a recurrence can be fitted to")
    return vectors[:, kept] / np.sqrt(values[kept] / sum(map(len, x)))


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x[1:].T @ x[:-1], x[:-1].T @ x[:-1]


def _recurrence(moments) -> ssm.StateSpace:
    ahead, here = (sum(m[i] for m in moments) for i in (0, 1))
    size = np.trace(here) / len(here)
    turn = np.linalg.solve((here + 1e-9 * size * np.eye(len(here))).T, ahead.T).T
    return as_space(np.linalg.eigvals(turn))


def as_space(poles: np.ndarray) -> ssm.StateSpace:
    """One channel with Δ = 1 whose Ā are `poles` (k,) and whose kernel is their mean power."""
    poles = np.asarray(poles, complex)
    small = np.abs(poles) < LEAST
    a = np.log(np.where(small, LEAST, poles))[None]
    b = np.where(np.abs(a) > 1e-12, a / np.where(np.abs(a) > 1e-12, np.expm1(a), 1), 1.0)
    c = np.full_like(a, 1 / len(poles))
    return ssm.StateSpace("fitted recurrence", a, b, c, np.ones(1), np.zeros(1), halved=False)
