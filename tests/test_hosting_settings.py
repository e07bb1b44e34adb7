"""What the environment says of a host: read once, refused by the name of the variable, never with a secret."""

from __future__ import annotations

import pytest

from analysis.errors import ParameterError
from dashboard import cli
from dashboard.hosting.settings import SECRETS, read

SECRET, COOKIE = "client-secret-0123456789", "cookie-secret-0123456789-0123456789"


@pytest.fixture
def env(tmp_path):
    (tmp_path / "lab").mkdir()
    (tmp_path / "thesis").mkdir()
    return {
        "LOUPE_PUBLIC_URL": "https://loupe.example.org/team/", "LOUPE_OWNERS": "Ada@Example.org",
        "LOUPE_WORKSPACES": f"lab={tmp_path / 'lab'},thesis={tmp_path / 'thesis'}",
        "LOUPE_OIDC_ISSUER": "https://id.example.org/", "LOUPE_OIDC_CLIENT_ID": "loupe",
        "LOUPE_OIDC_CLIENT_SECRET": SECRET, "LOUPE_COOKIE_SECRET": COOKIE,
    }  # fmt: skip


def test_what_follows_from_the_address(env):
    made = read(env)
    assert made.redirect_uri == "https://loupe.example.org/team/oauth2callback"
    assert (made.origin, made.base_path) == ("https://loupe.example.org", "team")
    assert made.metadata_url == "https://id.example.org/.well-known/openid-configuration"
    assert made.owners == ("ada@example.org",)
    assert [name for name, _ in made.workspaces] == ["lab", "thesis"]
    assert (made.roots, made.uploads_mb, made.default_role) == ((), 0, "none")


def test_secrets_are_taken_out_of_the_environment_and_shown_nowhere(env):
    made = read(env)
    assert not set(SECRETS) & set(env)
    assert (made.client_secret, made.cookie_secret) == (SECRET, COOKIE)
    for said in (repr(made), str(made), made.described()):
        assert SECRET not in said
        assert COOKIE not in said
    assert f"{len(COOKIE)} characters" in made.described()


def test_secrets_come_from_files_as_containers_hand_them_over(env, tmp_path):
    for name, value in zip(SECRETS, (SECRET, COOKIE), strict=True):
        del env[name]
        (tmp_path / name).write_text(value + "\n")
        env[f"{name}_FILE"] = str(tmp_path / name)
    assert (read(env).client_secret, read(env).cookie_secret) == (SECRET, COOKIE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"LOUPE_PUBLIC_URL": "http://loupe.example.org"}, "LOUPE_PUBLIC_URL"),
        ({"LOUPE_PUBLIC_URL": "ftp://loupe.example.org"}, "LOUPE_PUBLIC_URL"),
        ({"LOUPE_PUBLIC_URL": ""}, "LOUPE_PUBLIC_URL"),
        ({"LOUPE_PUBLIC_URL": "https://a@b.example"}, "LOUPE_PUBLIC_URL"),
        ({"LOUPE_OIDC_ISSUER": "http://id.example.org"}, "LOUPE_OIDC_ISSUER"),
        ({"LOUPE_OIDC_ISSUER": ""}, "LOUPE_OIDC_ISSUER"),
        ({"LOUPE_COOKIE_SECRET": "short"}, "LOUPE_COOKIE_SECRET is 5 characters"),
        ({"LOUPE_OIDC_CLIENT_SECRET": ""}, "LOUPE_OIDC_CLIENT_SECRET"),
        ({"LOUPE_OIDC_CLIENT_SECRET_FILE": "/dev/null"}, "both LOUPE_OIDC_CLIENT_SECRET"),
        ({"LOUPE_OIDC_CLIENT_ID": ""}, "LOUPE_OIDC_CLIENT_ID"),
        ({"LOUPE_OWNERS": ""}, "LOUPE_OWNERS"),
        ({"LOUPE_OWNERS": "ada"}, "LOUPE_OWNERS"),
        ({"LOUPE_WORKSPACES": "lab"}, "LOUPE_WORKSPACES"),
        ({"LOUPE_WORKSPACES": "lab=/nowhere-at-all"}, "LOUPE_WORKSPACES"),
        ({"LOUPE_WORKSPACES": "../x=/tmp"}, "LOUPE_WORKSPACES"),
        ({"LOUPE_WORKSPACES": "a=/tmp,b=/tmp"}, "twice"),
        ({"LOUPE_WORKSPACES": "[]"}, "LOUPE_WORKSPACES"),
        ({"LOUPE_WORKSPACES": ""}, "LOUPE_WORKSPACES"),
        ({"LOUPE_DEFAULT_ROLE": "owner"}, "LOUPE_DEFAULT_ROLE"),
        ({"LOUPE_DEFAULT_ROLE": "viewer"}, "everybody with an account"),
        ({"LOUPE_SESSION_HOURS": "nan"}, "LOUPE_SESSION_HOURS"),
        ({"LOUPE_SESSION_HOURS": "0"}, "LOUPE_SESSION_HOURS"),
        ({"LOUPE_UPLOADS_MB": "-1"}, "LOUPE_UPLOADS_MB"),
        ({"LOUPE_UPLOADS_MB": "many"}, "LOUPE_UPLOADS_MB"),
        ({"LOUPE_ROOTS": "/tmp:relative"}, "LOUPE_ROOTS"),
        ({"LOUPE_ROOTS": "/nowhere-at-all"}, "LOUPE_ROOTS"),
        ({"LOUPE_LISTEN": "everywhere"}, "LOUPE_LISTEN"),
        ({"LOUPE_PORT": "99999"}, "LOUPE_PORT"),
        ({"LOUPE_TRUST_EMAILS": "maybe"}, "LOUPE_TRUST_EMAILS"),
        ({"LOUPE_AUDIT": "relative"}, "LOUPE_AUDIT"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name_and_without_a_secret(env, change, said):
    with pytest.raises(ParameterError) as refused:
        read({**env, **change})
    assert said in str(refused.value)
    assert SECRET not in str(refused.value)
    assert COOKIE not in str(refused.value)


def test_the_roots_are_followed_through_links(env, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "lab")
    assert read({**env, "LOUPE_ROOTS": str(tmp_path / "link")}).roots == ((tmp_path / "lab").resolve(),)


def test_the_command_says_how_a_host_is_set_up(env, monkeypatch, capsys):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert cli.main(["serve", "--hosted", "--check"]) == 0
    said = capsys.readouterr().out
    assert "redirect_uri = https://loupe.example.org/team/oauth2callback" in said
    assert SECRET not in said
    assert COOKIE not in said
    monkeypatch.setenv("LOUPE_COOKIE_SECRET", "short")
    assert cli.main(["serve", "--hosted"]) == 2
    assert "LOUPE_COOKIE_SECRET" in capsys.readouterr().err
    assert cli.main(["serve", "--check"]) == 2
