"""Neighbour maps and graphs against their peers, and every method's cost estimate against what it took.

    python benchmarks/projection_speed.py [maps] [parts] [estimates] [--points N ...] [--data NAME ...]
                                          [--only MAP ...] [--repeat R]

maps: LocalMAP, PaCMAP and UMAP against umap-learn's defaults, openTSNE, and the package pacmap where installed, each in
a process of its own, by turns, the best of R; without the quality measurement, which the peers do not make. A process
first draws 6,000 points of 256 units twice: the difference is what the first fit of a process costs in imports and
compilation. "first" is with whatever compiled code lies on disk (a person's second start), which umap-learn mostly does
not keep; "afresh" (ours only) is with none (after an installation). The maps that are timed come after, all warm.
The limits are those of the default map: LocalMAP at 50,000 x 256 at least 3 times umap-learn's speed, trustworthiness
and neighbour recall no more than 0.01 below it; other shapes are judged by the same limits for information.
parts: the graph alone (against scikit-learn) and the layouts alone. Ratios in one run on one machine; the seconds
alone mean little. "processor" is processor time over two: what a quiet two-core machine would take.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

SHAPES = [(2_000, 64), (10_000, 256), (20_000, 768)]
OURS = ("localmap", "pacmap", "umap")
PEERS = {"umap-learn": "umap", "openTSNE": "openTSNE", "pacmap.LocalMAP": "pacmap", "pacmap.PaCMAP": "pacmap"}
MEASURED = 3000  # points whose neighbourhoods are compared
FASTER, WITHIN = 3.0, 0.01  # limits of the default map against umap-learn


def clusters(n: int, d: int) -> np.ndarray:
    """Ten overlapping clusters, float32."""
    rng = np.random.default_rng(0)
    centres = 1.5 * rng.standard_normal((10, d))
    return (centres[rng.integers(0, 10, n)] + rng.standard_normal((n, d))).astype(np.float32)


def subspaces(n: int, d: int, k: int = 20, rank: int = 8) -> np.ndarray:
    """Twenty clusters, each a Gaussian on eight directions of its own, with a little noise; float32."""
    rng = np.random.default_rng(0)
    label, centres = rng.integers(0, k, n), rng.standard_normal((k, d))
    x = 0.1 * rng.standard_normal((n, d)).astype(np.float32)
    for c in range(k):
        spread = rng.standard_normal((rank, d))
        x[label == c] += centres[c] + rng.standard_normal(((label == c).sum(), rank)) @ spread
    return x


def digits(n: int, d: int) -> np.ndarray:
    """Scikit-learn's 1,797 digits of 64 pixels."""
    from sklearn.datasets import load_digits

    return load_digits().data[:n].astype(np.float32)


def recorded(n: int, d: int) -> np.ndarray:
    """A recorded layer of the sample workspace: 2,304 tokens of 80 units."""
    from analysis.workspace import open_workspace

    tap = open_workspace(Path(__file__).parents[1] / "sample_data/workspace").activations(
        "python-gpt:transformer.h.2"
    )
    return np.concatenate([block for _, block in tap.chunks()])[:n].astype(np.float32)


DATA = {"clusters": clusters, "subspaces": subspaces, "digits": digits, "recorded": recorded}


def timed(action) -> tuple[float, object]:
    started = time.perf_counter()
    outcome = action()
    return time.perf_counter() - started, outcome


def processor_seconds(action) -> float:
    """Processor time: what an action takes where nothing else runs, up to the number of cores it uses."""
    started = time.process_time()
    action()
    return time.process_time() - started


# ---------------------------------------------------------------------------- one map in a process of its own
def drawer(name: str):
    """x -> positions, by one of OURS or PEERS with its defaults."""
    if name == "umap-learn":
        import umap

        return lambda x: umap.UMAP().fit_transform(x)
    if name == "openTSNE":
        import openTSNE

        return lambda x: np.asarray(openTSNE.TSNE(n_jobs=2).fit(x))
    if name.startswith("pacmap."):
        import pacmap

        return lambda x: getattr(pacmap, name.split(".")[1])(random_state=0).fit_transform(x)
    return lambda x: own_map(name, x)


