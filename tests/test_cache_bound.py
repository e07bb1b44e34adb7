"""The cache of results within a bound: the least recently used goes first, and nothing that somebody refers to."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import time
import types

import numpy as np
import pytest

from analysis import access, pipeline
from analysis.errors import LoupeError, ParameterError
from analysis.jobs import cache_bound, queue, turns
from analysis.jobs.cache_bound import bound, kept, referred
from analysis.jobs.limits import HOSTED_CACHE, limits
from analysis.people import Thing
from analysis.people.figure_things import of_result
from analysis.sharing.baskets.shelf import Baskets
from analysis.store.cache import NOTED_AFTER, ResultCache
from analysis.store.from_arrays import write_store
from analysis.workspace import Workspace

TAP = "planted:layer"
LONG_AGO = 10 * 86_400.0  # seconds


@pytest.fixture
def workspace(tmp_path):
    made = Workspace.create(tmp_path / "w")
    x = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    write_store(made.path / "stores" / "planted", name="planted", taps={"layer": x})
    return made


def made(workspace, seed: int, age: float = LONG_AGO):
    """A result, last used `age` seconds ago; an older one the smaller its seed."""
    result = workspace.run("pca", [TAP], seed=seed)
    path = workspace.cache.path(workspace.key("pca", [TAP], seed=seed))
    at = time.time() - age + seed
    os.utime(path, (at, at))
    return result, path


def seeds_left(workspace, n: int) -> set[int]:
    return {
        seed for seed in range(n) if workspace.cache.path(workspace.key("pca", [TAP], seed=seed)).exists()
    }


def fill(workspace, n: int = 10) -> int:
    """n results that nobody has used for days; the bytes of one."""
    sizes = [made(workspace, seed)[1].stat().st_size for seed in range(n)]
    return max(sizes)


def test_the_least_recently_used_go_first_and_no_more_than_needed(workspace):
    one = fill(workspace)
    for path in workspace.cache.directory.glob("shared-*.npz"):
        path.unlink()
    found = bound(workspace.path, 6 * one)
    left = seeds_left(workspace, 10)
    assert left == set(range(10 - len(left), 10)), "the newest stay"
    assert 4 <= len(left) <= 6
    assert found.after <= 6 * one < found.before
    assert found.removed == 10 - len(left)
    again = bound(workspace.path, 6 * one)
    assert again.removed == 0
    assert seeds_left(workspace, 10) == left


def test_without_a_bound_nothing_goes_and_a_host_has_one(workspace, monkeypatch):
    fill(workspace, 3)
    assert bound(workspace.path) is None
    assert seeds_left(workspace, 3) == {0, 1, 2}
    assert limits({}).cache is None
    assert limits({access.HOSTED: "1"}).cache == HOSTED_CACHE
    assert limits({access.HOSTED: "1", "LOUPE_CACHE_SIZE": "none"}).cache is None
    assert limits({"LOUPE_CACHE_SIZE": "2G"}).cache == 2 << 30
    with pytest.raises(ParameterError, match="LOUPE_CACHE_SIZE"):
        limits({"LOUPE_CACHE_SIZE": "much"})
    monkeypatch.setenv("LOUPE_CACHE_SIZE", "0")
    bound(workspace.path)
    assert seeds_left(workspace, 3) == set()


def test_using_a_result_keeps_it(workspace):
    fill(workspace)
    _, path = made(workspace, 0)
    before = path.stat().st_mtime
    assert workspace.cached("pca", [TAP], seed=0) is not None
    assert path.stat().st_mtime > before + NOTED_AFTER
    bound(workspace.path, 0)
    assert seeds_left(workspace, 10) == {0}
    assert workspace.cached("pca", [TAP], seed=5) is None
    assert workspace.run("pca", [TAP], seed=5).origin is not None, "it is computed again"


REFERENCES = ("note", "star", "tag", "reply", "link", "basket", "queued job")


def refer(workspace, how: str, result, seed: int) -> None:
    thing = of_result(result)
    people = workspace.people
    if how == "note":
        people.write(thing, "note", "look at this")
    elif how == "star":
        people.set_star(thing)
    elif how == "tag":
        people.tag(thing, "doubtful")
    elif how == "reply":
        people.reply(thing, "why?")
    elif how == "link":
        key = workspace.key("pca", [TAP], seed=seed)
        people.short_link("map", {"tap": TAP}, {f"result {key}": "a map"})
    elif how == "basket":
        Baskets(workspace.path).add("figure", result, {}, result.origin.recipe(), keep=False)
    else:
        queue.submit(workspace.path, "method", {"method": "pca", "inputs": [TAP], "seed": seed}, start=False)


@pytest.mark.parametrize("how", REFERENCES)
def test_what_somebody_refers_to_stays_however_old_and_full(workspace, how):
    fill(workspace)
    result, _ = made(workspace, 3)
    refer(workspace, how, result, 3)
    made(workspace, 3)
    found = bound(workspace.path, 0)
    assert seeds_left(workspace, 10) == {3}
    assert found.held >= found.after > 0


def test_a_reference_that_is_taken_back_holds_nothing(workspace):
    fill(workspace, 4)
    result, _ = made(workspace, 1)
    thing = of_result(result)
    workspace.people.set_star(thing)
    workspace.people.set_star(thing, False)
    bound(workspace.path, 0)
    assert seeds_left(workspace, 4) == set()


def test_where_references_cannot_be_read_nothing_goes(workspace):
    fill(workspace, 3)
    result, _ = made(workspace, 1)
    Baskets(workspace.path).add("figure", result, {}, result.origin.recipe(), keep=False)
    (workspace.path / "baskets" / "figure" / "basket.json").write_text("{")
    with pytest.raises(LoupeError):
        bound(workspace.path, 0)
    cache_bound.bound_after_a_job(workspace.path)
    assert seeds_left(workspace, 3) == {0, 1, 2}


def test_what_was_used_since_a_job_began_stays(workspace, monkeypatch):
    fill(workspace, 4)
    made(workspace, 2, age=3_000.0)
    folder = workspace.path / "jobs" / "one"
    folder.mkdir(parents=True)
    (folder / "taken").touch()
    at = time.time() - 3_600.0
    os.utime(folder / "taken", (at, at))
    turns.note_now(workspace.path / "jobs", "methods", job="one", title="long", who="")
    bound(workspace.path, 0)
    assert seeds_left(workspace, 4) == {2}
    turns.note_now(workspace.path / "jobs", "methods")
    bound(workspace.path, 0)
    assert seeds_left(workspace, 4) == set()


def test_selections_of_addresses_and_timings_are_no_part_of_it(workspace):
    from analysis.selection import Selection
    from dashboard.browse import selections

    word = selections.keep(workspace, Selection("", "rows", "planted", "layer", np.arange(5)))
    workspace.cache.timings.add(TAP, "umap", 3, 1.0, 2.0)
    for path in workspace.cache.directory.iterdir():
        os.utime(path, (0, 0))
    bound(workspace.path, 0)
    assert selections._read(workspace, word) is not None
    assert (workspace.cache.directory / "timings.json").exists()


def heat_maps(workspace) -> tuple:
    """Two with cells on disk, last used long ago."""
    x = np.random.default_rng(1).normal(size=(40, 600)).astype(np.float32)
    write_store(workspace.path / "stores" / "wide", name="wide", taps={"a": x, "b": x[:, ::-1].copy()})
    found = tuple(workspace.run("correlation_map", [f"wide:{tap}"]) for tap in "ab")
    for path in workspace.cache.directory.iterdir():
        os.utime(path, (0, 0))
    return found


def test_cells_of_a_heat_map_go_whole_and_stay_with_what_tells_them(workspace):
    starred, other = heat_maps(workspace)
    assert starred.tiles, "the cells lie on disk"
    workspace.people.set_star(of_result(starred))
    bound(workspace.path, 0)
    assert workspace.cached("correlation_map", ["wide:a"]).tiles == starred.tiles
    assert not workspace.cache.folder(other.tiles).exists()
    assert workspace.cached("correlation_map", ["wide:b"]) is None
    assert not list(workspace.cache.directory.glob(".gone-*"))


def test_what_only_a_recipe_names_stays_too(workspace):
    """A method that reads files has them in its key, and a recipe does not."""
    fill(workspace, 3)
    result, path = made(workspace, 1)
    workspace.people.set_star(of_result(result))
    os.rename(path, path.with_name("f" * 32 + ".npz"))
    bound(workspace.path, 0)
    assert path.with_name("f" * 32 + ".npz").exists()
    assert seeds_left(workspace, 3) == set()


def test_a_result_whose_cells_went_counts_as_absent(workspace):
    cache = ResultCache(workspace.cache.directory)
    assert not cache.has_folder("c" * 32)
    cache.folder("c" * 32).mkdir(parents=True)
    os.utime(cache.folder("c" * 32), (0, 0))
    assert cache.has_folder("c" * 32)
    assert cache.folder("c" * 32).stat().st_mtime > 0, "asking is a use"


def test_what_a_killed_process_left_is_cleared_away(workspace):
    fill(workspace, 1)
    left = workspace.cache.directory / ".gone-0123"
    left.mkdir()
    (left / "tiles").write_bytes(bytes(10))
    bound(workspace.path, 1 << 30)
    assert not left.exists()


# ---------------------------------------------------------------------------- two processes
def _bounding(path, limit, end) -> None:
    while time.time() < end:
        bound(path, limit)


def _using(path, end, failures) -> None:
    opened = Workspace.open(path)
    n = 0
    while time.time() < end:
        seed = n % 12
        n += 1
        try:
            found = opened.cached("pca", [TAP], seed=seed)
            if found is None:
                found = opened.run("pca", [TAP], seed=seed)
            assert found.origin.seed == seed
            target = opened.cache.path(opened.key("pca", [TAP], seed=seed))
            os.utime(target, (0, 0))  # as if it had been long ago
        except FileNotFoundError:
            continue  # the date of one that went just now
        except Exception as error:
            failures.put(repr(error))
            return


def test_two_that_bound_while_two_others_read_and_compute(workspace, monkeypatch):
    # a page that another test opened may stand there, and the children would run it
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    one = fill(workspace, 12)
    context = multiprocessing.get_context("spawn")
    failures, end = context.Queue(), time.time() + 6
    processes = [context.Process(target=_bounding, args=(workspace.path, 4 * one, end)) for _ in range(2)]
    processes += [context.Process(target=_using, args=(workspace.path, end, failures)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert failures.empty(), failures.get()
    for thing in kept(workspace.cache.directory):
        if thing.path.parent == workspace.cache.directory and thing.path.suffix == ".npz":
            cache_bound.results.plain_fields(thing.path)  # whole


def test_only_one_process_at_a_time(workspace):
    one = fill(workspace, 4)
    script = (
        "import sys, time; from pathlib import Path; from analysis.jobs import cache_bound as c\n"
        "with c._alone(Path(sys.argv[1])) as alone:\n    print(alone, flush=True); sys.stdin.readline()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(workspace.cache.directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert holder.stdout.readline().strip() == "True"
        assert bound(workspace.path, one) is None
        assert seeds_left(workspace, 4) == {0, 1, 2, 3}
    finally:
        holder.communicate("\n", timeout=30)
    assert bound(workspace.path, one).removed >= 2


def test_a_worker_bounds_the_cache_after_its_job(workspace, monkeypatch):
    from analysis.jobs import worker

    fill(workspace, 5)
    monkeypatch.setenv("LOUPE_CACHE_SIZE", "0")
    id = queue.submit(workspace.path, "method", {"method": "pca_spectrum", "inputs": [TAP]}, start=False)
    worker.run_job(workspace.path, id)
    assert queue.status(workspace.path, id).state == "done"
    assert workspace.cached("pca_spectrum", [TAP]) is not None, "what was made just now is in use"
    assert seeds_left(workspace, 5) == set()


def test_a_figure_is_known_by_its_recipe_too(workspace):
    result, path = made(workspace, 0)
    key = pipeline.key_of(result.origin)
    assert key == path.stem
    workspace.people.write(of_result(result), "note", "x")
    assert referred(workspace) == {of_result(result).item}
    workspace.people.write(Thing.feature("planted", "layer", 1), "note", "x")
    assert referred(workspace) == {of_result(result).item}


def test_an_absent_cache_is_no_error(tmp_path):
    empty = Workspace.create(tmp_path / "empty")
    shutil.rmtree(empty.path / "cache", ignore_errors=True)
    assert bound(empty.path, 10) is None
