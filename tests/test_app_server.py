"""The server: only this machine, no details of faults, no uploads, a taken port is refused in words."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request

import pytest

from analysis.errors import InputError
from dashboard import server


def test_flags_keep_it_private_and_quick():
    line = " ".join(server.command(8501))
    for flag in (
        "--server.address 127.0.0.1",
        "--client.showErrorDetails none",
        "--browser.gatherUsageStats false",
        "--runner.postScriptGC false",
        "--server.fileWatcherType none",
        "--server.maxUploadSize 1",
        "--server.allowedHosts 127.0.0.1 --server.allowedHosts localhost",
        "--server.headless true",
    ):
        assert flag in line


def test_a_taken_port_is_refused():
    with socket.socket() as other:
        other.bind((server.HOST, 0))
        other.listen()
        with pytest.raises(InputError, match="is taken"):
            server.require_free(other.getsockname()[1])


def test_it_answers(tmp_path):
    with socket.socket() as probe:
        probe.bind((server.HOST, 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        server.command(port),
        env=server.environment(tmp_path / "ws"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert _healthy(port)
    finally:
        process.terminate()
        said = process.communicate(timeout=20)[0].decode()
    assert "is not a valid config option" not in said


def _healthy(port: int) -> bool:
    for _ in range(150):
        try:
            with urllib.request.urlopen(f"http://{server.HOST}:{port}/_stcore/health", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            time.sleep(0.2)
    return False
