"""LEACE of a wide tap: moments in one stream and a closed form, against the matrix product that it needs.

    python benchmarks/erasure_speed.py [--samples 20000] [--units 4096] [--classes 10] [--repeats 2]

Ours: `tap_concept_moments` over a tap in memory (float32, read in chunks; which samples are finite first), then
`leace` (one Cholesky factorisation). The product: centred float64 XᵀX of the same rows in one piece, n x d x 8 bytes
held. The peer: the form in which the paper writes it, with the inverse square root of the covariance from its
eigenvectors and a pseudoinverse, from the same moments; both erasers are compared. Peak memory of ours, at half of
the samples and at all of them, in units of one (d, d) matrix of float64: the same where it does not depend on n. Every
side is timed in turn in one run, best of the repeats; only ratios mean something.
"""

from __future__ import annotations

import argparse
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from analysis.activations import ArrayActivations
from analysis.compute.groups.concept import ConceptParams
from analysis.compute.subspaces.concept_moments import ConceptMoments, tap_concept_moments
from analysis.compute.subspaces.erasure import Eraser, leace


def tap(n: int, d: int, classes: int) -> ArrayActivations:
    """Classes that shift units of falling variance, with a mean."""
    rng = np.random.default_rng(0)
    of = np.arange(n) % classes
    x = rng.standard_normal((n, d), dtype=np.float32)
    x *= np.linspace(1, 0.05, d, dtype=np.float32)
    x += rng.standard_normal((classes, d), dtype=np.float32)[of] * 0.3 + 2
    return ArrayActivations(x, "wide", samples={"label": of})


def erased(data: ArrayActivations) -> tuple[ConceptMoments, Eraser]:
    """Ours."""
    moments, _, concept = tap_concept_moments(data, ConceptParams("label"), minimum=16)
    return moments, leace(moments, concept.rank)


def product(data: ArrayActivations) -> np.ndarray:
    """What second moments cost at least, all rows at once."""
    x = data.values.astype(np.float64)
    x -= x.mean(axis=0)
    return x.T @ x


def by_square_root(m: ConceptMoments) -> np.ndarray:
    """The projection W⁺ P W of the paper (d, d)."""
    values, vectors = np.linalg.eigh(m.covariance)
    good = values > 1e-10 * values[-1]
    values, vectors = values[good], vectors[:, good]
    w, back = (vectors * values**-0.5) @ vectors.T, (vectors * values**0.5) @ vectors.T
    seen = np.linalg.svd(w @ m.cross, full_matrices=False)
    u = seen[0][:, seen[1] > 1e-9 * seen[1][0]]
    return (back @ u) @ (u.T @ w)


def timed(act) -> tuple[float, object]:
    started = time.perf_counter()
    outcome = act()
    return time.perf_counter() - started, outcome


def peak(data: ArrayActivations) -> int:
    tracemalloc.start()
    erased(data)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def main() -> None:
    """Print times, ratios and memory."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in (("samples", 20_000), ("units", 4096), ("classes", 10), ("repeats", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    n, d = asked.samples, asked.units
    data = tap(n, d, asked.classes)
    erased(tap(200, 16, 2))  # imports
    best = dict.fromkeys(("ours", "form", "product", "root"), np.inf)
    for _ in range(asked.repeats):
        seconds, (moments, eraser) = timed(lambda: erased(data))
        best["ours"] = min(best["ours"], seconds)
        best["form"] = min(best["form"], timed(lambda m=moments: leace(m, asked.classes - 1))[0])
        best["product"] = min(best["product"], timed(lambda: product(data))[0])
        seconds, known = timed(lambda m=moments: by_square_root(m))
        best["root"] = min(best["root"], seconds)
    rows = data.values[:500] - moments.mean
    apart = np.abs((rows @ eraser.read) @ eraser.write.T - rows @ known.T).max() / np.abs(rows).max()
    print(f"LEACE of {asked.classes} classes, {n:,} samples of {d:,} units")
    print(f"  moments and eraser      {best['ours']:7.2f} s")
    ratio = best["ours"] / best["product"]
    print(f"  centred product alone   {best['product']:7.2f} s   ours / this {ratio:5.2f}")
    print(f"  the closed form alone   {best['form']:7.2f} s")
    again = best["root"] / best["form"]
    print(f"  by square roots         {best['root']:7.2f} s   this / form {again:5.1f}   apart {apart:.0e}")
    square = d * d * 8
    few = ArrayActivations(data.values[: n // 2], "few", samples={"label": data.samples["label"][: n // 2]})
    print(
        f"  peak memory {peak(few) / square:.1f} (d, d) matrices at {n // 2:,} samples, "
        f"{peak(data) / square:.1f} at {n:,}; the data in float64 are {n * d * 8 / square:.1f}"
    )


if __name__ == "__main__":
    main()
