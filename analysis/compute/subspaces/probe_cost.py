"""What fitting probes and erasers takes, in the terms of `machine().seconds`: counted on fits, not on theory.

A step of L-BFGS is some hundred small calls whatever the data, two passes over the rows, and a softmax; how many steps
it takes hardly depends on the data. Columns have an unknown number of classes: ten are assumed where it is not known.
"""

from __future__ import annotations

from collections import Counter

from analysis.compute.subspaces.probes import LINEAR, MLP

CALLS, EVALUATIONS, NETWORK = 100, 125, 150  # of one step; steps of a linear probe and of the MLP, a fold
ELEMENT = 0.02  # calls: a softmax, for each entry
ASSUMED = 10


def classes_of(ask) -> int:
    """Of the concept that `ask` (ConceptParams) names: two, where it says so."""
    return 2 if ask.first or ask.inside else ASSUMED


def steps_cost(steps: float, n: float, d: float, classes: int) -> Counter:
    """Steps of a logistic regression on rows (n, d)."""
    return Counter(calls=steps * (CALLS + ELEMENT * n * classes), moved=steps * 16 * n * d)


def probe_cost(probe: str, n: float, d: float, classes: int, folds: int, draws: int = 400) -> Counter:
    """One probe of (n, d) samples over all folds, and `draws` exchanges of its values."""
    train = n * (folds - 1) / folds
    spent = Counter(calls=draws * (10 + ELEMENT / 2 * n))
    if probe == LINEAR:
        return spent + steps_cost(folds * EVALUATIONS, train, d, classes)
    if probe == MLP:
        steps = folds * NETWORK
        return spent + Counter(
            calls=steps * (140 + ELEMENT / 4 * 32 * train), flops64=steps * 1.5 * train * d * 32
        )
    return spent + Counter(flops64=0.8 * n * train * d, moved=120.0 * n * train)


def eraser_cost(name: str, n: float, d: int, classes: int, k: int) -> Counter:
    """Finding k directions on rows (n, d)."""
    if name == "R-LACE":
        return Counter(flops64=80 * 6.0 * d**3) + steps_cost(80 * 15, n, d, classes)
    if name == "INLP":
        rounds = max(1, k // max(classes - 1, 1))
        return steps_cost(rounds * 60, n, d, classes) + Counter(flops64=rounds * 4.0 * n * d * k)
    if name == "LDA projection":
        return Counter(flops64=10.0 * min(n, d) ** 3 + 2.0 * n * d * min(n, d))
    return Counter(flops64=2.0 * d**3, calls=300)


def times(spent: Counter, factor: float) -> Counter:
    return Counter({name: value * factor for name, value in spent.items()})
