"""Seconds of a click, as a host counts them: from its message to the last one of its answer."""

from __future__ import annotations

import asyncio

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from dashboard.hosting.clicks import EARLY, LARGE, Clicks, is_part, page_names
from dashboard.hosting.metrics import Metrics, Watched
from dashboard.pages import pages

NAMES = page_names(pages())
HASH = {name: digest for digest, name in NAMES.items()}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def heard():
    clock, seen = Clock(), []
    clicks = Clicks(lambda page, seconds: seen.append((page, round(seconds, 6))), NAMES, clock)
    return clicks, clock, seen


def asked() -> bytes:
    message = BackMsg()
    message.rerun_script.query_string = ""
    return message.SerializeToString()


def begins(page: str) -> bytes:
    message = ForwardMsg()
    message.new_session.page_script_hash = HASH.get(page, page)
    return message.SerializeToString()


def ends(how: int = 0) -> bytes:
    message = ForwardMsg()
    message.script_finished = how
    return message.SerializeToString()


def at(clock: Clock, seconds: float) -> None:
    clock.now = 100.0 + seconds


def test_a_click_lasts_until_its_page_is_complete(heard):
    clicks, clock, seen = heard
    clicks.arrived(asked())
    at(clock, 0.5)
    clicks.sent(begins("map"))
    at(clock, 2.0)
    assert seen == []
    clicks.sent(ends())
    assert seen == [("map", 2.0)]
    clicks.sent(ends())
    assert len(seen) == 1, "a run that nobody asked for is no click"


def test_a_run_that_gives_way_is_not_the_end(heard):
    clicks, clock, seen = heard
    clicks.arrived(asked())
    clicks.sent(begins("map"))
    at(clock, 1.0)
    clicks.arrived(asked())
    clicks.sent(ends(EARLY))
    clicks.sent(begins("features"))
    at(clock, 3.0)
    clicks.sent(ends())
    assert seen == [("features", 3.0), ("features", 2.0)]


def test_a_click_during_the_last_of_a_run_waits_for_its_own(heard):
    clicks, clock, seen = heard
    clicks.arrived(asked())
    clicks.sent(begins("map"))
    at(clock, 1.0)
    clicks.arrived(asked())  # the run that is under way knows nothing of it
    clicks.sent(ends())
    assert seen == [("map", 1.0)]
    clicks.sent(begins("map"))
    at(clock, 4.0)
    clicks.sent(ends())
    assert seen == [("map", 1.0), ("map", 3.0)]


def test_the_page_that_a_name_leads_to_is_the_one_counted(heard):
    clicks, _, seen = heard
    clicks.arrived(asked())
    clicks.sent(begins("nothing of ours"))
    message = ForwardMsg()
    message.navigation.page_script_hash = HASH["compare"]
    clicks.sent(message.SerializeToString())
    clicks.sent(ends())
    assert seen[0][0] == "compare"


def test_nonsense_and_other_messages_are_no_clicks(heard):
    clicks, _, seen = heard
    clicks.arrived(b"\xff\xff nonsense")
    other = BackMsg()
    other.load_git_info = True
    clicks.arrived(other.SerializeToString())
    clicks.sent(begins("map"))
    clicks.sent(ends())
    clicks.arrived(asked())
    clicks.sent(b"\0" * (LARGE + 1))  # not even looked at
    assert seen == []


def test_every_page_of_ours_has_a_name(heard):
    assert set(NAMES.values()) == {page.name for page in pages()}


def test_a_watched_socket_tells_prometheus(tmp_path):
    metrics = Metrics([("lab", tmp_path)], ["map"])

    async def app(scope, receive, send) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            for data in (begins("map"), ends()):
                await send({"type": "websocket.send", "bytes": data})

    said = iter([{"type": "websocket.receive", "bytes": asked()}] * 3 + [{"type": "websocket.disconnect"}])

    async def receive():
        return next(said)

    async def send(message) -> None:
        pass

    asyncio.run(Watched(app, metrics, names=NAMES)({"type": "websocket"}, receive, send))
    lines = metrics.exposition()[1].decode()
    assert 'loupe_click_seconds_count{page="map"} 3.0' in lines


def test_parts_of_a_page_are_known_from_their_first_bytes_and_nothing_else_is_taken_for_one():
    for field in ForwardMsg.DESCRIPTOR.fields:
        if field.containing_oneof is None:
            continue
        for path in ([], [0, 1], [1] * 200):
            message = ForwardMsg()
            message.hash = "ab" * (16 if path else 0)
            message.metadata.delta_path.extend(path)
            if field.message_type is not None:
                getattr(message, field.name).SetInParent()
            else:
                setattr(message, field.name, "x" if field.type == field.TYPE_STRING else 1)
            data = message.SerializeToString()
            assert not is_part(data) or field.name == "delta", field.name
            if field.name == "delta":
                assert is_part(data) == (len(path) < 100)
    assert not any(is_part(data) for data in (b"", b"\x0a", b"\x0a\x20", b"\x0a\x05\x2a\x2a\x2a\x2a\x2a"))
