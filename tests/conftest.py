"""Fixtures that every test may use."""

from __future__ import annotations

import os

import pytest

# deterministic and offline: nothing may look for a model hub, and two cores are shared
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture
def rng():
    import numpy as np

    return np.random.default_rng(0)
