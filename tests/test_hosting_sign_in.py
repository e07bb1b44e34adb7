"""Signing in against a real provider process, and everything that must not sign anybody in."""

from __future__ import annotations

import json
import time

import pytest
from hosts import COOKIE_SECRET, Site
from oidc_provider import FAULTS, PEOPLE, SECRET
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from analysis.workspace import Workspace
from dashboard.hosting.settings import Settings
from dashboard.hosting.sign_in import SKEW, NotLetIn, identify


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    lab = Workspace.create(folder / "lab").path
    with Site(folder, {"lab": lab}).running() as site:
        yield site


def cookie(client) -> str:
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


def opens_socket(site, cookies: str, origin: str | None = "") -> bool:
    """Whether a websocket opened by hand is accepted."""
    url = site.url.replace("http:", "ws:") + "/_stcore/stream"
    try:
        with connect(url, origin=site.url if origin == "" else origin, subprotocols=["streamlit"],
                     additional_headers={"Cookie": cookies} if cookies else {}):  # fmt: skip
            return True
    except InvalidStatus as refused:
        return refused.response.status_code != 403


def is_in(client) -> bool:
    return client.get("/").status_code == 200


def test_somebody_signs_in_and_out_and_a_copied_cookie_is_worth_nothing_afterwards(site):
    client = site.signed_in("ada")
    assert is_in(client)
    copied = cookie(client)
    assert opens_socket(site, copied)
    client.get("/auth/logout")
    assert not is_in(client)
    assert not opens_socket(site, copied)
    again = site.visitor()
    assert again.get("/", headers={"cookie": copied}).status_code == 401
    what = [line["what"] for line in site.lines() if line.get("who") == "ada@example.org"]
    assert what[-2:] == ["signed in", "signed out"] or {"signed in", "signed out"} <= set(what)


@pytest.mark.parametrize("fault", FAULTS[1:])
def test_a_token_that_is_not_the_providers_for_us_now_signs_nobody_in(site, fault):
    site.tell(fault=fault)
    try:
        client = site.signed_in("ada")
    finally:
        site.tell()
    assert not opens_socket(site, cookie(client))
    answer = client.get("/")
    assert answer.status_code == 401
    assert "not completed" in answer.text
    assert [line["what"] for line in site.lines()][-1] in ("sign-in failed", "refused")


@pytest.mark.parametrize(("skew", "let_in"), [(-100, True), (100, True), (600, False), (-13 * 3600, False)])
def test_the_providers_clock_may_be_two_minutes_off(site, skew, let_in):
    site.tell(skew=skew)
    try:
        assert is_in(site.signed_in("ada")) is let_in
    finally:
        site.tell()


@pytest.mark.parametrize("name", ["una", "eve"])
def test_whoever_is_not_verified_or_not_of_the_team_sees_why_and_nothing_else(site, name):
    client = site.signed_in(name)
    answer = client.get("/")
    assert answer.status_code == 403
    assert PEOPLE[name]["email"] in answer.text
    assert not opens_socket(site, cookie(client))
    assert client.get("/_stcore/host-config").status_code == 403


@pytest.mark.parametrize(
    "claims", [{"email": None}, {"email": "ada@example.org\n"}, {"email": ["ada@example.org"]}, {"sub": None},
               {"email_verified": None}, {"email_verified": "yes"}, {"email": "ada@example.org@elsewhere.example"}],
)  # fmt: skip
def test_odd_claims_let_nobody_in(site, claims):
    site.tell(claims=claims)
    try:
        assert not is_in(site.signed_in("ada"))
    finally:
        site.tell()


def test_a_cookie_that_is_forged_or_changed_or_of_another_secret_is_none(site):
    from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

    now = int(time.time())
    claims = {"is_logged_in": True, "provider": "default", "iat": now, "origin": site.url, **PEOPLE["ada"]}

    def signed(value: dict, secret: str = COOKIE_SECRET, name: str = "_streamlit_user") -> str:
        return f"_streamlit_user={create_signed_value(secret, name, json.dumps(value)).decode()}"

    assert opens_socket(site, signed(claims)), "the forgery below differs only in what is wrong with it"
    good = signed(claims)
    for bad in (
        signed(claims, "another secret, which is long enough as well"),
        signed(claims, name="_streamlit_user_tokens"),
        signed({**claims, "origin": "http://elsewhere.example"}),
        signed({**claims, "is_logged_in": "yes"}),
        signed({**claims, "provider": "another"}),
        signed({**claims, "iat": now - 13 * 3600}),
        signed({**claims, "iat": str(now)}),
        signed({**claims, "iat": True}),
        signed({**claims, "email_verified": False}),
        good[:-3] + "abc",
        "_streamlit_user=" + "A" * 5000,
        "_streamlit_user=chunks-99999999; _streamlit_user_1=x",
        "_streamlit_user=",
    ):
        assert not opens_socket(site, bad), bad[:200]


