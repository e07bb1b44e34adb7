"""What goes through an open page's socket on a host: how much, either way, and which files it lets somebody fetch."""

from __future__ import annotations

import re

import page_stores
import pytest
import streamlit as st
from hosts import Site, answer
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from analysis.errors import InputError
from analysis.sharing.baskets.shelf import Baskets
from dashboard.browse.picture import Column
from dashboard.components.buffers import sendable
from dashboard.hosting.asgi import CLICK_MB, MESSAGE_MB
from dashboard.hosting.shown_files import ADDRESS, ShownFiles

A, B = "a" * 56, "b" * 56


# ---------------------------------------------------------------------------- what was shown
def test_only_who_was_shown_a_file_may_fetch_it():
    shown = ShownFiles()
    shown.note("ada", b"\x12\x30some/message /lab/media/" + A.encode() + b".png and more")
    assert shown.may("ada", f"/media/{A}.png")
    assert shown.may("ada", f"/media/{A}")
    assert not shown.may("eva", f"/media/{A}.png")
    assert not shown.may("ada", f"/media/{B}.png")


@pytest.mark.parametrize(
    "path",
    ["/media", "/media/", f"/media/{A}/", f"/media/{A}/{A}", f"/media/{A}.png/..", f"/media/x{A}", f"/media/{A[:-1]}",
     f"/media/{A}.p?ng", f"/mediax/{A}", f"/media/{A}.png\n", f"/media/{A.upper()}"],
)  # fmt: skip
def test_no_other_spelling_opens_it(path):
    shown = ShownFiles()
    shown.note("ada", f"/media/{A}.png".encode())
    assert not shown.may("ada", path)


def test_what_is_remembered_has_a_bound():
    shown = ShownFiles(files=3, people=2)
    names = [f"{k:056x}" for k in range(5)]
    for name in names:
        shown.note("ada", f"/media/{name}.png".encode())
    assert [shown.may("ada", f"/media/{name}") for name in names] == [False, False, True, True, True]
    shown.note("ada", f"/media/{names[2]}".encode())  # shown again
    shown.note("ada", f"/media/{names[0]}".encode())
    assert shown.may("ada", f"/media/{names[2]}")
    assert not shown.may("ada", f"/media/{names[3]}")
    for person in ("eva", "vic"):
        shown.note(person, f"/media/{A}".encode())
    assert not shown.may("ada", f"/media/{names[0]}")


# ---------------------------------------------------------------------------- a real host
@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sockets")
    lab = page_stores.make_workspace(folder / "lab")
    closed = page_stores.make_workspace(folder / "closed")
    result = lab.run("pca", ["images:pooled"])
    Baskets(lab.path).add("figure", result, {}, result.origin.recipe(), keep=False)
    with Site(folder, {"lab": lab.path, "closed": closed.path}).running() as site:
        yield site


def opened(site: Site, client):
    cookies = dict(client.cookies)
    if "_streamlit_xsrf" not in cookies:
        client.get("/_stcore/health")
        cookies = dict(client.cookies)
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return connect(
        site.url.replace("http:", "ws:") + "/_stcore/stream", origin=site.url, max_size=None, open_timeout=60,
        subprotocols=["streamlit", cookies["_streamlit_xsrf"]], additional_headers={"Cookie": header},
    )  # fmt: skip


def drawn(socket, page: str = "", query: str = "") -> bytes:
    message = BackMsg()
    message.rerun_script.page_name, message.rerun_script.query_string = page, query
    socket.send(message.SerializeToString())
    return answer(socket)


def test_a_file_is_for_those_whose_page_showed_it(site):
    ada, sam = site.signed_in("ada"), site.signed_in("sam")  # an owner; somebody with no role here
    with opened(site, ada) as page:
        found = {name.decode() for name in ADDRESS.findall(drawn(page, "basket", "basket=figure"))}
        assert found, "the page shows the picture of a panel"
        ways = [re.sub("^", f"/media/{name}", ending) for name in found for ending in (".svg", ".png", "")]
        fetched = {way: ada.get(way).status_code for way in ways}
        assert 200 in fetched.values(), fetched
        for way in ways:
            assert sam.get(way).status_code == 404
            assert site.visitor().get(way).status_code == 401
        assert ada.get(f"/media/{A}.png").status_code == 404
        hidden = sam.get(ways[0]).text
        assert hidden == sam.get(f"/media/{A}.png").text, "what is there and what is not look the same"


def until_closed(page, data: bytes) -> None:
    page.send(data)
    while True:
        page.recv(timeout=30)


def test_a_message_up_beyond_the_limit_closes_that_page_and_no_other(site):
    ada = site.signed_in("ada")
    with opened(site, ada) as other, opened(site, ada) as page:
        drawn(other)
        message = BackMsg()
        message.rerun_script.widget_states.widgets.add(id="x").string_value = "x" * (CLICK_MB * 10**6 + 1000)
        with pytest.raises(ConnectionClosed) as closed:
            until_closed(page, message.SerializeToString())
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
        assert len(drawn(other, "features")) > 1000
    assert "Traceback" not in site.log.read_text()


def test_what_a_page_sends_up_at_most_passes(site):
    """The mask of a selection among ten million points, in base64."""
    with opened(site, site.signed_in("ada")) as page:
        message = BackMsg()
        message.rerun_script.widget_states.widgets.add(id="x").string_value = "A" * (10_000_000 // 8 * 4 // 3)
        page.send(message.SerializeToString())
        assert page.recv(timeout=60)


def test_the_largest_columns_go_down_and_larger_ones_are_refused_in_words(monkeypatch):
    """Positions of five million points are one column; the limit is the host's."""
    monkeypatch.setattr(st, "get_option", lambda name: {"server.maxMessageSize": MESSAGE_MB}[name])
    five = Column(bytes(5_000_000 * 8))
    assert sendable("positions", five) == five.key
    with pytest.raises(InputError, match="message limit"):
        sendable("positions", Column(bytes(MESSAGE_MB * 10**6)))
