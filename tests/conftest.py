"""Fixtures that every test may use."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import settings

settings.register_profile("shared", deadline=None)  # a slow machine is no counterexample
settings.load_profile("shared")

# one thread for each of the workers' matrix products: two workers with two threads each wait for one another on two
# cores, and small products then take up to fifty times as long (set before NumPy is imported)
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
# compiled modules stay beside their sources even where the machine's setting is to throw them away: the other worker,
# and every server, job and command that a test starts, would compile some thousand modules again
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# deterministic and offline: nothing may look for a model hub, and two cores are shared
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture
def rng():
    import numpy as np

    return np.random.default_rng(0)


@pytest.fixture
def proof(tmp_path):
    """Where a `payload.Payload` would leave its trace; the test fails if it did."""
    path = tmp_path / "code_ran"
    yield path
    assert not path.exists(), "the file's code was run"


@pytest.fixture(scope="module")
def page_stores_made(tmp_path_factory):
    """A workspace with the stores of `page_stores`, one for the tests of a file."""
    import page_stores

    return page_stores.make_workspace(tmp_path_factory.mktemp("pages of stores") / "workspace")


@pytest.fixture
def opened(page_stores_made, monkeypatch):
    """That workspace as the one that pages open; whatever they send to a component must be plain JSON."""
    import page_stores

    monkeypatch.setenv("LOUPE_WORKSPACE", str(page_stores_made.path))
    refused = page_stores.refused_messages(monkeypatch)
    yield page_stores_made
    assert not refused


@pytest.fixture(scope="session")
def server():
    """A real PostgreSQL server, one for the tests of a process."""
    import postgres_server

    if postgres_server.binaries() is None:
        pytest.skip("Debian's postgresql is not installed")
    made = postgres_server.Server()
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def people(request, tmp_path, monkeypatch):
    """What people write in an empty workspace, in each sort of database."""
    import people_subjects

    from analysis.people import People

    if request.param == "postgresql":
        people_subjects.new_database(request.getfixturevalue("server"), monkeypatch)
    else:
        monkeypatch.delenv("LOUPE_DATABASE_URL", raising=False)
    return People(tmp_path / "people.db")