def own_map(name: str, x: np.ndarray, graph=None) -> np.ndarray:
    """Graph and layout of ours with the method's defaults, from nothing (or from a graph)."""
    from analysis.compute import kept
    from analysis.compute.maps.layout import umap_layout
    from analysis.compute.maps.pair_layout import REACH, laid_out
    from analysis.compute.neighbours.neighbour_graph import neighbour_graph

    rng = np.random.default_rng(0)
    if graph is None:
        kept.forget()
        graph = neighbour_graph(x, 15)
    if name == "umap":
        epochs = 500 if len(x) <= 10_000 else 200
        return umap_layout(x, graph, n_neighbors=15, min_dist=0.1, epochs=epochs, rng=rng)
    reach = REACH if name == "localmap" else None
    return laid_out(x, graph, components=2, n_neighbors=10, reach=reach, rng=rng)


def child(name: str, data: str, folder: str) -> None:
    """Serve one map: draw a small one twice and say how long each took, then draw once per line of input and answer
    with the seconds."""
    warnings.simplefilter("ignore")
    small = clusters(6000, 256)  # large enough to start all that a larger one needs
    seconds = [
        timed(lambda: drawer(name)(small))[0] for _ in range(2)
    ]  # the first: imports, compilation, threads
    draw = drawer(name)
    x = np.load(Path(folder) / f"{data}.npy")
    print(json.dumps(seconds), flush=True)
    for _ in sys.stdin:
        used, started = time.process_time(), time.perf_counter()
        drawn = draw(x)
        seconds = time.perf_counter() - started, (time.process_time() - used) / 2
        np.save(Path(folder) / f"{name}.npy", drawn)
        print(json.dumps(seconds), flush=True)


def maps(points: list[int], names: list[str], repeat: int, only: list[str]) -> None:
    """Every map on every data set, by turns; then the limits."""
    there = [*OURS, *(p for p, package in PEERS.items() if importlib.util.find_spec(package))]
    drawn_by = [name for name in there if not only or name in only]
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.2f} before the start")
    compilation(drawn_by)
    verdicts = []
    for name in names:
        for n in points if name in ("clusters", "subspaces") else points[:1]:
            with tempfile.TemporaryDirectory() as folder:
                x = DATA[name](n, 256)
                np.save(Path(folder) / f"{name}.npy", x)
                verdicts += compare(x, name, folder, drawn_by, repeat)
    print("\n".join(verdicts))


def started_child(name: str, data: str, folder: str, **environment):
    """A child process that serves a map, and the seconds of its two small ones (None where it failed)."""
    command = [sys.executable, __file__, "child", name, data, folder]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    return process, json.loads(process.stdout.readline() or "null")