def test_a_socket_from_elsewhere_is_refused_with_the_right_cookie(site):
    copied = cookie(site.signed_in("ada"))
    assert opens_socket(site, copied)
    assert not opens_socket(site, copied, "http://elsewhere.example")
    assert not opens_socket(site, copied, None)


@pytest.mark.parametrize(
    "path",
    ["/", "/map", "/features?unit=3", "/_stcore/host-config", "/_stcore/stream", "/static/js/index.js", "/index.html",
     "/media/0123.png", "/component/x/index.html", "/_stcore/bidi-components/x/main.js", "/app/static/x",
     "/_stcore/allowed-message-origins", "/%2e%2e/_stcore/host-config", "/x/../_stcore/host-config", "//map",
     "/_stcore/health/../host-config", "/auth/login/../../map", "/oauth2callback/x", "/_stcore//host-config"],
)  # fmt: skip
def test_nothing_leaves_before_signing_in(site, path):
    for headers in ({"accept": "text/html"}, {"accept": "*/*"}):
        answer = site.visitor().get(path, headers=headers)
        assert answer.status_code in (400, 401, 403), path
        assert "<script" not in answer.text
        assert "streamlit" not in answer.text.lower().replace("_streamlit", "")
        assert "lab" not in answer.text.replace("label", "")


@pytest.mark.parametrize("path", ["/_stcore/metrics", "/_stcore/script-health-check", "/_stcore/agent/openapi.json",
                                  "/_stcore/agent/interact", "/_stcore/agent/mcp"])  # fmt: skip
def test_what_nobody_needs_is_not_there_for_anybody(site, path):
    assert site.signed_in("ada").get(path).status_code == 404
    assert site.visitor().post(path, json={}).status_code == 404


def test_health_tells_strangers_only_that_it_is_well(site):
    assert site.visitor().get("/_stcore/health").text == "ok"


def test_uploads_are_off(site):
    client = site.signed_in("ada")
    for method in ("PUT", "POST", "DELETE"):
        answer = client.request(method, "/_stcore/upload_file/session/file", files={"file": b"x"})
        assert answer.status_code == 403, method


def test_uploads_that_are_on_are_bounded_and_only_for_whoever_may_start_work(tmp_path):
    lab = Workspace.create(tmp_path / "lab").path
    given = {"LOUPE_UPLOADS_MB": "1", "LOUPE_DEFAULT_ROLE": "viewer"}
    with Site(tmp_path, {"lab": lab}, **given).running() as site:
        answers = {}
        for name in ("ada", "vic"):
            client = site.signed_in(name)
            client.get("/_stcore/health")
            token = {"x-xsrftoken": client.cookies["_streamlit_xsrf"]}
            for size in (1000, 5 << 20):
                path = "/_stcore/upload_file/session/file"
                answer = client.put(path, files={"file": b"x" * size}, headers=token)
                answers[name, size] = (answer.status_code, answer.text[:30])
    assert answers["vic", 1000] == (403, "no uploads here")
    assert answers["ada", 1000][1].startswith("Invalid session_id"), (
        "it reached Streamlit, which knows no such page"
    )
    assert answers["ada", 5 << 20][0] in (400, 413)
    assert "session" not in answers["ada", 5 << 20][1], "refused by its size, before anybody looks at it"


def test_other_methods_and_origins_get_nothing(site):
    client = site.signed_in("ada")
    answer = client.options("/_stcore/host-config", headers={"origin": "http://elsewhere.example"})
    assert "access-control-allow-origin" not in answer.headers
    answer = client.get("/_stcore/host-config", headers={"origin": "http://elsewhere.example"})
    assert "access-control-allow-origin" not in answer.headers
    assert "_streamlit_xsrf" in client.get("/_stcore/health").headers["set-cookie"] + cookie(client)
    for path in ("/auth/login", "/auth/logout", "/oauth2callback"):
        assert client.post(path).status_code == 405


def test_a_link_is_found_again_after_signing_in_and_leads_nowhere_else(site):
    client = site.visitor()
    client.get("/features?unit=3&tap=a:b")
    wanted = client.cookies["loupe_wanted"]
    inside = site.signed_in("ada")
    inside.cookies.set("loupe_wanted", wanted)
    assert inside.get("/").headers["location"] == "/features?unit=3&tap=a:b"
    for evil in ("//evil.example", "https://evil.example", "/%5Cevil.example", "%2F%2Fevil.example", "/%0d%0aX: y",
                 "evil", "/\\evil.example", "%2F%5Cevil.example"):  # fmt: skip
        inside.cookies.set("loupe_wanted", evil)
        assert inside.get("/").headers["location"] == "/", evil
        assert "x" not in inside.get("/").headers


