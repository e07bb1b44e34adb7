"""Numbers and words on sessions of new classes: shifts of features, and how far a classifier is from a simplex."""

from __future__ import annotations

from analysis.compute.statistics.sample_groups import mean_interval
from analysis.compute.subspaces.session_simplex import ALL, BASE, NOVEL
from analysis.results import Estimate

DRAWS = 200  # of rows that point anywhere


def shift_estimates(moved, names, taps) -> list[Estimate]:
    return [
        Estimate(f"shift of {group} at {name}", float(own.mean()), **mean_interval(own, 0.0), null=float(null.mean()),
                 null_method=f"another sample of the {group} at {names[0]}", n=len(own), d=taps[0].shape[1],
                 estimator="share of the length, mean over samples")
        for group, (apart, null) in moved.items() for name, own in zip(names, apart, strict=True)
    ]  # fmt: skip


def simplex_estimates(far, names, made, centre: bool) -> list[Estimate]:
    out, d = [], made[-1].rows.shape[1]
    for kind, one in far[-1].items():
        for i, (what, value) in enumerate(
            (("distance from a simplex", one.distance), ("mean cosine", one.cosine))
        ):
            null, low, high = (float(v) for v in one.null[:, i])
            ends = {"interval": "none: too few classes"}
            if one.halves is not None:
                half, least = float(one.halves[i]), (0.0, -1.0)[i]
                ends = {
                    "low": max(value - half, least),
                    "high": value + half,
                    "interval": "jackknife over classes",
                }
            goal = f"; {one.simplex:.3f} in a simplex of {made[-1].k}" if i else ""
            out.append(Estimate(
                f"{what}, {kind} at {names[-1]}", value, **ends, null=null, null_low=low, null_high=high,
                null_method=f"rows that point anywhere{', centred' if centre else ''}, {DRAWS} draws", n=one.classes,
                d=d, estimator=("root mean square over pairs" if not i else "over pairs") + goal,
            ))  # fmt: skip
    return out


def reading(told, names, what: str) -> str:
    by = {e.name: e for e in told}
    base = by[f"shift of {BASE} at {names[-1]}"]
    text = f"At {names[-1]} features of the base classes have moved by {base.value:.0%} of their length since " \
        f"{names[0]} (another sample lies {base.null:.0%} away)"  # fmt: skip
    novel = by.get(f"shift of {NOVEL} at {names[-1]}")
    text += f", those of the novel classes by {novel.value:.0%}." if novel else "."
    far = by.get(f"distance from a simplex, {ALL} at {names[-1]}")
    if far is None:
        return f"{text} There are too few classes for a simplex."
    verb = "is" if what == "classifier" else "are"
    return (
        f"{text} The {what} {verb} {far.value:.2f} from a simplex (rows that point anywhere: {far.null:.2f})."
    )
