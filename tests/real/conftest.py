"""Where the networks and data of other people lie; every test here is skipped where they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REAL = Path(os.environ.get("FEATURE_LOUPE_REAL") or Path(__file__).parents[2].parent / "shared" / "real")


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.real)
            if not REAL.is_dir():
                item.add_marker(pytest.mark.skip(reason=f"no folder {REAL} (set FEATURE_LOUPE_REAL)"))


@pytest.fixture(scope="session")
def real() -> Path:
    return REAL