def test_a_link_to_a_page_below_a_host_name_as_a_path_is_no_way_out(site):
    answer = site.visitor().get("//evil.example/%2f..")
    assert "evil.example" not in answer.text
    assert "location" not in answer.headers


def test_a_provider_that_is_away_says_so_without_a_traceback(tmp_path):
    site = Site(tmp_path, {"lab": Workspace.create(tmp_path / "lab").path})
    site.environment["LOUPE_OIDC_ISSUER"] = "http://127.0.0.1:9"
    with site.running():
        client = site.visitor()
        start = client.get("/").text.split('href="')[1].split('"')[0]
        answer = client.get(start)
        assert answer.status_code in (400, 401, 500, 502)
        assert "Traceback" not in answer.text


def test_below_a_path_everything_is_the_same(tmp_path):
    with Site(
        tmp_path, {"lab": Workspace.create(tmp_path / "lab").path}, base="/team/loupe"
    ).running() as site:
        stranger = site.visitor()
        for path in ("/team/loupe/", "/team/loupe/map?x=1", "/team/loupe/_stcore/host-config", "/", "/map",
                     "/_stcore/host-config", "/team/loupe/../_stcore/host-config", "/team/loupe//map"):  # fmt: skip
            assert stranger.get(path).status_code in (400, 401, 404), path
        wanted = stranger.cookies["loupe_wanted"]
        client = site.signed_in("ada")
        assert client.get("/team/loupe/").status_code == 200
        client.cookies.set("loupe_wanted", wanted)
        assert client.get("/team/loupe/").headers["location"].startswith("/team/loupe/")
        client.get("/team/loupe/auth/logout")
        assert client.get("/team/loupe/").status_code == 401


def test_no_secret_is_in_a_log_or_a_file(site):
    client = site.signed_in("ada")
    client.get("/")
    for file in [site.log, *site.audit.rglob("*"), *site.workspaces["lab"].rglob("*")]:
        if file.is_file():
            said = file.read_bytes()
            assert SECRET.encode() not in said, file
            assert COOKIE_SECRET.encode() not in said, file
    assert not list(site.folder.rglob("secrets.toml"))


# ---------------------------------------------------------------------------- what is asked of the claims, by itself
NOW = 1_800_000_000.0


def settings(**more) -> Settings:
    given = {"public_url": "https://loupe.example.org", "workspaces": (), "metadata_url": "", "client_id": "x",
             "owners": ("ada@example.org",), "session_hours": 12.0}  # fmt: skip
    return Settings(**{**given, **more})


def claims(**more) -> dict:
    return {
        "is_logged_in": True,
        "provider": "default",
        "iat": NOW - 60,
        "nonce": "n",
        **PEOPLE["ada"],
        **more,
    }


def test_a_sign_in_ends_to_the_second():
    assert identify(claims(iat=NOW - 12 * 3600 + 1), settings(), NOW) is not None
    assert identify(claims(iat=NOW - 12 * 3600), settings(), NOW) is None
    assert identify(claims(iat=NOW + SKEW), settings(), NOW) is not None
    assert identify(claims(iat=NOW + SKEW + 1), settings(), NOW) is None


def test_addresses_are_compared_in_lower_case_and_domains_whole():
    assert identify(claims(email="ADA@Example.ORG"), settings(), NOW).email == "ada@example.org"
    listed = settings(owners=(), allowed_domains=("example.org",))
    for email in ("x@evil-example.org", "x@example.org.evil", "x@sub.example.org", "example.org@evil"):
        with pytest.raises(NotLetIn):
            identify(claims(email=email), listed, NOW)
    assert identify(claims(email="x@example.org"), listed, NOW)


def test_trusting_a_provider_without_the_claim_does_not_trust_a_denial():
    trusting = settings(trust_emails=True)
    missing = {k: v for k, v in claims().items() if k != "email_verified"}
    assert identify(missing, trusting, NOW)
    with pytest.raises(NotLetIn, match="not verified"):
        identify(missing, settings(), NOW)
    with pytest.raises(NotLetIn, match="not verified"):
        identify(claims(email_verified=False), trusting, NOW)


def test_two_sign_ins_of_one_person_are_two():
    first, second = identify(claims(nonce="a"), settings(), NOW), identify(claims(nonce="b"), settings(), NOW)
    assert first.key != second.key
