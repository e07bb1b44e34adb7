"""Everything that can be refused, in one small tree.

Each message says three things: what was found, what was expected, and what to do. The command line turns
a `LoupeError` into exit code 1, a page turns it into a notice; neither shows a traceback.
"""

from __future__ import annotations


class LoupeError(Exception):
    """A refusal or failure that a person can act upon.

    Parameters
    ----------
    found : str
        What is there, with the file, tap, row or value it concerns.
    expected : str, optional
        What would have been right.
    remedy : str, optional
        What to do now.
    """

    def __init__(self, found: str, expected: str = "", remedy: str = "") -> None:
        self.found, self.expected, self.remedy = found, expected, remedy
        parts = [found.rstrip(".")]
        if expected:
            parts.append(f"Expected {expected.rstrip('.')}")
        if remedy:
            parts.append(remedy.rstrip("."))
        super().__init__(". ".join(parts) + ".")

    def __reduce__(self):  # crosses process borders whole
        return type(self), (self.found, self.expected, self.remedy)


class InputError(LoupeError):
    """Data, a file or an array that cannot be used as it is."""


class NotFinite(InputError):
    """An answer of a network that is NaN or infinite."""


class ShapeError(InputError):
    """An array whose axes or lengths do not fit."""


class UnsafeFile(InputError):
    """A file that could run code when opened."""


class NotInstalled(InputError):
    """A library that is needed here and is not installed."""


class ParameterError(LoupeError):
    """A parameter outside its range or of the wrong type, or an unknown name (wrong usage)."""


class NotFound(LoupeError):
    """A store, tap, unit, method or file that is not there."""


class NotEnoughData(LoupeError):
    """Too few samples for the method to mean anything: refused with the reason."""


class TooLarge(LoupeError):
    """More memory, disk or time than there is."""


class StoreDamaged(LoupeError):
    """A store whose bytes are not what was written."""


class NewerSchema(LoupeError):
    """Written by a newer version of this program."""


class Busy(LoupeError):
    """Somebody else is writing here."""


class Cancelled(LoupeError):
    """Stopped on request; what was finished is kept."""

    def __init__(self, found: str = "Stopped on request", expected: str = "", remedy: str = "") -> None:
        super().__init__(found, expected, remedy)


class Forbidden(LoupeError):
    """Something that the person who asks may not do here."""
