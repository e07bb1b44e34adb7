"""What a host tells browsers about its colours is what Streamlit would tell them, and is read once."""

from __future__ import annotations

import pytest
from streamlit import config
from streamlit.proto.NewSession_pb2 import CustomThemeConfig
from streamlit.runtime import app_session

from dashboard.hosting import theme_message
from dashboard.server import OPTIONS, THEMES

SECTIONS = (
    "theme",
    "theme.light",
    "theme.dark",
    "theme.sidebar",
    "theme.light.sidebar",
    "theme.dark.sidebar",
)


@pytest.fixture
def ours():
    """The options of this program, and Streamlit's own as before afterwards."""
    given = {name: value for name, value in OPTIONS.items() if name.startswith("theme.")}
    given |= {
        f"{section}.{name}": colour for section, colours in THEMES.items() for name, colour in colours.items()
    }
    before = {name: config.get_option(name) for name in given}
    for name, value in given.items():
        config.set_option(name, True if value == "true" else value)
    yield
    for name, value in before.items():
        config.set_option(name, value)


def told(fill) -> CustomThemeConfig:
    """As Streamlit puts the six sections together for one run."""
    message = CustomThemeConfig()
    fill(message)
    for section, part in zip(SECTIONS[1:], (message.light, message.dark, message.sidebar, message.light.sidebar,
                                            message.dark.sidebar), strict=True):  # fmt: skip
        fill(part, section)
    return message


def test_every_run_tells_the_same_as_streamlit_would(ours):
    plain = app_session._populate_theme_msg
    fill = theme_message.kept(plain)
    expected = told(plain)
    assert expected.light.background_color == "#ffffff"
    assert expected.dark.sidebar.background_color
    for _ in range(3):
        found = told(fill)
        assert found == expected
        assert found.SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)
        assert [found.HasField(name) for name in ("light", "dark", "sidebar")] == [
            expected.HasField(name) for name in ("light", "dark", "sidebar")]  # fmt: skip


def test_it_is_read_once_for_each_section():
    asked = []

    def reads(message, section="theme"):
        asked.append(section)
        message.primary_color = section

    fill = theme_message.kept(reads)
    for _ in range(5):
        told(fill)
    assert sorted(asked) == sorted(SECTIONS)
    one, other = CustomThemeConfig(), CustomThemeConfig()
    fill(one)
    one.primary_color = "changed"
    fill(other)
    assert other.primary_color == "theme"


def test_it_stands_in_once_and_not_where_streamlit_has_another_way(monkeypatch):
    monkeypatch.setattr(app_session, theme_message.READ_BY, app_session._populate_theme_msg)
    theme_message.begin()
    first = app_session._populate_theme_msg
    theme_message.begin()
    assert app_session._populate_theme_msg is first
    monkeypatch.delattr(app_session, theme_message.READ_BY)
    theme_message.begin()
    assert not hasattr(app_session, theme_message.READ_BY)
