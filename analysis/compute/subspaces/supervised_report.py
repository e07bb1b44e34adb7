"""What is drawn and said of dictionaries along the weight of their reconstruction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.compute.statistics.ratios import ratio_interval
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.subspaces.angles import overlap_by_chance
from analysis.compute.subspaces.supervised_data import NONNEGATIVE, SupervisedData
from analysis.results import Curve, Estimate

TRADE_OFF, AGAINST_XI = "log loss against reconstruction error", "both against ξ"
ENDS = "reconstruction alone", "labels alone"


@dataclass(frozen=True)
class Path:
    """Held-out `left` and `size` (squares) and `loss` (points + 2, n), from reconstruction alone through `weights`
    (points,), falling, to labels alone; the loss of class shares `plain` (n,) and of covariates `alone` (n,); by fold
    (overlap, p, q) of the `shared` directions of the ends, and their `angles`; `d` units; names of the covariates."""

    weights: np.ndarray
    left: np.ndarray
    size: np.ndarray
    loss: np.ndarray
    plain: np.ndarray
    alone: np.ndarray
    shared: tuple
    angles: tuple
    d: int
    covariates: tuple[str, ...]

    @property
    def errors(self) -> np.ndarray:
        """(points + 2,) share of the squares that is left."""
        return self.left.sum(axis=1) / self.size.sum(axis=1)

    @property
    def best(self) -> int:
        """Of the weights between the ends, the one of the least log loss."""
        return 1 + int(self.loss[1:-1].mean(axis=1).argmin())

    def name(self, i: int) -> str:
        last = len(self.loss) - 1
        return ENDS[0] if i == 0 else ENDS[1] if i == last else f"ξ = {self.weights[i - 1]:.3g}"


def path_curve(path: Path, name: str, params, rng, caveats) -> Curve:
    estimates = path_estimates(path, params, rng)
    more = {"reading": path_reading(path, estimates), "caveats": caveats, "estimates": estimates}
    title = f"Rebuilding {name} and telling '{params.column}' with {params.atoms} atoms"
    if params.drawn == AGAINST_XI:
        return Curve(title=title, **more, **_against_xi(path))
    return Curve(title=title, **more, **_trade_off(path))


def _trade_off(path: Path) -> dict:
    mean, x = path.loss.mean(axis=1), path.errors
    ends = [mean_interval(line, 0.0) for line in path.loss]
    series = {"atoms": mean}
    if path.covariates:
        series["covariates alone"] = np.full(len(x), path.alone.mean())
    return {
        "x": x, "x_name": "held-out reconstruction error (share of squares)", "y_name": "held-out log loss (nats)",
        "series": series, "low": {"atoms": np.array([e["low"] for e in ends])},
        "high": {"atoms": np.array([e["high"] for e in ends])},
        "null": {"atoms": np.full(len(x), path.plain.mean())},
        "marks": {"atoms": x[path.best : path.best + 1]}, "mark_name": f"least log loss, {path.name(path.best)}",
    }  # fmt: skip


def _against_xi(path: Path) -> dict:
    order, base = np.argsort(path.weights), float(path.plain.mean())
    inner, told = slice(1, -1), "log loss (share of that of class shares)"
    ends = [mean_interval(line / base, 0.0) for line in path.loss[inner]]
    return {
        "x": path.weights[order], "x_name": "ξ, the weight of the reconstruction", "y_name": "held-out share left over",
        "series": {told: path.loss[inner].mean(axis=1)[order] / base,
                   "reconstruction error": path.errors[inner][order]},
        "low": {told: np.array([e["low"] for e in ends])[order]},
        "high": {told: np.array([e["high"] for e in ends])[order]},
        "null": {told: np.ones(len(order))}, "log_x": True,
    }  # fmt: skip


def path_estimates(path: Path, params, rng) -> tuple[Estimate, ...]:
    n, last = len(path.plain), len(path.loss) - 1
    made, out = {"n": n, "d": path.d, "estimator": f"{params.folds} folds, {params.atoms} atoms"}, []
    rebuilt = {"null": max(1 - params.atoms / path.d, 0.0), "null_method": "random directions, exact mean"}
    rebuilt = {} if params.constraint == NONNEGATIVE else rebuilt
    for i in (0, path.best, last):
        value = float(path.loss[i].mean())
        out.append(Estimate(f"log loss, {path.name(i)}", value, **mean_interval(path.loss[i], 0.0),
                            null=float(path.plain.mean()), null_method="class shares",
                            unit="nats", **made))  # fmt: skip
        low, high = ratio_interval(path.left[i], path.size[i], rng)
        out.append(Estimate(f"reconstruction error, {path.name(i)}", float(path.errors[i]), low, high,
                            interval="bootstrap over samples", **rebuilt, **made))  # fmt: skip
    if path.shared:
        value = np.array([v for v, _, _ in path.shared])
        chance = np.array([overlap_by_chance(p, q, path.d) for _, p, q in path.shared]).mean(axis=0)
        out.append(
            Estimate("overlap of rebuilding and telling atoms", float(value.mean()), float(value.min()),
                     float(value.max()), interval=f"least and most of {len(value)} folds", null=float(chance[0]),
                     null_low=max(float(chance[0] - 1.96 * chance[1]), 0.0),
                     null_high=min(float(chance[0] + 1.96 * chance[1]), 1.0),
                     null_method="random subspaces: exact mean and deviation", n=n, d=path.d,
                     estimator="Σ cos² θ / m between the two ends")
        )  # fmt: skip
    return tuple(out)


def path_reading(path: Path, estimates: tuple[Estimate, ...]) -> str:
    by_name = {e.name: e for e in estimates}
    rebuild, tell = by_name[f"log loss, {ENDS[0]}"], by_name[f"log loss, {ENDS[1]}"]
    best, error = estimates[2], estimates[3]
    said = (
        f"Atoms that only rebuild leave {by_name[f'reconstruction error, {ENDS[0]}'].value:.1%} of the squares and "
        f"tell labels with a log loss of {rebuild.value:.3f} (class shares {rebuild.null:.3f}); atoms that only tell "
        f"leave {by_name[f'reconstruction error, {ENDS[1]}'].value:.1%} with {tell.value:.3f}. Between them the least "
        f"log loss is {best.value:.3f} at {path.name(path.best)}, which leaves {error.value:.1%}."
    )
    if path.covariates:
        said += f" The covariates alone have {path.alone.mean():.3f}."
    if path.shared:
        count = min(len(a) for a in path.angles)
        angles = np.degrees(np.mean([a[:count] for a in path.angles], axis=0))
        shown = ", ".join(f"{a:.0f}" for a in angles[:6]) + (" …" if count > 6 else "")
        e = by_name["overlap of rebuilding and telling atoms"]
        said += (
            f" Between the rebuilding atoms and the telling directions lie angles of {shown} degrees (overlap "
            f"{e.value:.2f}, {e.null:.2f} by chance)."
        )
    return said


def path_caveats(path: Path, data: SupervisedData, params) -> list[str]:
    notes = [
        "The fit is not convex: a better one may exist at every ξ but ∞.",
        "The least log loss was chosen among these points on the same samples, which flatters it a little.",
    ]
    if params.constraint == NONNEGATIVE:
        notes.append("Units with negative values were moved up to begin at 0; shares are of squares about 0.")
    if params.atoms >= data.x.shape[1]:
        notes.append("As many atoms as units, or more: reconstruction alone leaves nothing.")
    return notes
