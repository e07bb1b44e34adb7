"""The audit log: whole lines from many processes, no line of somebody else's making, put aside when it is large."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat

import pytest

from dashboard import cli
from dashboard.hosting import audit
from dashboard.hosting.audit import AuditLog, read


def test_a_line_says_who_what_which_when_and_from_where(tmp_path):
    AuditLog(tmp_path / "a").write(
        "changed", "ada@example.org", "write a note", role="editor", workspace="lab", address="192.0.2.7"
    )
    (line,) = read(tmp_path / "a")
    assert line.pop("time").endswith("Z")
    assert line == {"who": "ada@example.org", "what": "changed", "which": "write a note", "role": "editor",
                    "workspace": "lab", "from": "192.0.2.7"}  # fmt: skip


def test_nobody_else_reads_it(tmp_path):
    AuditLog(tmp_path / "a").write("started")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "a" / audit.FILE).stat().st_mode) == 0o600


def test_what_a_visitor_names_cannot_make_a_line_of_its_own(tmp_path, capsys):
    log = AuditLog(tmp_path)
    evil = 'x"}\n{"who": "eve", "what": "signed in"}\r\n\x1b[31m\u202e\u2028' + "y" * 10_000
    log.write("changed", "ada@example.org", evil)
    assert len((tmp_path / audit.FILE).read_bytes().splitlines()) == 1
    (line,) = read(tmp_path)
    assert line["who"] == "ada@example.org"
    assert len(line["which"]) <= audit.LONGEST + 1
    assert cli.main(["audit", "--log", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert len(said.splitlines()) == 1
    assert "\x1b" not in said
    assert "\u202e" not in said


def test_many_processes_write_whole_lines_and_none_is_lost_when_it_is_put_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "ROTATE", 20_000)
    jobs = [multiprocessing.get_context("fork").Process(target=_write, args=(tmp_path, k)) for k in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    lines = list(read(tmp_path))
    assert sorted(line["which"] for line in lines) == sorted(f"{k}-{i}" for k in range(4) for i in range(300))
    assert len(list(tmp_path.glob("audit-*.jsonl"))) >= 3
    assert all(f.stat().st_size <= 20_000 for f in tmp_path.glob("audit*.jsonl"))


def _write(place, k: int) -> None:
    log = AuditLog(place)
    for i in range(300):
        log.write("opened", "ada@example.org", f"{k}-{i}", workspace="lab", address="192.0.2.7")
    os._exit(0)


def test_the_oldest_go_when_there_are_too_many(tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "ROTATE", 300)
    monkeypatch.setattr(audit, "KEPT", 3)
    log = AuditLog(tmp_path)
    for i in range(60):
        log.write("opened", which=str(i))
    assert len(list(tmp_path.glob("audit-*.jsonl"))) == 3
    assert list(read(tmp_path))[-1]["which"] == "59"


def test_a_stranger_cannot_fill_it(tmp_path, monkeypatch):
    log, now = AuditLog(tmp_path), [0.0]
    monkeypatch.setattr(audit.time, "monotonic", lambda: now[0])
    for _ in range(1000):
        log.limited("refused", "a websocket", "192.0.2.9")
    assert len(list(read(tmp_path))) == audit.BURST
    log.limited("refused", "a websocket", "192.0.2.10")
    assert len(list(read(tmp_path))) == audit.BURST + 1
    now[0] = audit.PER + 1
    log.limited("refused", "a websocket", "192.0.2.9")
    assert list(read(tmp_path))[-1]["which"] == f"a websocket (and {1000 - audit.BURST} more before)"


def test_a_log_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r".*"):
        AuditLog(tmp_path / "file" / "audit").write("started")


def test_the_command_filters(tmp_path, capsys, monkeypatch):
    log = AuditLog(tmp_path)
    log.write("opened", "ada@example.org", "map", workspace="lab")
    log.write("exported", "eva@example.org", "pca.pdf", workspace="thesis")
    log.write("exported", "ada@example.org", "pca.csv", workspace="lab")
    (tmp_path / audit.FILE).open("a").write("half a li")
    monkeypatch.setenv("LOUPE_AUDIT", str(tmp_path))

    def shown(*options: str) -> list[str]:
        assert cli.main(["audit", "--json", *options]) == 0
        return [json.loads(line)["which"] for line in capsys.readouterr().out.splitlines()]

    assert shown() == ["map", "pca.pdf", "pca.csv"]
    assert shown("--who", "ADA") == ["map", "pca.csv"]
    assert shown("--what", "exported") == ["pca.pdf", "pca.csv"]
    assert shown("--in", "lab", "--what", "exported") == ["pca.csv"]
    assert shown("--which", "pdf") == ["pca.pdf"]
    assert shown("--last", "1") == ["pca.csv"]
    assert shown("--since", "2999-01-01") == []
    monkeypatch.delenv("LOUPE_AUDIT")
    assert cli.main(["audit"]) == 2
    assert cli.main(["audit", "--log", str(tmp_path / "none")]) == 1


def test_the_command_knows_what_is_written():
    from dashboard.commands import hosting_options

    assert hosting_options.WHAT == audit.WHAT
