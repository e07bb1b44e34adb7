"""Two answers as a scale: the score σ(z_a - z_b) = p_a / (p_a + p_b) of every sample."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from analysis.attribution import targets
from analysis.errors import InputError, NotFound, ParameterError
from analysis.spec import Progress


def logits_of_samples(samples, progress: Progress, span: tuple[float, float]) -> np.ndarray:
    """(n, outputs) logits of each of the samples, of the next token where there are tokens. Raises InputError."""
    if samples.number:
        raise InputError(
            f"{samples.what} gives {samples.number}, not classes", "answers to choose between",
            "Its number itself is explained by 'Which units carry the answer'",
        )  # fmt: skip
    n, found = len(samples.samples), []
    for i in range(n):
        progress(span[0] + (span[1] - span[0]) * i / n, "asking")
        z = targets.at_position(samples.run(i).logits, -1)
        found.append(z[0].detach().double().cpu().numpy())
    z = np.array(found)
    if z.shape[1] < 2:
        raise InputError(f"{samples.what} has one output", "at least two answers to choose from")
    return z


def readout(logits: np.ndarray, good: int, poor: int) -> np.ndarray:
    """(n,) scores of logits (n, outputs): 1 where `good` is all, 0 where `poor` is."""
    return expit(logits[:, good] - logits[:, poor])


def share_of_both(logits: np.ndarray, good: int, poor: int) -> np.ndarray:
    """(n,) probability that the two answers have together."""
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (p[:, good] + p[:, poor]) / p.sum(axis=1)


def asked_answers(samples, logits: np.ndarray, good: str, poor: str) -> tuple[int, int]:
    """Numbers of two answers by name, text of the token or number; empty: the likeliest over all samples, and the next.

    Raises NotFound, ParameterError: no such answer, one answer twice, or only one of two named.
    """
    if bool(good) != bool(poor):
        raise ParameterError(
            f"one answer, {good or poor!r}", "two, or none", "Name the answer at the other end too"
        )
    if good:
        found = tuple(_number(samples, name, logits.shape[1]) for name in (good, poor))
    else:
        shifted = logits - logits.max(axis=1, keepdims=True)
        p = np.exp(shifted)
        mean = (p / p.sum(axis=1, keepdims=True)).mean(axis=0)
        found = tuple(int(i) for i in np.argsort(-mean, kind="stable")[:2])
    if found[0] == found[1]:
        raise ParameterError(f"{good!r} and {poor!r} are one answer", "two different ones")
    return found


def _number(samples, name: str, outputs: int) -> int:
    words = [samples.word(i) for i in range(outputs)]
    for wanted in (name, repr(name), repr(" " + name)):
        if words.count(wanted) == 1:
            return words.index(wanted)
    if name.isdigit() and int(name) < outputs:
        return int(name)
    near = [w for w in words if name.strip().lower() in w.lower()][:5] or words[:5]
    raise NotFound(f"no answer {name!r} of {samples.what}", f"one of {outputs:,}, such as {', '.join(near)}",
                   "A score needs answers of one token or one class")  # fmt: skip
