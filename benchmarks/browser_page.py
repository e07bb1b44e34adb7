"""What a browser keeps of an open page of Streamlit, and what it says with a click.

Seen in the frames of a real one: a click sends the state of every widget on the page (after going elsewhere, of those
in the sidebar), the fragment that the widget used is in (only that is drawn again), and the digests of the large
messages that the browser still holds, which the server then only names. It holds them for two more runs of a page.
"""

from __future__ import annotations

from dataclasses import dataclass, field

HELD_RUNS = 2
SIDEBAR = 1  # first number of the path of what is in it
BUTTON = "button"
TEXTS, CHOICE = ("text_input", "text_area"), "selectbox"
SEVERAL = ("multiselect", "button_group")
STATES = {**dict.fromkeys((*TEXTS, CHOICE), "string_value"), "checkbox": "bool_value", "number_input": "double_value",
          **dict.fromkeys(SEVERAL, "string_array_value")}  # fmt: skip


@dataclass
class Widget:
    """`state`: what it holds, as the message says it; None for a button."""

    id: str
    label: str
    kind: str
    fragment: str
    in_sidebar: bool
    state: object = None


@dataclass
class Page:
    """The widgets of one open page, and the messages that its browser holds."""

    widgets: dict[str, Widget] = field(default_factory=dict)
    held: dict[str, tuple[object, int]] = field(
        default_factory=dict
    )  # by digest: message, run that last had it
    runs: int = 0
    drawing: set[str] = field(default_factory=set)  # widgets of the run that goes on
    in_part: bool = False  # only a fragment is drawn

    def labelled(self, label: str) -> Widget | None:
        """The widget that was drawn last under this label."""
        return next((w for w in reversed(self.widgets.values()) if w.label == label), None)

    def asks(self, asked, used: dict, elsewhere: bool) -> None:
        """Fill in the message of a click. `used`: by label, True for a button, a text for a field."""
        for label, value in used.items():
            widget = self.labelled(label)
            if value is not True:
                widget.state = value
                continue
            asked.widget_states.widgets.add(id=widget.id).trigger_value = True
            asked.fragment_id = widget.fragment
        for widget in self.widgets.values():
            if widget.kind in STATES and (widget.in_sidebar or not elsewhere):
                _say(asked.widget_states.widgets.add(id=widget.id), STATES[widget.kind], widget.state)
        asked.cached_message_hashes.extend(self.held)
        self.in_part, self.drawing = bool(asked.fragment_id), set()

    def whole(self, message):
        """A message of the server, or the one that it names. KeyError where that is not held."""
        if message.WhichOneof("type") == "ref_hash":
            message = self.held[message.ref_hash][0]
        if message.metadata.cacheable:
            self.held[message.hash] = (message, self.runs)
        return message

    def drawn(self, message) -> None:
        """A part of the page: a widget is remembered with what it shows."""
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind != BUTTON and kind not in STATES:
            return
        given = getattr(element, kind)
        self.widgets.pop(given.id, None)
        inside = bool(message.metadata.delta_path) and message.metadata.delta_path[0] == SIDEBAR
        self.widgets[given.id] = Widget(
            given.id, given.label, kind, message.delta.fragment_id, inside, _shown(kind, given)
        )
        self.drawing.add(given.id)

    def complete(self) -> None:
        """A run has ended: what it did not draw is gone."""
        if self.in_part:
            return
        self.widgets = {id: widget for id, widget in self.widgets.items() if id in self.drawing}
        self.runs += 1
        self.held = {name: one for name, one in self.held.items() if self.runs - one[1] <= HELD_RUNS}


def _shown(kind: str, given):
    """The state that a widget's message gives it."""
    if kind in SEVERAL:
        options = [getattr(option, "content", option) for option in given.options]
        return list(given.raw_values) if given.set_value else [options[k] for k in given.default]
    if kind == CHOICE:
        first = given.options[given.default] if given.options else ""
        return given.raw_value if given.set_value else first
    return None if kind == BUTTON else given.value if given.set_value else given.default


def _say(state, name: str, value) -> None:
    if name == "string_array_value":
        state.string_array_value.data.extend(value)
    else:
        setattr(state, name, value)
