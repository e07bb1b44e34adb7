"""The server: only this machine, no details of faults, no uploads, a taken port is refused in words."""

from __future__ import annotations

import socket
import subprocess
import threading
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


def test_a_browser_is_opened_once_the_server_answers(monkeypatch):
    """By us and not by Streamlit, which would then take the visitor for a developer and advertise on every page."""
    from dashboard import serving

    opened = []
    monkeypatch.setattr(serving.webbrowser, "open", lambda url: opened.append((url, listening)))
    monkeypatch.setenv("DISPLAY", ":0")
    with socket.socket() as later:
        later.bind((server.HOST, 0))
        url, listening = f"http://{server.HOST}:{later.getsockname()[1]}", False
        asking = threading.Thread(target=serving.show, args=(url,))
        asking.start()
        time.sleep(0.3)
        assert not opened
        listening = True
        later.listen()
        asking.join(10)
    assert opened == [(url, True)]


def test_without_a_screen_no_browser_is_opened(monkeypatch):
    from dashboard import serving

    monkeypatch.setattr(serving.webbrowser, "open", lambda url: pytest.fail("opened"))
    monkeypatch.setattr(serving, "SHOW_WITHIN", 0.2)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(serving.sys, "platform", "linux")
    with socket.socket() as there:
        there.bind((server.HOST, 0))
        there.listen()
        serving.show(f"http://{server.HOST}:{there.getsockname()[1]}")


def test_only_the_start_command_asks_for_a_browser(tmp_path):
    assert server.environment(tmp_path)["LOUPE_OPEN"] == ""
    assert server.environment(tmp_path, "http://127.0.0.1:9")["LOUPE_OPEN"] == "http://127.0.0.1:9"


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
