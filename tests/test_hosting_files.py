"""The files that an operator takes as they are: variables that exist, no secret in them, nothing more allowed than is
needed, and what the tools of this machine say about them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "hosting"
FILES = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir() if path.is_file()}
NOTES = (ROOT / "docs" / "hosting.md").read_text(encoding="utf-8")
OF_FILES = {
    "LOUPE_HOST",
    "LOUPE_MODELS",
    "LOUPE_MEMORY",
    "LOUPE_UPSTREAM",
    "LOUPE_DATABASE_PASSWORD",
}  # compose's own
OF_THE_PROGRAM = {"LOUPE_HOSTED", "LOUPE_OPEN"}  # set by it, for itself
NAME = re.compile(r"LOUPE_[A-Z]+(?:_[A-Z]+)*")


def variables(text: str) -> set[str]:
    return {name.removesuffix("_FILE") for name in NAME.findall(text)}


def of_the_source() -> set[str]:
    sources = [p for folder in ("analysis", "dashboard") for p in (ROOT / folder).rglob("*.py")]
    found = set().union(*(variables(p.read_text(encoding="utf-8")) for p in sources))
    return {name for name in found if not name.startswith("LOUPE_NAMER")}  # docs/language_model.md has those


def test_every_variable_is_in_the_notes_and_none_that_there_is_not():
    assert of_the_source() - OF_THE_PROGRAM - variables(NOTES) == set()
    assert variables(NOTES) - of_the_source() - OF_FILES == set()
    for name, text in FILES.items():
        assert variables(text) - of_the_source() - OF_FILES == set(), name


def test_what_compose_sets_is_a_host_that_starts(tmp_path, monkeypatch):
    """Its environment, filled in from env.example, is accepted by the program itself."""
    from analysis.jobs.limits import limits
    from dashboard.hosting import settings, watching

    filled = dict(
        line.split("=", 1) for line in FILES["env.example"].splitlines() if "=" in line and line[0] != "#"
    )
    (tmp_path / "lab").mkdir()
    filled["LOUPE_WORKSPACES"] = f"lab={tmp_path / 'lab'}"
    env = {}
    for name, text in yaml.safe_load(FILES["compose.yaml"])["services"]["loupe"]["environment"].items():
        env[name] = re.sub(r"\$\{(\w+)(?::[-?]([^}]*))?\}", lambda m: filled.get(m[1]) or m[2] or "", text)
    for name in [name for name in env if name.endswith("_FILE")]:
        file = tmp_path / Path(env[name]).name
        file.write_text("0123456789abcdef" * 4)
        env[name] = str(file)
    env["LOUPE_ROOTS"] = str(tmp_path)
    found = settings.read(env)
    assert found.public_url == "https://loupe.example.org"
    assert found.redirect_uri == "https://loupe.example.org/oauth2callback"
    assert watching.read(env).proxies == ("172.30.86.0/24",)
    assert limits(env).memory == 4 << 30


def test_the_container_is_not_root_and_cannot_write_to_its_root():
    compose = yaml.safe_load(FILES["compose.yaml"])
    loupe = compose["services"]["loupe"]
    user = re.search(r"^USER (\S+)$", FILES["Containerfile"], re.M)[1]
    assert user == loupe["user"] == "10001:10001"
    assert loupe["read_only"] is True
    assert loupe["cap_drop"] == ["ALL"]
    assert all(
        "no-new-privileges:true" in service["security_opt"] for service in compose["services"].values()
    )
    assert "ports" not in loupe  # only the proxy is reached from outside
    assert "ports" not in compose["services"]["db"]
    assert compose["networks"]["back"]["internal"] is True
    last = FILES["Containerfile"].rsplit("\nFROM ", 1)[1]
    assert "HEALTHCHECK" in last
    assert "/healthz" in last
    assert 'ENTRYPOINT ["loupe", "serve", "--hosted"]' in last


def test_a_stop_has_more_time_than_jobs_have():
    compose = yaml.safe_load(FILES["compose.yaml"])["services"]["loupe"]
    assert (
        int(compose["stop_grace_period"].removesuffix("s"))
        > int(compose["environment"]["LOUPE_STOP_SECONDS"]) + 15
    )
    unit = dict(
        line.split("=", 1) for line in FILES["loupe.service"].splitlines() if "=" in line and line[0] != "#"
    )
    assert int(unit["TimeoutStopSec"]) > 20 + 15  # what the program takes without LOUPE_STOP_SECONDS
    assert unit["KillMode"] == "mixed"


def test_no_secret_and_no_foreign_host_stands_in_the_files():
    for name, text in FILES.items():
        for found in re.findall(r"https?://([\w.-]+)", text):
            assert found.endswith("example.org") or found == "127.0.0.1", (name, found)
        assert not re.search(r"(?i)(password|secret|token)\w*[=:]\s*[\w./+-]{8,}$(?<!/run)", re.sub(
            r"(?m)^.*(_FILE|/run/secrets|file:|LoadCredential|\$\{).*$", "", text)), name  # fmt: skip
    images = [s["image"] for s in yaml.safe_load(FILES["compose.yaml"])["services"].values()]
    images += re.findall(r"^FROM (\S+)", FILES["Containerfile"], re.M)
    assert all("/" not in image for image in images)


COMPOSE = next(
    (c for c in (["docker-compose"], ["docker", "compose"]) if shutil.which(c[0])
     and subprocess.run([*c, "version"], capture_output=True).returncode == 0), None
)  # fmt: skip


@pytest.mark.skipif(COMPOSE is None, reason="compose is not installed")
def test_compose_of_any_age_reads_its_file_and_names_what_it_makes(tmp_path):
    """Version 1.29 refuses a `name:` at the top: it stands in .env, which every version reads."""
    shutil.copytree(FOLDER, tmp_path / "hosting")
    filled = FILES["env.example"].replace("LOUPE_DATABASE_PASSWORD=", "LOUPE_DATABASE_PASSWORD=for-this-test")
    (tmp_path / "hosting" / ".env").write_text(filled)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LOUPE_", "COMPOSE_"))}
    at = {"cwd": tmp_path / "hosting", "env": clean, "capture_output": True, "text": True, "timeout": 60}
    read = subprocess.run([*COMPOSE, "-f", "compose.yaml", "config"], **at)
    assert read.returncode == 0, read.stderr
    assert set(yaml.safe_load(read.stdout)["services"]) == {"loupe", "db", "proxy"}
    assert "name" not in yaml.safe_load(FILES["compose.yaml"])
    assert "COMPOSE_PROJECT_NAME=feature-loupe\n" in FILES["env.example"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd's own tool is not here")
def test_systemd_reads_the_service_and_finds_it_closed(tmp_path):
    unit = tmp_path / "loupe.service"
    unit.write_text(FILES["loupe.service"].replace("/opt/loupe/.venv/bin/loupe", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60
    )
    said = [line for line in done.stderr.splitlines() if "loupe.service" in line]
    assert not said, said
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-300:]  # an exposure of 2.5 of 10 or less


@pytest.mark.skipif(shutil.which("caddy") is None, reason="the proxy is not installed")
def test_the_proxy_reads_its_file():
    env = {**os.environ, "LOUPE_HOST": "localhost"}
    command = ["caddy", "validate", "--config", str(FOLDER / "Caddyfile"), "--adapter", "caddyfile"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-500:]
