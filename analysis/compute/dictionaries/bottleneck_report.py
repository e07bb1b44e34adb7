"""What a concept bottleneck found, as numbers and pictures: class weights, or the evidence of one sample."""

from __future__ import annotations

import numpy as np

from analysis.compute.dictionaries.bottleneck import FOLDS
from analysis.compute.linear.sparse_softmax import sparse_heads
from analysis.compute.statistics.nulls import against, wilson
from analysis.compute.statistics.sample_groups import mean_interval
from analysis.errors import NotFound
from analysis.results import Estimate, Matrix

SHOWN, REST = 40, "all else"


def bottleneck_estimates(found, random, alone, raw, of, names, d: int, rng) -> tuple[Estimate, ...]:
    n, right = len(of), (found.named == of).astype(np.float64)
    by_chance = np.array([(r.named == of).mean() for r in random])
    majority = float(np.bincount(of).max() / n)
    leak, used = right - (alone.named == of), found.used
    how = f"held out, {FOLDS} folds"
    return (
        Estimate("accuracy from concepts", float(right.mean()), *wilson(right.sum(), n), interval="Wilson over samples",
                 **against(float(right.mean()), by_chance), n=n, d=len(names), estimator=f"sparse head, {how}",
                 null_method=f"as many random directions, active as often, {len(random)} sets"),
        Estimate("accuracy from the activations", float((raw == of).mean()), *wilson(float((raw == of).sum()), n),
                 interval="Wilson over samples", null=majority, null_method="naming the most frequent class", n=n, d=d,
                 estimator=f"linear probe (Fisher's), {how}"),
        Estimate("leakage: what values tell beyond their own label", float(leak.mean()), **mean_interval(leak, -1, 1),
                 null=0.0, null_method="values that tell nothing but their label", n=n, d=len(names),
                 estimator="accuracy less that with values exchanged inside each concept's own label"),
        Estimate("concepts used by a sample", float(used.mean()), **mean_interval(used, 0.0, len(names)), n=n,
                 **against(float(used.mean()), np.array([r.used.mean() for r in random])), d=len(names),
                 null_method="random directions, same share of the penalty",
                 estimator="not 0, with a weight for the class that is answered"),
    )  # fmt: skip


def off_estimates(found, named, of, count: int) -> tuple[Estimate, ...]:
    n, moved = len(of), float((named != found.named).sum())
    return (
        Estimate(f"answers that change with {count} concept(s) off", moved / n, *wilson(moved, n), n=n, d=count,
                 interval="Wilson over samples", estimator="values set to 0, heads as they are"),
        Estimate(f"accuracy with {count} concept(s) off", float((named == of).mean()),
                 *wilson(float((named == of).sum()), n), d=count, n=n, interval="Wilson over samples",
                 estimator="values set to 0, heads as they are"),
    )  # fmt: skip


def class_weights(title, found, codes, data, fold, names, ids, params, reading, caveats, estimates) -> Matrix:
    classes, size = len(data.names), codes.std(axis=0)
    whole = sparse_heads(codes, data.of, classes, (0.5, float(np.median(found.share))))[-1]
    weights = (whole.weights * size[:, None]).T
    folds = np.array([np.sign(h.weights.T) for h in found.heads])
    firm = (np.abs(folds.sum(axis=0)) == len(folds)) & (weights != 0)
    order = np.argsort(-np.abs(weights).max(axis=0), kind="stable")
    in_use = int((weights != 0).any(axis=0).sum())
    shown = order[: max(1, min(in_use, SHOWN))]
    shown = shown[
        np.argsort(np.abs(weights[:, shown]).argmax(axis=0), kind="stable")
    ]  # beside the class they tell
    return Matrix(
        title=f"What each concept of {title} says for '{params.column}'", estimates=estimates,
        reading=f"Each line is a value of '{params.column}', each column a concept: red speaks for that value, blue "
        f"against it. {reading} {in_use} of {len(names)} concepts have a weight for some class.",
        caveats=(*caveats, f"The {len(shown)} concepts with the largest weights are shown; those of the same sign in "
                 "every fold are marked."),
        values=weights[:, shown], row_names=data.names, column_names=tuple(names[shown]), significant=firm[:, shown],
        value_name="weight, of one standard deviation", diverging=True,
    )  # fmt: skip


def sample_evidence(
    title, found, codes, data, fold, names, ids, params, reading, caveats, estimates
) -> Matrix:
    wrong = np.flatnonzero(found.named != data.of)
    at = int(wrong[0]) if len(wrong) else 0
    if params.sample:
        if params.sample not in ids:
            raise NotFound(f"no labelled sample {params.sample!r} was read", f"an id such as {ids[0]!r}")
        at = int(np.flatnonzero(ids == params.sample)[0])
    head = found.heads[fold[at]]
    parts = (head.weights * codes[at][:, None]).T
    order = np.argsort(-np.abs(parts).max(axis=0), kind="stable")[: SHOWN // 2]
    order = order[np.abs(parts[:, order]).max(axis=0) > 0]
    logits = head.scores(codes[at : at + 1])[0]
    values = np.column_stack([parts[:, order], logits - parts[:, order].sum(axis=1)])
    said, true = data.names[found.named[at]], data.names[data.of[at]]
    return Matrix(
        title=f"Evidence in sample {ids[at]} of {title}", estimates=estimates,
        reading=f"Sample {ids[at]} is {true} and is named {said}: weight times value of each concept adds up to the "
        f"logit of a class ({REST}: the other concepts and the intercept). Each line is a value of "
        f"'{params.column}', each column a concept; red speaks for that value. {reading}",
        caveats=(*caveats, "The head is the one that did not see this sample."), values=values,
        row_names=data.names, column_names=(*names[order], REST), value_name="weight times value", diverging=True,
    )  # fmt: skip


def bottleneck_reading(estimates) -> str:
    own, raw, leak, used = estimates[:4]
    better = "more than" if own.low > own.null_high else "no more than"
    said = "is shown" if (leak.low or 0) > 0 else "is not shown"
    return (
        f"Concepts tell the class of {own.value:.1%} of samples, with {used.value:.1f} of them for a sample: {better} "
        f"as many random directions ({own.null:.1%}); a probe on the activations tells {raw.value:.1%}. Leakage "
        f"{said} ({leak.value:+.1%})."
    )


def bottleneck_caveats(known: int, names, d: int, vary, k: int) -> list[str]:
    said = ["The head sees pooled samples; a concept's place in the sample is not used."]
    if known < len(names):
        said.append(
            f"{len(names) - known} of {len(names)} concepts have no column of their own: their own label is where they "
            "are active, or above their median."
        )
    if len(names) >= d:
        said.append("There are as many concepts as units: random directions can hold all that is linear.")
    if len(vary) < k:
        said.append(f"{k - len(vary)} concept(s) that do not vary were left out.")
    return said