def compilation(drawn_by: list[str]) -> None:
    """What the first fit of a process costs more than its second."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "clusters.npy", clusters(10, 2))
        for name in drawn_by:
            kinds = {"first": {}}
            if name in OURS:
                kinds["afresh"] = {"NUMBA_CACHE_DIR": str(Path(folder) / name)}
            for kind, environment in kinds.items():
                process, seconds = started_child(name, "clusters", folder, **environment)
                process.communicate()
                if seconds:
                    print(f"{name:>16}  {kind:>6}: {seconds[0] - seconds[1]:5.1f} s of imports and compilation "
                          f"(6,000 x 256 in {seconds[1]:.2f} s)", flush=True)  # fmt: skip


def compare(x: np.ndarray, data: str, folder: str, drawn_by: list[str], repeat: int) -> list[str]:
    """Print a line per map; the verdicts on the default one."""
    from analysis.compute.maps.map_quality import placement_quality

    found = {name: [] for name in drawn_by}
    for _ in range(repeat):
        for name in drawn_by:
            process, ready = started_child(name, data, folder)
            with process:
                if ready:
                    process.stdin.write("draw\n")
                    process.stdin.flush()
                    found[name].append(json.loads(process.stdout.readline()))
                process.stdin.close()
    peer = np.min(found["umap-learn"], axis=0) if found.get("umap-learn") else (np.nan, np.nan)
    measured = {}
    for name in drawn_by:
        if not found[name]:
            continue
        wall, used = np.min(found[name], axis=0)
        q = placement_quality(x, np.load(Path(folder) / f"{name}.npy"), 15, maximum_anchors=MEASURED)
        measured[name] = np.array([peer[0] / wall, peer[1] / used, q.trust.mean(), q.recall.mean()])
        print(f"{data:>10} {len(x):>6} x {x.shape[1]:<4}{name:>16} {wall:6.2f} s, processor {used:6.2f} s, "
              f"{peer[0] / wall:5.1f} ({peer[1] / used:5.1f}) times umap-learn's speed, "
              f"trust {q.trust.mean():.4f} recall {q.recall.mean():.4f}", flush=True)  # fmt: skip
    if not {"localmap", "umap-learn"} <= set(measured):
        return []
    return verdicts(f"{data} {len(x):,} x {x.shape[1]}", measured["localmap"], measured["umap-learn"])


def verdicts(what: str, ours: np.ndarray, peer: np.ndarray) -> list[str]:
    """One line per limit: "met" or "MISSED". The arrays: speed, speed by processor time, trust, recall."""
    lines = [
        (
            "speed",
            ours[0],
            f"at least {FASTER:g} times umap-learn's (processor {ours[1]:.1f})",
            ours[0] >= FASTER,
        )
    ]
    for name, mine, theirs in zip(("trustworthiness", "neighbour recall"), ours[2:], peer[2:], strict=True):
        lines.append((name, mine, f"at least {theirs:.4f} - {WITHIN:g}", mine >= theirs - WITHIN))
    return [
        f"{'met' if met else 'MISSED':>7}  {what}  {name} {value:.4g}, {limit}"
        for name, value, limit, met in lines
    ]


# ---------------------------------------------------------------------------- parts
def parts(points: list[int], names: list[str], repeat: int) -> None:
    """The graph alone, exact and approximate, against scikit-learn; the layouts alone, from a graph that is there."""
    from sklearn.neighbors import NearestNeighbors

    from analysis.compute import kept
    from analysis.compute.neighbours.neighbour_graph import neighbour_graph

    def fresh(x, k, **more):
        kept.forget()
        return neighbour_graph(x, k, **more)

    brute = NearestNeighbors(n_neighbors=16, algorithm="brute")
    own_map("localmap", clusters(6000, 256))
    fresh(clusters(6000, 256), 15, exact=False)
    for name in names:
        for n in points if name in ("clusters", "subspaces") else points[:1]:
            x = DATA[name](n, 256)
            jobs = {
                "scikit-learn brute": lambda x=x: brute.fit(x).kneighbors(x),
                "graph, exact": lambda x=x: fresh(x, 15, exact=True),
                "graph, approximate": lambda x=x: fresh(x, 15, exact=False),
                "graph kept": lambda x=x: neighbour_graph(x, 15),
            }  # fmt: skip
            graph = neighbour_graph(x, 15)
            for own in OURS:
                jobs[f"layout, {own}"] = lambda x=x, own=own, graph=graph: own_map(own, x, graph)
            for job, action in jobs.items():
                best = min((timed(action) for _ in range(repeat)), key=lambda pair: pair[0])
                note = f", recall {best[1].recall:.4f}" if job.startswith("graph") else ""
                print(f"{name:>10} {len(x):>6} x {x.shape[1]:<4}{job:>20} {best[0]:6.2f} s{note}", flush=True)


def estimates(points: list[int], names: list[str], repeat: int) -> None:
    """Seconds announced by `cost` against seconds taken."""
    from analysis import registry
    from analysis.activations import ArrayActivations
    from analysis.compute import kept

    for method in registry.methods().values():
        for n, d in SHAPES:
            label = np.arange(n) % 10
            taps = [ArrayActivations(clusters(n, d), samples={"label": label}) for _ in range(method.inputs)]
            announced = method.cost(((n, d),) * method.inputs, method.params()).seconds
            if n == SHAPES[0][0]:
                method.function(*taps)  # imports and compiled code
            kept.forget()
            wall = time.perf_counter()
            used = processor_seconds(lambda method=method, taps=taps: method.function(*taps))
            wall = time.perf_counter() - wall
            print(f"{method.id:>20} {n:>6} x {d:<4} announced {announced:7.2f} s, took {wall:7.2f} s, "
                  f"processor {used:7.2f} s, processor / announced {used / announced:5.2f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1:2] == ["child"]:
        child(*sys.argv[2:])
        raise SystemExit
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", choices=["maps", "parts", "estimates", []])
    parser.add_argument("--points", nargs="+", type=int, default=[10_000, 50_000])
    parser.add_argument("--data", nargs="+", choices=list(DATA), default=["subspaces", "clusters"])
    parser.add_argument("--only", nargs="+", choices=[*OURS, *PEERS], default=[])
    parser.add_argument("--repeat", type=int, default=2)
    given = parser.parse_args()
    for name in given.what or ["maps", "parts", "estimates"]:
        more = (given.only,) if name == "maps" else ()
        {"maps": maps, "parts": parts, "estimates": estimates}[name](
            given.points, given.data, given.repeat, *more
        )
