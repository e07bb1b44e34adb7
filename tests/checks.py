"""Known-answer checks, for tests that break the code on purpose and look whether its check sees it."""

from __future__ import annotations

import functools
from collections.abc import Callable


@functools.cache
def passes(check: Callable) -> bool:
    """Whether the check of whole code passes: run once, however many tests then break the code in their own way."""
    return all(line.passed for line in check())
