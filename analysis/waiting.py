"""How threads of compiled libraries wait for each other."""

from __future__ import annotations

import os


def threads_that_sleep() -> None:
    """They sleep, unless the user has said otherwise. By default they spin, and a core that other work needs is waited
    for by spinning: beside other work a small network took five times as long on two cores. To be called before such a
    library is loaded."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
