"""What the benchmarks share that start a server on this machine and look at it in a browser."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip

signal.signal(
    signal.SIGTERM, lambda *_: sys.exit("ended before it was done")
)  # so that `finally` stops the servers


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int, server: subprocess.Popen, seconds: float = 120) -> None:
    """Until the server answers; RuntimeError when it ends before, or takes too long."""
    until = time.monotonic() + seconds
    while server.poll() is None and time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"the server on port {port} did not answer (exit code {server.poll()})")


def stop(server: subprocess.Popen) -> None:
    """End a server that was started in a session of its own, with whatever it started there."""
    os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
