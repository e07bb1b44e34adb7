"""Roles of a workspace: who changes them, what a broken file gives, two at once, and the command."""

from __future__ import annotations

import json
import multiprocessing
import os

import pytest

from analysis.access import Person, acting_as
from analysis.errors import Forbidden, InputError, NotFound, ParameterError
from analysis.workspace import Workspace
from dashboard import cli
from dashboard.hosting.roles import FILE, Members

OWNER = Person("ada@example.org", "owner")


@pytest.fixture
def members(tmp_path):
    return Members(Workspace.create(tmp_path / "ws").path, ("ada@example.org",))


def test_an_owner_gives_changes_and_takes_away_and_it_holds_at_once(members):
    assert members.role("eva@example.org") == "none"
    with acting_as(OWNER):
        members.put("Eva@Example.org", "editor")
        assert members.role("eva@example.org") == "editor"
        members.put("eva@example.org", "viewer")
        assert members.role("EVA@example.org") == "viewer"
        assert [(m.email, m.role) for m in members.listed()] == [
            ("ada@example.org", "owner"), ("eva@example.org", "viewer")]  # fmt: skip
        members.remove("eva@example.org")
    assert members.role("eva@example.org") == "none"
    assert members.role("eva@example.org", "viewer") == "viewer"


@pytest.mark.parametrize("role", ["none", "viewer", "editor"])
def test_nobody_else_does(members, role):
    with acting_as(OWNER):
        members.put("vic@example.org", "viewer")
    before = (members.path / FILE).read_bytes()
    with acting_as(Person("vic@example.org", role)):
        for attempt in (
            lambda: members.put("vic@example.org", "owner"),
            lambda: members.remove("vic@example.org"),
        ):
            with pytest.raises(Forbidden, match="role of owner"):
                attempt()
    assert (members.path / FILE).read_bytes() == before


def test_owners_of_the_environment_stay(members):
    with acting_as(OWNER):
        for attempt in (
            lambda: members.put("ada@example.org", "viewer"),
            lambda: members.remove("ADA@example.org"),
        ):
            with pytest.raises(InputError, match="environment"):
                attempt()
    assert members.role("ada@example.org") == "owner"


def test_the_last_owner_stays(tmp_path):
    alone = Members(Workspace.create(tmp_path / "ws").path)
    with acting_as(OWNER):
        alone.put("eva@example.org", "owner")
        for attempt in (
            lambda: alone.put("eva@example.org", "viewer"),
            lambda: alone.remove("eva@example.org"),
        ):
            with pytest.raises(InputError, match="nobody would be left"):
                attempt()
    assert alone.role("eva@example.org") == "owner"


@pytest.mark.parametrize(
    "email", ["", "ada", "a b@example.org", "a@b@c", "<x>@y.z", "x@y.z\n", "a" * 300 + "@b.c"]
)
@pytest.mark.parametrize("role", ["viewer"])
def test_odd_addresses_are_refused(members, email, role):
    if email.strip() == "x@y.z":
        return
    with acting_as(OWNER), pytest.raises(ParameterError):
        members.put(email, role)


def test_odd_roles_are_refused(members):
    with acting_as(OWNER):
        for role in ("none", "root", "OWNER", ""):
            with pytest.raises(ParameterError, match="role"):
                members.put("eva@example.org", role)
        with pytest.raises(NotFound):
            members.remove("nobody@example.org")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"schema": 1}', '{"schema": 9, "members": {}}',
             '{"schema": 1, "members": {"eva@example.org": {"role": "emperor"}}}',
             '{"schema": 1, "members": {"eva@example.org": "owner"}}', "[" * 100_000],
)  # fmt: skip
def test_a_broken_file_gives_a_role_to_nobody_but_the_hosts_owner(members, text):
    (members.path / FILE).write_text(text)
    assert members.role("eva@example.org", "viewer") == "none"
    assert members.role("ada@example.org") == "owner"
    with acting_as(OWNER), pytest.raises(InputError, match="cannot be read"):
        members.put("eva@example.org", "viewer")
    assert (members.path / FILE).read_text() == text


def test_two_owners_at_once_lose_nothing(members):
    with acting_as(OWNER):
        members.put("first@example.org", "viewer")
    jobs = [multiprocessing.get_context("fork").Process(target=_add, args=(members, k)) for k in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join(60)
    assert len(members.listed()) == 2 + 4 * 10
    assert json.loads((members.path / FILE).read_text())["schema"] == 1


def _add(members: Members, k: int) -> None:
    with acting_as(OWNER):
        for i in range(10):
            members.put(f"p{k}.{i}@example.org", "viewer")
    os._exit(0)


def test_the_command(tmp_path, capsys, monkeypatch):
    path = str(Workspace.create(tmp_path / "ws").path)
    monkeypatch.delenv("LOUPE_OWNERS", raising=False)
    assert cli.main(["members", "list", "--workspace", path]) == 0
    assert "nobody yet" in capsys.readouterr().out
    assert cli.main(["members", "add", "eva@example.org", "owner", "--workspace", path]) == 0
    assert cli.main(["members", "add", "vic@example.org", "--workspace", path, "--json"]) == 0
    assert '"role": "viewer"' in capsys.readouterr().out
    assert cli.main(["members", "remove", "vic@example.org", "--workspace", path]) == 0
    assert cli.main(["members", "remove", "vic@example.org", "--workspace", path]) == 1
    capsys.readouterr()
    assert cli.main(["members", "list", "--workspace", path]) == 0
    assert capsys.readouterr().out.startswith("eva@example.org  owner")


def test_roles_and_the_audit_log_stay_where_they_are_when_a_workspace_is_packed(members, tmp_path):
    with acting_as(OWNER):
        members.put("eva@example.org", "viewer")
    (members.path / "audit").mkdir()
    (members.path / "audit" / "audit.jsonl").write_text("{}\n")
    assert cli.main(["pack", str(members.path), "--out", str(tmp_path / "a.zip")]) == 0
    import zipfile

    assert not [n for n in zipfile.ZipFile(tmp_path / "a.zip").namelist() if "members" in n or "audit" in n]
