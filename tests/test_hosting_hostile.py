"""Addresses that nobody means well with: random ones in numbers, one of a million characters, by page, HTTP and socket.

Ten thousand take minutes; by default a few hundred are drawn from the same seed. LOUPE_MANY_URLS=10000 draws all.
"""

from __future__ import annotations

import hashlib
import os
import random
import socket
from urllib.parse import quote, urlsplit

import page_stores
import pytest
from app_pages import HOSTILE, open_page, texts
from hosted_pages import VIEWER, become, hosted
from hosts import Site, answer
from streamlit.proto.BackMsg_pb2 import BackMsg
from test_app_frame import PARAMS
from websockets.sync.client import connect

MANY = int(os.environ.get("LOUPE_MANY_URLS", "300"))
REAL = (
    "images:pooled",
    "images",
    "pca",
    "3",
    "label",
    "texts:hidden",
    "true",
    "0",
    "lab",
    "map",
    "stores",
    "1.5",
)
ODD = (*HOSTILE, "javascript:alert(1)", "%00", "%2e%2e%2f", "' OR 1=1 --", "=cmd|' /C calc'!A0", "${jndi:ldap://x}",
       "{{7*7}}", "\u202e\u2066", "\ud7ff", "é" * 3000, "1" * 400, "-0", "NaN", "∞", "0x10", "1_000", "١٢", "None",
       "a:b:c", ":", "/etc/passwd", "~", "file:///etc/passwd", "\\\\x\\y", "*", "[" * 2000, '{"a":' * 500,
       "\r\nX: y")  # fmt: skip
FINE = (200, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 413, 414, 429, 431)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return page_stores.make_workspace(tmp_path_factory.mktemp("hostile") / "lab")


def digest(path) -> str:
    found = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file() and not {"cache", "jobs"} & set(p.parts)):
        found.update(str(file).encode() + file.read_bytes())
    return found.hexdigest()


def _sign(rng: random.Random) -> str:
    return chr(rng.choice((rng.randrange(1, 128), rng.randrange(128, 0xD7FF))))


def value(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(REAL)
    if kind < 0.75:
        return rng.choice(ODD)
    if kind < 0.9:
        real = list(rng.choice(REAL))
        real.insert(rng.randrange(len(real) + 1), rng.choice(ODD)[:20])
        return "".join(real)
    return "".join(
        chr(rng.choice((rng.randrange(1, 128), rng.randrange(128, 0xD7FF)))) for _ in range(rng.randrange(40))
    )


def params(rng: random.Random, page: str) -> dict[str, list[str]]:
    names = [*PARAMS[page], "ws", "job", "unknown", "p.unknown"]
    return {
        name: [value(rng) for _ in range(rng.choice((1, 1, 1, 2, 5)))]
        for name in rng.sample(names, rng.randrange(1, 6))
    }


@pytest.mark.parametrize("page", PARAMS)
def test_random_parameters_make_no_traceback_and_no_change(page, lab, tmp_path, monkeypatch):
    rng, before = random.Random(f"urls of {page}"), digest(lab.path / "stores")
    people = (lab.path / "people.db").read_bytes() if (lab.path / "people.db").exists() else b""
    with hosted(monkeypatch, tmp_path, {"lab": lab.path}):
        become(VIEWER)
        at = open_page(page)
        for _ in range(max(4, MANY // len(PARAMS))):
            given = params(rng, page)
            at.query_params.clear()
            for name, values in given.items():
                at.query_params[name] = values
            at.run(timeout=120)
            assert not at.exception, given
            said = texts(at)
            assert "failed unexpectedly" not in said, given
            assert "Traceback" not in said, given
    assert digest(lab.path / "stores") == before
    assert ((lab.path / "people.db").read_bytes() if people else b"") == people
    assert {job.name for job in (lab.path / "jobs").glob("2*")} == set(), "a viewer started work"


@pytest.fixture(scope="module")
def site(lab, tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    with Site(folder, {"lab": lab.path}, LOUPE_DEFAULT_ROLE="viewer").running() as site:
        yield site


def test_random_addresses_get_an_answer_and_the_host_stays_well(site):
    rng = random.Random("addresses")
    visitors = [site.visitor(), site.signed_in("vic")]
    for k in range(MANY):
        parts = [quote(value(rng)[:300], safe=rng.choice(("", "/%;@"))) for _ in range(rng.randrange(1, 5))]
        first = rng.choice(
            ("", "_stcore/", "media/", "component/", "static/", "auth/", "oauth2callback", "map")
        )
        path = "/" + first + "/".join(parts) + rng.choice(("", "?" + quote(value(rng)[:2000])))
        answer = visitors[k % 2].request(rng.choice(("GET", "GET", "POST", "PUT", "DELETE", "PATCH")), path)
        assert answer.status_code in FINE, path
        assert "Traceback" not in answer.text, path
        to = urlsplit(answer.headers.get("location", "/"))
        assert to.netloc in ("", f"127.0.0.1:{site.port}"), f"{path} leads elsewhere: {to}"
    assert site.visitor().get("/_stcore/health").status_code in (200, 429)
    assert "Traceback" not in site.log.read_text()


@pytest.mark.parametrize("length", [100_000, 1_000_000])
def test_an_address_of_a_million_characters_is_refused_at_once(site, length):
    with socket.create_connection(("127.0.0.1", site.port), timeout=30) as raw:
        try:
            raw.sendall(b"GET /map?sel=" + b"x" * length + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            said = raw.recv(4096)
        except (BrokenPipeError, ConnectionResetError):
            said = b"HTTP/1.1 400 closed"
    assert int(said.split()[1]) in (400, 401, 414, 431)


def test_a_million_characters_in_the_message_of_a_page_are_passed_over(site):
    """The browser's address reaches a page by the socket, where no server's limit on addresses holds."""
    client = site.signed_in("vic")
    client.get("/_stcore/health")
    cookies = dict(client.cookies)
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    protocols = ["streamlit", cookies["_streamlit_xsrf"]]
    url = site.url.replace("http:", "ws:") + "/_stcore/stream"
    for query in (
        "sel=" + "x" * 1_000_000,
        "&".join(f"a{i}=1" for i in range(50_000)),
        "%" * 300_000,
        "ws=" + "lab," * 250_000,
    ):
        message = BackMsg()
        message.rerun_script.query_string = query
        with connect(url, origin=site.url, subprotocols=protocols, additional_headers={"Cookie": header},
                     max_size=None) as opened:  # fmt: skip
            opened.send(message.SerializeToString())
            got = answer(opened)
        assert b"Traceback" not in got
        assert b"failed unexpectedly" not in got
        assert b"images" in got, "the page is there all the same"
    assert "Traceback" not in site.log.read_text()
